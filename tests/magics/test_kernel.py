"""The magics in a real Jupyter kernel over real containers."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandcell.runtime import Engine, Options
from tests.magics.real_kernel import Answer, Kernel, Message

pytestmark = [pytest.mark.notebook, pytest.mark.kernel, pytest.mark.slow]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The same store as the kernel's, seen from here."""
    base = tmp_path_factory.mktemp("kernel")
    with Engine(base / "home", base / "run") as engine:
        engine.image("host:tiny")
        engine.image("host")
        yield engine
        for container in engine.containers(all=True):
            engine.remove(container, force=True)


@pytest.fixture(scope="module")
def kernel(engine: Engine) -> Iterator[Kernel]:
    kernel = Kernel(Path(engine.places.home), Path(engine.places.run))
    assert kernel("%load_ext sandcell").error == ""
    yield kernel
    kernel.close()


def once(text: str, act: Callable[[], object]) -> Callable[[Message], None]:
    """A listener that acts when ``text`` is first seen in the output."""
    done = False
    seen = ""

    def heard(message: Message) -> None:
        nonlocal done, seen
        seen += message.content.get("text", "")
        if not done and text in seen:
            done = True
            act()

    return heard


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_loading_is_quick(kernel: Kernel) -> None:
    took = kernel.value(
        "import time\n%unload_ext sandcell\nstart = time.thread_time()\n"
        "%load_ext sandcell\ntime.thread_time() - start"
    )
    assert took < 0.15


def test_a_cell_is_alone(kernel: Kernel, engine: Engine) -> None:
    answer = kernel("%%container host --name alone\necho $$\nhostname\necho x > /made-here\n")
    pid, hostname = answer.stream().split()
    assert pid == "1"
    assert hostname == engine.container("alone").id[:12]
    assert not Path("/made-here").exists()
    assert "+1 ~0 -0 · image unchanged" in answer.plain
    again = kernel("%%container host --rm\ntest ! -e /made-here\n")
    assert again.error == ""


def test_output_streams_as_it_is_produced(kernel: Kernel, engine: Engine) -> None:
    # Each line is written when the one before has been seen.
    heard = [once(f"line{n}", lambda n=n: engine.exec("streams", ("touch", f"/seen{n}"))) for n in (1, 2)]
    script = "".join(f"echo line{n}\nuntil test -e /seen{n}; do sleep 0.05; done\n" for n in (1, 2))
    answer = kernel(
        f"%%container host:tiny --rm --name streams\n{script}echo line3; echo oops >&2\n",
        heard=lambda message: [one(message) for one in heard],
    )
    assert answer.stream() == "line1\nline2\nline3\n"
    assert answer.stream("stderr") == "oops\n"


def test_a_front_end_is_told_what_tab_may_write(kernel: Kernel, engine: Engine) -> None:
    engine.create("host:tiny", ("sleep", "9"), Options(name="worker-1"))
    kernel("%container ls")
    assert kernel.completions("%%image x\nFROM host\nENTRY") == ["%%image x\nFROM host\nENTRYPOINT"]
    assert "%%image x\nFROM host:tiny" in kernel.completions("%%image x\nFROM ho")
    assert kernel.completions("%%container --in work") == ["%%container --in worker-1"]
    assert kernel.completions("%container logs work") == ["%container logs worker-1"]
    assert kernel.completions("%container unp") == ["%container unpause"]
    assert kernel.completions("%%container host --pids") == ["%%container host --pids-limit"]


def test_bytes_that_are_no_text(kernel: Kernel) -> None:
    answer = kernel(
        "%%container host:tiny --rm\nprintf 'a\\377b\\n'; printf '\\303'; sleep 0.3\n"
        "printf '\\244\\n10%%\\r20%%\\n'\n"
    )
    assert answer.stream() == "a\ufffdb\nä\n10%\r20%\n"


def test_an_interrupt_ends_the_cell_and_its_container(kernel: Kernel, engine: Engine) -> None:
    heard = once("started", kernel.interrupt)
    # Who speaks is who waits: pid 1 would not hear the signal before its child is there.
    cell = "%%container host:tiny --name stopped\nsh -c 'echo started; exec sleep 1000'\n"
    answer = kernel(cell, heard=heard)
    assert answer.error == "interrupted: exit status 130"
    assert "interrupted by SIGINT" in answer.plain
    assert engine.container("stopped").state == "exited"


