"""From what was observed to what a container can be here. Pure: facts in, a ``Host`` out."""

from sandcell.runtime.errors import HostRefused, InvalidOption
from sandcell.runtime.linux.host_blame import blame, version
from sandcell.runtime.linux.host_model import LIMITED, RUNGS, Check, Facet, Facts, Host, Rung, State, Trial

# Below these, calls that have no fall-back are missing. docs/house.md.
FLOOR = (5, 11)
MACHINES = ("x86_64", "aarch64")

_COPY = "a copy of the image's files, without volumes and /proc, and /dev/null may be a plain file"

# facet → (trials it needs to be real, what is lost without, what is meant by shared)
_NAMESPACES = {
    "network": ("network namespace", "the host's network interfaces and ports are used"),
    "hostname": ("hostname namespace", "the hostname is the host's"),
    "ipc": ("ipc namespace", "shared memory and message queues are the host's"),
}


def judge(facts: Facts, forced: str = "") -> Host:
    """The host that ``facts`` describe.

    ``forced``: the rung to stand on instead of the best one (``SANDCELL_RUNG``). ``InvalidOption``
    when there is no such rung, ``HostRefused`` when it is out of reach here.
    """
    checks = _checks(facts)
    rung: Rung = _rung(facts)
    if forced:
        rung = _force(facts, rung, forced, checks)
    return Host(rung, _facets(facts, rung), facts.kernel, facts.machine, checks)


def _rung(facts: Facts) -> Rung:
    if version(facts.kernel) < FLOOR or facts.machine not in MACHINES:
        return "none"
    if facts.entry == "own":
        if facts.worked("mount as root"):
            return "root"
        return "chroot" if facts.worked("chroot") else "none"
    if facts.worked("mount"):
        return "rootless"
    return "nomount" if facts.worked("chroot") else "none"


def _force(facts: Facts, best: Rung, forced: str, checks: tuple[Check, ...]) -> Rung:
    for rung in RUNGS:
        if rung == forced:
            break
    else:
        known = "one of " + ", ".join(RUNGS)
        raise InvalidOption("read", "the rung asked for", f"there is no rung {forced!r}", known)
    reach: dict[Rung, bool] = {
        "root": best == "root",
        "rootless": best == "rootless",
        "nomount": facts.worked("user namespace") and facts.worked("chroot"),
        "chroot": facts.entry == "own" and facts.worked("chroot"),
        "none": True,
    }
    if not reach[rung]:
        why = next((f"{c.name}: {c.detail}" for c in checks if not c.ok), f"this host gives {best}")
        hint = "ask for no rung (SANDCELL_RUNG, config.toml); sandcell doctor tells more"
        raise HostRefused("stand on rung", rung, why, hint)
    return rung


def _checks(facts: Facts) -> tuple[Check, ...]:
    if facts.fault:
        return (Check("probe", False, 0, "unknown", facts.fault, "report this text to the project"),)
    checks = [_kernel(facts)]
    for name, trial in facts.trials.items():
        # A plain user without rights of root is no surprise and nothing to mend.
        if (name == "mount as root" and facts.uid != 0) or name == "overlay in memory":
            continue
        checks.append(_check(name, trial, facts))
    if facts.entry == "user" and facts.worked("mount") and not facts.worked("newuidmap"):
        checks.append(_ranges(facts))
    checks.append(_groups(facts))
    return tuple(checks)


def _check(name: str, trial: Trial, facts: Facts) -> Check:
    if trial.ok:
        return Check(name, True)
    found = blame(trial, facts)
    return Check(name, False, trial.errno, found.layer, found.detail, found.fix)


def _kernel(facts: Facts) -> Check:
    if version(facts.kernel) < FLOOR:
        what = f"Linux {facts.kernel} is older than {FLOOR[0]}.{FLOOR[1]}"
        return Check("kernel", False, 0, "kernel", what, "use a newer kernel")
    if facts.machine not in MACHINES:
        what = f"{facts.machine} is not one of {', '.join(MACHINES)}"
        return Check("kernel", False, 0, "kernel", what, "use a machine of one of these kinds")
    return Check("kernel", True)


