"""What we save, another engine loads and runs."""

import os
import subprocess
from pathlib import Path

import pytest

from sandcell.runtime import Engine
from sandcell.runtime.linux.host import Host

CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""

# The installed OCI runtimes know no host with both kinds of control groups: the second is hidden
# from them, in a mount namespace of their own.
SCRIPT = """
umount /sys/fs/cgroup/unified 2>/dev/null
set -e
podman load -q -i "$1" >&2
podman run --rm --network none localhost/saved:1 sh -c 'cat /file; echo "pid $$, $COLOUR"'
podman rmi -af >&2
"""


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.peer("podman", "crun", "unshare")
def test_podman_runs_a_saved_image(session_folder: Path, host: Host) -> None:
    if os.geteuid() != 0 or host.rung != "root":
        pytest.skip("podman is driven as root here")
    # A short path: podman waits 20 s for a socket whose name has become too long.
    tmp_path = session_folder / "p"
    tmp_path.mkdir()
    archive = tmp_path / "image.tar"
    with Engine(tmp_path / "home", tmp_path / "run") as engine:
        engine.build("FROM host:tiny\nRUN echo from the image > /file\nENV COLOUR=blue", name="saved:1")
        engine.save("saved:1", archive)
    (tmp_path / "containers.conf").write_text(CONTAINERS)
    storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{tmp_path}/graph"\nrunroot = "{tmp_path}/state"\n'
    (tmp_path / "storage.conf").write_text(storage)
    environment = {
        **os.environ,
        "CONTAINERS_CONF": str(tmp_path / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(tmp_path / "storage.conf"),
    }
    words = ["unshare", "-m", "--propagation", "private", "sh", "-c", SCRIPT, "sh", str(archive)]
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "from the image\npid 1, blue\n"