def test_grandchildren_that_ignore_the_interrupt_end_too(kernel: Kernel, engine: Engine) -> None:
    script = "trap '' INT\n(trap '' INT TERM; sleep 1000) &\necho started\nsleep 1000\nsleep 1000\n"
    began = time.monotonic()
    answer = kernel(f"%%container host:tiny --name deaf\n{script}", heard=once("started", kernel.interrupt))
    assert "still running after SIGINT: sending SIGTERM" in answer.stream("stderr")
    assert time.monotonic() - began < 40
    assert engine.container("deaf").state == "exited"


def test_a_second_interrupt_hastens(kernel: Kernel) -> None:
    twice = once("started", kernel.interrupt)
    again = once("sending SIGTERM", kernel.interrupt)
    third = once("sending SIGKILL", lambda: None)

    def heard(message: Message) -> None:
        twice(message)
        again(message)
        third(message)

    answer = kernel(
        "%%container host:tiny --rm\ntrap '' INT TERM\necho started\nsleep 99;sleep 99;sleep 99\n",
        heard=heard,
    )
    assert "exit 137" in answer.plain
    assert "interrupted by SIGKILL" in answer.plain


def test_a_flood_is_bounded_and_stays_interruptible(kernel: Kernel) -> None:
    answer = kernel("%%container host:tiny --rm\nyes\n", heard=once("y\n" * 1000, kernel.interrupt))
    assert answer.error.startswith("interrupted")
    assert len(answer.stream()) <= (1 << 20) + 1000


