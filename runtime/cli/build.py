"""``sandcell build``."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.errors import BadInput, NotFound

if TYPE_CHECKING:
    from sandcell.runtime.engine import Engine
    from sandcell.runtime.oci.image import Image

_ADDRESSES = ("http://", "https://", "git://", "ssh://", "git@")
# gzip, bzip2, xz, zstd; a plain tar has its mark further on.
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
_TAR_MARK = slice(257, 262)


@click.command("build")
@click.option("-f", "--file", "path", metavar="FILE", help="The Dockerfile; '-' is standard input.")
@click.option("-t", "--tag", "names", multiple=True, metavar="NAME[:TAG]", help="Name of the image.")
@click.option("--build-arg", "arguments", multiple=True, metavar="KEY=VALUE", help="Value of an ARG.")
@click.option(
    "--build-context",
    "contexts",
    multiple=True,
    metavar="NAME=DIR|docker-image://REF|oci-layout://DIR|URL",
    help="What NAME means where a stage or an image is named.",
)
@click.option("--target", metavar="STAGE", help="Stop after this stage.")
@click.option("--platform", multiple=True, metavar="OS/ARCH", help="What the image is for.")
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="id=NAME[,src=FILE|env=VAR]",
    help="For RUN --mount=type=secret.",
)
@click.option(
    "--ssh",
    "agents",
    multiple=True,
    metavar="default|ID=SOCKET|ID=KEY",
    help="An agent for RUN --mount=type=ssh.",
)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label of the image.")
@click.option(
    "--network",
    type=click.Choice(["default", "none", "host"]),
    help="Of each RUN that does not say it itself.",
)
@click.option(
    "--compression", type=click.Choice(["gzip", "zstd", "none"]), help="Of new layers; gzip if not given."
)
@click.option("--no-cache", is_flag=True, help="Execute every step.")
@click.option(
    "--no-cache-filter", "fresh_stages", multiple=True, metavar="STAGE", help="Execute that stage's."
)
@click.option("--cache-from", multiple=True, metavar="type=registry|local,…", help="Take steps from there.")
@click.option(
    "--cache-to", multiple=True, metavar="type=registry|local|inline,…", help="Keep steps there too."
)
@click.option("--pull", is_flag=True, help="Make or fetch the base image anew.")
@click.option("--push", is_flag=True, help="Send the image to its registry.")
@click.option(
    "-o", "--output", "outputs", multiple=True, metavar="DIR|-|type=…", help="Write the files out, too."
)
@click.option("--iidfile", metavar="FILE", help="Write the image's digest there.")
@click.option("--metadata-file", metavar="FILE", help="Write what was made there, as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Only print the digest.")
@click.option(
    "--progress",
    type=click.Choice(["auto", "plain", "tty", "rawjson", "quiet"]),
    default="auto",
    show_default=True,
)
@click.option("--explain", is_flag=True, help="Print the plan; execute nothing.")
@click.option("--check", is_flag=True, help="Print what is probably a mistake; execute nothing.")
@click.argument("context", metavar="DIR|URL|-")
@click.pass_obj
def build_command(
    door: Door,
    /,
    context: str,
    path: str | None,
    names: tuple[str, ...],
    arguments: tuple[str, ...],
    target: str | None,
    no_cache: bool,
    pull: bool,
    push: bool,
    outputs: tuple[str, ...],
    iidfile: str | None,
    metadata_file: str | None,
    quiet: bool,
    progress: str,
    explain: bool,
    check: bool,
    **flags: Any,
) -> int | None:
    """Build an image from the Dockerfile in DIR.

    With '-' a Dockerfile comes from standard input, and there is no directory to COPY from; or a tar
    does, compressed or not, with the Dockerfile and the files. URL is that of a tar, or of a git
    repository (URL#REF:DIRECTORY). Progress goes to standard error.
    """
    from sandcell.runtime.cli.creation import environment
    from sandcell.runtime.cli.progress import reporter

    engine = door.engine
    values = environment(arguments)
    with _source(engine, context, path) as (text, directory, ignore):
        more = _options(flags, ignore)
        asked: dict[str, Any] = {
            "name": names[0] if names else None,
            "context": directory,
            "build_args": values,
            "target": target,
            **more,
        }
        if explain:
            print(engine.plan(text, **asked))
            return None
        if check:
            return _check(engine, text, asked)
        wanted = _outputs(outputs)
        with reporter(quiet, progress) as on_event:
            image = engine.build(text, **asked, no_cache=no_cache, pull=pull, on_event=on_event)
    for other in names[1:]:
        engine.tag(names[0], other)
    _finish(engine, image, names, wanted, push or any(one["type"] == "registry" for one in wanted))
    _record(image, names, iidfile, metadata_file)
    if quiet or not names:
        print(image.digest, file=sys.stderr if any(one.get("dest") == "-" for one in wanted) else sys.stdout)
    return None


def _options(flags: dict[str, Any], ignore: str | None) -> dict[str, Any]:
    """The less usual flags; nothing where there are none, for they cost imports."""
    given = {name: value for name, value in flags.items() if value}
    if ignore is not None:
        given["ignore"] = ignore
    if not given:
        return {}
    from sandcell.runtime import BuildOptions
    from sandcell.runtime.cli.build_flags import platforms

    if "platform" in given:
        given["platform"] = platforms(given["platform"])
    return {"options": BuildOptions.read(**given)}


def _check(engine: "Engine", text: str, asked: dict[str, Any]) -> int:
    findings = engine.plan(text, **asked).findings
    for found in findings:
        print(found)
    print(f"{len(findings) or 'no'} warning{'' if len(findings) == 1 else 's'}")
    return 1 if findings else 0


def _outputs(texts: tuple[str, ...]) -> list[dict[str, str]]:
    if not texts:
        return []
    from sandcell.runtime.cli.build_flags import output_of

    return [output_of(text) for text in texts]


def _finish(
    engine: "Engine", image: "Image", names: tuple[str, ...], wanted: list[dict[str, str]], push: bool
) -> None:
    """Write the files out, and send the image, where that is asked for."""
    for one in wanted:
        kind, place = one["type"], one.get("dest", "")
        out: str | BinaryIO = sys.stdout.buffer if place == "-" else place
        if kind in ("oci", "docker"):
            form = "oci-archive" if kind == "oci" else "docker-archive"
            engine.save(names[0] if names else str(image.digest), out, form=form)  # type: ignore[arg-type]
        elif kind in ("local", "tar"):
            engine.write_files(image, out, as_tar=kind == "tar")
    if push:
        if not names:
            raise BadInput("push", "the image", "it has no name", "give one with -t")
        for name in names:
            engine.push(name)


def _record(image: "Image", names: tuple[str, ...], iidfile: str | None, metadata: str | None) -> None:
    if iidfile is not None:
        with open(iidfile, "w", encoding="utf-8") as file:
            file.write(image.digest)
    if metadata is not None:
        import json

        row = {
            "containerimage.digest": image.digest,
            "containerimage.config.digest": image.manifest.config.digest,
            "containerimage.descriptor": {
                "mediaType": image.descriptor.media_type,
                "digest": image.digest,
                "size": image.descriptor.size,
            },
        }
        if names:
            row["image.name"] = ",".join(names)
        with open(metadata, "w", encoding="utf-8") as file:
            json.dump(row, file, indent=2)


@contextmanager
def _source(engine: "Engine", context: str, path: str | None) -> Iterator[tuple[str, str | None, str | None]]:
    """The text of the Dockerfile, the directory of the context, and what NAME.dockerignore says."""
    if context == "-":
        if path == "-":
            raise BadInput("build", "-", "both the directory and -f were given", "leave -f out")
        stream = sys.stdin.buffer
        head = stream.peek(512) if hasattr(stream, "peek") else b""
        if head.startswith(_ARCHIVES) or head[_TAR_MARK] == b"ustar":
            with engine.context(stream) as folder:
                yield _inside(folder, path, "standard input"), folder, _ignore(folder, path)
            return
        if path is not None:
            raise BadInput("build", "-", "both the directory and -f were given", "leave -f out")
        yield sys.stdin.read(), None, None
        return
    if context.startswith(_ADDRESSES):
        with engine.context(context) as folder:
            if path == "-":
                yield sys.stdin.read(), folder, None
            else:
                yield _inside(folder, path, context), folder, _ignore(folder, path)
        return
    if path == "-":
        yield sys.stdin.read(), context, None
        return
    if not os.path.isdir(context):
        raise NotFound("build", context, "no such directory", "the last word is the directory to COPY from")
    file = path if path is not None else os.path.join(context, "Dockerfile")
    yield _read(file), context, _beside(file)


def _inside(folder: str, path: str | None, told: str) -> str:
    """The Dockerfile of a context that was brought here."""
    file = os.path.realpath(os.path.join(folder, path or "Dockerfile"))
    if not file.startswith(os.path.realpath(folder) + "/"):
        raise BadInput("build", path or "Dockerfile", f"it leads out of {told}")
    return _read(file, path or "Dockerfile")


def _ignore(folder: str, path: str | None) -> str | None:
    return _beside(os.path.join(folder, path or "Dockerfile"))


def _beside(file: str) -> str | None:
    """The text of ``FILE.dockerignore``, which then counts in place of the context's own."""
    try:
        with open(f"{file}.dockerignore", encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None


def _read(file: str, told: str = "") -> str:
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        raise NotFound("build", told or file, "no such file", "name the Dockerfile with -f FILE") from None
    except UnicodeDecodeError as error:
        cause = f"not UTF-8 text: {error.reason} at byte {error.start}"
        raise BadInput("build", told or file, cause) from None
