"""COPY, ADD and WORKDIR: what ends up where, with which mode and owner."""

import os

import pytest

from sandcell.runtime.errors import DockerfileError
from sandcell.runtime.events import Event, StepStarted
from tests.build.world import World

APP = "app.py 644 0:0"


def fill(world: World) -> None:
    world.write("app.py", "print(1)")
    world.write("tool", "#!/bin/sh", mode=0o755)
    world.write("lib/a.txt", "a")
    world.write("lib/deep/b.txt", "b", mode=0o600)
    world.write("etc/hosts", "h")
    (world.context / "lib" / "link").symlink_to("a.txt")
    (world.context / "here").symlink_to("lib/a.txt")
    world.write("bin/tool", "t", mode=0o755)


LIB = ["{}/a.txt 644 0:0", "{}/deep 755 0:0", "{}/deep/b.txt 600 0:0", "{}/link → a.txt 0:0"]


def lib(place: str) -> list[str]:
    return [line.format(place) for line in LIB]


TABLE = {
    "a file to a new name": ("COPY app.py /x.py", ["x.py 644 0:0"]),
    "a file into a new directory": ("COPY app.py /new/", ["new 755 0:0", "new/app.py 644 0:0"]),
    "a file into a directory that is there": ("COPY app.py /etc", ["etc 755 0:0", "etc/app.py 644 0:0"]),
    "a file into the root": ("COPY app.py /", [APP]),
    "a file to the working directory": ("COPY app.py .", [APP]),
    "a mode is kept": ("COPY tool /", ["tool 755 0:0"]),
    "directories above keep their look": ("COPY app.py /srv/x", ["srv 750 1000:50", "srv/x 644 0:0"]),
    "the sticky bit of /tmp stays": ("COPY app.py /tmp/", ["tmp 1777 0:0", "tmp/app.py 644 0:0"]),
    "a link on the way is followed": (
        "COPY tool /bin/",
        ["usr 755 0:0", "usr/bin 755 0:0", "usr/bin/tool 755 0:0"],
    ),
    "a link in a directory is followed": (
        "COPY bin /bin",
        ["usr 755 0:0", "usr/bin 755 0:0", "usr/bin/tool 755 0:0"],
    ),
    "a source that is a link": ("COPY here /x", ["x 644 0:0"]),
    "a directory's content": ("COPY lib /lib", ["lib 755 0:0", *lib("lib")]),
    "into a directory that is there": ("COPY lib /srv", ["srv 750 1000:50", *lib("srv")]),
    "into the root": ("COPY lib /", lib("X")),
    "directories that meet take the new look": ("COPY etc/.. /", []),
    "several sources": (
        "COPY app.py tool lib /all/",
        ["all 755 0:0", "all/a.txt 644 0:0", "all/app.py 644 0:0", *lib("all")[1:], "all/tool 755 0:0"],
    ),
    "a wildcard": ("COPY *.py to* /w/", ["w 755 0:0", "w/app.py 644 0:0", "w/tool 755 0:0"]),
    "a mode for all": (
        "COPY --chmod=750 lib/deep /d",
        ["d 750 0:0", "d/b.txt 750 0:0"],
    ),
    "an owner by number": ("COPY --chown=7 lib/deep /n/d", ["n 755 7:7", "n/d 755 7:7", "n/d/b.txt 600 7:7"]),
    "an owner by name": ("COPY --chown=app app.py /n/", ["n 755 1000:2000", "n/app.py 644 1000:2000"]),
    "user and group": ("COPY --chown=app:staff app.py /x", ["x 644 1000:50"]),
    "a group by number": ("COPY --chown=app:9 app.py /x", ["x 644 1000:9"]),
    "here-documents": (
        "COPY <<A <<B /h/\none\nA\ntwo\nB",
        ["h 755 0:0", "h/A 644 0:0", "h/B 644 0:0"],
    ),
    "a here-document to a name": ("COPY <<A /h\none\nA", ["h 644 0:0"]),
    "a working directory": ("WORKDIR /a/b", ["a 755 0:0", "a/b 755 0:0"]),
    "a working directory of a user": ("USER app\nWORKDIR /srv/b", ["srv 750 1000:50", "srv/b 755 1000:2000"]),
    "relative to the working directory": ("WORKDIR /w\nCOPY app.py x", ["w 755 0:0", "w/x 644 0:0"]),
    "ADD of a plain file": ("ADD app.py /x", ["x 644 0:0"]),
}
TABLE["into the root"] = ("COPY lib /", [line.removeprefix("X/") for line in lib("X")])
del TABLE["directories that meet take the new look"]


@pytest.mark.parametrize("case", TABLE)
def test_what_ends_up_where(case: str, world: World) -> None:
    fill(world)
    text, expected = TABLE[case]
    assert world.top(world.build(text)) == sorted(expected, key=lambda line: line.split()[0].split("/"))


