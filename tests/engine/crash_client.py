"""A client that does one thing again and again until it is killed: see ``test_crashes``.

It says ``ready``, then a line for each time: ``done``, ``refused`` with an error that is meant for
people, or ``broken`` with one that is not.
"""

import itertools
import os
import traceback
from typing import TextIO

from sandcell.runtime import Engine, Options
from sandcell.runtime.errors import SandcellError
from tests.engine import crafted
from tests.engine.crafted import TINY


def create(engine: Engine, number: int) -> None:
    engine.create(TINY, ("true",), Options(name=f"c{os.getpid()}-{number}"))


def start(engine: Engine, number: int) -> None:
    engine.start(engine.create(TINY, ("sleep", "1000")))


def run(engine: Engine, number: int) -> None:
    engine.run(TINY, ("sh", "-c", "echo x > /x; sleep 0.01"))


def throw_away(engine: Engine, number: int) -> None:
    engine.run(TINY, ("sh", "-c", "echo x > /x"), Options(remove=True))


def execute(engine: Engine, number: int) -> None:
    if number == 0:
        engine.create(TINY, ("sleep", "1000"), Options(name=f"e{os.getpid()}"))
    if engine.container(f"e{os.getpid()}").state != "running":
        engine.start(f"e{os.getpid()}")
    engine.exec(f"e{os.getpid()}", ("sh", "-c", "echo x > /x; sleep 0.01"))


def commit(engine: Engine, number: int) -> None:
    if number == 0:
        made = engine.create(
            TINY, ("dd", "if=/dev/urandom", "of=/x", "bs=1M", "count=4"), Options(name=f"m{os.getpid()}")
        )
        engine.start(made)
        engine.wait(made)
    engine.commit(f"m{os.getpid()}", "committed:1")


def build(engine: Engine, number: int) -> None:
    engine.build(
        f"FROM {TINY}\nRUN echo {os.getpid()} {number} > /x; sleep 0.02\nRUN cat /x > /y", name="built:1"
    )


def unpack(engine: Engine, number: int) -> None:
    files = [crafted.file(f"f{n}", os.urandom(50_000)) for n in range(20)]
    crafted.make(engine, "unpacked:1", *files)
    engine.create("unpacked:1", ("true",))


def remove(engine: Engine, number: int) -> None:
    made = engine.create(TINY, ("sleep", "1000"), Options(name=f"r{os.getpid()}-{number}"))
    engine.start(made)
    engine.remove(made, force=True)


ACTIONS = (create, start, run, throw_away, execute, commit, build, unpack, remove)


def main(home: str, run_home: str, what: str, out: TextIO) -> None:
    """Do it until the end of this process."""
    action = {one.__name__: one for one in ACTIONS}[what]
    with Engine(home, run_home) as engine:
        engine.image(TINY)
        engine.run(TINY, ("true",), Options(remove=True))
        print("ready", file=out, flush=True)
        for number in itertools.count():
            try:
                action(engine, number)
                print("done", file=out, flush=True)
            except SandcellError as error:
                print("refused", error, file=out, flush=True)
            except Exception:
                print("broken", traceback.format_exc().replace("\n", "\x1f"), file=out, flush=True)
