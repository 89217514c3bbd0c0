"""What ``inspect`` of anything takes and prints."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.failure import complain, exit_status
from sandcell.runtime.cli.table import as_json, form_option
from sandcell.runtime.errors import SandcellError

inspect_option = form_option(
    "list", "json", short="-f", help="One list of all, a JSON object a line, or as '{{.State.Status}}'."
)


def inspect_each(door: Door, names: Sequence[str], look: Callable[[str], Any], form: str) -> int:
    """Print what ``look`` finds for the names, in the form that ``inspect_option`` gave; the exit status.
    One that is not there is told, the others are printed."""
    found = []
    status = 0
    for name in names:
        try:
            found.append(look(name))
        except SandcellError as error:
            complain(error)
            status = exit_status(error, door.verb)
    if form == "json":
        for value in found:
            print(as_json(value))
    elif form == "list":
        print(msgspec.json.format(as_json(found), indent=4))
    else:
        from sandcell.runtime.cli.template import compiled

        render = compiled(form)
        for value in found:
            print(render(msgspec.json.decode(as_json(value))))
    return status
