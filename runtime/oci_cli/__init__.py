"""``sandcell-oci``: an OCI runtime for whoever drives one: podman, containerd's shim, a test suite.

Each command is one short process. ``create``, ``run`` and ``exec`` first become a copy of the
interpreter that nobody can write to, since they become a container's process (see
``container.program``). Errors are one line on standard error and, with ``--log``, in that file.
"""

import os
import sys
from typing import Any

from sandcell.runtime.errors import InvalidOption, NotFound, SandcellError, StartFailed
from sandcell.runtime.oci_cli import log
from sandcell.runtime.oci_cli.arguments import COMMANDS, Line, parse

_ENTERING = ("create", "run", "exec")
_BOOT = "import sys; sys.path += {paths!r}; from sandcell.runtime.oci_cli import main; main(sealed=True)"


def main(*, sealed: bool = False) -> None:
    """The console script. ``sealed``: this is the copy already."""
    status = 1
    try:
        line = parse(sys.argv[1:])
        log.to(line.get("log"), line.get("log-format"))
        if line.command in _ENTERING and not sealed and not line.has("help"):
            _seal()
        status = _do(line)
    except StartFailed as error:
        log.error(str(error))
        status = error.status if error.status != 125 else 1
    except SandcellError as error:
        log.error(f"{error} ({error.hint})" if error.hint else str(error))
    except OSError as error:
        log.error(f"{error.filename or 'system call'}: {os.strerror(error.errno or 0)}")
    except ValueError as error:
        log.error(str(error))
    sys.stdout.flush()
    os._exit(status)


def _seal() -> None:
    import msgspec

    from sandcell.runtime.container.program import open_program

    ours = os.path.abspath(__file__)
    for _ in range(4):
        ours = os.path.dirname(ours)
    paths = [ours, os.path.dirname(os.path.dirname(os.path.abspath(msgspec.__file__ or "")))]
    program = open_program()
    boot = _BOOT.format(paths=paths)
    os.execv(f"/proc/self/fd/{program}", [sys.executable, "-I", "-S", "-c", boot, *sys.argv[1:]])


def _root(line: Line) -> str:
    if line.has("root"):
        return os.path.abspath(line.get("root"))
    if os.geteuid() == 0 and "XDG_RUNTIME_DIR" not in os.environ:
        return "/run/sandcell-oci"
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR") or f"/tmp/sandcell-{os.getuid()}", "sandcell-oci")


def _do(line: Line) -> int:
    if line.has("version"):
        return _version()
    if line.has("help") or not line.command:
        print("sandcell-oci [OPTION…] COMMAND [OPTION…] [CONTAINER] [WORD…]")
        print("commands: " + " ".join(COMMANDS))
        for command in [line.command] if line.command else []:
            print(f"options of {command}: " + " ".join(f"--{name}" for name in COMMANDS[command]))
        return 0 if line.has("help") else 1
    if line.has("systemd-cgroup") or line.get("cgroup-manager") == "systemd":
        raise InvalidOption(
            "use", "systemd", "sandcell-oci makes control groups itself", "--cgroup-manager cgroupfs"
        )
    if line.command in _ENTERING:
        return _enter(line)
    from sandcell.runtime.oci_cli import verbs

    root = _root(line)
    if line.command in ("start", "kill", "delete", "pause", "resume", "update"):
        getattr(verbs, line.command)(line, root)
    elif line.command == "state":
        from sandcell.runtime.oci_cli.record import Kept

        kept = Kept(root, line.id)
        _print(verbs.describe(kept))
    elif line.command == "ps":
        _ps(line, verbs.pids(line, root))
    elif line.command == "list":
        _list(line, root)
    elif line.command == "features":
        from sandcell.runtime.oci_cli.features import features

        _print(features())
    else:
        _spec(line)
    return 0


def _enter(line: Line) -> int:
    root = _root(line)
    if line.command == "exec":
        from sandcell.runtime.oci_cli.exec import enter
        from sandcell.runtime.oci_cli.foreground import wait

        child = enter(line, root)
        return 0 if line.has("detach") else wait(child.pid)
    from sandcell.runtime.oci_cli.create import create

    child = create(line, root, manager=line.get("cgroup-manager"))
    if line.command == "create":
        return 0
    from sandcell.runtime.oci_cli.foreground import run

    return run(line, root, child)


def _version() -> int:
    from importlib.metadata import PackageNotFoundError, version

    from sandcell.runtime.oci.spec import OCI_VERSION

    try:
        number = version("sandcell")
    except PackageNotFoundError:
        number = "unknown"
    print(f"sandcell-oci version {number}\nspec: {OCI_VERSION}")
    return 0


def _print(document: Any) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


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
        print(f"{'ID':<24} {'PID':<8} {'STATUS':<8} {'CREATED':<31} BUNDLE")
        for one in found:
            print(f"{one['id']:<24} {one['pid']:<8} {one['status']:<8} {one['created']:<31} {one['bundle']}")


def _spec(line: Line) -> None:
    import msgspec

    from sandcell.runtime.oci.decode import encode
    from sandcell.runtime.oci_cli.example import example

    path = os.path.join(line.get("bundle") or ".", "config.json")
    text = msgspec.json.format(encode(example(rootless=line.has("rootless"))), indent=4)
    try:
        with open(path, "xb") as file:
            file.write(text + b"\n")
    except FileExistsError:
        raise InvalidOption("write", path, "the file is there already", "remove it first") from None
