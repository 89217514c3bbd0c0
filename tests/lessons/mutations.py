"""For every check of every lesson: a change of what really is, after which the check must see something else.

Each takes the lesson's engine and the notebook's names. One that yields undoes the change after the look,
because later cells of the lesson need what it changed.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from sandcell import Engine, Options

Names = dict[str, Any]
MUTATIONS: dict[tuple[str, str], Callable[[Engine, Names], Iterator[None] | None]] = {}


def breaks(lesson: str, question: str) -> Callable[[Any], Any]:
    """The function changes what that question of that lesson is about."""

    def keep(function: Any) -> Any:
        MUTATIONS[lesson, question] = function
        return function

    return keep


def run(engine: Engine, name: str, script: str, image: str = "", **options: Any) -> None:
    """A container of that name ran the script and has ended; one of that name before is replaced."""
    image = image or name.partition("-")[0]
    engine.run(image, ("sh", "-c", script), Options(name=name, replace=True, **options))


def start(engine: Engine, name: str, script: str, **options: Any) -> None:
    """A container of that name runs the script in the background."""
    made = Options(name=name, replace=True, **options)
    engine.start(engine.create(name.partition("-")[0], ("sh", "-c", script), made))


def another(engine: Engine, name: str, *instructions: str, base: str = "host:tiny") -> Iterator[None]:
    """The name leads to another image, until the check has looked."""
    before = engine.image(name).digest
    number = name[6:8]
    lines = (f"FROM {base}", f'LABEL sandcell.lesson="{number}"', *instructions)
    engine.build("\n".join(lines) + "\n", name=name)
    yield
    engine.tag(str(before), name)


@breaks("00", "files")
def _(engine: Engine, names: Names) -> None:
    run(engine, "lesson00-fresh", "rm -rf /usr")


@breaks("00", "pid")
def _(engine: Engine, names: Names) -> None:
    start(engine, "lesson00-sleeper", "exec sleep 1000", pid="host")


@breaks("00", "commit")
def _(engine: Engine, names: Names) -> Iterator[None]:
    return another(engine, "lesson00:latest", "RUN echo other > /note.txt", base="host")


@breaks("01", "diary")
def _(engine: Engine, names: Names) -> None:
    run(engine, "lesson01-b", "touch /diary.txt")


@breaks("01", "one")
def _(engine: Engine, names: Names) -> None:
    start(engine, "lesson01-one", 'echo "I am process number 7"; exec sleep 1000')


@breaks("01", "end")
def _(engine: Engine, names: Names) -> None:
    engine.start("lesson01-one")


@breaks("02", "counter")
def _(engine: Engine, names: Names) -> Iterator[None]:
    engine.exec("lesson02-life", ("sh", "-c", "echo 0 > /counter"))
    yield
    engine.exec("lesson02-life", ("sh", "-c", "echo 1 > /counter"))


@breaks("02", "others")
def _(engine: Engine, names: Names) -> None:
    engine.kill("lesson02-right")
    engine.wait("lesson02-right")


@breaks("02", "lost")
def _(engine: Engine, names: Names) -> None:
    run(engine, "lesson02-life", "echo 1 > /counter; cat /counter")


@breaks("03", "write")
def _(engine: Engine, names: Names) -> Iterator[None]:
    return another(engine, "lesson03:one", "COPY <<EOF /version.txt", "version nine", "EOF")


@breaks("03", "again")
def _(engine: Engine, names: Names) -> Iterator[None]:
    return another(engine, "lesson03:again", "COPY <<EOF /version.txt", "version nine", "EOF")


@breaks("03", "share")
def _(engine: Engine, names: Names) -> Iterator[None]:
    before = engine.image("lesson03:two").digest
    engine.tag("lesson03:one", "lesson03:two")
    yield
    engine.tag(str(before), "lesson03:two")


@breaks("03", "tag")
def _(engine: Engine, names: Names) -> Iterator[None]:
    before = engine.image("lesson03:one").digest
    engine.remove_image("lesson03:one")
    yield
    engine.tag(str(before), "lesson03:one")


@breaks("04", "layers")
def _(engine: Engine, names: Names) -> Iterator[None]:
    more = (f"COPY <<EOF /{number}\n{number}\nEOF" for number in range(6))
    return another(engine, "lesson04:latest", *more)


@breaks("04", "cache")
def _(engine: Engine, names: Names) -> None:
    engine.prune(cache=True)


def _same_file(engine: Engine, names: Names) -> Iterator[None]:
    """The project's file stays as it is, whatever its owner meant to write."""
    write = names["write_greeting"]
    names["write_greeting"] = lambda: None
    yield
    names["write_greeting"] = write


breaks("04", "copy")(_same_file)
breaks("04", "order")(_same_file)


@breaks("05", "digest")
def _(engine: Engine, names: Names) -> Iterator[None]:
    before = engine.image("lesson05").digest
    engine.tag("host:tiny", names["name"])
    yield
    engine.tag(str(before), names["name"])


@breaks("05", "sent")
def _(engine: Engine, names: Names) -> None:
    more = "FROM lesson05\nCOPY <<EOF /a\na\nEOF\nCOPY <<EOF /b\nb\nEOF\n"
    engine.build(more, name=names["name_two"])
    engine.push(names["name_two"])


@breaks("05", "tamper")
def _(engine: Engine, names: Names) -> None:
    with Engine(home=f"{names['folder']}/friend", run=f"{names['folder']}/friend-run") as friend:
        friend.pull(names["name"])


@breaks("06", "layer")
def _(engine: Engine, names: Names) -> Iterator[None]:
    both = ("COPY <<EOF /a", "a", "EOF", "COPY <<A <<B /", "a", "A", "b", "B")
    return another(engine, "lesson06:first", *both)


