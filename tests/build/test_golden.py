"""Golden folders: ``golden/<case>/Dockerfile`` and the plan, or the error, that it gives.

A case may begin with comment lines ``#: build-arg K=V``, ``#: target NAME`` and ``#: ignore PATTERN``.
After a wanted change, ``SANDCELL_GOLDEN=write`` rewrites the results; read the difference before
committing it.
"""

import os
from pathlib import Path

import msgspec
import pytest

from sandcell.runtime.build.ops import Begin, BuildPlan, Configure, Execute, Place
from sandcell.runtime.build.patterns import IgnoreRules
from sandcell.runtime.build.plan import NamedContext, plan
from sandcell.runtime.errors import ImageNotFound, SandcellError
from sandcell.runtime.oci.config import ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.platform import Platform

FOLDER = Path(__file__).parent / "golden"
IMAGES = {
    "host:latest": RunConfig(env=("PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"), cmd=("python3",)),
    "triggered:latest": RunConfig(
        env=("PATH=/bin",), working_dir="/app", on_build=("COPY . .", "RUN make ${x:-all}")
    ),
    "bad-trigger:latest": RunConfig(on_build=("COPY .",)),
    "arm:latest": RunConfig(),
    "localhost:5000/team/app:1": RunConfig(user="app", shell=("/bin/bash", "-c"), labels={"a": "1"}),
}


CONTEXTS = {"files": NamedContext(), "tool": NamedContext("localhost:5000/team/app:1")}


def find_config(name: str, /, platform: str = "") -> ImageConfig:
    if name not in IMAGES or platform == "linux/s390x":
        raise ImageNotFound("find image", name, "there is no such image", "did you mean host:latest?")
    # One that was built for another machine is for that one only; the rest are there for all.
    machine = "arm64" if name == "arm:latest" else platform.rpartition("/")[2] or "amd64"
    config = ImageConfig(architecture=machine, os="linux", config=IMAGES[name], rootfs=RootFs())
    assert isinstance(config, ImageConfig)
    return config


def told(text: str) -> str:
    options = [line[2:].split() for line in text.splitlines() if line.startswith("#:")]
    build_args = dict(words[1].split("=", 1) for words in options if words[0] == "build-arg")
    targets = [words[1] for words in options if words[0] == "target"]
    try:
        made = plan(
            text,
            find_config=find_config,
            build_args=build_args,
            target=targets[0] if targets else None,
            platform=Platform("amd64", "linux"),
            contexts=CONTEXTS,
            ignore=IgnoreRules("\n".join(words[1] for words in options if words[0] == "ignore")),
        )
    except SandcellError as error:
        return told_error(error)
    return f"{made}\n\n{told_details(made)}"


def told_error(error: SandcellError) -> str:
    out = [f"{type(error).__name__}: {error}", f"hint: {error.hint}"]
    lines = getattr(error, "lines", None)
    if lines:
        source = getattr(error, "source", "").split("\n")
        out += [f"{lines[0] + number:>4} | {row}" for number, row in enumerate(source)]
    return "\n".join(out) + "\n"


def told_details(made: BuildPlan) -> str:
    out = []
    for number, op in enumerate(made.ops, 1):
        if op.created_by and op.created_by != op.text:
            out.append(f"{number:>2}  history: {op.created_by!r}")
        shown: object = None
        if isinstance(op, Execute | Place | Begin):
            skipped = ("stage", "text", "created_by", "lines", "source")
            fields = {name: getattr(op, name) for name in op.__struct_fields__ if name not in skipped}
            shown = {name: value for name, value in fields.items() if value not in ("", None, (), {}, False)}
            if isinstance(op, Begin) and set(shown) <= {"image", "name"}:
                continue
        elif isinstance(op, Configure):
            shown = op.changes
        if shown:
            out.append(f"{number:>2}  {msgspec.json.encode(shown).decode()}")
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("case", sorted(one.name for one in FOLDER.iterdir()))
def test_golden(case: str) -> None:
    folder = FOLDER / case
    result = told((folder / "Dockerfile").read_text())
    if os.environ.get("SANDCELL_GOLDEN") == "write":
        (folder / "result").write_text(result)
    assert result == (folder / "result").read_text()
