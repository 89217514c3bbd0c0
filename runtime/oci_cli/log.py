"""Where errors and warnings go: ``--log`` as text or JSON lines, errors to standard error as well."""

import os

from sandcell.runtime.errors import InvalidOption

_FORMS = ("text", "json")
_target: list[tuple[str, bool]] = []


def to(path: str, form: str) -> None:
    """Write from now on to ``path`` (nowhere if empty), as ``json`` or ``text``. ``InvalidOption``
    for another form."""
    if form not in ("", *_FORMS):
        raise InvalidOption("use", f"--log-format {form}", "there is no such format", " or ".join(_FORMS))
    _target[:] = [(path, form == "json")] if path else []


def warn(message: str) -> None:
    """Something that did not keep the command from succeeding."""
    _write("warning", message)


def error(message: str) -> None:
    """Why the command failed."""
    _write("error", message)
    try:
        os.write(2, f"sandcell-oci: {message}\n".encode(errors="replace"))
    except OSError:
        pass  # nobody listens


def _write(level: str, message: str) -> None:
    for path, as_json in _target:
        import time

        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"{when} {level}: {message}"
        if as_json:
            from sandcell.runtime.oci_cli import documents

            line = documents.write({"level": level, "msg": message, "time": when})
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError:
            continue
        os.write(fd, line.encode(errors="replace") + b"\n")
        os.close(fd)
