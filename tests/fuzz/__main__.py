"""Coverage-guided fuzzing: ``python -m tests.fuzz TARGET [libFuzzer's options] [corpus directory]``.

``pip install atheris`` first. A find is written as ``crash-…`` to the working directory; it belongs into
``FOUND`` of ``tests/fuzz/test_fuzz.py``.
"""

import sys

import atheris

ROOMS = [f"sandcell.runtime.{room}" for room in ("oci", "layer", "build")]
with atheris.instrument_imports(include=[*ROOMS, "tests.fuzz"]):
    from tests.fuzz.targets import TARGETS, attempt

NAME = sys.argv[1] if len(sys.argv) > 1 else ""
if NAME not in TARGETS:
    raise SystemExit(f"name one of {', '.join(TARGETS)}")
atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: attempt(NAME, data))
atheris.Fuzz()
