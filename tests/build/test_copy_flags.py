"""COPY with --link, --parents, --exclude and symbolic modes, from the context, stages and named contexts."""

from typing import Any

import pytest

from sandcell.runtime.build.options import BuildOptions
from sandcell.runtime.errors import DockerfileError
from sandcell.runtime.layer.tree import Entry
from tests.build.world import World


def context(world: World) -> None:
    for path in ("x/a.txt", "x/y/b.txt", "x/y/c.md", "z/d.txt", "e.txt"):
        world.write(path, path)
    world.write("x/y/.git/config", "secret")


def names(world: World, instruction: str, **more: Any) -> list[str]:
    return [line.split()[0] for line in world.top(world.build(f"FROM base\n{instruction}", **more))]


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("COPY --parents x/a.txt z/d.txt /p/", "p p/x p/x/a.txt p/z p/z/d.txt"),
        ("COPY --parents ./x/./y/*.txt /p/", "p p/y p/y/b.txt"),
        ("COPY --parents x/y /p", "p p/x p/x/y p/x/y/.git p/x/y/.git/config p/x/y/b.txt p/x/y/c.md"),
        ("COPY --parents ./**/*.txt /p/", "p p/e.txt p/x p/x/a.txt p/x/y p/x/y/b.txt p/z p/z/d.txt"),
        ("COPY --parents x/./ /p/", "p p/a.txt p/y p/y/.git p/y/.git/config p/y/b.txt p/y/c.md"),
        ("COPY --exclude=*.txt --exclude=**/.git x /p", "p p/y p/y/b.txt p/y/c.md"),
        ("COPY --exclude=** --exclude=!y/*.md x /p", "p p/y p/y/c.md"),
        ("COPY --exclude=y x /p", "p p/a.txt"),
        ("COPY --exclude=e* x/a.txt e.txt /p/", "p p/a.txt"),
        ("COPY --parents --exclude=**/.git --exclude=**/*.txt x /p/", "p p/x p/x/y p/x/y/c.md"),
    ],
)
def test_what_is_copied(instruction: str, expected: str, world: World) -> None:
    context(world)
    assert names(world, instruction) == expected.split()


@pytest.mark.parametrize("flags", ["--parents", "--exclude=*.md", "--parents --exclude=**/.git"])
def test_a_stage_is_a_source_like_the_context(flags: str, world: World) -> None:
    context(world)
    stage = "FROM scratch AS s\nCOPY . /\nFROM scratch\n"
    here = world.files(world.build(f"FROM scratch\nCOPY {flags} x z /out/")).tree.entries
    there = world.files(world.build(f"{stage}COPY --from=s {flags} x z /out/")).tree.entries
    assert list(there) == list(here)


def test_an_excluded_file_may_change(world: World) -> None:
    context(world)
    world.build("COPY --exclude=**/.git . /p")
    world.write("x/y/.git/config", "other")
    world.build("COPY --exclude=**/.git . /p")
    assert world.cached() == "h"


def test_linked_files_are_a_layer_whatever_is_below(world: World) -> None:
    world.write("a", "1")
    first = world.build("FROM base\nCOPY --link a /d/a")
    assert world.top(first) == ["d 755 0:0", "d/a 644 0:0"]
    world.base(((Entry("new", "dir", 0o755), None),))
    second = world.build("FROM base\nCOPY --link a /d/a")
    assert world.cached() == "h"
    assert second.layers[-1].descriptor == first.layers[-1].descriptor
    assert "new" in world.files(second).tree.entries
    assert second.layers[-1].chain_id != first.layers[-1].chain_id


def test_linked_files_follow_no_link_of_the_base(world: World) -> None:
    world.write("a", "1")
    assert world.top(world.build("COPY a /bin/a"))[-1] == "usr/bin/a 644 0:0"
    assert world.top(world.build("COPY --link a /bin/a"))[-1] == "bin/a 644 0:0"


def test_a_name_is_looked_up_in_the_base_for_linked_files_too(world: World) -> None:
    world.write("a", "1")
    assert world.top(world.build("COPY --link --chown=app:staff a /x/")) == [
        "x 755 1000:50",
        "x/a 644 1000:50",
    ]


def test_symbolic_modes(world: World) -> None:
    world.write("d/run", "1", 0o700)
    world.write("d/read", "1", 0o600)
    image = world.build("COPY --chmod=u=rwX,go=rX d /d")
    assert world.top(image) == ["d 755 0:0", "d/read 644 0:0", "d/run 755 0:0"]
    assert world.top(world.build("COPY --chmod=a-w <<E /x\n1\nE")) == ["x 444 0:0"]


def test_a_stage_made_again_that_is_the_same_is_not_copied_again(world: World) -> None:
    text = "FROM base AS s\nARG n\nRUN write /out same\nFROM base\nCOPY --from=s /out /x\nRUN write /y 1"
    first = world.build(text, build_args={"n": "1"})
    second = world.build(text, build_args={"n": "2"})
    assert world.cached() == "MMhhh"
    assert second.layers == first.layers


def test_a_named_context_is_a_source_a_base_and_hides_a_stage(world: World) -> None:
    other = world.context.parent / "other"
    other.mkdir()
    (other / "o.txt").write_text("o")
    (other / ".dockerignore").write_text("*.log")
    (other / "x.log").write_text("log")
    options = BuildOptions(contexts={"files": str(other)})
    text = "FROM base AS files\nRUN fail 1\nFROM files\nCOPY --from=files o.txt /copy\nLABEL a=b"
    image = world.build(text, options=options)
    assert sorted(world.files(image).tree.entries) == [".dockerignore", "copy", "o.txt"]
    assert world.build(text, options=options).digest == image.digest
    assert world.cached() == "hh"
    (other / "o.txt").write_text("changed")
    assert world.build(text, options=options).digest != image.digest


@pytest.mark.parametrize(
    ("instruction", "cause"),
    [
        ("COPY --from=files nothing /x", "nothing is not in the build context"),
        ("COPY --from=files ../secret /x", "outside the build context"),
        ("RUN --mount=from=files,source=nothing,target=/x say x", "nothing is not in the build context"),
    ],
)
def test_what_a_named_context_does_not_have(instruction: str, cause: str, world: World) -> None:
    options = BuildOptions(contexts={"files": str(world.context)})
    with pytest.raises(DockerfileError) as caught:
        world.build(f"FROM base\nRUN say before\n{instruction}", options=options)
    assert cause in caught.value.cause
    assert caught.value.lines == (3, 3)
    assert world.runner.steps == []


def test_ignore_rules_may_come_from_elsewhere(world: World) -> None:
    world.write(".dockerignore", "a")
    world.write("a")
    world.write("b")
    image = world.build("FROM scratch\nCOPY . /", options=BuildOptions(ignore="b\n.dockerignore"))
    assert list(world.files(image).tree.entries) == ["a"]


def test_labels_are_set_last(world: World) -> None:
    options = BuildOptions(labels={"a": "given", "b": "2"})
    image = world.build("FROM base\nLABEL a=written c=3", options=options)
    assert image.config.config.labels == {"a": "given", "b": "2", "c": "3"}
