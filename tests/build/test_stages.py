"""Several stages, and copying from stages and images."""

import pytest

from sandcell.runtime.errors import DockerfileError
from sandcell.runtime.layer.tree import Entry
from tests.build.world import World

TEXT = """
FROM base AS one
RUN write /out/a first
RUN write /out/deep/b second
FROM base
COPY --from=one {} /x
"""


def test_a_directory_of_a_stage(world: World) -> None:
    image = world.build(TEXT.format("/out"))
    assert [line.split()[0] for line in world.top(image)] == ["x", "x/a", "x/deep", "x/deep/b"]
    assert dict(world.files(image).contents(["x/a", "x/deep/b"])) == {"x/a": b"first", "x/deep/b": b"second"}
    assert len(image.layers) == 2
    assert all(line.endswith("0:0") for line in world.top(image))


def test_a_file_a_wildcard_and_a_link(world: World) -> None:
    assert world.top(world.build(TEXT.format("out/a"))) == ["x 644 0:0"]
    assert world.top(world.build(TEXT.format("/out/[a-b]"))) == ["x 644 0:0"]
    image = world.build("FROM base AS s\nFROM scratch\nCOPY --from=s --chmod=500 /bin/sh /sh")
    assert world.top(image) == ["sh 500 0:0"]


def test_the_last_content_counts(world: World) -> None:
    image = world.build("FROM base AS s\nRUN write /a 1\nRUN write /a 2\nFROM scratch\nCOPY --from=s /a /a")
    assert dict(world.files(image).contents(["a"])) == {"a": b"2"}


def test_hard_links_in_an_image_are_files_of_their_own(world: World) -> None:
    world.base(
        (
            (Entry("l", "dir", 0o755), None),
            (Entry("l/a", "file", 0o644, size=1), b"1"),
            (Entry("l/b", "hardlink", link="l/a"), None),
        )
    )
    image = world.build("FROM base AS s\nRUN write /l/a 2\nFROM scratch\nCOPY --from=s /l /l")
    assert dict(world.files(image).contents(["l/a", "l/b"])) == {"l/a": b"2", "l/b": b"1"}


def test_an_image_can_be_a_source(world: World) -> None:
    image = world.build("FROM scratch\nCOPY --from=base /etc/passwd /p")
    assert world.top(image) == ["p 644 0:0"]


def test_stages_are_cached_too(world: World) -> None:
    first = world.build(TEXT.format("/out"))
    assert world.build(TEXT.format("/out")).digest == first.digest
    assert world.cached() == "hhhh"


def test_a_stage_that_changed_is_copied_again(world: World) -> None:
    world.build(TEXT.format("/out"))
    world.build(TEXT.format("/out").replace("second", "other"))
    assert world.cached() == "hMhM"


def test_a_stage_can_be_the_base_and_the_target(world: World) -> None:
    text = "FROM base AS one\nENV a=1\nRUN write /a 1\nFROM one AS two\nRUN write /b 2\nFROM base\nRUN fail 1"
    image = world.build(text, target="two")
    assert len(image.layers) == 3
    assert image.config.config.environment["a"] == "1"
    assert world.build(text, target="0").layers == image.layers[:2]


def test_an_unneeded_stage_is_not_built(world: World) -> None:
    world.build("FROM base AS a\nRUN fail 1\nFROM base\nRUN say x")
    assert len(world.runner.steps) == 1


@pytest.mark.parametrize(
    ("source", "cause", "hint"),
    [
        ("/out/aa", "/out/aa is not in stage 0", "did you mean a?"),
        ("/none/*", "/none/* is not in stage 0", ""),
    ],
)
def test_a_source_that_is_not_in_the_stage(source: str, cause: str, hint: str, world: World) -> None:
    with pytest.raises(DockerfileError) as caught:
        world.build(TEXT.format(source))
    assert cause in caught.value.cause
    assert caught.value.hint == hint
    assert caught.value.lines == (6, 6)


def test_triggers_of_the_base_are_carried_out_once(world: World) -> None:
    world.write("app.py", "1")
    world.build("ONBUILD COPY app.py /built\nONBUILD RUN say x", name="triggers")
    image = world.build("FROM triggers\nCMD x")
    assert world.cached() == "MMM"
    assert image.config.config.on_build == ()
    assert "built" in world.files(image).tree.entries
    assert [entry.created_by for entry in image.config.history[-3:]] == [
        "COPY app.py /built",
        "RUN /bin/sh -c say x",
        'CMD ["/bin/sh" "-c" "x"]',
    ]


def test_hard_links_that_go_round_in_a_circle_mean_what_they_meant_when_they_came(world: World) -> None:
    world.base(
        (
            (Entry("a", "file", 0o644, size=3), b"old"),
            (Entry("a", "file", 0o644, size=5), b"first"),
            (Entry("b", "hardlink", link="a"), None),
            (Entry("a", "hardlink", link="b"), None),
            (Entry("c", "hardlink", link="a"), None),
        )
    )
    made = world.build("FROM base AS one\nFROM scratch\nCOPY --from=one /a /b /c /")
    assert dict(world.files(made).contents(["a", "b", "c"])) == dict.fromkeys("abc", b"first")