def test_an_interrupt_inside_ends_only_what_the_cell_started(kernel: Kernel, engine: Engine) -> None:
    kernel("%%container host:tiny -d --name server\nwhile true; do sleep 1; done\n")
    answer = kernel(
        "%%container --in server\n(sleep 998; echo never) &\necho started\nsleep 999\n",
        heard=once("started", kernel.interrupt),
    )
    assert answer.error.startswith("interrupted")
    assert engine.container("server").state == "running"
    left = engine.exec("server", ("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).text
    assert "99" not in re.findall(r"sleep (\d+)", left)
    assert "998" not in left
    assert "999" not in left
    kernel("%container rm -f server")


def test_a_restarted_kernel_ends_its_cell_and_leaves_the_background_alone(engine: Engine) -> None:
    other = Kernel(Path(engine.places.home), Path(engine.places.run))
    try:
        other("%load_ext sandcell")
        other("%%container host:tiny -d --name stays\nwhile true; do sleep 1; done\n")
        request = other.send("%%container host:tiny --name goes\necho started\nsleep 1000\n")
        until(lambda: any(c.name == "goes" and c.state == "running" for c in engine.containers()))
        other.restart()
        until(lambda: engine.container("goes").state == "exited")
        assert engine.container("stays").state == "running"
        other("%load_ext sandcell")
        assert "stays" in other("%container ls").plain
        assert request
    finally:
        other.close()
    engine.remove("stays", force=True)


def test_python_tracebacks_show_the_cell(kernel: Kernel) -> None:
    answer = kernel("%%container host --rm --with python3\nimport os\nassert os.getpid() == 1\n\nboom()\n")
    assert 'File "/run/sandcell/cell", line 4, in <module>\n    boom()' in answer.stream("stderr")
    assert answer.error.startswith("exit status 1")


def test_values_cross(kernel: Kernel) -> None:
    kernel("data = {'a': [1, 2.5, None]}; text = 'zwei wörter'; raw = bytes(range(256))")
    answer = kernel(
        "%%container host --rm --with python3 --send data --send text --send raw"
        " --fetch back --fetch flipped\nback = [data, text]; flipped = raw[::-1]\n"
    )
    assert answer.error == ""
    assert kernel.value("back") == [{"a": [1, 2.5, None]}, "zwei wörter"]
    assert kernel.value("flipped == raw[::-1]") is True
    answer = kernel(
        '%%container host:tiny --rm --send data --fetch copy\ncat "$data" > $SANDCELL_OUT/copy.json\n'
    )
    assert kernel.value("copy == data") is True


def test_values_cross_inside_a_running_container(kernel: Kernel) -> None:
    kernel("%%container host:tiny -d --name server\nwhile true; do sleep 1; done\n")
    kernel("data = [1]")
    kernel('%%container --in server --send data --fetch copy\ncat "$data" > $SANDCELL_OUT/copy.json\n')
    assert kernel.value("copy") == [1]
    kernel("%container rm -f server")


def test_fifty_megabytes_come_back(kernel: Kernel) -> None:
    answer = kernel("%%container host --rm --with python3 --fetch big\nbig = bytes(range(200)) * 250_000\n")
    assert answer.error == ""
    assert kernel.value("big == bytes(range(200)) * 250_000") is True


def test_running_a_cell_again_replaces_its_container(kernel: Kernel, engine: Engine) -> None:
    # One with --rm from a test before may still be on its way out.
    before = {container.id for container in engine.containers(all=True)}
    kernel("%%container host:tiny\ntrue", cell_id="one")
    answer = kernel("%%container host:tiny\necho changed", cell_id="one")
    assert "replaces" in answer.plain
    kernel("%container ls")
    assert len({container.id for container in engine.containers(all=True)} - before) == 1


def test_the_memory_limit_is_told(kernel: Kernel, engine: Engine) -> None:
    if engine.host.facet("limits").state != "real":
        pytest.skip(engine.host.facet("limits").reason)
    answer = kernel("%%container host --rm --memory 48m --with python3\nx = b'x' * 200_000_000\n")
    assert "out of memory" in answer.plain
    assert "the memory limit was reached" in answer.error


def test_bad_input_is_one_clear_error_each(kernel: Kernel) -> None:
    for cell, told in (
        ("%%container nosuch\ntrue", "nosuch"),
        ("%%container --in nosuch\ntrue", "nosuch"),
        ("%%container host", "the cell is empty"),
        ("%%container host --memory 1k\ntrue", "--memory"),
        ("%container start nosuch", "nosuch"),
    ):
        error = kernel(cell).error
        assert told in error
        assert "Traceback" not in error
        assert len(error.splitlines()) <= 3


WIDGET = "application/vnd.jupyter.widget-view+json"


def shown(answer: Answer) -> list[dict[str, str]]:
    return [m.content["data"] for m in answer.messages if m.kind in ("display_data", "execute_result")]


def test_magics_save_no_widget_and_the_inspector_leaves_cards(kernel: Kernel) -> None:
    for cell in (
        "%%image seen\nFROM host:tiny\nRUN echo one > /one\n",
        "%%image seen --explain\nFROM host:tiny\n",
        "%%container seen --name looked --as ran\nrm /one\n",
        "%container ls --all",
        "%container diff looked",
        "%image history seen",
        "%image files seen",
        "ran",
    ):
        found = shown(kernel(cell))
        assert found, cell
        assert all(set(data) <= {"text/plain", "text/html", "image/png"} for data in found), cell
    widget, still = shown(kernel("%sandcell"))
    assert WIDGET in widget
    assert set(still) == {"text/plain", "text/html"}
    for text in still.values():
        assert "seen:latest" in text
        assert "looked" in text


def test_every_value_comes_alive_where_it_is(kernel: Kernel, engine: Engine) -> None:
    engine.build("FROM host:tiny\nRUN echo two > /two\n", name="alive")
    digest, base = str(engine.image("alive").digest), str(engine.image("host:tiny").digest)
    id = engine.create("alive", ("true",), Options(name="alive")).id
    kernel("from sandcell import Engine\nengine = Engine()")
    for value, chosen in (
        ("engine.image('alive')", {"kind": "image", "key": digest}),
        ("engine.image('alive').layers[1]", {"kind": "layer", "key": digest, "number": 2}),
        ("engine.container('alive')", {"kind": "container", "key": id}),
        ("engine.explain('alive')", {"kind": "image", "key": digest}),
        ("engine.plan('FROM host:tiny')", {"kind": "image", "key": base}),
        ("engine.plan('FROM scratch')", {}),
    ):
        answer = kernel(f"{value}.live()")
        assert answer.error == "", value
        opened = [m.content["data"]["state"] for m in answer.messages if m.kind == "comm_open"]
        assert chosen in [state.get("chosen") for state in opened], value
    kernel("engine.close()")
