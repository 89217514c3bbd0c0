"""``FROM host``: a base image made of this machine's own programs, with no network.

An image is files and a config, and the files may come from anywhere. ``host`` has a shell, the usual
small tools and the Python that runs us; ``host:pip`` pip, too; ``host:kernel`` the Jupyter kernel of that
Python; ``host:tiny`` the shell and the core tools only. Each is made once, and again when the machine's
programs change.
"""

import hashlib
import os
import sys

import msgspec

from sandcell.runtime.errors import BlobNotFound, HostRefused, ImageNotFound
from sandcell.runtime.oci.config import History, ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store

VARIANTS = {"latest": "host", "tiny": "host:tiny", "pip": "host:pip", "kernel": "host:kernel"}
BASE_LABEL = "sandcell.base"
"""Set to ``host`` in these images and all built on them: they only run on machines like this one."""

KERNEL = "ipykernel"
"""The package that makes a Jupyter kernel of Python."""

_CREATED = "2020-01-01T00:00:00Z"
_FORM = "2"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def host_image(store: Store, variant: str = "latest") -> Image:
    """The image ``host:VARIANT`` of the store, made if it is not there or no longer like the machine.

    ``ImageNotFound`` for a variant that is none of ``VARIANTS``; ``HostRefused`` for ``kernel`` where
    no ipykernel is installed beside us, for ``pip`` where this Python came without; ``StoreFull``. Of
    several callers one makes it.
    """
    if variant not in VARIANTS:
        raise ImageNotFound(
            "find image",
            f"host:{variant}",
            "there is no such host image",
            f"there are {', '.join(VARIANTS.values())}",
        )
    key = _fingerprint(variant)
    found = _known(store, key)
    if found is None:
        with store.lock(f"host-{variant}"):
            found = _known(store, key) or _make(store, variant, key)
    return found


def _settings(*, bash: bool, certificates: bool) -> RunConfig:
    env = [f"PATH={_PATH}", "LANG=C.UTF-8", "ENV=/etc/profile"]
    if certificates:
        env.append("SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt")
    command = "bash" if bash else "sh"
    return RunConfig(env=tuple(env), cmd=(command,), working_dir="/", labels={BASE_LABEL: "host"})


def _known(store: Store, key: str) -> Image | None:
    record = store.cache.get(key)
    if record is None:
        return None
    try:
        image = store.image(str(record["digest"]))
    except (BlobNotFound, ImageNotFound):
        return None
    if not all(store.blobs.has(layer.digest) for layer in image.manifest.layers):
        return None
    return image


def _make(store: Store, variant: str, key: str) -> Image:
    from sandcell.runtime.build import host_files
    from sandcell.runtime.build.elf import Loader
    from sandcell.runtime.build.host_python import Interpreter, add_python
    from sandcell.runtime.build.host_tree import HostTree

    tree = HostTree()
    loader = Loader.of_host()
    host_files.add_layout(tree)
    programs = host_files.add_programs(tree, host_files.CORE)
    certificates = False
    if variant != "tiny":
        programs += host_files.add_programs(tree, host_files.MORE)
        python = Interpreter.running()
        modules = add_python(tree, python)
        host_files.add_libraries(tree, loader, modules, under=python.executable, place=python.place)
        if variant == "kernel":
            from sandcell.runtime.build.host_packages import add_packages

            add_packages(tree, loader, python, KERNEL)
        elif variant == "pip":
            from sandcell.runtime.build.host_pip import add_pip

            add_pip(tree, loader, python)
        host_files.add_terminals(tree)
        host_files.add_locale(tree)
        certificates = host_files.add_certificates(tree)
    if not programs:
        raise HostRefused("make image", VARIANTS[variant], "this machine has no shell in /bin or /usr/bin")
    host_files.add_libraries(tree, loader, programs)
    bash = any(program.endswith("/bash") for program in programs)
    host_files.add_settings(
        tree,
        what="little else" if variant == "tiny" else "Python",
        shell="/bin/bash" if bash else "/bin/sh",
    )
    with store.leases.working():
        layer = store.layers.of_entries(tree.entries())
        here = Platform.here()
        history = History(
            created=_CREATED, created_by=f"FROM {VARIANTS[variant]}", comment="files of this machine"
        )
        config = ImageConfig(
            architecture=here.architecture,
            variant=here.variant,
            os=here.os,
            config=_settings(bash=bash, certificates=certificates),
            rootfs=RootFs(),
        ).with_layer(layer.diff_id, history)
        image = store.write_image(config, (layer.descriptor,))
        store.names.set(Reference.parse(VARIANTS[variant]), image.descriptor)
    store.cache.put(key, {"digest": str(image.digest)})
    return image


def _fingerprint(variant: str) -> str:
    """Changes when the machine's programs do: the times of the directories they are installed in.

    A library that is exchanged in place comes with a new cache of the loader.
    """
    facts: list[object] = [_FORM, variant]
    paths = ["/usr/bin", "/bin", "/usr/sbin", "/lib", "/usr/lib", "/etc/ld.so.cache", "/etc/os-release"]
    if variant != "tiny":
        facts += [sys.version, sys.base_prefix]
        library = os.path.dirname(os.__file__)
        name = os.path.basename(library)
        paths += [
            f"{sys.base_prefix}/bin/{name}",
            f"{sys.base_prefix}/lib",
            library,
            f"{library}/lib-dynload",
        ]
        paths += ["/etc/ssl/certs", "/usr/local/share/ca-certificates"]
    if variant == "kernel":
        from sandcell.runtime.build.host_packages import versions

        facts += versions(KERNEL)
    elif variant == "pip":
        from sandcell.runtime.build import host_pip

        facts += host_pip.facts()
    for path in paths:
        try:
            status = os.stat(path)
            # Whole seconds, which an image of this machine keeps: what was made with it is found there.
            facts.append((path, int(status.st_mtime)))
        except OSError:
            facts.append(path)
    return "host-" + hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
