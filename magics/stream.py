"""Output of a container on its way to the notebook: decoded as it comes, bounded, apart.

Standard output goes to ``sys.stdout`` and standard error to ``sys.stderr`` of the moment, so that
``%%capture`` works. Carriage returns and ANSI sequences pass through. Bytes that are not UTF-8
become U+FFFD, and a character that arrives in two pieces is whole again.
"""

import codecs
import sys
import time
from collections import deque
from typing import IO

HEAD = 768 * 1024
"""Bytes shown as they come."""

TAIL = 256 * 1024
"""Bytes of the end that are shown after a flood."""

KEPT = 64 * 1024 * 1024
"""Bytes of each stream that ``--as`` keeps."""

_PAUSE = 0.02


class Screen:
    """Takes the pieces of one run. ``rest``: where a flood can be read in full, for the note in
    the middle. ``keep``: collect what was written, up to `KEPT` bytes a stream.

    The first `HEAD` bytes are shown at once; of what follows the last `TAIL` bytes, at `close`.
    ``cut``: more was written than is kept.
    """

    def __init__(self, rest: str = "", *, keep: bool = False) -> None:
        self._rest = rest
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._shown = 0
        self._tail: deque[tuple[str, bytes]] = deque()
        self._held = 0
        self._lost = 0
        self._flooded = False
        self._flushed = 0.0
        self._keep = keep
        self.cut = False
        self._kept: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

    def write(self, stream: str, data: bytes) -> None:
        """Show a piece, or hold it back when there was too much already."""
        if self._keep:
            kept = self._kept[stream]
            self.cut = self.cut or len(kept) + len(data) > KEPT
            kept += data[: max(0, KEPT - len(kept))]
        room = HEAD - self._shown
        if room > 0:
            # Counted first, here and in _hold: an interrupt in between may cost a piece, but never
            # lets a flood through.
            self._shown += min(room, len(data))
            self._show(stream, data[:room])
            data = data[room:]
        if data:
            self._hold(stream, data)

    def close(self) -> None:
        """Show the end of a flood and what is left of a cut character. Nothing may follow."""
        if self._held:
            if self._lost:
                rest = f"; all of it: {self._rest}" if self._rest else ""
                self._settle()
                self._show("stderr", f"\n… {self._lost:,} bytes left out{rest} …\n".encode())
            first = bool(self._lost)
            for stream, data in self._tail:
                self._show(stream, _from_character(data) if first else data)
                first = False
            self._tail.clear()
            self._held = 0
        self._settle()
        _flush("stdout")
        _flush("stderr")

    def kept(self, stream: str) -> bytes:
        """What was written to ``stdout`` or ``stderr``, when it is kept."""
        return bytes(self._kept[stream])

    def _show(self, stream: str, data: bytes) -> None:
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data)
        if not text:
            return
        target = _target(stream)
        target.write(text)
        now = time.monotonic()
        # ipykernel waits for its sending thread at every flush and sends by itself after 0.2 s: a
        # burst is left to that.
        if now - self._flushed > _PAUSE or not hasattr(target, "pub_thread"):
            target.flush()
            self._flushed = time.monotonic()

    def _hold(self, stream: str, data: bytes) -> None:
        if not self._flooded:
            self._flooded = True
            _flush("stdout")
        self._held += len(data)
        self._tail.append((stream, data))
        while self._held - len(self._tail[0][1]) >= TAIL:
            gone = len(self._tail.popleft()[1])
            self._held -= gone
            self._lost += gone
        over = self._held - TAIL
        if over > 0:
            first, piece = self._tail[0]
            self._tail[0] = (first, piece[over:])
            self._held = TAIL
            self._lost += over

    def _settle(self) -> None:
        """Let every decoder give what it still holds of a character."""
        for stream, decoder in self._decoders.items():
            text = decoder.decode(b"", final=True)
            if text:
                _target(stream).write(text)


def _target(stream: str) -> IO[str]:
    return sys.stderr if stream == "stderr" else sys.stdout


def _flush(stream: str) -> None:
    _target(stream).flush()


def _from_character(data: bytes) -> bytes:
    """``data`` from the first byte that can begin a character of UTF-8."""
    at = 0
    while at < min(3, len(data)) and data[at] & 0xC0 == 0x80:
        at += 1
    return data[at:]