def _ranges(facts: Facts) -> Check:
    """Why only a single id can be mapped, on the rootless rung."""
    name = "id ranges"
    if not facts.mapper:
        return Check(name, False, 0, "tool", "newuidmap is not installed", "as root: apt-get install uidmap")
    if not facts.ranges:
        return Check(
            name,
            False,
            0,
            "id ranges",
            f"/etc/subuid and /etc/subgid give uid {facts.uid} no ids",
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER",
        )
    trial = facts.trials.get("newuidmap", Trial())
    if facts.no_new_privs:
        return Check(
            name,
            False,
            trial.errno,
            "no_new_privs",
            "newuidmap needs the rights of its file, and gets none: NoNewPrivs is 1 in /proc/self/status",
            "start this session without no_new_privs (Kubernetes: allowPrivilegeEscalation: true; "
            "JupyterHub there: c.KubeSpawner.allow_privilege_escalation = True)",
        )
    said = f"newuidmap refused: {trial.step}"
    return Check(name, False, trial.errno, "id ranges", said, "see newuidmap(1)")


def _groups(facts: Facts) -> Check:
    groups = facts.groups
    missing = [name for name in LIMITED if name not in groups.usable]
    if not missing:
        return Check("cgroups", True)
    if groups.refused:
        return Check("cgroups", False, 0, "delegation", f"no limits: {groups.refused}", groups.fix)
    what = f"no limits of {', '.join(missing)}: the cgroup above ({groups.version}) has none to give"
    return Check("cgroups", False, 0, "delegation", what, "let the group above hand those controllers down")


def _facets(facts: Facts, rung: Rung) -> tuple[Facet, ...]:
    if rung == "none":
        why = facts.fault or "no container runs on this host; plans and images can be looked at"
        names = ("files", "processes", "network", "hostname", "ipc", "users", "limits", "system calls")
        return tuple(Facet(name, "shared", why) for name in names)
    facets = [_files(facts, rung), _processes(facts, rung)]
    for name, (trial, lost) in _NAMESPACES.items():
        facets.append(_namespace(name, facts, rung, trial, lost))
    facets.append(_users(facts, rung))
    facets.append(_limits(facts))
    facets.append(_by_trial("system calls", facts, "seccomp filter", "shared", "no system call is filtered"))
    return tuple(facets)


def _by_trial(name: str, facts: Facts, trial: str, otherwise: State, lost: str) -> Facet:
    if facts.worked(trial):
        return Facet(name, "real")
    found = blame(facts.trials.get(trial, Trial()), facts)
    return Facet(name, otherwise, f"{lost} ({found.layer}: {found.detail})", found.fix)


def _namespace(name: str, facts: Facts, rung: Rung, trial: str, lost: str) -> Facet:
    if rung == "chroot" and facts.worked(trial):
        return Facet(name, "shared", f"{lost}, because rung {rung} was asked for", "unset SANDCELL_RUNG")
    return _by_trial(name, facts, trial, "shared", lost)


def _files(facts: Facts, rung: Rung) -> Facet:
    if rung in ("root", "rootless"):
        return _by_trial("files", facts, "overlay", "emulated", "a copy of the image's files")
    trial = facts.trials.get("mount") or facts.trials.get("mount as root") or Trial()
    if trial.ok:
        return Facet("files", "emulated", f"{_COPY}, because rung {rung} was asked for")
    found = blame(trial, facts)
    why = f"{_COPY} ({found.layer}: {found.detail})"
    return Facet("files", "emulated", why, found.fix)


def _processes(facts: Facts, rung: Rung) -> Facet:
    if rung == "chroot" or not facts.worked("pid namespace"):
        lost = "they are numbered, and can be signalled, as the host's are"
        return _namespace("processes", facts, rung, "pid namespace", lost)
    if rung in ("root", "rootless"):
        return _by_trial("processes", facts, "proc", "emulated", "own process numbers, but no /proc")
    return Facet("processes", "emulated", "own process numbers, but no /proc, which would have to be mounted")


def _users(facts: Facts, rung: Rung) -> Facet:
    if rung in ("root", "chroot"):
        return Facet(
            "users",
            "shared",
            "root inside is root outside, with fewer rights",
            "run sandcell as a plain user, or give the container ids of its own: --userns private",
        )
    if rung == "rootless" and facts.worked("newuidmap") and facts.worked("newgidmap"):
        return Facet("users", "real")
    lost = "one user only: root inside is you outside; owners of files are recorded for images, not real"
    if rung == "rootless":
        check = _ranges(facts)
        return Facet("users", "emulated", f"{lost} ({check.layer}: {check.detail})", check.fix)
    return Facet("users", "emulated", lost)


def _limits(facts: Facts) -> Facet:
    check = _groups(facts)
    if check.ok:
        return Facet("limits", "real")
    state: State = "emulated" if facts.groups.usable else "shared"
    return Facet("limits", state, f"{check.layer}: {check.detail}", check.fix)
