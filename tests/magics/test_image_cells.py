"""``%%image`` in a real IPython shell over a fake engine, and progress as plain state."""

import pytest

from sandcell.magics.progress import Progress, Watcher, tail_of
from sandcell.runtime.errors import BuildFailed, DockerfileError, InvalidReference
from sandcell.runtime.events import (
    BuildFinished,
    BuildStarted,
    BuildWarning,
    StepFinished,
    StepOutput,
    StepStarted,
)
from tests.magics.conftest import Notebook

DOCKERFILE = "FROM host\nRUN echo hi\nCMD sh\n"


def test_it_builds_and_shows_the_image(notebook: Notebook) -> None:
    ran = notebook(f"%%image hello --as img\n{DOCKERFILE}")
    assert ran.error is None
    assert "image hello:latest" in ran.text
    assert "RUN echo hi" in ran.html
    assert "3 steps, 1 cached" in ran.html
    assert notebook.names["img"].digest == notebook.engine.image("hello").digest


def test_without_html_it_writes_one_line_a_step(notebook: Notebook) -> None:
    ran = notebook(f"%%image hello\n{DOCKERFILE}")
    assert "[1/3] FROM host  cached" in ran.out
    assert "[2/3] RUN echo hi  10 ms" in ran.out
    assert len(ran.shown) == 1


def test_with_html_one_display_is_updated_and_ends_as_the_card(notebook: Notebook) -> None:
    notebook.shell.kernel = None
    try:
        ran = notebook(f"%%image hello\n{DOCKERFILE}")
    finally:
        del notebook.shell.kernel
    keys = {item["transient"]["display_id"] for item in ran.shown}
    assert len(keys) == 1
    assert not ran.shown[0].get("update", False)
    assert all(item["update"] for item in ran.shown[1:])
    assert "building" in ran.shown[0]["data"]["text/plain"]
    assert ran.shown[-1]["data"]["text/plain"].startswith("image hello:latest")
    assert ran.out == ""


def test_flags_reach_the_engine(notebook: Notebook) -> None:
    notebook(
        "%%image hello --context /tmp --build-arg A=1 --build-arg B=2 --target t --no-cache --pull\nFROM host"
    )
    assert ("build", "hello:latest", "/tmp", {"A": "1", "B": "2"}, "t", True, True) in notebook.engine.calls


def test_explain_builds_nothing(notebook: Notebook) -> None:
    ran = notebook(f"%%image hello --explain\n{DOCKERFILE}")
    assert "RUN echo hi" in ran.text
    assert not any(call[0] == "build" for call in notebook.engine.calls)


def test_a_bad_line_of_the_dockerfile_is_shown_and_marked(notebook: Notebook) -> None:
    ran = notebook("%%image hello\nFROM host\n\nRUNN echo hi\nCMD sh\n")
    assert isinstance(ran.error, DockerfileError)
    assert "      1 | FROM host" in ran.out
    assert "  >   3 | RUNN echo hi" in ran.out
    assert "      4 | CMD sh" in ran.out
    assert "hint: did you mean RUN?" in ran.out
    assert "Traceback" not in ran.out


def test_a_failed_step_is_marked_and_its_output_stays(notebook: Notebook) -> None:
    notebook.shell.kernel = None
    try:
        ran = notebook("%%image hello\nFROM host\nRUN false --really\n")
    finally:
        del notebook.shell.kernel
    assert isinstance(ran.error, BuildFailed)
    assert "  >   2 | RUN false --really" in ran.out
    last = ran.shown[-1]["data"]["text/plain"]
    assert last.startswith("failed hello:latest")
    assert "done" in last


def test_an_interrupted_build_says_so(notebook: Notebook) -> None:
    notebook.engine.build_error = KeyboardInterrupt()  # type: ignore[assignment]
    ran = notebook(f"%%image hello\n{DOCKERFILE}")
    assert isinstance(ran.error, KeyboardInterrupt)
    assert "interrupted: no image was made" in ran.out
    assert "Traceback" not in ran.out


@pytest.mark.parametrize("name", ["UPPER/Case", "a b", "x:y:z"])
def test_bad_names(notebook: Notebook, name: str) -> None:
    ran = notebook(f"%%image '{name}'\nFROM host")
    assert isinstance(ran.error, InvalidReference)
    assert "Traceback" not in ran.out


