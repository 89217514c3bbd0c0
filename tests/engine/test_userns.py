"""``--userns private``: a container of root whose ids are not the host's, and whose files are as ever."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from sandcell.runtime.container.options import ExecOptions
from sandcell.runtime.engine import record, userns
from sandcell.runtime.errors import HostRefused, InvalidOption
from tests.engine import crafted
from tests.engine.claims import until
from tests.engine.crafted import TINY, background, sh

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
PRIVATE = {"userns": "private"}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    base: Path = tmp_path_factory.mktemp("userns")
    with Engine(base / "home", base / "run") as engine:
        if engine.host.rung != "root":
            pytest.skip(f"on rung {engine.host.rung} every container has a user namespace")
        try:
            userns.check(engine.host, Options(userns="private"))
        except HostRefused as error:
            pytest.skip(error.cause)
        engine.image(TINY)
        yield engine


def _first(engine: Engine, id: str) -> int:
    """What root of the container is outside."""
    return record.find(engine.places, id).userns.uids[0].outside


def test_root_inside_is_nobody_outside_and_no_other_containers_root(engine: Engine) -> None:
    with background(engine, TINY, **PRIVATE) as one, background(engine, TINY, userns="auto") as other:
        assert _first(engine, one) != _first(engine, other)
        for id in (one, other):
            pid = engine.container(id).pid
            status = Path(f"/proc/{pid}/status").read_text()
            assert f"Uid:\t{_first(engine, id)}\t" in status
            assert f"Gid:\t{_first(engine, id)}\t" in status
            assert "Groups:\t\n" in status.replace("Groups:\t \n", "Groups:\t\n")
            assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
            inside = engine.exec(id, ("cat", "/proc/self/uid_map")).text.split()
            assert inside == ["0", str(_first(engine, id)), "65536"]
            assert engine.exec(id, ("id",)).text.startswith("uid=0(root) gid=0(root)")
            assert not [facet for facet in engine.container(id).facets if facet.name == "users"]
    told = engine.inspect(engine.create(TINY, ("true",), Options(**PRIVATE)).id)["HostConfig"]
    assert told["UsernsMode"] == "private"
    assert told["IDMappings"]["UidMap"][0].endswith(":65536")


def test_files_keep_the_owners_that_the_container_sees(engine: Engine) -> None:
    script = "echo x > /mine; mkdir /d; chown 5:7 /d; stat -c %u:%g /etc/passwd /mine /d; sleep 1000"
    with background(engine, TINY, script, **PRIVATE) as id:
        until(lambda: b"5:7" in b"".join(piece.data for piece in engine.logs(id)), "the owners")
        assert b"".join(piece.data for piece in engine.logs(id)) == b"0:0\n0:0\n5:7\n"
        upper = Path(engine.places.container(id), "upper")
        assert ((upper / "mine").stat().st_uid, (upper / "d").stat().st_gid) == (0, 7)
        assert {(c.kind, c.path) for c in engine.diff(id)} == {("A", "mine"), ("A", "d")}
        engine.commit(id, "userns:1")
        options = ExecOptions(user="5:7")
        assert engine.exec(id, ("sh", "-c", "touch /d/in; echo x > /dev/stdout"), options).text == "x\n"
        engine.stop(id, 0)
        engine.start(id)
        until(lambda: engine.exec(id, ("stat", "-c", "%u:%g", "/d/in")).text == "5:7\n", "the same files")
    for options in ({}, PRIVATE):
        assert sh(engine, "userns:1", "stat -c %u:%g /mine /d", **options) == "0:0\n5:7\n"
    engine.remove_image("userns:1")


def test_files_are_copied_in_and_out_with_the_owners_inside(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("text\n")
    with background(engine, TINY, **PRIVATE) as id:
        for name in ("running", "stopped"):
            engine.copy(str(tmp_path / "in"), f"{id}:/{name}")
            assert engine.container(id).state == "running" or name == "stopped"
            engine.stop(id, 0)
        engine.start(id)
        assert engine.exec(id, ("stat", "-c", "%u:%g", "/running", "/stopped")).text == "0:0\n0:0\n"
        engine.exec(id, ("chown", "8:9", "/running"))
        engine.copy(f"{id}:/running", str(tmp_path / "out"), keep_owner=True)
        found = (tmp_path / "out").stat()
        assert (found.st_uid, found.st_gid, (tmp_path / "out").read_text()) == (8, 9, "text\n")


def test_volumes_are_shared_with_others_and_folders_of_the_host_are_nobodys(
    engine: Engine, tmp_path: Path
) -> None:
    folder = tmp_path / "of-root"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0o600)
    volumes = ("kept:/v", f"{folder}:/h")
    script = (
        "echo x > /v/f; chown 3:4 /v/f; stat -c %u:%g /h; cat /h/secret; rm -f /h/secret; echo y > /h/new"
    )
    result = engine.run(TINY, ("sh", "-c", script), Options(remove=True, volumes=volumes, **PRIVATE))
    assert result.stdout == b"65534:65534\n"
    assert result.stderr.count(b"ermission denied") == 3
    assert os.listdir(folder) == ["secret"]
    assert sh(engine, TINY, "stat -c %u:%g /v/f", volumes=("kept:/v",)) == "3:4\n"
    assert sh(engine, TINY, "stat -c %u:%g /v/f", volumes=("kept:/v",), **PRIVATE) == "3:4\n"
    engine.remove_volume("kept")


def test_a_set_user_file_and_a_device_of_an_image_give_nothing(engine: Engine, tmp_path: Path) -> None:
    """Root inside makes a set-user-id file in a folder that both see: outside it is of its own ids."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with background(engine, TINY, volumes=(f"{shared}:/s",), **PRIVATE) as id:
        engine.exec(id, ("sh", "-c", "cp /usr/bin/id /s/id || cp /bin/id /s/id; chmod 4755 /s/id"))
        found = (shared / "id").stat()
        assert found.st_uid == _first(engine, id)
        assert stat.S_IMODE(found.st_mode) == 0o4755
        assert engine.exec(id, ("mknod", "/disk", "b", "8", "0")).status != 0
    look = "head -c 1 /zero > /dev/null 2>&1 && echo open || echo closed"
    with crafted.crafted(engine, crafted.device("zero", "char", 1, 5)) as image:
        assert sh(engine, image, look, **PRIVATE) == "closed\n"


