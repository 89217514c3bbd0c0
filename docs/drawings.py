"""The drawings of these pages: cards, as a notebook shows them, of images and containers made for this."""

from collections.abc import Callable

from sandcell.magics.cards import container_card, image_card, layer_card, shares_of
from sandcell.runtime.engine.values import Container
from sandcell.runtime.layer.tree import Change, Entry
from sandcell.runtime.oci.config import History, ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Manifest

_KIND = "application/vnd.oci.image."
_HOST = ("FROM host", 61_400_000)
_NOTE = ('RUN echo "I am in the image" > /note.txt', 152)


def _image(command: str, *steps: tuple[str, int]) -> Image:
    digests = [Digest.of(text.encode()) for text, _ in steps]
    layers = tuple(
        Descriptor(f"{_KIND}layer.v1.tar+gzip", digest, size)
        for digest, (_, size) in zip(digests, steps, strict=True)
    )
    config = ImageConfig(
        architecture="amd64",
        os="linux",
        config=RunConfig(cmd=tuple(command.split())),
        rootfs=RootFs(diff_ids=tuple(digests)),
        history=tuple(History(created_by=text) for text, _ in steps),
    )
    manifest = Manifest(config=Descriptor(f"{_KIND}config.v1+json", Digest.of(b"config"), 300), layers=layers)
    return Image(
        Descriptor(f"{_KIND}manifest.v1+json", Digest.of(repr(steps).encode()), 700), manifest, config
    )


HELLO = _image("cat /note.txt", _HOST, _NOTE)
OTHER = _image("python3 /app.py", _HOST, ("COPY app.py /", 420))


def _container(name: str, pid: int | None, *changes: Change, image: str = "hello:latest") -> str:
    value = Container(
        id=Digest.of(name.encode()).partition(":")[2],
        name=name,
        image=image,
        image_digest=HELLO.digest,
        command=("sh",),
        created=0.0,
        state="running" if pid else "exited",
        pid=pid,
        exit_status=None if pid else 0,
        rung="rootless",
    )
    return container_card(value, HELLO, changes).html


def _file(path: str) -> Entry:
    return Entry(path, "file", 0o644)


DRAWINGS: dict[str, Callable[[], str]] = {
    "image": lambda: image_card(HELLO, "hello").html,
    "layer": lambda: layer_card(HELLO.layers[1]).html,
    "shared": lambda: image_card(OTHER, "other", shared=shares_of([HELLO, OTHER])).html,
    "one": lambda: _container("one", 4711, Change("A", "new.txt", _file("new.txt"))),
    "two": lambda: _container("two", 4802, Change("D", "note.txt", _file("note.txt"))),
}
"""Each drawing as one piece of HTML, by the name that a page asks for it."""
