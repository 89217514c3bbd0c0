"""The init of a few instructions: the bytes are what the sources say, and they do what they should."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandcell.runtime.container import reaper
from tests.container.assembled import assembled
from tests.engine.claims import until


@pytest.mark.peer("x86_64-linux-gnu-as")
def test_x86_64_is_what_its_source_says(tmp_path: Path) -> None:
    assert reaper.program("x86_64").endswith(assembled("reaper", "x86_64", tmp_path))


@pytest.mark.peer("aarch64-linux-gnu-as")
def test_aarch64_is_what_its_source_says(tmp_path: Path) -> None:
    assert reaper.program("aarch64").endswith(assembled("reaper", "aarch64", tmp_path))


def test_it_can_neither_be_written_nor_grow() -> None:
    memory = reaper.open_program()
    with pytest.raises(PermissionError):
        os.write(memory, b"x")
    with pytest.raises(PermissionError):
        os.ftruncate(memory, 1 << 20)
    os.close(memory)


# A child of ours that forks the program and becomes its reaper, as a container's first process does.
_BECOME = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
child = os.fork()
if child:
    words = ["init", str(child)] if len(sys.argv) < 4 else [sys.argv[3], sys.argv[1], str(child)]
    os.execv(sys.argv[1], words)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execv("/bin/sh", ["sh", "-c", sys.argv[2]])
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "init"
    path.write_bytes(reaper.program(os.uname().machine))
    path.chmod(0o755)
    yield str(path)


def _status(*words: str) -> int:
    return subprocess.run([sys.executable, "-c", _BECOME, *words], timeout=20).returncode


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -TERM $$", 143)]
)
def test_it_ends_as_its_child_does(own: str, script: str, status: int) -> None:
    assert _status(own, script) == status


# Signals wait for who is not ready, which a shell's traps and its read(1) do not.
_HEAR = """
import os, signal
os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", "sleep 0 &")
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
print("ready", flush=True)
while (name := signal.Signals(signal.sigwait(signal.valid_signals())).name) != "SIGRTMIN":
    if name != "SIGCHLD":
        print(name, flush=True)
os._exit(9)
"""


def test_it_passes_every_signal_on_and_reaps(own: str, tmp_path: Path) -> None:
    hear = tmp_path / "hear"
    hear.write_text(_HEAR)
    argv = [sys.executable, "-c", _BECOME, own, f"exec {sys.executable} {hear}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM"):
                process.send_signal(signal.Signals[name])
                assert process.stdout.readline().strip() == name
            comm = Path(f"/proc/{process.pid}/comm")
            until(lambda: comm.read_text() == "init\n", "its name")
            assert int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4 < 100
            process.send_signal(signal.SIGRTMIN)
            assert process.wait(20) == 9
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.peer("qemu-aarch64")
def test_aarch64_does_the_same_where_it_can_be_emulated(tmp_path: Path) -> None:
    path = tmp_path / "init"
    path.write_bytes(reaper.program("aarch64"))
    path.chmod(0o755)
    emulator = subprocess.run(["which", "qemu-aarch64"], capture_output=True, text=True).stdout.strip()
    become = _BECOME.replace("os.execv(sys.argv[1],", "os.execv(sys.argv[3],")
    passed = "trap 'exit 5' USR1; kill -USR1 $PPID; while :; do sleep 0.01; done"
    for script, status in (("exit 7", 7), ("kill -TERM $$", 143), (passed, 5)):
        done = subprocess.run([sys.executable, "-c", become, str(path), script, emulator], timeout=60)
        assert done.returncode == status, script
