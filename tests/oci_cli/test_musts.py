"""The table of what the specification demands names tests that there are, and all of these are run."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs/reference/oci-runtime.md"


def test_the_table_names_tests_that_there_are() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    files = [*TESTS.glob("oci_cli/test_*.py"), *TESTS.glob("container/test_bundle_*.py")]
    files += TESTS.glob("guest/holds_*.py")
    there = {name for file in files for name in re.findall(r"^def (\w+)", file.read_text(), re.MULTILINE)}
    assert len(rows) > 50
    for row in rows:
        named = re.findall(r"`(test_\w+|\w+_version_2|a_disk_\w+)`", row)
        assert named, f"no test for: {row}"
        assert set(named) <= there, row
