"""The AppArmor profile that comes along: it is one, it allows one thing, and it belongs to no program."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sandcell.runtime.linux.host_blame import PROFILE

TEXT = Path(PROFILE).read_text(encoding="utf-8")
RULES = [line.strip() for line in TEXT.splitlines() if line.strip() and not line.startswith("#")]


def test_it_allows_user_namespaces_and_is_attached_to_nothing() -> None:
    assert RULES == [
        "abi <abi/4.0>,",
        "include <tunables/global>",
        "profile sandcell flags=(unconfined) {",
        "userns,",
        "include if exists <local/sandcell>",
        "}",
    ]


@pytest.mark.peer("apparmor_parser")
def test_the_parser_takes_it(tmp_path: Path) -> None:
    parser = shutil.which("apparmor_parser") or ""
    said = subprocess.run([parser, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", said)
    assert found, said
    text = TEXT
    if int(found[1]) < 4:
        # It has not heard of user namespaces yet, and would not be asked about them either; the rest holds.
        text = text.replace("abi/4.0", "abi/3.0").replace("  userns,\n", "")
    copy = tmp_path / "sandcell"
    copy.write_text(text)
    done = subprocess.run([parser, "-Q", "-K", copy], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    copy.write_text(text.replace("flags=", "flag="))
    assert subprocess.run([parser, "-Q", "-K", copy], capture_output=True).returncode
