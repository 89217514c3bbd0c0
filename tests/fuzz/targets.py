"""What hostile bytes are given to. A target returns, or raises our own error: anything else is a find.

Used by the property tests beside this file, and by ``python -m tests.fuzz TARGET`` (coverage-guided, where
atheris is installed).
"""

import io
from collections.abc import Callable

from sandcell.runtime.build.patterns import IgnoreRules
from sandcell.runtime.build.plan import plan
from sandcell.runtime.errors import DockerfileError, ImageNotFound, SandcellError
from sandcell.runtime.layer.compress import decompress
from sandcell.runtime.layer.listing import entries, layer_files
from sandcell.runtime.layer.tar_read import BLOCK, TarReader
from sandcell.runtime.layer.tree import Tree
from sandcell.runtime.oci.config import ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.decode import decode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index, decode_manifest
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference

MOST = 1 << 22
"""Bytes that a target looks at: a hole in a file is large, and not interesting."""


def tar(data: bytes) -> None:
    """An archive is read, contents too, in large and in small pieces: both readings agree."""
    told = [_read(data, chunk) for chunk in (1 << 18, 513)]
    assert told[0] == told[1]


def repaired(data: bytes) -> None:
    """The same where every block has the right checksum, so that what is behind it is reached; it is also
    listed as a layer."""
    blocks = [data[at : at + BLOCK].ljust(BLOCK, b"\0") for at in range(0, len(data), BLOCK)]
    whole = b"".join(_summed(block) if any(block) else block for block in blocks)
    tar(whole)
    layer(whole)


def _summed(block: bytes) -> bytes:
    total = sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")
    return block[:148] + b"%06o\0 " % total + block[156:]


def _read(data: bytes, chunk: int) -> list[object]:
    stream = io.BytesIO(data)
    reader = TarReader(lambda size: stream.read(min(size, chunk)))
    found: list[object] = []
    try:
        for header in reader:
            content = b""
            for piece in reader.content():
                content += piece[: MOST - len(content)]
                if len(content) == MOST:
                    break
            assert len(content) == min(header.size, MOST)
            found.append((header, content))
    except SandcellError as error:
        found.append((type(error), error.cause))
    return found


def layer(data: bytes) -> None:
    """A compressed layer is listed, and put on itself."""
    reader = TarReader(decompress(io.BytesIO(data), most_ratio=1, beyond=MOST).read)
    listed = tuple(entry for entry, _ in entries(reader))
    found, tree = layer_files(Tree(), listed)
    again, same = layer_files(tree, listed)
    assert set(same.entries) == set(tree.entries) or any(e.kind in ("whiteout", "opaque") for e in listed)
    assert all(size >= 0 for size in {**found.wasted, **again.wasted}.values())


def manifest(data: bytes) -> None:
    """A manifest, an index, a config: whatever it says it is."""
    for kind in (ImageConfig, Descriptor):
        try:
            decode(kind, data, object="document", unique=True)
        except SandcellError:
            pass
    document = decode_manifest(data, object="document")
    if isinstance(document, Index):
        document.choose(Platform.here())


def reference(data: bytes) -> None:
    """A name: what is taken, is taken again in its familiar form and means the same."""
    text = data.decode("utf-8", "replace")
    try:
        Digest.parse(text)
    except SandcellError:
        pass
    found = Reference.parse(text)
    assert Reference.parse(found.familiar) == found
    assert Reference.parse(str(found)) == found


def dockerfile(data: bytes) -> None:
    """A Dockerfile: a plan, or an error that names lines of it."""
    text = data.decode("utf-8", "replace")
    try:
        made = plan(text, find_config=_find_config, build_args={"A": "x y"}, platform=Platform.here())
    except DockerfileError as error:
        first, last = error.lines
        assert 1 <= first <= last <= text.count("\n") + 1 and error.cause
        return
    assert str(made) and made.ops


def _find_config(name: str, /, platform: str = "") -> ImageConfig:
    if name != "host:latest":
        raise ImageNotFound("find image", name, "there is none")
    run = RunConfig(env=("PATH=/bin",), on_build=("RUN trigger",))
    return ImageConfig(architecture="amd64", os="linux", config=run, rootfs=RootFs())


def ignore(data: bytes) -> None:
    """A .dockerignore: rules for any path, the empty lines and comments being none."""
    rules = IgnoreRules(data.decode("utf-8", "replace"))
    for path in ("a", "a/b", "a/b/c.go", ".git/x", "é/\n"):
        line = rules.excluded_by(path)
        assert not line or bool(rules)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "tar": tar, "repaired": repaired, "layer": layer, "manifest": manifest, "reference": reference,
    "dockerfile": dockerfile, "ignore": ignore,
}  # fmt: skip


def attempt(name: str, data: bytes) -> None:
    """Give ``data`` to the target; our own errors are what it may answer."""
    try:
        TARGETS[name](data)
    except SandcellError:
        pass
