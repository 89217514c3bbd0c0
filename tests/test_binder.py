"""``binder/``: its scripts do what they say, where nothing but files may be made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandcell import Engine

BINDER = Path(__file__).parents[1] / "binder"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_images_are_built_without_namespaces_and_found_by_what_start_starts(tmp_path: Path) -> None:
    prefix = tmp_path / "conda"
    (prefix / "share").mkdir(parents=True)
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CONDA_PREFIX": str(prefix),
        "SANDCELL_RUN": str(tmp_path / "run"),
        "SANDCELL_RUNG": "none",
    }
    given = {**env, "SANDCELL_HOME": str(tmp_path / "store")}
    built = subprocess.run([BINDER / "postBuild"], env=given, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    started = subprocess.run(
        [BINDER / "start", "sh", "-c", 'echo "$SANDCELL_HOME"'],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert started.stdout.strip() == str(tmp_path / "store")
    with Engine(tmp_path / "store", tmp_path / "run") as engine:
        names = {entry.name for entry in engine.images()}
    assert {"lessons/host:latest", "lessons/host-tiny:latest"} <= names
