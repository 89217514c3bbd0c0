"""Modes as --chmod writes them; chmod(1) is the witness for the symbolic ones."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandcell.runtime.build.modes import BadMode, read_mode


@pytest.mark.parametrize(
    ("text", "mode", "is_directory", "expected"),
    [
        ("755", 0o600, False, 0o755),
        ("4755", 0o600, False, 0o4755),
        ("0", 0o600, False, 0),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("+x", 0o644, False, 0o755),
        ("a-w", 0o666, False, 0o444),
        ("g=u", 0o640, False, 0o660),
        ("u+s,o=", 0o755, False, 0o4750),
        ("+t", 0o755, True, 0o1755),
        ("u=rw+x", 0o000, False, 0o700),
    ],
)
def test_a_mode_changes_bits(text: str, mode: int, is_directory: bool, expected: int) -> None:
    assert oct(read_mode(text)(mode, is_directory)) == oct(expected)


@pytest.mark.parametrize("text", ["", "8", "u+y", "rwx", "x=r", "u+r,", "77777", "0o755", "u=rw g=r"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(BadMode):
        read_mode(text)


WHAT = st.one_of(st.sampled_from(["u", "g", "o"]), st.text(alphabet="rwxXst", max_size=4))
CLAUSE = st.tuples(st.text(alphabet="ugoa", max_size=2), st.sampled_from("+-="), WHAT).map("".join)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(CLAUSE, min_size=1, max_size=3).map(",".join), st.integers(0, 0o777), st.booleans())
def test_chmod_agrees(
    tmp_path_factory: pytest.TempPathFactory, text: str, mode: int, is_directory: bool
) -> None:
    path = Path(tmp_path_factory.mktemp("mode"), "x")
    path.mkdir() if is_directory else path.touch()
    path.chmod(mode)
    done = subprocess.run(["chmod", "--", text, path], umask=0, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert oct(read_mode(text)(mode, is_directory)) == oct(stat.S_IMODE(os.stat(path).st_mode))
