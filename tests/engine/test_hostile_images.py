"""Images that mean harm: nothing of the host is reached or changed, and there is one clear error."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container.options import ExecOptions
from sandcell.runtime.errors import SandcellError, StartFailed
from tests.engine import crafted
from tests.engine.crafted import TINY, directory, file, gone, symlink

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

_KERNELS_OWN = ("overlay", "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    base: Path = tmp_path_factory.mktemp("hostile")
    with Engine(base / "home", base / "run") as engine:
        if engine.host.rung != "root":
            pytest.skip(f"this user has the rung {engine.host.rung}: less could be reached")
        engine.image(TINY)
        yield engine


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A directory of the host that a link in an image leads to."""
    place = tmp_path / "of-the-host"
    place.mkdir(mode=0o777)
    (place / "secret").write_text("secret of the host\n")
    return place


_LINKS = [
    ("proc", "/"),
    ("proc", "../proc"),
    ("proc", "../../.."),
    ("proc", "/sys"),
    ("sys", "/"),
    ("sys", "../sys"),
    ("sys", "/proc"),
    ("dev", "/"),
    ("dev", "../dev"),
    ("dev", "/proc"),
    ("run", "/"),
    ("run", "../../../run"),
    ("run/sandcell", "/"),
    ("run/sandcell", "../../../.."),
    ("etc", "/proc/self/cwd/etc"),
    ("etc", "/proc/1/root/etc"),
    ("etc/hosts", "../../../../etc/hosts"),
    ("etc/hostname", "/proc/self/exe"),
]


@pytest.mark.parametrize(("path", "to"), _LINKS)
def test_links_in_place_of_mount_points_lead_nowhere(
    engine: Engine, target: Path, path: str, to: str
) -> None:
    parents = [directory(path.partition("/")[0])] if "/" in path else []
    secret = f"{target}/secret"
    look = f"cat {secret} /..{secret} /../../proc/1/root{secret} /proc/*/root/..{secret}"
    script = ("sh", "-c", f"{look}; cat /proc/self/mountinfo")
    with crafted.crafted(engine, *parents, symlink(path, to)) as image:
        try:
            result = engine.run(image, script, Options(remove=True))
        except StartFailed as error:
            assert str(error)
            return
    assert b"secret of the host" not in result.stdout
    for line in result.stdout.decode().splitlines():
        root, kind = line.split()[3], line.partition(" - ")[2].split()[0]
        assert kind in _KERNELS_OWN or root.startswith(engine.places.containers), line


@pytest.mark.parametrize("path", ["run", "run/sandcell", "data", "etc"])
def test_links_to_the_host_make_nothing_there(engine: Engine, target: Path, path: str) -> None:
    parents = [directory("run")] if "/" in path else []
    link = symlink(path, f"../../..{target}")
    with crafted.crafted(engine, *parents, link) as image, pytest.raises(StartFailed):
        crafted.sh(engine, image, "true", volumes=("/etc:/data/sub:ro",))
    assert os.listdir(target) == ["secret"]


def test_a_mount_point_swapped_for_a_link_while_we_mount_leads_nowhere(
    engine: Engine, target: Path, tmp_path: Path
) -> None:
    """Another container has the same volume, and changes the place of the next mount all the time."""
    inner = tmp_path / "inner"
    inner.mkdir()
    swap = f"cd /v; while :; do mkdir m; rm -r m; ln -s ../../../../../../..{target} m; rm m; done"
    look = ("sh", "-c", f"cat /v/m/secret {target}/secret; true")
    with crafted.background(engine, TINY, swap, volumes=("swapped:/v",)):
        outcomes = set()
        for _ in range(15):
            options = Options(remove=True, volumes=("swapped:/v", f"{inner}:/v/m/new"))
            try:
                outcomes.add(engine.run(TINY, look, options).stdout)
            except StartFailed:
                outcomes.add(b"")
        assert outcomes == {b""}
        assert os.listdir(target) == ["secret"]
        assert str(target) not in Path("/proc/self/mountinfo").read_text()
    engine.remove_volume("swapped")


@pytest.mark.parametrize("fd", range(3, 24))
def test_links_to_open_descriptors_lead_to_nothing_of_the_host(engine: Engine, target: Path, fd: int) -> None:
    link = symlink("data", f"/proc/self/fd/{fd}")
    try:
        with crafted.crafted(engine, link) as image:
            crafted.sh(engine, image, "true", volumes=(f"{target}:/v:ro", f"{target}:/data/new:ro"))
    except StartFailed:
        pass
    assert os.listdir(target) == ["secret"]


@pytest.mark.parametrize("path", ["proc", "sys", "dev", "run/sandcell"])
def test_files_in_place_of_mount_points_are_one_clear_error(engine: Engine, path: str) -> None:
    parents = [directory("run")] if "/" in path else []
    refused = pytest.raises(StartFailed, match=r"Invalid argument|Not a directory|File exists")
    with crafted.crafted(engine, *parents, file(path, b"x")) as image, refused:
        crafted.sh(engine, image, "true")


@pytest.mark.parametrize("mode", [0, 0o111, 0o7777, 0o700])
def test_a_root_of_any_mode(engine: Engine, mode: int) -> None:
    with crafted.crafted(engine, directory("", mode)) as image:
        assert crafted.sh(engine, image, "echo runs") == "runs\n"


