"""What must hold on every rung of a container that asks for ids of its own; more is in ``test_userns``."""

import os

from sandcell.runtime import Engine
from sandcell.runtime.container.options import ExecOptions
from tests.engine.claims import background, claim, until

_SCRIPT = "id -u; echo x > /f; chown 5:7 /f; stat -c %u:%g /f /etc; echo said > /dev/stdout; exec sleep 1000"


@claim
def root_inside_is_nobody_outside_and_nothing_else_changes(engine: Engine) -> None:
    with background(engine, _SCRIPT, userns="private") as id:
        until(lambda: b"said" in b"".join(piece.data for piece in engine.logs(id)), "its files")
        pid = engine.container(id).pid
        assert os.stat(f"/proc/{pid}").st_uid != 0
        assert os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
        if not engine.nursery.idmap.single:  # there owners are recorded, not seen
            assert b"".join(piece.data for piece in engine.logs(id)) == b"0\n5:7\n0:0\nsaid\n"
            found = {change.path: (change.entry.uid, change.entry.gid) for change in engine.diff(id)}
            assert found["f"] == (5, 7)
            assert engine.exec(id, ("id", "-u"), ExecOptions(user="9:9")).text == "9\n"
        assert engine.exec(id, ("sh", "-c", "id -u > /dev/stdout")).text == "0\n"