def test_a_directory_on_a_directory_takes_the_new_look(world: World) -> None:
    world.write("root/etc/new", "x")
    (world.context / "root" / "etc").chmod(0o700)
    image = world.build("COPY root /")
    assert world.top(image) == ["etc 700 0:0", "etc/new 644 0:0"]
    assert "etc/passwd" in world.files(image).tree.entries


def test_a_working_directory_that_is_there_makes_no_layer(world: World) -> None:
    image = world.build("WORKDIR /tmp\nWORKDIR /bin")
    assert len(image.layers) == 1
    assert [entry.empty_layer for entry in image.config.history] == [False, True, True]
    assert image.config.config.working_dir == "/bin"


def test_contents_arrive(world: World) -> None:
    world.write("big", b"\0\xff" * 700_000)
    world.write("small", "s")
    image = world.build("COPY big small /d/\nCOPY <<E /e\nhello ${PATH}\nE")
    found = dict(world.files(image).contents(["d/small", "e"]))
    assert found == {"d/small": b"s", "e": b"hello /usr/bin\n"}
    ((_, pieces),) = [(path, b"".join(data)) for path, data in world.files(image).stream(["d/big"])]
    assert pieces == b"\0\xff" * 700_000


def test_names_may_be_any_bytes(world: World) -> None:
    (world.context / os.fsdecode(b"n\xff")).write_text("x")
    (world.context / "é").write_text("y")
    for _ in range(2):
        image = world.build("COPY . /n/")
        names = {os.fsencode(path) for path in world.files(image).tree.entries if path.startswith("n/")}
        assert names == {"n/é".encode(), b"n/n\xff"}
    assert world.cached() == "h"


ERRORS = {
    "a file that is not there": (
        "COPY aap.py /x",
        2,
        "aap.py is not in the build context",
        "did you mean app.py?",
    ),
    "outside": ("COPY ../secret /x", 2, "outside the build context", "only files below"),
    "a link that leads out": ("COPY out /x", 2, "leads out of the build context", "copy the file itself"),
    "a file on a directory": (
        "WORKDIR /x/app.py\nCOPY app.py /x/",
        3,
        "/x/app.py is a directory in the image",
        "",
    ),
    "a directory on a file": (
        "COPY lib /etc/passwd",
        2,
        "leads through /etc/passwd, which is no directory",
        "",
    ),
    "below a file": ("COPY app.py /etc/passwd/x", 2, "leads through /etc/passwd, which is no directory", ""),
    "an unknown user": ("COPY --chown=nobody app.py /x", 2, "the image has no user nobody", ""),
    "an unknown group": ("COPY --chown=app:wheel app.py /x", 2, "the image has no group wheel", ""),
    "too large an id": ("COPY --chown=99999999999 app.py /x", 2, "ids go up to", ""),
    "a whiteout's name": ("COPY app.py /.wh.x", 2, "names beginning with .wh. mean deleted files", ""),
    "an ignored file": ("COPY x.log /x", 2, "x.log is excluded by .dockerignore", "*.log"),
    "several matches and no directory": (
        "COPY *.py /x",
        2,
        "2 files match, and /x is not written as a directory",
        "end it with a slash: /x/",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_copied_is_told_with_its_lines(case: str, world: World) -> None:
    fill(world)
    world.write("x.log")
    world.write("second.py")
    world.write(".dockerignore", "*.log")
    (world.context / "out").symlink_to("../secret")
    text, line, cause, hint = ERRORS[case]
    with pytest.raises(DockerfileError) as caught:
        world.build(text)
    error = caught.value
    assert cause in error.cause
    assert hint in error.hint
    assert error.lines == (line, line)
    assert error.source == f"FROM base\n{text}".split("\n")[line - 1]


def test_a_missing_source_is_told_before_anything_runs(world: World) -> None:
    with pytest.raises(DockerfileError, match="line 3"):
        world.build("RUN say x\nCOPY none /x")
    assert world.runner.steps == []


def test_without_a_context_only_here_documents_can_be_copied(world: World) -> None:
    world.build("COPY <<E /x\n1\nE", context=None)
    with pytest.raises(DockerfileError, match="this build has no context"):
        world.build("COPY app.py /x", context=None)


def test_a_file_that_changes_meanwhile_fails_the_step(world: World) -> None:
    """Its digest was taken for the cache; other content must not be remembered under it."""
    file = world.write("app.py", "content")

    def change(event: Event) -> None:
        if isinstance(event, StepStarted) and event.number == 2:
            file.write_text("CONTENT")

    with pytest.raises(DockerfileError, match="changed while it was read") as caught:
        world.build("COPY app.py /x", on_event=change)
    assert caught.value.lines == (2, 2)
    world.build("COPY app.py /x")
    assert world.cached() == "M"
