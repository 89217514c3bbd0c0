"""``sandcell notebook``: Dockerfiles of a notebook's cells, and notebooks of a Dockerfile."""

import subprocess
from pathlib import Path
from typing import Any

import nbformat
import pytest

from sandcell.runtime import Engine
from sandcell.runtime.build import dockerfile, grammar, stages
from sandcell.runtime.cli import main
from sandcell.runtime.cli.notebook_files import image_cells
from sandcell.runtime.engine.chapters import chapters
from sandcell.runtime.errors import BadInput, SandcellError
from sandcell.runtime.linux.host import Host
from tests.house import CHECKOUT

new: Any = nbformat.v4  # it has no types
STAGED = """\
# syntax=docker/dockerfile:1
ARG BASE=host:tiny
# What the tools are
FROM $BASE AS Tools
ARG WHAT=hi
RUN <<EOF
echo "--from=tools a|b" > /t
EOF

# And what they make
FROM tools AS build
COPY note.txt /n
RUN --mount=type=bind,from=tools,source=/t,target=/m \\
    cat /m > /out; echo $WHAT >> /out

FROM host:tiny
COPY --chown=1:1 --from=build /out /
COPY --from=0 /t /
CMD ["cat", "/out"]
"""


def notebook(folder: Path, *sources: str, tags: tuple[str, ...] = ()) -> str:
    """A notebook of these cells; the last has ``tags``."""
    cells = [new.new_code_cell(source) for source in sources]
    if tags:
        cells[-1]["metadata"]["tags"] = list(tags)
    path = folder / "some.ipynb"
    path.write_text(new.writes(new.new_notebook(cells=[new.new_markdown_cell("%%image no"), *cells])))
    return str(path)


def test_cells_are_read_as_the_magic_reads_them(tmp_path: Path) -> None:
    path = notebook(
        tmp_path,
        "%load_ext sandcell",
        "%%image one:2 --context 'my dir' --build-arg A='{x} $y' --as v --no-cache\nFROM scratch\n",
        "%%image two --explain\nFROM scratch",
        "\n%%image three --target=a\nFROM scratch AS a\n",
        "%%image four\nFROM nothing",
        tags=("raises-exception",),
    )
    one, three, four = image_cells(path, ["--build-arg", "--target"])
    assert (one.number, one.image, one.context) == (3, "one:2", "my dir")
    assert one.flags == ("--build-arg=A={x} $y", "--no-cache")
    assert one.text.rstrip() == "FROM scratch"
    assert (three.file, three.flags) == ("05-three.Dockerfile", ("--target=a",))
    assert four.fails


def test_variables_can_be_given(tmp_path: Path) -> None:
    path = notebook(tmp_path, """%%image $name --build-arg "V=a {value}"'{value}'\nFROM scratch""")
    (one,) = image_cells(path, ["--build-arg"], {"name": "n", "value": "it's $name"})
    assert (one.image, one.flags) == ("n", ("--build-arg=V=a it's $name{value}",))


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("%%image a --build-arg V={value}", "asks for the variable value"),
        ("%%image $name", "asks for the variable name"),
        ("%%image a --context {folder / 1}", "takes a value of the kernel"),
        ("%%image 'a", "No closing quotation"),
        ("%%image a b", "one name"),
        ("%%image a --target", "--target needs a value"),
    ],
)
def test_a_line_that_needs_a_kernel_is_refused(tmp_path: Path, line: str, cause: str) -> None:
    with pytest.raises(BadInput, match=cause) as caught:
        image_cells(notebook(tmp_path, f"{line}\nFROM scratch"), ["--target", "--build-arg"])
    assert caught.value.object == "cell 2"


def test_what_is_no_notebook_is_one_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("FROM scratch")
    for name, cause in (("text", "it is no notebook"), ("other", "no such file"), (".", "s a directory")):
        assert main(["notebook", "build", f"{tmp_path}/{name}"]) == 1
        assert cause in capsys.readouterr().err


