"""A command that stays until the process it made has ended, and passes signals on to it."""

import os
import signal

from sandcell.runtime.oci_cli import verbs
from sandcell.runtime.oci_cli.arguments import Line
from sandcell.runtime.oci_cli.birth import Child
from sandcell.runtime.oci_cli.record import Kept

_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def wait(child: Child) -> int:
    """The exit status of a child, 128 + n for signal n; signals that we get meanwhile go to it. Where it
    has a terminal that nobody else was given, that is ours for so long."""
    pid = child.pid

    def pass_on(number: int, _: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    if child.console >= 0:
        from sandcell.runtime.oci_cli.console import attend

        attend(child)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


def run(line: Line, root: str, child: Child) -> int:
    """Start what was created; unless ``--detach`` wait for its end and delete it."""
    verbs.start(line, root)
    if line.has("detach"):
        return 0
    status = wait(child)
    if not line.has("keep"):
        _forget(line, root)
    return status


def _forget(line: Line, root: str) -> None:
    kept = Kept(root, line.id)
    try:
        verbs.destroy(kept)
    finally:
        kept.close()
