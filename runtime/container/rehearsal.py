"""Going through the motions before the first container.

What Python learns when code runs for the first times, where an attribute is found and what an instruction
works on, it writes down in its own memory. Each child of the spawner would learn it again, in copies of
its own of the pages concerned. So the spawner does once what they will do, with names that lead nowhere:
nothing that is called here changes anything.
"""

import os
import socket
from collections.abc import Callable
from functools import partial

from sandcell.runtime.container import (
    bare,
    compiled,
    early,
    farewell,
    inside,
    jobs,
    journal,
    room,
    sealed,
    state,
)
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.output import STDOUT
from sandcell.runtime.container.pump import Pump
from sandcell.runtime.errors import SandcellError
from sandcell.runtime.linux import cgroups, overlay, process, trees
from sandcell.runtime.linux.idmap import HOST

_NOWHERE = "/proc/self/nowhere"
_TIMES = 10  # an interpreter looks closely at what runs for the eighth time

_STEPS: tuple[s.Inside, ...] = (
    s.OpenKernel(0, "nowhere", "nowhere", 14),
    s.OpenTree(1, _NOWHERE, 6),
    s.MountOverlay(_NOWHERE, (_NOWHERE, _NOWHERE), _NOWHERE, _NOWHERE, volatile=True, userxattr=False),
    s.Directory("/"),
    s.Mount("tmpfs", _NOWHERE, "tmpfs", 0, "mode=755"),
    s.Node(_NOWHERE, 0o20666, 1, 3),
    s.Symlink("/", _NOWHERE),
    s.Mask((_NOWHERE,)),
    s.ReadOnly((_NOWHERE,)),
    s.Hostname("", ""),
    s.WorkingDirectory("/"),
)


def rehearse() -> None:
    """Do all that a monitor and a first process do, as far as it has no effect. Takes some milliseconds."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    scene = inside.Scene(theirs)
    plan = sealed.seal(s.Plan((s.NewNamespaces(("pid", "mnt")),), _STEPS))
    job = jobs.Run(id="nowhere", plan=plan, home=_NOWHERE, run=_NOWHERE)
    group = cgroups.Cgroup("sandcell/nowhere", cgroups.layout())
    now = state.State(init=process.identify(os.getpid()), started=0.0)
    acts: tuple[Callable[[], object], ...] = (
        *(partial(inside.PERFORM[type(step)], step, scene) for step in _STEPS),
        partial(sealed.unpack, plan.rest),
        partial(early.prologue, early.prefix(HOST)),
        compiled.joining,
        _stage,
        lambda: jobs.decode_job(jobs.encode(job)),
        partial(jobs.encode, jobs.Started(1)),
        partial(jobs.encode, jobs.Exited(0)),
        partial(process.identify, os.getpid()),
        partial(state.write, _NOWHERE, now),
        partial(state.let_waiters_read, _NOWHERE, 0),
        group.doors,
        group.remove,
        _pump,
        partial(_hand_over, ours, theirs),
        partial(jobs.added, _NOWHERE),
        partial(journal.tell, _NOWHERE, "die", "nowhere"),
        partial(overlay.sweep, _NOWHERE, _NOWHERE),
        partial(trees.remove, _NOWHERE),
        partial(farewell.release_name, _NOWHERE, "nowhere"),
    )
    for act in acts * _TIMES:
        try:
            act()
        except (OSError, SandcellError):
            pass  # there is nothing, as expected
    ours.close()
    theirs.close()


def _stage() -> None:
    stage = bare.stage(compiled.beginning(), b"")
    if stage is not None:
        stage.give(room.SYNC, 0)
        stage.failed(lambda: ())
        stage.close()


def _hand_over(ours: socket.socket, theirs: socket.socket) -> None:
    socket.send_fds(ours, [b"x"], [0])
    for fd in process.receive_descriptors(theirs, 1)[1]:
        os.close(fd)


def _pump() -> None:
    """The output of a process that has ended, and said nothing."""
    read, write = os.pipe2(os.O_CLOEXEC)
    ended, end = os.pipe2(os.O_CLOEXEC)
    os.close(write)
    os.close(end)
    pump = Pump([(STDOUT, read, -1)], None)
    pump.run(ended, -1, lambda: False)
    pump.finish()
    pump.hand_over(0)
    os.close(ended)
