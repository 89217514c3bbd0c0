"""The claims about owners of files and about who a process is: the same whether ids are many or one."""

from sandcell.runtime import Engine, Options
from tests.engine.claims import IMAGE, background, claim, sh

_GIVE = """
set -e
echo x > /own; chown 5:7 /own; chmod 2750 /own
mkdir /place; chown 33 /place; chown :44 /place
echo x > /dir-less; cd /place; echo x > inner; chown 8:9 inner; chown -h 0:0 inner
ln -s /own /link; chown 6 /link
touch /once; chmod 4755 /once; chown 1:1 /once
"""
_OWNERS = {
    "own": (6, 7, 0o750),
    "place": (33, 44, 0o755),
    "place/inner": (0, 0, 0o644),
    "once": (1, 1, 0o755),
}


def owners(engine: Engine, id: str) -> dict[str, tuple[int, int, int]]:
    """Owners and modes of what the container changed."""
    return {
        change.path: (change.entry.uid, change.entry.gid, change.entry.mode) for change in engine.diff(id)
    }


@claim
def files_are_given_away_and_their_layers_say_so(engine: Engine) -> None:
    made = engine.create(IMAGE, ("sh", "-c", _GIVE), Options())
    try:
        engine.start(made)
        assert engine.wait(made) == 0, engine.logs(made)
        found = owners(engine, made.id)
        assert {path: found[path] for path in _OWNERS} == _OWNERS
        image = engine.commit(made, "owners:1")
        # Above the layer: a file keeps its owner when it is copied up, and loses it when it is given back.
        again = engine.create("owners:1", ("sh", "-c", "echo y >> /own; chown 0:0 /place"), Options())
        engine.start(again)
        engine.wait(again)
        now = owners(engine, again.id)
        assert now["own"][:2] == (6, 7)
        assert now["place"] == (0, 0, 0o755)
        engine.remove(again)
        assert all("approximated" not in entry.comment for entry in image.config.history)
    finally:
        engine.remove(made, force=True)
        engine.remove_image("owners:1")


@claim
def an_exec_gives_files_away_too(engine: Engine) -> None:
    with background(engine) as id:
        assert engine.exec(id, ("sh", "-c", "echo x > /late; chown 11:12 /late")).status == 0
        assert owners(engine, id)["late"] == (11, 12, 0o644)
        refused = engine.exec(id, ("sh", "-c", "chown 1 /nowhere"))
        assert refused.status == 1
        assert "No such file" in refused.stderr.decode()
        assert engine.exec(id, ("chown", "1:1", "/run/sandcell")).status == 1, "it is read-only"


@claim
def an_exec_is_answered_from_its_first_call_on(engine: Engine) -> None:
    with background(engine, "sleep 100") as id:
        told = {engine.exec(id, ("id", "-u")).text for _ in range(20)}
    assert told == {"0\n"}


@claim
def what_has_no_place_for_its_owner_is_told(engine: Engine) -> None:
    made = engine.create(IMAGE, ("sh", "-c", "ln -s nowhere /l; chown -h 3:4 /l"), Options())
    try:
        engine.start(made)
        assert engine.wait(made) == 0
        image = engine.commit(made, "owners:2", message="links")
        told = image.config.history[-1].comment
        assert told == ("links; ownership approximated (1 file)" if engine.idmap.single else "links")
    finally:
        engine.remove(made, force=True)
        engine.remove_image("owners:2")


@claim
def who_becomes_somebody_else_is_told_so(engine: Engine) -> None:
    script = """
import os
os.setgroups([5, 6]); os.setresgid(7, 7, 7); os.setresuid(8, 8, 8)
inner = os.fork()
if inner == 0:
    print(os.getresuid(), os.getresgid(), os.getgroups(), flush=True)
    try: os.setuid(0)
    except PermissionError: print("for good", flush=True)
    os._exit(0)
os.waitpid(inner, 0)
"""
    result = engine.run("host", ("python3", "-c", script), Options(remove=True))
    assert result.text == "(8, 8, 8) (7, 7, 7) [5, 6]\nfor good\n", result.stderr
    assert sh(engine, "id -u; id -g") == "0\n0\n"
