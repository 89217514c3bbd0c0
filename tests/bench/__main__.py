"""``./dev bench [NAME…] [--json FILE]``: ours and the peers, side by side.

NAME is the beginning of a row's name (``start``, ``start.crun``); without one, every row is measured.
The table goes to standard output; ``--json`` writes one record per line.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import (
    build,
    commands,
    enter,
    inspector,
    kernel,
    layers,
    lessons,
    many,
    registry,
    runtimes,
    start,
)
from tests.bench.record import Record, line, record, table
from tests.bench.row import Row, measure
from tests.bench.world import World

ROWS: tuple[Row, ...] = (
    *start.ROWS,
    *many.ROWS,
    *enter.ROWS,
    *build.ROWS,
    *kernel.ROWS,
    *commands.ROWS,
    *runtimes.ROWS,
    *layers.ROWS,
    *registry.ROWS,
    *inspector.ROWS,
    *lessons.ROWS,
)
FAILED = "ours failed"


def chosen(rows: tuple[Row, ...], names: list[str]) -> list[Row]:
    """The rows whose name begins with one of ``names``; all for none. Raises SystemExit for a name that
    begins no row's."""
    for name in names:
        if not any(row.name.startswith(name) for row in rows):
            raise SystemExit(f"no row is called {name}; rows are: {', '.join(row.name for row in rows)}")
    return [row for row in rows if not names or row.name.startswith(tuple(names))]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write. Returns the exit status: 1 where a row of ours failed, 0 also where a bound
    was missed."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginning of a row's name")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write one record per line")
    parser.add_argument("--list", action="store_true", help="name the rows and end")
    given = parser.parse_args(arguments)
    rows = chosen(ROWS, given.names)
    if given.list:
        print("\n".join(row.name for row in rows))
        return 0
    records: list[Record] = []
    with World() as world:
        for row in rows:
            print(f"measuring {row.name} …", file=sys.stderr, flush=True)
            try:
                with ExitStack() as stack:
                    records += measure(row, row.sides(world, stack), world.machine)
            except Exception as error:
                # The other rows are still worth having.
                failed = f"{FAILED}: {type(error).__name__}: {error}"
                records.append(record(row.name, 0.0, row.unit, world.machine, ours=None, skipped=failed))
        machine = world.machine
    print(table(records))
    print(f"\n{machine.cpu} × {machine.cores}, Linux {machine.kernel}, Python {machine.python}, ", end="")
    print(f"cgroups {machine.cgroups}, {machine.filesystem}. Medians (min–max).")
    if given.json:
        given.json.write_text("".join(f"{line(it)}\n" for it in records))
    return int(any(it.skipped.startswith(FAILED) for it in records))


if __name__ == "__main__":
    raise SystemExit(main())
