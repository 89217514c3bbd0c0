"""One way to tell a failure, and one exit status for each kind."""

import os
import sys

import click

from sandcell.runtime.errors import BuildFailed, DockerfileError, SandcellError, StartFailed

INTERRUPTED = 130
BROKEN_PIPE = 141
USAGE = 125


def tell(error: BaseException, verb: str) -> int:
    """Write ``error`` on standard error for a person and return the exit status it stands for.

    The form is ``sandcell: operation object: cause`` with the hint on a line of its own; a fault
    in a Dockerfile shows its lines too. There is no traceback, except with ``SANDCELL_DEBUG`` set.
    """
    if os.environ.get("SANDCELL_DEBUG"):
        import traceback

        traceback.print_exception(error)
    match error:
        case click.ClickException():
            return _usage(error)
        case KeyboardInterrupt():
            _write(f"{verb}: interrupted".lstrip(": "))
            return INTERRUPTED
        case BrokenPipeError():
            # Whoever read our output has gone. Python would complain about it once more at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        case SandcellError():
            complain(error)
            return exit_status(error, verb)
        case SystemExit():
            return error.code if isinstance(error.code, int) else 1
        case OSError():
            what = f" {error.filename}" if error.filename else ""
            _write(f"{verb}{what}: {error.strerror or error}")
        case _:
            _write(
                f"{verb}: something we did not expect: {type(error).__name__}: {error}",
                "this is a fault of sandcell; SANDCELL_DEBUG=1 shows where",
            )
    return 125 if verb == "run" else 1


def complain(error: SandcellError) -> None:
    """Write one of our own errors on standard error; the caller goes on."""
    _write(str(error), error.hint, _marked(error))


def exit_status(error: SandcellError, verb: str) -> int:
    """What docker would exit with: for ``run`` 125, 126 or 127; for ``exec`` 126, 127 or 1."""
    if isinstance(error, StartFailed) and verb == "run":
        return error.status
    if isinstance(error, StartFailed) and verb == "exec":
        return max(error.status, 126)
    return 125 if verb == "run" else 1


def _usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "sandcell"
    verb = path.removeprefix("sandcell").strip()
    text = error.format_message().rstrip(".")
    text = text[:1].lower() + text[1:]
    _write(f"{verb}: {text}" if verb else text, f"'{path} --help' shows what it takes")
    return USAGE


def _marked(error: SandcellError) -> str:
    """The lines of the Dockerfile that are at fault, each with its number and a mark."""
    if not isinstance(error, DockerfileError | BuildFailed) or not error.source:
        return ""
    first = error.lines[0]
    lines = error.source.splitlines()
    return "\n".join(f"  > {number:3} | {line}" for number, line in enumerate(lines, first))


def _write(message: str, hint: str = "", lines: str = "") -> None:
    sys.stdout.flush()
    parts = [f"sandcell: {message}"]
    if lines:
        parts.append(lines)
    if hint:
        parts.append(f"  hint: {hint}")
    print("\n".join(parts), file=sys.stderr, flush=True)
