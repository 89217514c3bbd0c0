"""Finding shared libraries: small programs made for the case, and the real loader as the witness."""

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandcell.runtime.build.elf import Loader, read, read_cache


def compiled(folder: Path, name: str, *flags: str, calls: str = "") -> Path:
    """A library ``libNAME.so``, or a program where ``calls`` is ``main``."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    if calls == "main":
        source, target, kind = "int main(void) { return 0; }", folder / name, []
    else:
        source, target, kind = (
            f"int {name}(void) {{ return 0; }}",
            folder / f"lib{name}.so",
            ["-shared", "-fPIC"],
        )
    made = ["gcc", "-x", "c", "-", *kind, "-o", str(target), "-Wl,--no-as-needed", *flags]
    subprocess.run(made, input=source, text=True, check=True, capture_output=True)
    return target


def paths(loader: Loader, *programs: Path, under: str = "") -> list[str]:
    found, _ = loader.closure(map(str, programs), under=under)
    return [one.path for one in found if not one.by_default]


@pytest.mark.slow
@pytest.mark.parametrize("program", ["/bin/sh", "/usr/bin/tar", "/bin/ls", "/usr/bin/ssh", "/usr/bin/gdb"])
def test_the_loader_itself_finds_the_same(program: str) -> None:
    if shutil.which("ldd") is None or not os.path.exists(program):
        pytest.skip(f"ldd or {program} is not installed")
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, env={}).stdout
    expected = {os.path.realpath(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(", told, re.MULTILINE)}
    found, missing = Loader.of_host().closure([program])
    facts = read(program)
    assert facts is not None
    ours = {os.path.realpath(one.path) for one in found} | {os.path.realpath(facts.interpreter)}
    assert (ours, missing) == (expected, ())


@pytest.mark.slow
def test_origin_and_absolute_directories(tmp_path: Path) -> None:
    deep = compiled(tmp_path / "lib", "deep")
    inner = compiled(
        tmp_path / "lib", "inner", f"-L{tmp_path}/lib", "-ldeep", "-Wl,--enable-new-dtags,-rpath,$ORIGIN"
    )
    relative = compiled(
        tmp_path / "bin",
        "relative",
        f"-L{tmp_path}/lib",
        "-linner",
        "-Wl,-rpath,$ORIGIN/../lib",
        calls="main",
    )
    absolute = compiled(
        tmp_path / "bin",
        "absolute",
        f"-L{tmp_path}/lib",
        "-linner",
        f"-Wl,-rpath,{tmp_path}/lib",
        calls="main",
    )
    loader = Loader.of_host()
    assert paths(loader, relative) == [str(inner), str(deep)]
    found, missing = loader.closure([str(relative)])
    assert [one.relative for one in found if not one.by_default] == [True, True]
    found, _ = loader.closure([str(absolute)])
    assert [(one.name, one.relative) for one in found if not one.by_default] == [
        ("libinner.so", False),
        ("libdeep.so", True),
    ]
    assert missing == ()


@pytest.mark.slow
def test_rpath_is_inherited_and_runpath_is_not(tmp_path: Path) -> None:
    deep = compiled(tmp_path / "lib", "deep")
    inner = compiled(tmp_path / "lib", "inner", f"-L{tmp_path}/lib", "-ldeep")
    flags = [f"-L{tmp_path}/lib", "-linner", f"-Wl,-rpath-link,{tmp_path}/lib", f"-Wl,-rpath,{tmp_path}/lib"]
    old = compiled(tmp_path, "old", *flags, "-Wl,--disable-new-dtags", calls="main")
    new = compiled(tmp_path, "new", *flags, "-Wl,--enable-new-dtags", calls="main")
    loader = Loader.of_host()
    assert paths(loader, old) == [str(inner), str(deep)]
    assert paths(loader, new) == [str(inner)]
    assert loader.closure([str(new)])[1] == ("libdeep.so",)
    assert paths(loader, inner, under=str(old)) == [str(deep)]


@pytest.mark.slow
def test_a_library_of_another_machine_is_passed_over(tmp_path: Path) -> None:
    wrong = compiled(tmp_path / "wrong", "one")
    right = compiled(tmp_path / "right", "one")
    data = bytearray(wrong.read_bytes())
    data[18:20] = struct.pack("<H", 0x1234)
    wrong.write_bytes(data)
    program = compiled(
        tmp_path,
        "p",
        f"-L{tmp_path}/right",
        "-lone",
        f"-Wl,-rpath,{tmp_path}/wrong:{tmp_path}/right",
        calls="main",
    )
    assert paths(Loader.of_host(), program) == [str(right)]


def cache_of(*rows: tuple[str, str, int]) -> bytes:
    strings = b""
    entries = b""
    start = 48 + 24 * len(rows)
    for name, path, hardware in rows:
        places = []
        for text in (name, path):
            places.append(start + len(strings))
            strings += text.encode() + b"\0"
        entries += struct.pack("=iIIIQ", 0x303, *places, 0, hardware)
    return struct.pack("=20sII20x", b"glibc-ld.so.cache1.1", len(rows), len(strings)) + entries + strings


def test_the_loaders_cache_is_read() -> None:
    data = cache_of(
        ("liba.so", "/opt/liba.so", 0), ("liba.so", "/opt/fast/liba.so", 4), ("liba.so", "/lib/liba.so", 0)
    )
    assert read_cache(data) == {"liba.so": ["/opt/liba.so", "/lib/liba.so"]}
    # The form from before, with the newer one behind it.
    assert read_cache(b"ld.so-1.7.0\0" + bytes(4) + data) == {"liba.so": ["/opt/liba.so", "/lib/liba.so"]}
    assert read_cache(b"something else") == {}
    assert read_cache(data[:60]) == {}


def test_a_library_found_by_the_cache_only(tmp_path: Path) -> None:
    shell = os.path.realpath("/bin/sh")
    loader = Loader({"libc.so.6": [str(tmp_path / "libc.so.6")]}, [])
    found, missing = loader.closure([shell])
    assert "libc.so.6" in missing or found == ()
    shutil.copy(shell, tmp_path / "libc.so.6")
    found, _ = Loader({"libc.so.6": [str(tmp_path / "libc.so.6")]}, []).closure([shell])
    assert [(one.path, one.by_default) for one in found] == [(str(tmp_path / "libc.so.6"), False)]


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01" + b"\xff" * 100])
def test_what_is_no_program_has_no_facts(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert read(str(tmp_path / "file")) is None
    assert Loader({}, []).closure([str(tmp_path / "file"), str(tmp_path / "none")]) == ((), ())


HEAD = Path("/bin/sh").read_bytes()[:4096]


@given(st.lists(st.tuples(st.integers(0, 1023), st.integers(0, 255)), max_size=20))
def test_a_damaged_program_never_hurts(changes: list[tuple[int, int]]) -> None:
    data = bytearray(HEAD)
    for at, value in changes:
        data[at] = value
    fd = os.memfd_create("damaged")
    try:
        os.write(fd, data)
        read(f"/proc/self/fd/{fd}")
        read_cache(bytes(data))
    finally:
        os.close(fd)