_USERS = b"root:x:0:0::/root:/bin/sh\nsomebody:x:1234:1234::/:/bin/sh\n"


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (file("etc/passwd", _USERS), True),
        (file("etc/passwd", _USERS + b"x" * (8 << 20)), True),
        (file("etc/passwd", b"\xff\xfe\0:::::::\n" * 1000 + _USERS), True),
        (symlink("etc/passwd", "../users"), True),
        (symlink("etc/passwd", "../../../../../../users"), True),
        (symlink("etc/passwd", "passwd"), False),
        (symlink("etc/passwd", "/proc/self/fd/0"), False),
        (crafted.fifo("etc/passwd"), False),
        (directory("etc/passwd"), False),
        (gone("etc/passwd"), False),
        (crafted.device("etc/passwd", "char", 1, 5), False),
    ],
    ids=lambda value: f"{value[0].kind}-{value[0].link or value[0].size}" if isinstance(value, tuple) else "",
)
def test_users_are_looked_up_in_the_images_own_files(engine: Engine, entry: Any, found: bool) -> None:
    with crafted.crafted(engine, entry, file("users", _USERS)) as image:
        options = Options(user="somebody", remove=True)
        if not found:
            with pytest.raises(SandcellError, match="no user of that name"):
                engine.run(image, ("id", "-u"), options)
            return
        assert engine.run(image, ("id", "-u"), options).stdout == b"1234\n"


def test_a_users_file_that_links_to_the_host_is_not_the_hosts(engine: Engine, target: Path) -> None:
    (target / "passwd").write_bytes(_USERS)
    refused = pytest.raises(SandcellError, match="no user of that name")
    with crafted.crafted(engine, symlink("etc/passwd", f"{'../' * 30}{target}/passwd")) as image, refused:
        engine.run(image, ("id",), Options(user="somebody"))


@pytest.mark.parametrize("env", [("=x",), ("A\0=b",), ("A=\0",)])
def test_variables_of_the_image_that_are_none_are_one_clear_error(engine: Engine, env: Any) -> None:
    with crafted.crafted(engine, file("x"), env=env) as image:
        before = set(os.listdir(engine.places.containers))
        with pytest.raises(SandcellError):
            engine.run(image, ("true",))
        assert set(os.listdir(engine.places.containers)) == before


def test_odd_but_lawful_variables_arrive_as_they_are(engine: Engine) -> None:
    value = "a\nb\tc=d\x01 \N{SNOWMAN}'\"$(id)"
    result = engine.run(TINY, ("env", "-0"), Options(remove=True, env={"ODD-name.1": value, "EMPTY": ""}))
    found = dict(entry.split("=", 1) for entry in result.stdout.decode().split("\0") if entry)
    assert found["ODD-name.1"] == value
    assert found["EMPTY"] == ""


@pytest.mark.parametrize("work", ["/new/deep/er", "/data"])
def test_a_working_directory_is_made_inside(engine: Engine, target: Path, work: str) -> None:
    with crafted.crafted(engine, symlink("data", "/elsewhere"), directory("elsewhere")) as image:
        assert crafted.sh(engine, image, "pwd -P", workdir=work) in ("/new/deep/er\n", "/elsewhere\n")
    with crafted.crafted(engine, symlink("data", f"../..{target}")) as image, pytest.raises(StartFailed):
        crafted.sh(engine, image, "true", workdir="/data/inside")
    assert os.listdir(target) == ["secret"]


def test_a_working_directory_among_open_descriptors_is_refused(engine: Engine) -> None:
    """CVE-2024-21626: a directory of the host that is still open becomes the working directory. Three guards
    stand here, each of which is enough: nobody on the way in holds a directory open, all descriptors are
    closed on entry, and a working directory outside of the root is refused."""
    with crafted.background(engine, TINY) as id:
        for number in range(3, 40):
            for place in (
                f"/proc/self/fd/{number}",
                f"/proc/self/fd/{number}/..",
                f"/proc/thread-self/fd/{number}",
            ):
                with pytest.raises(SandcellError):
                    engine.run(TINY, ("pwd",), Options(remove=True, workdir=place))
            with pytest.raises(SandcellError):
                engine.exec(id, ("pwd",), ExecOptions(workdir=f"/proc/self/fd/{number}"))


def test_a_program_among_open_descriptors_is_not_found(engine: Engine) -> None:
    for number in range(3, 40):
        with pytest.raises(StartFailed):
            engine.run(TINY, (f"/proc/self/fd/{number}",), Options(remove=True))


_DEVICES = """
import sys
from sandcell.runtime import Engine
from tests.engine import crafted

with Engine(sys.argv[1] + "/home", sys.argv[1] + "/run") as engine:
    assert not engine.nursery.cgroups
    disk, zero = crafted.device("disk", "block", 7, 0), crafted.device("zero", "char", 1, 5)
    with crafted.crafted(engine, disk, zero) as image:
        for tried in ("cat /dev/null", "head -c1 /zero", "head -c1 /disk", "mknod /mine c 1 5"):
            print(crafted.sh(engine, image, tried + " >/tmp/x 2>&1 && echo open || echo closed"), end="")
"""


@pytest.mark.peer("unshare")
def test_without_control_groups_no_device_of_the_host_opens(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a user namespace opens no device anyway")
    hide = 'mount -t tmpfs -o ro none /sys/fs/cgroup && exec "$@"'
    alone = ["unshare", "-m", "--propagation", "private", "sh", "-c", hide, "sh"]
    done = subprocess.run(
        [*alone, sys.executable, "-c", _DEVICES, str(tmp_path)], text=True, capture_output=True, timeout=60
    )
    assert done.stdout == "open\nclosed\nclosed\nclosed\n", done.stderr
