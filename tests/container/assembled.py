"""Instructions from their source, by Debian's assemblers for both machines."""

import subprocess
from pathlib import Path

from sandcell.runtime.container import reaper

_SOURCES = Path(reaper.__file__).parent


def assembled(name: str, machine: str, folder: Path) -> bytes:
    """The bytes of ``name``'s source for ``machine``."""
    made = _object(_SOURCES / f"{name}-{machine}.s", machine, folder)
    _run(machine, "objcopy", "-O", "binary", "-j", ".text", made, folder / "bin")
    return (folder / "bin").read_bytes()


def program(source: str, machine: str, folder: Path) -> Path:
    """A program of ``source``, which may write to all its memory."""
    (folder / "source.s").write_text(source)
    made = _object(folder / "source.s", machine, folder)
    _run(machine, "ld", "-N", "-o", folder / "program", made)
    return folder / "program"


def _object(source: Path, machine: str, folder: Path) -> Path:
    _run(machine, "as", "-o", folder / "o", source)
    return folder / "o"


def _run(machine: str, tool: str, *words: str | Path) -> None:
    subprocess.run([f"{machine}-linux-gnu-{tool}", *words], check=True, timeout=60)