def test_the_lessons_can_be_collected(tmp_path: Path) -> None:
    for lesson in sorted((CHECKOUT / "notebooks").glob("*.ipynb")):
        words = ["--set", "context=.", "--set", "project=.", str(lesson), f"{tmp_path}/{lesson.stem}"]
        assert main(["notebook", "dockerfiles", *words]) == 0
    assert (tmp_path / "00_start_here/build.sh").read_text().count("sandcell build") >= 1


def test_a_dockerfile_of_somebody_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, folder = notebook(tmp_path, "%%image a\nFROM scratch\n"), tmp_path / "out"
    for _ in range(2):
        assert main(["notebook", "dockerfiles", path, str(folder)]) == 0
    mine = folder / "02-a.Dockerfile"
    mine.write_text("FROM host\n")
    assert main(["notebook", "dockerfiles", path, str(folder)]) == 1
    assert "says something else" in capsys.readouterr().err
    assert mine.read_text() == "FROM host\n"
    assert main(["notebook", "dockerfiles", "--force", path, str(folder)]) == 0
    assert mine.read_text().rstrip() == "FROM scratch"


def test_each_stage_is_a_dockerfile_of_its_own() -> None:
    tools, build, last = chapters(STAGED, "app")
    assert [one.image for one in (tools, build, last)] == ["app-tools", "app-build", "app"]
    assert tools.text.startswith(
        "# syntax=docker/dockerfile:1\nARG BASE=host:tiny\n# What the tools are\nFROM"
    )
    assert '"--from=tools a|b"' in tools.text
    assert build.text.index("# And what they make") < build.text.index("FROM app-tools")
    assert "ARG WHAT=hi\nCOPY" in build.text  # what a stage's ARGs say holds for those that stand on it
    assert "from=app-tools,source=/t" in build.text
    assert last.takes == ("app-build", "app-tools")
    assert [one.context for one in (tools, build, last)] == [False, True, False]
    assert (tools.runs, last.runs) == (False, True)


def test_every_dockerfile_that_is_built_can_be_told() -> None:
    told = 0
    for path in sorted((CHECKOUT / "tests/build/golden").glob("*/Dockerfile")):
        if path.parent.name.startswith("error"):
            continue
        text = path.read_text()
        found = stages.split(grammar.read(dockerfile.parse(text)))[1]
        assert len(chapters(text, "x")) == len(found), path
        told += len(found)
    assert told > 20


@pytest.mark.kernel
@pytest.mark.slow
def test_its_notebook_builds_the_same_image(
    host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not host.mounting:
        pytest.skip(f"this user has the rung {host.rung}")
    (tmp_path / "Dockerfile").write_text(STAGED)
    (tmp_path / "note.txt").write_text("note")
    out = f"{tmp_path}/books/app.ipynb"
    (tmp_path / "books").mkdir()
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        assert main(["notebook", "from", "--name", "app", f"{tmp_path}/Dockerfile", out], engine=engine) == 0
        nbformat.validate(nbformat.read(out, as_version=4))  # type: ignore[no-untyped-call]
        assert main(["notebook", "build", out], engine=engine) == 0
        engine.build(STAGED, name="whole", context=str(tmp_path))
        assert engine.image_diff("whole", "app") == ()
        assert engine.image("whole").config.config == engine.image("app").config.config
        failing = notebook(tmp_path, "%%image b\nFROM scratch\nCOPY a /\n", tags=("raises-exception",))
        assert main(["notebook", "build", failing], engine=engine) == 0
        assert "cell 2 is meant to fail" in capsys.readouterr().err
        with pytest.raises(SandcellError):
            engine.image("b")
        # The script says the same in words that a shell reads.
        assert main(["notebook", "dockerfiles", out, f"{tmp_path}/files"], engine=engine) == 0
    subprocess.run(["sh", "-n", f"{tmp_path}/files/build.sh"], check=True)
