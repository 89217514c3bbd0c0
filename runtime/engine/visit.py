"""Another process in a running container: what ``exec`` composes from config.json and its options."""

import os
from collections.abc import Callable

from sandcell.runtime.container import jobs, processes, running, state
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.compose import SHARED, capability_sets
from sandcell.runtime.container.identity import NAMESPACES, identity
from sandcell.runtime.container.options import ExecOptions, check_word
from sandcell.runtime.container.plan import owners
from sandcell.runtime.container.sealed import bare_of
from sandcell.runtime.container.users import resolve
from sandcell.runtime.engine import filters, lower, record
from sandcell.runtime.engine.birth import Nursery, group, open_directory, place_shared, spec_of
from sandcell.runtime.engine.places import Places
from sandcell.runtime.engine.record import Record
from sandcell.runtime.engine.refusals import told
from sandcell.runtime.engine.rootfiles import read_file
from sandcell.runtime.errors import HostRefused, InvalidOption, StartFailed, WrongState
from sandcell.runtime.linux.process import Identity
from sandcell.runtime.oci.spec import Spec

_SOON = 0.2


def enter(
    nursery: Nursery, born: Record, lowers: tuple[str, ...], command: tuple[str, ...], options: ExecOptions
) -> running.Running:
    """Start another process in the running container; ``WrongState`` when it does not run."""
    with told("exec in", born.name):
        return _enter(nursery, born, lowers, command, options)


def _enter(
    nursery: Nursery, born: Record, lowers: tuple[str, ...], command: tuple[str, ...], options: ExecOptions
) -> running.Running:
    options.check()
    places = nursery.places
    now = record.current(places, born)
    if now.status != state.RUNNING or now.init is None:
        raise WrongState(
            "exec in", born.name, f"it is {now.status}, not running", f"start it first: start {born.name}"
        )
    if record.paused(places, born, now):
        raise WrongState("exec in", born.name, "it is paused", f"let it go on first: unpause {born.name}")
    if not command:
        raise InvalidOption("exec in", born.name, "no command given")
    for word in command:
        check_word("execute", word)
    spec = spec_of(places, born)
    assert spec.process is not None
    assert spec.linux is not None
    exec_id = record.new_id()[:16]
    directory = _place_files(places, born, options, exec_id)
    inside = _steps(nursery, born, spec, lowers, command, options, exec_id)
    job = jobs.Exec(
        id=born.id,
        exec_id=exec_id,
        init=now.init,
        namespaces=tuple(NAMESPACES[n.type] for n in spec.linux.namespaces),
        inside=inside,
        bare=bare_of(inside),
        cgroup=spec.linux.cgroups_path,
        directory=directory,
    )
    init, path = now.init, spec.linux.cgroups_path

    def members(pid: int) -> Callable[[], list[int]]:
        return lambda: _members(init, exec_id, path, pid)

    out = f"{places.container(born.id)}/shared/out/{exec_id}"
    if options.fetch:
        open_directory(out)
    if not nursery.host.mounting:
        home = places.container(born.id)
        lower.share(nursery.launcher, born.idmap, home, exec_id, directory, options.fetch)
    try:
        begun = running.begin(
            nursery.launcher, job, members, born.name, command, listen=True, interactive=options.interactive
        )
    except StartFailed as error:
        from sandcell.runtime.engine import lifecycle

        if error.status == 125 and lifecycle.ends(init, _SOON):
            cause = "it has just ended"
            raise WrongState("exec in", born.name, cause, f"start it first: start {born.name}") from None
        raise
    begun.exchange = out
    return begun


def _members(init: Identity, exec_id: str, cgroup: str, leader: int) -> list[int]:
    own = group(cgroup, init)
    return processes.of_exec(init, exec_id, own.child(exec_id) if own else None, leader)


def _place_files(places: Places, born: Record, options: ExecOptions, exec_id: str) -> str:
    """The host's directory of what is placed for this process, empty where nothing is."""
    if not options.files:
        return ""
    directory = f"{places.container(born.id)}/shared/exec/{exec_id}"
    for path in (os.path.dirname(directory), directory):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, 0o755)
    for name, data in options.files.items():
        place_shared(directory, name, data)
    return directory


def _steps(
    nursery: Nursery,
    born: Record,
    spec: Spec,
    lowers: tuple[str, ...],
    command: tuple[str, ...],
    options: ExecOptions,
    exec_id: str,
) -> tuple[s.Inside, ...]:
    process, linux = spec.process, spec.linux
    assert process is not None
    assert linux is not None
    user, capabilities, home = process.user, process.capabilities, ""
    if options.user:
        layers = (*lowers, f"{nursery.places.container(born.id)}/upper")
        user, home = resolve(options.user, read_file(layers, "etc/passwd"), read_file(layers, "etc/group"))
        if not born.ids.holds(user.uid, user.gid):
            raise HostRefused(
                "exec in",
                born.name,
                f"user {user.uid}:{user.gid} does not exist in it: it has fewer ids",
                "a range in /etc/subuid and /etc/subgid gives it more",
            )
        capabilities = capability_sets(user.uid, capabilities.bounding if capabilities else ())
    directory = f"{SHARED}/exec/{exec_id}"
    values = dict(entry.partition("=")[::2] for entry in process.env)
    if home:
        values["HOME"] = home
    values.update(options.env)
    values[processes.MARK] = exec_id
    if options.files:
        values["SANDCELL_DIR"] = directory
    if options.fetch:
        values["SANDCELL_OUT"] = f"{SHARED}/out/{exec_id}"
    own = born.userns
    steps: list[s.Inside] = [s.MappedRoot(own.uids[0].outside, own.gids[0].outside)] if own.uids else []
    steps += [s.EnterCgroup(new_namespace=False)] if linux.cgroups_path else []
    if not nursery.host.mounting:
        terminal = [s.Console(*options.console_size, "/dev/ptmx")] if options.tty else []
        steps += [*terminal, s.ChangeRoot(lower.root(nursery.places.container(born.id)))]
    elif options.tty:
        steps.append(s.Console(*options.console_size))
    steps.append(s.NewSession())
    steps.append(identity(user, capabilities, born.idmap, no_new_privileges=process.no_new_privileges))
    if not nursery.host.mounting:
        steps.append(s.KeepBelow())
    steps += owners(capabilities, born.idmap)
    if linux.seccomp is not None:
        steps.append(s.Filter(*filters.compiler(nursery.places)(linux.seccomp)))
    steps.append(s.WorkingDirectory(options.workdir or process.cwd))
    arguments = tuple(word.replace("{dir}", directory) for word in command) if options.files else command
    steps.append(s.Execute(arguments, tuple(f"{name}={value}" for name, value in values.items())))
    return tuple(steps)
