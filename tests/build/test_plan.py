"""Whatever is written, a plan is made or one clear error is raised."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sandcell.runtime.build.dockerfile import KEYWORDS
from sandcell.runtime.build.plan import plan
from sandcell.runtime.errors import SandcellError
from tests.build.test_golden import find_config

WORDS = st.sampled_from(
    [
        "a",
        "b c",
        "$a",
        "${a:-b}",
        "${a",
        "'q",
        '"r s"',
        "\\",
        "a=1",
        "a=$a",
        "--from=0",
        "--from=one",
        "--chown=x",
        "--network=none",
        "--platform=linux",
        "[",
        '["x", "y"]',
        '["x", 1]',
        "/",
        ".",
        "..",
        "../x",
        "80",
        "80-1",
        "x/",
        "<<E",
        "<<'E' x",
        "AS one",
        "host",
        "scratch",
        "triggered",
        "NONE",
        "CMD x",
        "SIGTERM",
        "9",
        "RUN x",
        "é",
        "\x00",
    ]
)
LINES = st.tuples(st.sampled_from([*sorted(KEYWORDS), "FROM", "FROM"]), st.lists(WORDS, max_size=4)).map(
    lambda row: f"{row[0]} {' '.join(row[1])}\n" + ("E\n" if "<<E" in row[1] else "")
)


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=6).map("".join), st.sampled_from([None, "one", "0", "9"]))
def test_any_text_gives_a_plan_or_an_error_with_lines(text: str, target: str | None) -> None:
    text = f"FROM host AS one\n{text}"
    try:
        made = plan(text, find_config=find_config, build_args={"a": "v", "z": ""}, target=target)
    except SandcellError as error:
        lines = getattr(error, "lines", (1, 1))
        assert 1 <= lines[0] <= lines[1] <= text.count("\n") + 1
        assert error.cause
        return
    assert len(str(made).splitlines()) >= len(made.ops)
    for op in made.ops:
        assert "\n" not in op.describe()
        assert 1 <= op.lines[0] <= op.lines[1]
