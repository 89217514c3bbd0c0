"""Every lesson on hosts that refuse mounts, namespaces or everything: the restrictions are really put on.

On each rung one process plays all lessons, one after the other, as a learner's day goes; the tests read
what it printed.
"""

import re
from pathlib import Path

import pytest

from sandcell.magics.lesson.recording import load
from tests.engine.test_low_rungs import WITHOUT_SYS_ADMIN, as_root, needs_root
from tests.lessons.play import NAMES, Day, Played, day
from tests.lessons.record import runs
from tests.linux.test_host import NO_MOUNT, NO_USER_NAMESPACE
from tests.plain_user import PlainUser

pytestmark = [pytest.mark.slow, pytest.mark.kernel, pytest.mark.timeout(500)]

PLAY = """
import os, sys
os.environ.update(SANDCELL_HOME=sys.argv[1] + "/home", SANDCELL_RUN=sys.argv[1] + "/run")
from tests.lessons import play
play.main(play.NAMES)
"""
LONGEST = 480
"""Seconds for all lessons on a busy machine, where each container is a copy of its image."""

# What is really observed where no container runs; all else is a recording there.
OF_IMAGES = {"03": {"again", "share", "tag"}, "05": {"digest", "sent", "tamper"}, "06": {"layer"}}
# What each rung cannot do, and so tells by a recording.
WITHOUT_MOUNTS = {"08": {"talk"}, "11": {"pid", "upper"}, "12": {"guests", "version"}}
WITHOUT_GROUPS = {"09": {"memory", "cpu"}}
WITHOUT_NAMESPACES = {"08": {"port", "talk"}}


@pytest.fixture(scope="module")
def nomount(plain_user: PlainUser) -> Day:
    """A plain user with no_new_privs, behind a filter that refuses mount(2): a hosted notebook."""
    place = str(plain_user.directory("lessons-nomount"))
    return day(plain_user.run(NO_MOUNT + PLAY, place, no_new_privs=True, timeout=LONGEST))


@pytest.fixture(scope="module")
def chroot(tmp_path_factory: pytest.TempPathFactory) -> Day:
    """Root without CAP_SYS_ADMIN, behind a filter that refuses user namespaces: a usual container."""
    code, place = f"import sys\n{NO_USER_NAMESPACE}{PLAY}", tmp_path_factory.mktemp("lessons-chroot")
    return day(as_root(place, code, *WITHOUT_SYS_ADMIN, timeout=LONGEST))


@pytest.fixture(scope="module")
def none(plain_user: PlainUser) -> Day:
    """A plain user with no_new_privs, behind a filter that refuses user namespaces: nothing runs."""
    place = str(plain_user.directory("lessons-none"))
    return day(plain_user.run(NO_USER_NAMESPACE + PLAY, place, no_new_privs=True, timeout=LONGEST))


def goes_to_its_end(played: list[Played], rung: str) -> None:
    """No cell failed, the first one named the rung, and nothing is left."""
    assert not [f"{one.cell}: {one.error}\n{one.said}" for one in played if one.error]
    assert f"on rung {rung}" in played[0].said
    assert "containers left: []" in played[-1].said


def told(played: list[Played], words: str) -> set[str]:
    """The questions whose check says so."""
    return {one.question for one in played if one.question and words in one.said}


def is_honest(played: list[Played]) -> None:
    """Each check saw what elsewhere is seen too, or says whose fault it is, or shows what was recorded."""
    for one in played:
        if one.question and "That is right." not in one.said:
            here = re.search(r"That is so on this host .*:\n(- [a-z ]+: .+\n)+Where that is real", one.said)
            recorded = re.search(r"Not observed here: .+\.\nRECORDED on Linux .+: .+\.\n", one.said)
            assert here or recorded or one.question == "user", one


@pytest.mark.rootless
@pytest.mark.parametrize("name", NAMES)
def test_without_mounts(nomount: Day, name: str) -> None:
    goes_to_its_end(nomount[name], "nomount")
    is_honest(nomount[name])
    cannot = WITHOUT_MOUNTS.get(name[:2], set()) | WITHOUT_GROUPS.get(name[:2], set())
    assert told(nomount[name], "RECORDED") <= cannot
    assert told(nomount[name], "That is so on this host") <= {"namespaces", "start"}


@needs_root
@pytest.mark.parametrize("name", NAMES)
def test_with_chroot_only(chroot: Day, name: str) -> None:
    goes_to_its_end(chroot[name], "chroot")
    is_honest(chroot[name])
    cannot = WITHOUT_MOUNTS.get(name[:2], set()) | WITHOUT_NAMESPACES.get(name[:2], set())
    assert told(chroot[name], "RECORDED") <= cannot | WITHOUT_GROUPS.get(name[:2], set())
    shared = {"pid", "one", "namespaces", "see", "interfaces", "start"}
    assert told(chroot[name], "That is so on this host") <= shared


@pytest.mark.rootless
@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_is_allowed(none: Day, name: str) -> None:
    goes_to_its_end(none[name], "none")
    first = none[name][0].said
    assert "No container can run on this host." in first
    assert "Refused by seccomp: make a user namespace" in first
    assert "What would help: " in first
    is_honest(none[name])
    real = OF_IMAGES.get(name[:2], set())
    assert told(none[name], "Observed: ") == real
    assert told(none[name], "RECORDED") == set(load(name[:2]).observed) - real


@pytest.mark.rootless
@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_is_allowed_nothing_is_pretended(none: Day, name: str) -> None:
    for one in none[name]:
        if runs(one.source) and "NOT RUN HERE: " in one.said:
            assert re.search(
                r"NOT RUN HERE: .+seccomp.+\nrecorded on Linux \S+, rung root:\n  : ", one.said
            ), one
        # What a container leaves on the page stands nowhere but in a recording.
        rest = [line for line in one.said.splitlines() if not line.startswith("  : ")]
        assert not [line for line in rest if re.search(r"· exit \d|image unchanged|pid \d", line)], one


@pytest.mark.rootless
def test_where_nothing_is_allowed_plans_are_shown(none: Day) -> None:
    for name, word in (
        ("00_start_here", "image lesson00"),
        ("01_image_to_containers", "a container of lesson01"),
    ):
        assert [one for one in none[name] if f"plan: {word}" in one.said], name
    for one in none["01_image_to_containers"]:
        if one.source.startswith("%%container"):
            assert "execute /bin/sh /run/sandcell/cell" in one.said


def test_every_cell_that_may_be_refused_has_a_recording(tmp_path: Path) -> None:
    from sandcell.magics.lesson.recording import key_of
    from tests.lessons.play import cells_of

    for name in NAMES:
        recorded = load(name[:2])
        keys = {key_of(source) for _, source in cells_of(name) if runs(source)}
        assert set(recorded.cells) == keys, f"{name}: run python -m tests.lessons.record {name}"
        assert recorded.rung == "root"
