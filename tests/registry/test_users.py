"""Who may come into our registry: files of names and passwords."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.registry import users


def written(folder: Path, text: str, mode: int = 0o600) -> str:
    path = folder / "users"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_plain_passwords(tmp_path: Path) -> None:
    allowed = users.known_users(users.read(written(tmp_path, "# us\n\nme:geheim: ü\nyou:x\n")))
    for _ in range(2):
        assert allowed("me", "geheim: ü") and allowed("you", "x")
        assert not allowed("me", "x") and not allowed("nobody", "geheim: ü") and not allowed("", "")


def test_bcrypt_hashes_may_be_read_by_others(tmp_path: Path) -> None:
    import bcrypt

    told = bcrypt.hashpw("geheim: ü".encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    allowed = users.known_users(users.read(written(tmp_path, f"me:{told}\n", 0o644)))
    for _ in range(2):
        assert allowed("me", "geheim: ü")
        assert not allowed("me", told) and not allowed("you", "geheim: ü") and not allowed("me", "")


def test_what_htpasswd_writes_is_understood(tmp_path: Path) -> None:
    if shutil.which("htpasswd") is None:
        pytest.skip("htpasswd is not installed (./dev test installs it as root)")
    path = str(tmp_path / "users")
    subprocess.run(["htpasswd", "-Bbc", "-C", "4", path, "me", "secret"], check=True, capture_output=True)
    allowed = users.known_users(users.read(path))
    assert allowed("me", "secret") and not allowed("me", "other")
    subprocess.run(["htpasswd", "-mb", path, "you", "secret"], check=True, capture_output=True)
    with pytest.raises(InvalidOption, match="line 2 has a hash that is not bcrypt"):
        users.read(path)


@pytest.mark.parametrize(
    ("text", "mode", "cause"),
    [("me:x", 0o644, "others can read"), ("me", 0o600, "line 1"), ("me:", 0o600, "line 1")],
)
def test_files_that_will_not_do(tmp_path: Path, text: str, mode: int, cause: str) -> None:
    with pytest.raises(InvalidOption, match=cause):
        users.read(written(tmp_path, text, mode))
    with pytest.raises(InvalidOption, match="No such file"):
        users.read(str(tmp_path / "none"))
