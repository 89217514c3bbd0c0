"""A person's terminal while a container's takes its place: keys, window size, leaving."""

import os
import select
import sys
import termios
import threading
from typing import TYPE_CHECKING

from sandcell.runtime.errors import InvalidOption

if TYPE_CHECKING:
    from types import TracebackType

    from sandcell.runtime.container.running import Running

LEAVE = "ctrl-p,ctrl-q"
_PIECE = 65536
# cfmakeraw(3): what a terminal would do to keys and output before the program sees them.
_INPUT = (
    termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
    | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
)  # fmt: skip
_LOCAL = termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN


def parse_keys(text: str) -> bytes:
    """The bytes of ``ctrl-p,ctrl-q``: letters, or ``ctrl-`` and one of ``a``-``z @ [ \\ ] ^ _``."""
    keys = b""
    for word in text.split(",") if text else []:
        letter = word.removeprefix("ctrl-").upper()
        if len(word) == 1 and word.isascii():
            keys += word.encode()
        elif word != letter and len(letter) == 1 and "@" <= letter <= "_":
            keys += bytes([ord(letter) - 64])
        else:
            raise InvalidOption("use", f"--detach-keys {text}", f"{word!r} is no key", f"write {LEAVE}")
    return keys


class DetachKeys:
    """Finds a sequence of keys in what is typed, however it is cut into pieces."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence is complete; what may begin it is held back."""
        if not self._keys:
            return data, False
        data = self._held + data
        before, found, _ = data.partition(self._keys)
        if found:
            self._held = b""
            return before, True
        held = next(n for n in range(len(self._keys) - 1, -1, -1) if data.endswith(self._keys[:n]))
        self._held = data[len(data) - held :]
        return data[: len(data) - held], False


def size_of(fd: int) -> tuple[int, int]:
    """Rows and columns of the terminal, zeros where it is none. ioctl_tty(2)."""
    try:
        return termios.tcgetwinsize(fd)
    except termios.error:
        return 0, 0


def raw(fd: int) -> "list[object]":
    """Pass on every key as it is, and give back how it was for ``restore``."""
    before = termios.tcgetattr(fd)
    now = termios.tcgetattr(fd)
    now[0] &= ~_INPUT
    now[1] &= ~termios.OPOST
    now[2] = now[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    now[3] &= ~_LOCAL
    now[6][termios.VMIN], now[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSADRAIN, now)
    return before


def restore(fd: int, before: "list[object]") -> None:
    """Make the terminal what it was; one that has gone is left alone."""
    try:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)  # type: ignore[arg-type]
    except termios.error:
        pass


class Keyboard:
    """Carries our standard input to a program while the block lasts; its end is passed on.

    With ``tty`` our terminal is raw meanwhile, and ``keys`` leave the program running.
    """

    def __init__(self, running: "Running", *, tty: bool, keys: bytes = b"") -> None:
        self._running = running
        self._fd = sys.stdin.fileno()
        self._tty = tty
        self._keys = DetachKeys(keys if tty else b"")
        self._stopped, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._before: list[object] | None = None

    def __enter__(self) -> "Keyboard":
        if self._tty:
            self._before = raw(self._fd)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        try:
            os.close(self._stop)
            # It may be in the middle of a write that nobody reads any more; then it is left behind.
            self._thread.join(1)
        finally:
            if self._before is not None:
                restore(self._fd, self._before)

    def _carry(self) -> None:
        try:
            while self._piece():
                pass
        except OSError:
            pass  # the program reads no more, or our terminal has gone
        os.close(self._stopped)
        if not self._tty:
            self._running.close_input()

    def _piece(self) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._stopped, select.POLLIN)
        if any(fd == self._stopped for fd, _ in poll.poll()):
            return False
        data = os.read(self._fd, _PIECE)
        passed, leave = self._keys.feed(data)
        while passed:
            passed = passed[self._running.write(passed) :]
        if leave:
            self._running.detach()
        return bool(data) and not leave