def test_layers_of_another_store_are_seen_through_the_map_too(engine: Engine, tmp_path: Path) -> None:
    engine.tag(TINY, "elsewhere:1")
    config = tmp_path / "config.toml"
    config.write_text(f'stores = ["{engine.places.home}"]\n')
    own = {
        "SANDCELL_HOME": f"{tmp_path}/home",
        "SANDCELL_RUN": f"{tmp_path}/run",
        "SANDCELL_CONFIG": str(config),
    }
    argv = [sys.executable, "-m", "sandcell.runtime.cli", "run", "--rm", "--userns", "private", "elsewhere:1"]
    script = "stat -c %u:%g / /etc/passwd && echo x >> /etc/passwd && tail -n 1 /etc/passwd"
    done = subprocess.run(
        [*argv, "sh", "-c", script], env={**os.environ, **own}, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "0:0\n0:0\nx\n", done.stderr
    engine.remove_image("elsewhere:1")


def test_a_network_limits_a_terminal_and_an_init_are_as_ever(engine: Engine) -> None:
    look = "cat /proc/1/comm; cat /proc/self/oom_score_adj; tty; cat /proc/net/dev"
    options = {"network": "bridge", "init": True, "tty": True, "oom_score_adj": 300, "hostname": "inside"}
    told = sh(engine, TINY, f"{look}; cat /etc/hosts; uname -n", **PRIVATE, **options).split()
    assert told[:3] == ["init", "300", "/dev/pts/0"]
    assert "eth0:" in told
    assert told[-1] == "inside"
    with background(engine, TINY, user="7", pids_limit=20, **PRIVATE) as id:
        assert {one.user for one in engine.top(id)} == {7}
        assert engine.stats(id).pids in (1, 2)
        engine.kill(id)
        assert engine.wait(id, 30) == 137


@pytest.mark.parametrize(
    "options", [{"pid": "host"}, {"pid": "container:x"}, {"ipc": "container:x"}, {"network": "container:x"}]
)
def test_namespaces_of_others_are_refused(engine: Engine, options: dict[str, str]) -> None:
    with pytest.raises(InvalidOption, match="not its own to enter"):
        engine.create(TINY, ("true",), Options(**PRIVATE, **options))  # type: ignore[arg-type]


def test_a_mode_that_there_is_not_is_one_clear_error(engine: Engine) -> None:
    with pytest.raises(InvalidOption, match="no such mode"):
        engine.create(TINY, ("true",), Options(userns="keep-id"))
    assert sh(engine, TINY, "cat /proc/self/uid_map", userns="host").split()[2] == "4294967295"


def test_ranges_that_users_are_given_are_not_lent() -> None:
    text = "somebody:1000000:65536\nsandcell:2000000:131072\nother:x:y\n"
    assert userns.ranges(text) == [(1000000, 1065536), (2000000, 2131072)]
    assert userns.given(text, text) == (2000000, 131072)
    assert userns.given(text, "sandcell:2065536:131072\n") == (2065536, 65536)
    assert userns.given("containers:5:6\n", "") is None
    assert userns.slots((524288, 4 * 65536), [(600000, 700000)]) == [524288, 720896]
    assert userns.slots((524288, 65535), []) == []
