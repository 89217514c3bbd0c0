"""``exec``: another process in a container that runs."""

import os
from collections.abc import Callable

import msgspec

from sandcell.runtime.container import bundle_steps as b
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.bundle_process import program
from sandcell.runtime.errors import InvalidDocument, InvalidOption, WrongState
from sandcell.runtime.linux.alive import read_text
from sandcell.runtime.linux.cgroups import Cgroup
from sandcell.runtime.linux.namespaces import different
from sandcell.runtime.oci.decode import decode
from sandcell.runtime.oci.spec import Capabilities, Process, User
from sandcell.runtime.oci.spec_linux import Linux
from sandcell.runtime.oci_cli import birth
from sandcell.runtime.oci_cli.arguments import Line
from sandcell.runtime.oci_cli.check import check_process, settled
from sandcell.runtime.oci_cli.create import filter_keeper, write_pid_file
from sandcell.runtime.oci_cli.record import CREATED, PAUSED, RUNNING, Kept

_ORDER = ("user", "cgroup", "ipc", "net", "time", "uts", "pid", "mnt")


class _Around(msgspec.Struct, frozen=True):
    agent: int
    preserve: int
    setgroups: bool


def enter(line: Line, root: str) -> birth.Child:
    """Start the process. ``WrongState`` unless the container runs, ``StartFailed`` with the status of a
    shell when the program cannot be executed."""
    kept = Kept(root, line.id)
    try:
        if kept.status == PAUSED and line.has("ignore-paused"):
            group = kept.group
            if group is not None:
                group.thaw()
        kept.need("exec in", RUNNING, CREATED)
        init, spec = kept.record.pid, kept.spec
        process = _process(line, spec.process)
        check_process(process, kept.record.oci_version)
        attended = process.terminal and not line.has("detach")
        if process.terminal != line.has("console-socket") and not attended:
            raise InvalidOption("exec", "", "a detached terminal and --console-socket go together")
        linux = spec.linux or Linux()
        names = [name for name in _ORDER if different(init, name)]
        joins = tuple(
            (name, os.open(f"/proc/{init}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)) for name in names
        )
        process = settled(process, all_ours="user" in names)
        initial, final = _processors(process)
        group = kept.group
        preserve = line.number("preserve-fds")
        steps: list[s.Step] = []
        if "user" in names:
            steps.append(s.AwaitIds(0, 0))
        if group is not None:
            steps.append(s.EnterCgroup(new_namespace=False))
        if final:
            steps.append(b.Affinity(tuple(sorted(final))))
        steps.append(b.SessionKeyring())
        if process.terminal:
            size = process.console_size
            steps.append(
                b.ConsoleAt(
                    process.user.uid, size.height if size else 0, size.width if size else 0, show=False
                )
            )
        steps.append(s.NewSession())
        around = _Around(-1, preserve, read_text(f"/proc/{init}/setgroups").strip() != "deny")
        steps += program(process, linux, (), filter_keeper(root), around, wait=False)
        wanted = birth.Wanted(frozenset(), joins)
        move = _mover(kept, group)
        child = birth.bear(
            tuple(steps), wanted, group=group, door=None, trees={}, preserve=preserve, move=move
        )
        try:
            if "user" in names:
                birth.map_ids(child, None)
            birth.outfit(child.pid, process, affinity=initial)
            if group is not None:
                birth.give_doors(child, group)
            birth.listen(child, bytes)
            if child.console >= 0 and line.has("console-socket"):
                birth.send_console(line.get("console-socket"), child.console)
            if line.has("pid-file"):
                write_pid_file(line.get("pid-file"), child.pid)
        except BaseException:
            birth.end(child)
            raise
    finally:
        kept.close()
    return child


def _mover(kept: Kept, group: Cgroup | None) -> Callable[[int], None] | None:
    if group is None or not kept.record.unit:
        return None
    from sandcell.runtime.oci_cli import scope

    unit = kept.record.unit
    return (lambda pid: scope.enter(unit, pid)) if scope.apart(group) else None


def _processors(process: Process) -> tuple[set[int], set[int]]:
    """Where to run before the control group is entered, and after (config.md, execCPUAffinity). Without
    a word about the latter the group's own decide, which the kernel cuts out of all."""
    wanted = process.exec_cpu_affinity
    if not wanted:
        return set(), set()
    from sandcell.runtime.oci_cli.priority import processors

    initial, final = (
        processors(wanted[name]) if wanted.get(name) else set() for name in ("initial", "final")
    )
    return initial, final or (set(range(os.cpu_count() or 1)) if initial else set())


def _process(line: Line, given: Process | None) -> Process:
    if line.has("process"):
        path = line.get("process")
        try:
            with open("/dev/stdin" if path == "-" else path, "rb") as file:
                return decode(Process, file.read(), object=path)
        except OSError as error:
            raise InvalidDocument("read", path, os.strerror(error.errno or 0)) from None
    if given is None:
        raise WrongState("exec in", f"container {line.id}", "its config.json has no process")
    user = given.user
    if line.has("user"):
        uid, _, gid = line.get("user").partition(":")
        if not uid.isdigit() or (gid and not gid.isdigit()):
            raise InvalidOption("exec", "", f"--user {line.get('user')!r} is no number", "UID or UID:GID")
        user = User(uid=int(uid), gid=int(gid or 0))
    if line.has("additional-gids"):
        gids = ",".join(line.each("additional-gids")).split(",")
        user = msgspec.structs.replace(user, additional_gids=tuple(int(gid) for gid in gids))
    sets = given.capabilities
    if line.has("cap"):
        more, have = line.each("cap"), sets or Capabilities()
        sets = Capabilities(
            bounding=(*have.bounding, *more),
            effective=(*have.effective, *more),
            permitted=(*have.permitted, *more),
            inheritable=have.inheritable,
            ambient=have.ambient,
        )
    return msgspec.structs.replace(
        given,
        terminal=line.has("tty"),
        args=line.words[1:],
        env=(*given.env, *line.each("env")),
        cwd=line.get("cwd") or given.cwd,
        user=user,
        capabilities=sets,
        no_new_privileges=given.no_new_privileges or line.has("no-new-privs"),
        apparmor_profile=line.get("apparmor") or given.apparmor_profile,
        selinux_label=line.get("process-label") or given.selinux_label,
    )
