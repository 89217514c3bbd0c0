"""One verb, many names: do each, tell what failed, go on with the next."""

import sys
from collections.abc import Callable, Sequence

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.failure import complain, exit_status
from sandcell.runtime.errors import SandcellError


def each(
    door: Door,
    names: Sequence[str],
    act: Callable[[str], object],
    forgiven: tuple[type[SandcellError], ...] = (),
) -> int:
    """Call ``act`` with every name and print the name, or what ``act`` returns if that is text.

    The exit status is 0 if all went well, else that of the last failure (docker-rm(1) too goes on
    after one). Failures that are ``forgiven`` are told, and no more.
    """
    status = 0
    for name in names:
        try:
            answer = act(name)
        except SandcellError as error:
            complain(error)
            if not isinstance(error, forgiven):
                status = exit_status(error, door.verb)
        else:
            print(answer if isinstance(answer, str) else name, flush=True)
    return status


def agreed(found: Sequence[str], what: str) -> bool:
    """Show what would be removed and ask; false, and said, unless the answer is yes."""
    for name in found:
        print(f"would go: {name}")
    print(f"This will remove {len(found)} {what}. Go on? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("nothing was removed")
    return False
