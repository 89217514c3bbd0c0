"""A client that does one thing again and again until it is killed: see ``test_crashes``.

``python crash_client.py HOME RUN WHAT`` prints ``ready``, then a line for each time: ``done``,
``refused`` with an error that is meant for people, or ``broken`` with one that is not.
"""

import itertools
import os
import sys
import traceback

from sandcell.runtime import Engine, Options
from sandcell.runtime.errors import SandcellError
from tests.engine import crafted
from tests.engine.crafted import TINY

_ME = f"{os.getpid()}"


def create(engine: Engine, number: int) -> None:
    engine.create(TINY, ("true",), Options(name=f"c{_ME}-{number}"))


def start(engine: Engine, number: int) -> None:
    engine.start(engine.create(TINY, ("sleep", "1000")))


def run(engine: Engine, number: int) -> None:
    engine.run(TINY, ("sh", "-c", "echo x > /x; sleep 0.01"))


def throw_away(engine: Engine, number: int) -> None:
    engine.run(TINY, ("sh", "-c", "echo x > /x"), Options(remove=True))


def execute(engine: Engine, number: int) -> None:
    if number == 0:
        engine.create(TINY, ("sleep", "1000"), Options(name=f"e{_ME}"))
    if engine.container(f"e{_ME}").state != "running":
        engine.start(f"e{_ME}")
    engine.exec(f"e{_ME}", ("sh", "-c", "echo x > /x; sleep 0.01"))


def commit(engine: Engine, number: int) -> None:
    if number == 0:
        made = engine.create(
            TINY, ("dd", "if=/dev/urandom", "of=/x", "bs=1M", "count=4"), Options(name=f"m{_ME}")
        )
        engine.start(made)
        engine.wait(made)
    engine.commit(f"m{_ME}", "committed:1")


def build(engine: Engine, number: int) -> None:
    engine.build(f"FROM {TINY}\nRUN echo {_ME} {number} > /x; sleep 0.02\nRUN cat /x > /y", name="built:1")


def unpack(engine: Engine, number: int) -> None:
    files = [crafted.file(f"f{n}", os.urandom(50_000)) for n in range(20)]
    crafted.make(engine, "unpacked:1", *files)
    engine.create("unpacked:1", ("true",))


def remove(engine: Engine, number: int) -> None:
    made = engine.create(TINY, ("sleep", "1000"), Options(name=f"r{_ME}-{number}"))
    engine.start(made)
    engine.remove(made, force=True)


if __name__ == "__main__":
    home, run_home, what = sys.argv[1:]
    action = {
        f.__name__: f for f in (create, start, run, throw_away, execute, commit, build, unpack, remove)
    }[what]
    with Engine(home, run_home) as engine:
        engine.image(TINY)
        engine.run(TINY, ("true",), Options(remove=True))
        print("ready", flush=True)
        for number in itertools.count():
            try:
                action(engine, number)
                print("done", flush=True)
            except SandcellError as error:
                print("refused", error, flush=True)
            except Exception:
                print("broken", traceback.format_exc().replace("\n", "\x1f"), flush=True)
