"""The build cache: one table of what is a hit and what is a miss."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from sandcell.runtime.layer.tree import Entry
from sandcell.runtime.oci.image import Image
from sandcell.runtime.store.cache import Cache
from tests.build.world import World

FILE = """
COPY app.py /app/
RUN write /built yes
CMD ["app"]
"""
# Equal times, so that equal files give equal layers.
EPOCH = {"SOURCE_DATE_EPOCH": "1000000000"}
TWO = "RUN write /one 1\nRUN write /two 2"


def nothing(world: World, image: Image) -> None:
    """Between the builds nothing happens."""


def content(world: World, image: Image) -> None:
    world.write("app.py", "print(2)")


def mode(world: World, image: Image) -> None:
    (world.context / "app.py").chmod(0o755)


def touched(world: World, image: Image) -> None:
    os.utime(world.context / "app.py", (1, 1))


def rewritten(world: World, image: Image) -> None:
    (world.context / "app.py").unlink()
    world.write("app.py", "print(1)")


def beside(world: World, image: Image) -> None:
    world.write("other.py", "x")


def new_base(world: World, image: Image) -> None:
    world.base((Entry("new", "dir", 0o755), None) for _ in range(1))


def new_settings(world: World, image: Image) -> None:
    world.base(labels={"a": "b"})


def new_environment(world: World, image: Image) -> None:
    world.base(working_dir="/srv")


def lost_blob(world: World, image: Image) -> None:
    world.store.blobs.delete(image.layers[-1].descriptor.digest)


def lost_first_blob(world: World, image: Image) -> None:
    world.store.blobs.delete(image.layers[1].descriptor.digest)


def damaged_records(world: World, image: Image) -> None:
    cache = world.store.home + "/cache"
    for name in os.listdir(cache):
        with open(f"{cache}/{name}", "w") as file:
            file.write('{"created": 1}')


def pruned(world: World, image: Image) -> None:
    world.store.prune()


Change = Callable[[World, Image], None]

# What is built, what happens then, what is built next ("" for the same), and the steps after FROM.
TABLE: dict[str, tuple[str, Change, str, str, dict[str, Any]]] = {
    "nothing changed": (FILE, nothing, "", "hhh", {}),
    "a changed file": (FILE, content, "", "MMM", {}),
    "a changed mode": (FILE, mode, "", "MMM", {}),
    "touched but equal": (FILE, touched, "", "hhh", {}),
    "replaced by an equal file": (FILE, rewritten, "", "hhh", {}),
    "another file of the context": (FILE, beside, "", "hhh", {}),
    "another file that a wildcard takes": ("COPY *.py /app/", beside, "", "M", {}),
    "a directory that got a file": ("COPY . /app/", beside, "", "M", {}),
    "an ignored file": ("COPY . /app/", lambda w, i: w.write("x.log", "1"), "", "h", {}),
    "a changed mode under --chmod": ("COPY --chmod=600 app.py /x", mode, "", "h", {}),
    "another --chmod": ("COPY --chmod=600 app.py /x", nothing, "COPY --chmod=640 app.py /x", "M", {}),
    "another --chown": ("COPY app.py /x", nothing, "COPY --chown=1 app.py /x", "M", {}),
    "another destination": ("COPY app.py /x", nothing, "COPY app.py /y", "M", {}),
    "ADD and COPY of a plain file": ("ADD app.py /x", nothing, "COPY app.py /x", "M", {}),
    "a changed here-document": ("COPY <<E /x\n1\nE", nothing, "COPY <<E /x\n2\nE", "M", {}),
    "a changed instruction": (TWO, nothing, "RUN write /one 3\nRUN write /two 2", "MM", {}),
    "a changed last instruction": (TWO, nothing, "RUN write /one 1\nRUN write /two 3", "hM", {}),
    "another order": (TWO, nothing, "RUN write /two 2\nRUN write /one 1", "MM", {}),
    "a step in between": (TWO, nothing, "RUN write /one 1\nRUN say x\nRUN write /two 2", "hMM", {}),
    "white space around": ("RUN write /a b", nothing, "  RUN    write /a b  ", "h", {}),
    "white space in the command": ("RUN write /a b", nothing, "RUN write  /a b", "M", {}),
    "a comment": ("RUN write /a b", nothing, "# why\nRUN write /a b", "h", {}),
    "lower case": ("RUN write /a b", nothing, "run write /a b", "h", {}),
    "exec form of the same": ("RUN say x", nothing, 'RUN ["/bin/sh", "-c", "say x"]', "h", {}),
    "another shell": (
        'SHELL ["/bin/bash", "-c"]\nRUN say x',
        nothing,
        'SHELL ["/bin/dash", "-c"]\nRUN say x',
        "MM",
        {},
    ),
    "a changed ENV": ("ENV a=1\nRUN say x", nothing, "ENV a=2\nRUN say x", "MM", {}),
    "a changed ENV before a COPY": ("ENV a=1\nCOPY app.py /x", nothing, "ENV a=2\nCOPY app.py /x", "Mh", {}),
    "a changed ENV in a COPY": ("ENV a=1\nCOPY app.py /x$a", nothing, "ENV a=2\nCOPY app.py /x$a", "MM", {}),
    "an ENV of the same value": ("ENV a=1\nRUN say x", nothing, 'ENV a="1"\nRUN say x', "hh", {}),
    "a changed LABEL": ("LABEL a=1\nRUN say x", nothing, "LABEL a=2\nRUN say x", "Mh", {}),
    "a changed USER": ("USER 1\nRUN say x", nothing, "USER 2\nRUN say x", "MM", {}),
    "a changed WORKDIR": ("WORKDIR /tmp\nRUN say x", nothing, "WORKDIR /etc\nRUN say x", "MM", {}),
    "a changed CMD": ("RUN say x\nCMD a", nothing, "RUN say x\nCMD b", "hM", {}),
    "a changed ARG that a RUN sees": ("ARG a\nRUN say x", nothing, "", "MM", {"a": "2"}),
    "a changed ARG after the RUN": ("RUN say x\nARG a", nothing, "", "hM", {"a": "2"}),
    "a changed ARG that no line declares": ("RUN say x", nothing, "", "h", {"a": "2"}),
    "a changed ARG that a COPY uses": ("ARG a=1\nCOPY app.py /x$a", nothing, "", "MM", {"a": "2"}),
    "a changed ARG that a COPY does not use": ("ARG a=1\nCOPY app.py /x", nothing, "", "Mh", {"a": "2"}),
    "a changed proxy": ("RUN say x", nothing, "", "h", {"http_proxy": "http://x"}),
    "another network": ("RUN say x", nothing, "RUN --network=none say x", "M", {}),
    "a base of other files": (FILE, new_base, "", "MMM", {}),
    "a base of other labels": (FILE, new_settings, "", "hhM", {}),
    "a base of another directory": (FILE, new_environment, "", "hMM", {}),
    # What is made again is the same again, so what stands on it need not be.
    "a missing blob": (FILE, lost_blob, "", "hMh", {}),
    "a missing blob further down": (FILE, lost_first_blob, "", "Mhh", {}),
    "records that are none": (FILE, damaged_records, "", "MMM", {}),
    "after a prune": (FILE, pruned, "", "hhh", {}),
}


@pytest.mark.parametrize("case", TABLE)
def test_hits_and_misses(case: str, world: World) -> None:
    first, change, second, expected, arguments = TABLE[case]
    world.write("app.py", "print(1)")
    world.write(".dockerignore", "*.log")
    image = world.build(first, build_args=EPOCH)
    assert set(world.cached()) <= {"M"}
    change(world, image)
    again = world.build(second or first, build_args={**EPOCH, **arguments})
    assert world.cached() == expected
    if "M" not in expected:
        assert again.config.rootfs == image.config.rootfs


def test_a_build_that_changes_nothing_gives_the_same_image(world: World) -> None:
    world.write("app.py", "1")
    first = world.build(FILE, name="x")
    second = world.build(FILE, name="x")
    assert world.cached() == "hhh"
    assert second.digest == first.digest
    assert world.store.image("x").digest == first.digest


def test_what_a_miss_made_is_a_hit_later(world: World) -> None:
    """Going back to what was before needs nothing to be done."""
    world.write("app.py", "1")
    first = world.build(FILE)
    world.write("app.py", "2")
    assert world.build(FILE).digest != first.digest
    world.write("app.py", "1")
    assert world.build(FILE).digest == first.digest
    assert world.cached() == "hhh"


def test_no_cache_does_everything_and_remembers_it(world: World) -> None:
    first = world.build(TWO)
    second = world.build(TWO, no_cache=True)
    assert world.cached() == "MM"
    assert second.digest != first.digest
    assert world.build(TWO).digest == second.digest


def test_a_failed_build_keeps_what_was_done(world: World) -> None:
    with pytest.raises(Exception, match="status 3"):
        world.build("RUN write /one 1\nRUN fail 3")
    world.build("RUN write /one 1\nRUN say x")
    assert world.cached() == "hM"


def test_an_epoch_is_a_matter_of_its_own(world: World) -> None:
    world.build(TWO)
    image = world.build(TWO, build_args=EPOCH)
    assert world.cached() == "MM"
    assert image.config.created == "2001-09-09T01:46:40Z"
    assert {entry.mtime for entry in world.files(image).tree.entries.values()} <= {0, 1_000_000_000}
    again = world.build(TWO, no_cache=True, build_args=EPOCH)
    assert again.digest == image.digest


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(world: World) -> None:
    world.store.cache = Cache("/proc/none", world.store.litter)
    image = world.build(TWO)
    assert len(image.layers) == 3
