"""Real processes for tests: forked, told apart by their exit status, always waited for."""

import os
import signal
import sys
import traceback
from collections.abc import Callable


def forked(deed: Callable[[], None]) -> int:
    """Start a process that does ``deed`` and ends; its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        deed()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(pid: int) -> int:
    """Wait for a process: its exit status, negative for the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(number: int, deed: Callable[[], None]) -> bool:
    """Do ``deed`` in a process that is killed just before its ``number``-th deed on files.

    ``False`` where it did everything before it came to that.
    """

    def hunted() -> None:
        left = number

        def watch(event: str, arguments: tuple) -> None:
            nonlocal left
            if event.startswith(("os.", "fcntl.")) or event == "open":
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        deed()

    status = ended(forked(hunted))
    assert status in (0, -signal.SIGKILL), status
    return status != 0