def progress() -> Progress:
    state = Progress("hello")
    state.take(BuildStarted(name="hello", steps=("FROM host", "RUN x", "CMD y")))
    state.take(StepStarted(number=1, total=3, text="FROM host"))
    state.take(StepFinished(number=1, cached=True, size=61_000_000))
    state.take(StepStarted(number=2, total=3, text="RUN x"))
    state.take(StepOutput(number=2, stream="stderr", data=b"line\n" * 10_000))
    return state


def test_progress_tells_the_state_of_every_step() -> None:
    state = progress()
    assert [step.state for step in state.steps] == ["cached", "running", "waiting"]
    card = state.card()
    assert "=  1 FROM host  cached · 61 MB" in card.text
    assert "▸  2 RUN x  running" in card.text
    assert len(card.html) < 8_000
    state.fail()
    assert "✗  2 RUN x  failed" in state.card("failed").text


def test_progress_of_a_giant_build_stays_small() -> None:
    state = Progress("hello")
    state.take(BuildStarted(name="hello", steps=tuple(f"RUN {'x' * 500}{n}" for n in range(127))))
    for step in state.steps:
        step.state = "done"
    assert len(state.card().html.encode()) < 40_000
    assert len(state.note().encode()) < 20_000


def test_the_watcher_draws_seldom() -> None:
    drawn: list[str] = []
    now = [0.0]
    watcher = Watcher(Progress("x"), lambda card: drawn.append(card.text), lambda: now[0])
    watcher(BuildStarted(name="x", steps=("RUN a",)))
    watcher(StepStarted(number=1, total=1, text="RUN a"))
    for _ in range(1000):
        now[0] += 0.001
        watcher(StepOutput(number=1, stream="stdout", data=b"."))
    assert len(drawn) < 15


def test_tail_is_what_a_screen_would_show() -> None:
    data = b"a\x1b[31mred\x1b[0m\n10%\r100%\r\n\x1b]0;title\x07last\n\n"
    assert tail_of(data, 5) == ["ared", "100%", "last"]


def test_the_less_usual_flags(notebook: Notebook) -> None:
    notebook(
        "%%image hello --build-context a=/tmp --label x=1 --platform linux/arm64 --cache-to type=inline"
        " --no-cache-filter one,two --secret id=PATH\nFROM host"
    )
    options = notebook.engine.options  # type: ignore[attr-defined]
    assert options.contexts == {"a": "/tmp"}
    assert options.labels == {"x": "1"}
    assert (options.platform, options.cache_to) == ("linux/arm64", ("type=inline",))
    assert options.fresh_stages == ("one", "two")
    assert list(options.secrets) == ["PATH"]


def test_a_bad_flag_is_one_line(notebook: Notebook) -> None:
    ran = notebook("%%image hello --secret src=x\nFROM host")
    assert "it has no id" in ran.out


def test_stages_and_warnings_are_seen() -> None:
    progress = Progress("x")
    for event in (
        BuildStarted(name="x", steps=("RUN a", "RUN b"), stages=("one", "two")),
        StepStarted(number=1, total=2, text="RUN a"),
        StepStarted(number=2, total=2, text="RUN b"),
        StepOutput(number=1, stream="stdout", data=b"<of one>\n"),
        StepOutput(number=2, stream="stdout", data=b"of two\n"),
        BuildWarning(rule="Rule", text="look <out>", lines=(3, 3)),
        StepFinished(number=2, cached=False, size=10, duration=1),
    ):
        progress.take(event)
    card = progress.card()
    assert "▸  1 one: RUN a" in card.text and "✓  2 two: RUN b  1.0 s" in card.text
    assert "! line 3: look <out> (Rule)" in card.text
    assert "&lt;of one&gt;" in card.html and "<details" in card.html and "look &lt;out&gt;" in card.html
    progress.take(StepFinished(number=1, cached=False, duration=1))
    progress.take(BuildFinished(name="x", digest="sha256:1", duration=1.25))
    note = progress.note()
    assert "2 steps, 0 cached, 1.2 s" in note and "of two" in note and "1 warning" in note
