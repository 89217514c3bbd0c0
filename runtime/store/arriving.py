"""Layers that are unpacked while their bytes come from a registry."""

import fcntl
import os
from collections.abc import Callable
from functools import partial
from threading import Thread

from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.store.files import write_all
from sandcell.runtime.store.unpacking import Unpacking

_PIPE = 1 << 20


class Taker:
    """Takes the bytes of one blob as they come, and has them unpacked meanwhile.

    Nothing is believed of them here: who gives them compares them with the blob's digest, and calls ``begin``
    again where they turn out wrong. Where unpacking fails the bytes are passed over; ``wait`` tells why.
    """

    def __init__(self, unpack: Callable[[int], None]) -> None:
        self._unpack = unpack
        self._thread: Thread | None = None
        self._sink = -1
        self._error: BaseException | None = None

    def begin(self) -> None:
        """From the first byte on, whatever came before."""
        self.close()
        self._error = None
        source, self._sink = os.pipe()
        try:
            fcntl.fcntl(self._sink, fcntl.F_SETPIPE_SZ, _PIPE)
        except OSError:
            pass  # a smaller one does, only slower
        self._thread = Thread(target=self._run, args=(source,), name="unpack", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # there may be no more threads: it is unpacked later
            self._thread = None
            os.close(source)
            self.end()

    def write(self, data: bytes) -> None:
        """The next bytes; waits where they come faster than they can be unpacked."""
        if self._sink >= 0:
            try:
                write_all(self._sink, data)
            except BrokenPipeError:
                self.end()

    def end(self) -> None:
        """That was all."""
        if self._sink >= 0:
            os.close(self._sink)
            self._sink = -1

    def close(self) -> None:
        """Nothing is unpacked any more when this returns."""
        self.end()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wait(self) -> None:
        """It is unpacked when this returns, or was never begun. Raises why it could not."""
        self.close()
        if self._error is not None:
            raise self._error

    def _run(self, source: int) -> None:
        try:
            self._unpack(source)
        except BaseException as error:  # raised by `wait`
            self._error = error
        finally:
            # Whoever writes hears that nobody reads any more.
            os.close(source)


class Arriving:
    """The missing layers of an image that is being pulled. See ``Snapshots.arriving``."""

    def __init__(self, unpacking: Unpacking, numbers: dict[Digest, int], finish: Callable[[], None]) -> None:
        self._takers = {digest: Taker(partial(unpacking.one, at)) for digest, at in numbers.items()}
        self._finish = finish

    def taker(self, digest: Digest) -> Taker | None:
        """Who takes the bytes of this blob; ``None`` where nobody needs them."""
        return self._takers.get(digest)

    def finish(self) -> None:
        """Let the layers be seen: call this when all blobs are in the store, verified. What was not given to
        a taker is unpacked now. Errors as ``Snapshots.ensure``, and then none of them is seen."""
        for taker in self._takers.values():
            taker.wait()
        self._finish()

    def close(self) -> None:
        """Give up what is still being unpacked."""
        for taker in self._takers.values():
            taker.close()
