"""Hits and misses of the build cache beside buildah's: what it finds again, we find again too.

buildah knows a step by the image below it, so after one miss all is missed, and a changed label is a miss
for everything that follows. Where we find more, the table says so.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.build.world import World

FILE = "FROM scratch\nCOPY app.py /app/\nENV A=1\nCOPY other /other\nLABEL l=1\n"


def nothing(context: Path) -> None:
    """Between the builds nothing happens."""


def content(context: Path) -> None:
    (context / "app.py").write_text("print(2)")


def mode(context: Path) -> None:
    (context / "app.py").chmod(0o755)


def touched(context: Path) -> None:
    os.utime(context / "app.py", (1, 1))


def beside(context: Path) -> None:
    (context / "new").write_text("new")


# What happens between two builds, the second Dockerfile, and the steps after FROM: ours, buildah's.
TABLE: dict[str, tuple[Callable[[Path], None], str, str, str]] = {
    "nothing changed": (nothing, FILE, "hhhh", "hhhh"),
    "a changed file": (content, FILE, "MMMM", "MMMM"),
    "a changed mode": (mode, FILE, "MMMM", "MMMM"),
    "another file of the context": (beside, FILE, "hhhh", "hhhh"),
    "a comment": (nothing, "# why\n" + FILE, "hhhh", "hhhh"),
    "a changed ENV": (nothing, FILE.replace("A=1", "A=2"), "hMhM", "hMMM"),
    "a changed last line": (nothing, FILE.replace("l=1", "l=2"), "hhhM", "hhhM"),
    "another destination": (nothing, FILE.replace("/other", "/else"), "hhMM", "hhMM"),
    "a line in between": (nothing, FILE.replace("ENV", "LABEL x=1\nENV"), "hMMhM", "hMMMM"),
    "touched but equal": (touched, FILE, "hhhh", "hhhh"),
}


class Buildah:
    """buildah with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        options = ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
        self._argv = ["buildah", *options]

    def cached(self, text: str, context: Path) -> str:
        """Build; a letter a step after FROM, h for a hit."""
        file = self._folder / "Dockerfile"
        file.write_text(text)
        argv = [*self._argv, "build", "--layers", "--isolation", "chroot", "-f", str(file), str(context)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"buildah does not build here: {done.stderr.strip().splitlines()[-1:]}")
        steps = re.split(r"^STEP \d+/\d+: ", done.stdout + done.stderr, flags=re.MULTILINE)[1:]
        letters = [
            "h" if "Using cache" in step else "M" for step in steps if step[:4] not in ("FROM", "COMM")
        ]
        return "".join(letters)


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    folder = tmp_path_factory.mktemp("buildah")
    yield Buildah(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.peer("buildah")
@pytest.mark.skipif(os.geteuid() != 0, reason="buildah's storage wants root")
@pytest.mark.parametrize("case", TABLE)
def test_beside_buildah(case: str, world: World, buildah: Buildah) -> None:
    change, second, ours, theirs = TABLE[case]
    for name in ("app.py", "other"):
        os.utime(world.write(name, name), (1_000_000, 1_000_000))
    world.build(FILE)
    buildah.cached(FILE, world.context)
    change(world.context)
    world.build(second)
    found = buildah.cached(second, world.context)
    assert (world.cached(), found) == (ours, theirs)
    assert all(mine == "h" for mine, other in zip(ours, found, strict=True) if other == "h")
