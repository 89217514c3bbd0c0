"""Flags of inodes, on whatever file systems this machine has."""

import fcntl
import os
import struct
from pathlib import Path

import pytest

from sandcell.runtime.linux.inode_flags import spread

_FS_IOC_GETFLAGS = 0x80086601
_FS_TOPDIR_FL = 0x00020000


def _flags(path: Path) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return int(struct.unpack("l", fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(8)))[0])
    finally:
        os.close(fd)


def test_a_spread_directory_is_a_top_directory_and_keeps_its_other_flags(tmp_path: Path) -> None:
    try:
        before = _flags(tmp_path)
    except OSError as error:
        pytest.skip(f"this file system has no such flags: {error.strerror}")
    spread(str(tmp_path))
    after = _flags(tmp_path)
    if after == before:
        pytest.skip("this file system does not take the hint")
    assert after == before | _FS_TOPDIR_FL
    spread(str(tmp_path))
    assert _flags(tmp_path) == after


def test_where_the_hint_is_not_known_nothing_happens() -> None:
    spread("/proc")


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spread(str(tmp_path / "nothing"))
