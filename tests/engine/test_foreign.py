"""Programs of another processor: really run, by the emulator that binfmt_misc names. The table is that of a
user namespace of the test's own (Linux 6.7), so that the machine's stays as it is."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.kernel]

HELLO = """.global _start
_start:
    mov x0, #1
    adr x1, text
    mov x2, #6
    mov x8, #64
    svc #0
    mov x0, #7
    mov x8, #93
    svc #0
text: .ascii "hello\\n"
"""
"""write(2) and exit_group(2) with status 7."""
HEAD = rb"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
IMPOSSIBLE = 77


def inside(base: Path, emulator: str) -> int:
    """In the namespaces: register the emulator, then build and run. The exit status."""
    from sandcell.runtime import Engine
    from sandcell.runtime.errors import BuildFailed

    (base / "table").mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"binfmt_misc", os.fsencode(base / "table"), b"binfmt_misc", 0, None):
        print(f"binfmt_misc: {os.strerror(ctypes.get_errno())}")
        return IMPOSSIBLE
    text = "FROM --platform=linux/arm64 scratch\nCOPY . /\nRUN one"
    with Engine(base / "home", base / "run") as engine:
        try:
            engine.build(text, context=base / "context")
        except BuildFailed as error:
            assert "Exec format error" in error.cause and "binfmt_misc" in error.hint
        else:
            raise AssertionError("there is no emulator yet")
        (base / "table/register").write_bytes(b":arm64:M::%b:%b:%b:F" % (HEAD, MASK, emulator.encode()))
        heard: list[bytes] = []
        try:
            engine.build(
                text, context=base / "context", on_event=lambda one: heard.append(getattr(one, "data", b""))
            )
        except BuildFailed as error:
            assert error.status == 7
        assert b"".join(heard) == b"hello\n"
        image = engine.build(text.rpartition("\n")[0], name="arm", context=base / "context")
        assert str(image.platform) == "linux/arm64"
        done = engine.run("arm", ("/bin/sh",))
        assert (done.status, done.stdout) == (7, b"hello\n")
    return 0


def test_programs_of_another_processor_run_where_an_emulator_is_registered(tmp_path: Path) -> None:
    tools = [shutil.which(name) for name in ("qemu-aarch64", "aarch64-linux-gnu-as", "aarch64-linux-gnu-ld")]
    emulator, assembler, linker = tools
    if emulator is None or assembler is None or linker is None:
        pytest.skip(
            "qemu-user or binutils-aarch64-linux-gnu is not installed (./dev test installs them as root)"
        )
    context = tmp_path / "context"
    (context / "bin").mkdir(parents=True)
    subprocess.run([assembler, "-o", tmp_path / "hello.o"], input=HELLO, text=True, check=True)
    subprocess.run([linker, "-o", context / "bin/sh", tmp_path / "hello.o"], check=True)
    # Debian's emulator is no static program: what it needs goes into the image.
    needed = subprocess.run(["ldd", emulator], capture_output=True, text=True, check=False)
    for library in re.findall(r"/\S+", needed.stdout):
        (context / library[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, context / library[1:])
    code = "import sys; from pathlib import Path; from tests.engine.test_foreign import inside; "
    done = subprocess.run(
        ["unshare", "-Urm", "--propagation", "private", sys.executable, "-c",
         f"{code}sys.exit(inside(Path(sys.argv[1]), sys.argv[2]))", str(tmp_path), emulator],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if done.returncode == IMPOSSIBLE or "unshare" in done.stderr:
        pytest.skip(f"no table of one's own: {done.stdout}{done.stderr}".strip())
    assert done.returncode == 0, done.stdout + done.stderr
