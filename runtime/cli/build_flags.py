"""What the words of ``sandcell build``'s less usual flags mean."""

from collections.abc import Sequence

from sandcell.runtime import BuildOptions
from sandcell.runtime.errors import InvalidOption


def output_of(text: str) -> dict[str, str]:
    """``type=local,dest=DIR`` and its like; a word alone is a directory, ``-`` a tar on standard output."""
    if "=" not in text:
        return {"type": "tar" if text == "-" else "local", "dest": text}
    found = BuildOptions.fields("--output", text)
    kinds = ("local", "tar", "oci", "docker", "image", "registry")
    kind = found.get("type", "")
    if kind not in kinds:
        hint = f"there are {', '.join(kinds)}"
        raise InvalidOption("build", f"--output {text}", f"there is no output of type {kind!r}", hint)
    needs = kind in ("local", "tar", "oci", "docker")
    if needs and "dest" not in found:
        raise InvalidOption("build", f"--output {text}", "it has no dest", f"type={kind},dest=PATH")
    return found


def platforms(words: Sequence[str]) -> str:
    """The one platform that is asked for, empty for this machine's."""
    wanted = [one for word in words for one in word.split(",") if one]
    if len(wanted) > 1:
        hint = "build each, under a name of its own"
        raise InvalidOption("build", f"--platform {','.join(wanted)}", "one at a time", hint)
    return wanted[0] if wanted else ""
