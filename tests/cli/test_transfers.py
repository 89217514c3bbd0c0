"""What is told of pulls and pushes, in plain lines and on a terminal."""

import io
from concurrent.futures import ThreadPoolExecutor

from sandcell.runtime.cli.transfers import Transfers
from sandcell.runtime.events import ImageEvent, TransferEvent


def event(done: int, state: str = "moving", *, action: str = "pull", number: int = 0) -> TransferEvent:
    digest = f"sha256:{number:064x}"
    return TransferEvent(action=action, name="a", digest=digest, done=done, total=50 << 20, state=state)


def test_plain_lines_tell_of_what_has_come() -> None:
    out = io.StringIO()
    told = Transfers(out, moving=False)
    told(ImageEvent(action="pull", name="a", digest=""))
    for one in (event(0), event(1 << 20), event(50 << 20, "done"), event(50 << 20, "exists")):
        told(one)
    told(event(50 << 20, "done", action="push"))
    told(event(50 << 20, "mounted", action="push"))
    told.close()
    words = [line.partition(": ")[2] for line in out.getvalue().splitlines()]
    assert [word.partition(" (")[0] for word in words] == ["here", "exists already", "sent", "mounted"]


def test_a_terminal_sees_bars_that_go() -> None:
    out = io.StringIO()
    out.isatty = lambda: True  # type: ignore[method-assign]
    told = Transfers(out, moving=True)

    def one(number: int) -> None:
        for done in range(0, 50 << 20, 1 << 20):
            told(event(done, number=number))
        told(event(50 << 20, "done", number=number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(8)))
    told.close()
    assert out.getvalue().count(": here (") == 8
