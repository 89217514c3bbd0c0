"""Whether what failed deserves a second look: ``./dev test`` asks after a whole run that failed.

Tests with a real kernel, a real registry and a real browser meet a busy machine; one of thousands that
fails once and passes by itself should be known and mended, but it is no reason to refuse a change. More
than a handful, or anything left behind on the machine, is.
"""

import json
import sys
from pathlib import Path

MOST = 5


def worth_it(failed: list[str], left: list[str]) -> bool:
    return 0 < len(failed) <= MOST and not left


def _kept(name: str) -> list[str]:
    file = Path(".pytest_cache/v") / name
    return list(json.loads(file.read_text())) if file.exists() else []


if __name__ == "__main__":
    failed = _kept("cache/lastfailed")
    if not worth_it(failed, _kept("sandcell/left")):
        sys.exit(1)
    print("once more, by themselves (to be mended, even if they pass now):", *failed, sep="\n  ")
