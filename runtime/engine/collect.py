"""Waiting for a process while gathering all it writes."""

import time

import msgspec

from sandcell.runtime.container.output import STDOUT, Listener
from sandcell.runtime.container.running import Running
from sandcell.runtime.container.state import EXITED
from sandcell.runtime.engine.values import Result


def collect(running: Running, on_output: Listener | None) -> Result:
    """The process's whole output and status; ``on_output`` hears each piece as it comes.

    If waiting is interrupted we hang up, and the process goes on unless it was made to end with us.
    """
    begun = time.monotonic()
    kept: dict[bool, bytearray] = {True: bytearray(), False: bytearray()}
    running.close_input()  # nobody here has anything to type
    try:
        for piece in running.output():
            kept[piece.stream == STDOUT] += piece.data
            if on_output is not None:
                on_output(piece)
        status = running.wait()
    finally:
        running.close()
    assert status is not None
    return Result(
        status=status,
        stdout=bytes(kept[True]),
        stderr=bytes(kept[False]),
        duration=time.monotonic() - begun,
        container=msgspec.structs.replace(
            running.container, state=EXITED, pid=None, exit_status=status, oom=running.oom
        ),
    )