@breaks("06", "delete")
def _(engine: Engine, names: Names) -> Iterator[None]:
    more = (f"COPY <<EOF /{number}\n{number}\nEOF" for number in range(3))
    return another(engine, "lesson06:latest", *more)


@breaks("06", "once")
def _(engine: Engine, names: Names) -> Iterator[None]:
    before = engine.image("lesson06:once").digest
    engine.tag("lesson06:first", "lesson06:once")
    yield
    engine.tag(str(before), "lesson06:once")


_WORLD = "for word in hostname system user pid; do echo $word: 1; done; exec sleep 1000"


@breaks("07", "kernel")
def _(engine: Engine, names: Names) -> None:
    start(engine, "lesson07-world", f'echo "kernel: 9.9.9"; {_WORLD}')


@breaks("07", "namespaces")
def _(engine: Engine, names: Names) -> None:
    start(engine, "lesson07-world", _WORLD, network="host")


@breaks("07", "see")
def _(engine: Engine, names: Names) -> None:
    start(engine, "lesson07-world", _WORLD, pid="host")


@breaks("08", "interfaces")
def _(engine: Engine, names: Names) -> None:
    code = "import socket; print([name for _, name in socket.if_nameindex()])"
    run(engine, "lesson08-lonely", f'python3 -c "{code}"', network="host")


@breaks("08", "port")
def _(engine: Engine, names: Names) -> Iterator[None]:
    engine.stop("lesson08-web", timeout=1)
    yield
    engine.start("lesson08-web")


@breaks("08", "talk")
def _(engine: Engine, names: Names) -> None:
    run(engine, "lesson08-client", "echo nobody answers")


@breaks("09", "memory")
def _(engine: Engine, names: Names) -> None:
    run(engine, "lesson09-greedy", "true")


@breaks("09", "cpu")
def _(engine: Engine, names: Names) -> None:
    run(engine, "lesson09-quarter", "true")


@breaks("09", "start")
def _(engine: Engine, names: Names) -> Iterator[None]:
    slow = "RUN printf '#!/bin/sh\\nsleep 0.4\\n' > /true && mv /true /usr/bin/true && chmod +x /usr/bin/true"
    return another(engine, "lesson09:latest", slow)


@breaks("10", "clock")
def _(engine: Engine, names: Names) -> None:
    # To what it is anyhow: allowed, it changes nothing.
    code = "import time; time.clock_settime(time.CLOCK_REALTIME, time.time()); print('work')"
    run(engine, "lesson10-clock", f'python3 -c "{code}"', cap_add=("SYS_TIME",))


@breaks("10", "calls")
def _(engine: Engine, names: Names) -> None:
    code = (
        f"python3 -c \"import ctypes; print('mount:', 'no' if ctypes.CDLL(None).mount({_MOUNT}) else 'yes')\""
    )
    run(engine, "lesson10-calls", code, cap_add=("SYS_ADMIN",), security=("seccomp=unconfined",))


_MOUNT = "b'none', b'/mnt', b'tmpfs', 0, 0"


@breaks("10", "user")
def _(engine: Engine, names: Names) -> None:
    start(engine, "lesson10-sleeper", "exec sleep 1000", user="1234")


@breaks("11", "pid")
def _(engine: Engine, names: Names) -> Iterator[None]:
    script = "#!/bin/real-sh\\necho pid 7\\n"
    lie = f"RUN cp /bin/sh /bin/real-sh && printf '{script}' > /new && chmod +x /new && mv /new /bin/sh"
    return another(engine, "lesson11:latest", lie)


@breaks("11", "upper")
def _(engine: Engine, names: Names) -> Iterator[None]:
    return another(engine, "lesson11:latest", "COPY <<EOF /other.txt", "no layer.txt", "EOF")


@breaks("12", "guests")
def _(engine: Engine, names: Names) -> None:
    names["ask"]("lesson12-right", "Eve")


@breaks("12", "layers")
def _(engine: Engine, names: Names) -> Iterator[None]:
    return another(engine, "lesson12:2", "COPY <<EOF /a", "a", "EOF")


@breaks("12", "version")
def _(engine: Engine, names: Names) -> None:
    names["serve"]("lesson12-right", "lesson12:2")


class _Otherwise:
    """An engine whose containers are as the quiz's wrong answers say: what it does is real, and too much."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self, image: str, command: tuple[str, ...], options: Options) -> Any:
        """Every container is among the host's processes."""
        return self._engine.run(image, command, msgspec.structs.replace(options, pid="host"))

    def commit(self, container: str, name: str) -> Any:
        """The name of the old image leads to the new one."""
        made = self._engine.commit(container, name)
        self._engine.tag(name, "lesson12:1")
        return made

    def build(self, text: str) -> Any:
        """Nothing is found again."""
        self._engine.prune(cache=True)
        return self._engine.build(text)


@breaks("12", "quiz")
def _(engine: Engine, names: Names) -> Iterator[None]:
    programs = {"uname": "echo 9.9", "touch": "true"}
    lies = (
        f"RUN printf '#!/bin/sh\\n{does}\\n' > /new && chmod +x /new && mv /new /usr/bin/{name}"
        for name, does in programs.items()
    )
    engine.tag("lesson12:1", "lesson12:kept")  # or it would go with the cache
    names["engine"] = _Otherwise(engine)
    yield from another(engine, "lesson12:1", "RUN mkdir /app && touch /mark", *lies)
    names["engine"] = engine
    engine.remove_image("lesson12:kept")


def observed(said: str) -> str:
    """What a check says it saw."""
    return "".join(re.findall(r"^Observed: (.+)\.$", said, re.MULTILINE))
