"""What must hold of owners and modes on every rung: they are the same after commit, push and pull, also for
other tools."""

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from tempfile import mkdtemp
from urllib.request import urlopen

import msgspec

from sandcell.runtime import Engine, Options
from sandcell.runtime.oci.config import History, RootFs
from sandcell.runtime.oci.image import Image
from tests.engine.claims import IMAGE, claim
from tests.engine.claims_owners import owners
from tests.engine.claims_registries import registry
from tests.registry.serving import debian_registry

_CHANGE = """
set -e
echo x > /given; chown 5:7 /given; chmod 4750 /given; ln /given /same
mkdir -p /place/deep; echo y > /place/deep/file; chown 8:9 /place/deep/file
chmod 600 /place/deep/file; chown 33:44 /place; chmod 2711 /place
rm /file
"""
_WRITE = (
    "test ! -e /file && test /given -ef /same && for at in /given /place/deep/file; do echo z >> $at; done"
)
_OWNERS = {
    "given": (5, 7, 0o4750),
    "place": (33, 44, 0o2711),
    "place/deep": (0, 0, 0o755),
    "place/deep/file": (8, 9, 0o600),
}


def committed(engine: Engine, name: str) -> Image:
    made = engine.create(IMAGE, ("sh", "-c", _CHANGE), Options())
    try:
        engine.start(made)
        assert engine.wait(made) == 0, engine.logs(made)
        return engine.commit(made, name)
    finally:
        engine.remove(made, force=True)


def has_owners(layer: bytes) -> dict[str, tarfile.TarInfo]:
    """What is in it, by Python's own reader."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        found = {member.name: member for member in tar}
    for name, owner in _OWNERS.items():
        assert (found[name].uid, found[name].gid, found[name].mode) == owner, name
    return found


def check(layer: bytes) -> None:
    found = has_owners(layer)
    assert found["same"].linkname == "given"
    assert found[".wh.file"].size == 0


def goes_round(engine: Engine, image: Image, host: str, folder: str) -> None:
    there = f"{host}/team/kept:1"
    engine.tag("kept:1", there)
    engine.push(there)
    engine.remove_image(there)
    digest = image.layers[-1].descriptor.digest
    with urlopen(f"http://{host}/v2/team/kept/blobs/{digest}", timeout=20) as answer:
        check(answer.read())
    if shutil.which("skopeo"):
        copy = ["skopeo", "--tmpdir", folder, "copy", "-q", "--src-tls-verify=false"]
        subprocess.run(
            [*copy, f"docker://{there}", f"dir:{folder}/copy"], check=True, capture_output=True, timeout=60
        )
        check(Path(folder, "copy", digest.hex).read_bytes())
    with Engine(f"{folder}/home", f"{folder}/run") as other:
        assert other.pull(there).digest == image.digest
        # What is written to is copied up with its owner, also where the container cannot see owners.
        again = other.create(there, ("sh", "-c", _WRITE), Options())
        other.start(again)
        assert other.wait(again) == 0, other.logs(again)
        found = owners(other, again.id)
        for path in ("given", "place/deep/file"):
            uid, gid, mode = found[path]
            # Writing takes the set-id bits away in a user namespace (write(2)).
            assert (uid, gid, mode & 0o777) == (*_OWNERS[path][:2], _OWNERS[path][2] & 0o777), found
        other.remove(again)


def goes_through_umoci(engine: Engine, image: Image, folder: str) -> None:
    """The layer alone, unpacked by umoci (which without root keeps owners in an attribute), touched and
    packed again."""
    store, top = engine.store.store, image.layers[-1]
    config = msgspec.structs.replace(image.config, rootfs=RootFs(), history=())
    with store.leases.working():
        alone = store.write_image(config.with_layer(top.diff_id, History()), [top.descriptor])
        engine.store.name("alone:1", alone)
    layout, bundle = f"{folder}/layout", f"{folder}/bundle"
    engine.save("alone:1", layout, form="oci-dir")
    engine.remove_image("alone:1")
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    umoci("unpack", *rootless, "--image", f"{layout}:alone:1", bundle)
    for name in _OWNERS:
        os.utime(f"{bundle}/rootfs/{name}", (0, 0))
    umoci("repack", "--image", f"{layout}:theirs:1", bundle)
    with Engine(f"{folder}/home", f"{folder}/run") as other:
        other.load(layout)
        theirs = other.image("theirs:1")
        assert theirs.layers[0].descriptor.digest == top.descriptor.digest
        has_owners(other.store.store.blobs.read(theirs.layers[-1].descriptor.digest))


def umoci(*words: str) -> None:
    subprocess.run(["umoci", *words], check=True, capture_output=True, timeout=60)


@claim
def owners_and_modes_come_back_from_a_registry(engine: Engine) -> None:
    image = committed(engine, "kept:1")
    try:
        # Beside the store, and left like it: its files may belong to others.
        folder = mkdtemp(dir=os.path.dirname(engine.places.home))
        if shutil.which("docker-registry"):
            with debian_registry(Path(folder)) as host:
                goes_round(engine, image, host, folder)
        else:
            with registry(engine) as host:
                goes_round(engine, image, host, folder)
        if shutil.which("umoci"):
            goes_through_umoci(engine, image, folder)
    finally:
        engine.remove_image("kept:1")
