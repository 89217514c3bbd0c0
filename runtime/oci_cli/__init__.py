"""``sandcell-oci``: an OCI runtime for whoever drives one: podman, containerd's shim, a test suite.

Each command is one short process. ``create``, ``run`` and ``exec`` first become a copy of the
interpreter that nobody can write to, since they become a container's process (see
``container.program``). Errors are one line on standard error and, with ``--log``, in that file.
"""

import gc
import os
import sys

from sandcell.runtime.errors import InvalidOption, NotFound, SandcellError
from sandcell.runtime.oci_cli import log
from sandcell.runtime.oci_cli.arguments import COMMANDS, Line, parse

_MANAGERS = ("cgroupfs", "systemd", "disabled")
_ENTERING = ("create", "run", "exec")


def main(*, sealed: bool = False) -> None:
    """The console script. ``sealed``: this is the copy already."""
    gc.disable()  # over before there is anything to collect
    status = 1
    try:
        line = parse(sys.argv[1:])
        log.to(line.get("log"), line.get("log-format"))
        if line.command in _ENTERING and not sealed and not line.has("help"):
            from sandcell.runtime.oci_cli.sealed import become

            become(sys.argv[1:])
        status = _do(line)
    except SandcellError as error:
        log.error(f"{error} ({error.hint})" if error.hint else str(error))
        status = getattr(error, "status", 1)
        status = 1 if status == 125 else status
    except OSError as error:
        log.error(f"{error.filename or 'system call'}: {os.strerror(error.errno or 0)}")
    except ValueError as error:
        log.error(str(error))
    sys.stdout.flush()
    os._exit(status)


def _root(line: Line) -> str:
    if line.has("root"):
        return os.path.abspath(line.get("root"))
    if os.geteuid() == 0 and "XDG_RUNTIME_DIR" not in os.environ:
        return "/run/sandcell-oci"
    from sandcell.runtime.linux.temporary import temporary

    user = os.environ.get("XDG_RUNTIME_DIR") or f"{temporary()}/sandcell-{os.getuid()}"
    return os.path.join(user, "sandcell-oci")


def _do(line: Line) -> int:
    if line.has("version"):
        return _version()
    if line.has("help") or not line.command:
        print("sandcell-oci [OPTION…] COMMAND [OPTION…] [CONTAINER] [WORD…]")
        print("commands: " + " ".join(COMMANDS))
        for command in [line.command] if line.command else []:
            print(f"options of {command}: " + " ".join(f"--{name}" for name in COMMANDS[command]))
        return 0 if line.has("help") else 1
    if line.command in _ENTERING:
        return _enter(line)
    _ask(line, _root(line))
    return 0


def _ask(line: Line, root: str) -> None:
    from sandcell.runtime.oci_cli import verbs

    if line.command in ("start", "kill", "delete", "pause", "resume"):
        getattr(verbs, line.command)(line, root)
    elif line.command == "state":
        from sandcell.runtime.oci_cli.record import Kept

        _print(verbs.describe(Kept(root, line.id)))
    elif line.command == "ps":
        _ps(line, verbs.pids(line, root))
    elif line.command == "list":
        _list(line, root)
    elif line.command == "update":
        from sandcell.runtime.oci_cli.update import update

        update(line, root)
    elif line.command == "features":
        from sandcell.runtime.oci_cli.features import features

        _print(features())
    else:
        from sandcell.runtime.oci_cli.example import write

        write(line.get("bundle") or ".", rootless=line.has("rootless"))


def _enter(line: Line) -> int:
    from sandcell.runtime.oci_cli import lean

    lean.load()
    root = _root(line)
    if line.command == "exec":
        from sandcell.runtime.oci_cli.exec import enter
        from sandcell.runtime.oci_cli.foreground import wait

        child = enter(line, root)
        return 0 if line.has("detach") else wait(child)
    from sandcell.runtime.oci_cli.create import create

    child = create(line, root, manager=_manager(line))
    if line.command == "create":
        return 0
    from sandcell.runtime.oci_cli.foreground import run

    return run(line, root, child)


def _manager(line: Line) -> str:
    manager = "systemd" if line.has("systemd-cgroup") else line.get("cgroup-manager", _MANAGERS[0])
    if manager not in _MANAGERS:
        there = " or ".join(_MANAGERS)
        raise InvalidOption("use", f"--cgroup-manager {manager}", "there is no such manager", there)
    return manager


def _version() -> int:
    from sandcell import __version__
    from sandcell.runtime.oci.spec import OCI_VERSION

    print(f"sandcell-oci version {__version__}\nspec: {OCI_VERSION}")
    return 0


def _print(document: object) -> None:
    from sandcell.runtime.oci_cli import documents

    print(documents.write(document, pretty=True))


def _ps(line: Line, pids: list[int]) -> None:
    if line.get("format") == "json":
        _print(pids)
        return
    print("PID")
    for pid in pids:
        print(pid)


def _list(line: Line, root: str) -> None:
    from sandcell.runtime.oci_cli import verbs
    from sandcell.runtime.oci_cli.record import Kept, names

    found = []
    for name in names(root):
        try:
            kept = Kept(root, name)
        except NotFound:
            continue  # deleted at this moment
        found.append(verbs.describe(kept))
        kept.close()
    if line.has("quiet"):
        for one in found:
            print(one["id"])
    elif line.get("format") == "json":
        _print(found)
    else:
        print(f"{'ID':<24} {'PID':<8} {'STATUS':<8} {'BUNDLE':<40} CREATED")
        for one in found:
            print(f"{one['id']:<24} {one['pid']:<8} {one['status']:<8} {one['bundle']:<40} {one['created']}")
