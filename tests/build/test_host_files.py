"""Programs, libraries and settings of a host image."""

import os
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from sandcell.runtime.build import host_files
from sandcell.runtime.build.elf import Loader
from sandcell.runtime.build.host_tree import HostTree


def pem(text: str) -> str:
    return (
        f"-----BEGIN CERTIFICATE-----\n{b64encode(text.encode() * 9).decode()}\n-----END CERTIFICATE-----\n"
    )


def authorities(tree: HostTree) -> str:
    return tree.content(host_files.CA_BUNDLE).decode()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    for name in ("shipped", "added"):
        (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / "bundle").write_text(
        "# public\n" + pem("one") + pem("two") + "# ours\n" + pem("private") + pem("der")
    )
    (tmp_path / "added" / "deep" / "private.crt").write_text(pem("private"))
    (tmp_path / "added" / "der.crt").write_bytes(b"der" * 9)
    return tmp_path


def test_private_authorities_stay_on_the_host(bundle: Path) -> None:
    tree = HostTree()
    assert host_files.add_certificates(
        tree,
        bundles=(str(bundle / "none"), str(bundle / "bundle")),
        shipped_in=(),
        added_in=(str(bundle / "added"),),
    )
    text = authorities(tree)
    assert text.count("BEGIN") == 2
    assert b64encode(b"private" * 9).decode() not in text.replace("\n", "")


def test_where_the_shipped_ones_are_known_only_they_are_carried(bundle: Path) -> None:
    (bundle / "shipped" / "one.crt").write_text(pem("one"))
    tree = HostTree()
    host_files.add_certificates(
        tree, bundles=(str(bundle / "bundle"),), shipped_in=(str(bundle / "shipped"),), added_in=()
    )
    assert authorities(tree) == pem("one")


def test_no_bundle_is_no_harm(tmp_path: Path) -> None:
    tree = HostTree()
    assert not host_files.add_certificates(
        tree, bundles=(str(tmp_path / "none"),), shipped_in=(), added_in=()
    )
    (tmp_path / "empty").write_text("")
    assert not host_files.add_certificates(
        tree, bundles=(str(tmp_path / "empty"),), shipped_in=(), added_in=()
    )


def test_links_of_the_host_are_kept() -> None:
    tree = HostTree()
    host_files.add_layout(tree)
    (shell,) = host_files.add_programs(tree, "sh")
    assert os.path.isfile(shell)
    assert not os.path.islink(shell)
    entries = {entry.path: entry for entry, _ in tree.entries()}
    for name in ("bin", "lib"):
        kind = "symlink" if os.path.islink(f"/{name}") else "dir"
        assert entries[name].kind == kind
    # Nothing lies below a link, where an archive could not put it.
    links = [path for path, entry in entries.items() if entry.kind == "symlink"]
    assert not [path for path in entries if any(path.startswith(f"{link}/") for link in links)]


def test_a_directory_comes_before_what_is_in_it() -> None:
    tree = HostTree()
    tree.text("/a/b/c", "x")
    tree.text("/a/b.c", "x")
    tree.symlink("/l", "a/b")
    tree.text("/l/d", "x")
    tree.directory("/a/b", mode=0o700)
    assert [entry.path for entry, _ in tree.entries()] == ["a", "a/b", "a/b/c", "a/b/d", "a/b.c", "l"]


def test_what_is_missing_on_the_host_is_left_out() -> None:
    assert host_files.add_programs(HostTree(), "no-such-program-anywhere") == ()


@pytest.mark.slow
def test_a_moved_library_is_found_by_a_link(tmp_path: Path) -> None:
    """As of a Python that was built with a shared library and an absolute path to it."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    (tmp_path / "lib").mkdir()
    gcc = ["gcc", "-x", "c", "-", "-o"]
    subprocess.run(
        [*gcc, f"{tmp_path}/lib/libown.so.1.2", "-shared", "-Wl,-soname,libown.so.1"],
        input=b"int f;",
        check=True,
    )
    (tmp_path / "lib" / "libown.so.1").symlink_to("libown.so.1.2")
    flags = [f"-L{tmp_path}/lib", "-Wl,--no-as-needed", "-l:libown.so.1", f"-Wl,-rpath,{tmp_path}/lib"]
    subprocess.run([*gcc, f"{tmp_path}/program", *flags], input=b"int main(void) { return 0; }", check=True)

    def place(path: str) -> str:
        return path.replace(str(tmp_path), "/usr/local")

    tree = HostTree()
    host_files.add_layout(tree)
    tree.carry(f"{tmp_path}/program", place)
    host_files.add_libraries(tree, Loader.of_host(), (f"{tmp_path}/program",), place=place)
    entries = {entry.path: entry for entry, _ in tree.entries()}
    assert entries["usr/local/lib/libown.so.1"].link == "libown.so.1.2"
    assert entries["usr/local/lib/libown.so.1.2"].kind == "file"
    (link,) = [entry for path, entry in entries.items() if path.endswith("-gnu/libown.so.1")]
    assert link.link == "/usr/local/lib/libown.so.1"
    assert not [path for path in entries if path.startswith(str(tmp_path)[1:])]
