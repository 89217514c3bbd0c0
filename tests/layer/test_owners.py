"""Owners that a host cannot give: kept beside the files, and back in the layer when it is packed."""

import io
import os
import subprocess
import sys

import pytest

from sandcell.runtime.layer import attributes

from .archives import archive, entry

_SINGLE = """
import io, os, sys
from sandcell.runtime.layer.pack import pack
from sandcell.runtime.layer.tasks import remove_tree
from sandcell.runtime.layer.unpack import unpack
target = sys.argv[1]
os.mkdir(target, 0o755)
fd = os.open(target, os.O_RDONLY)
done = unpack(io.BytesIO(sys.stdin.buffer.read()), fd, flavour="user", recorded_owners=True)
print(sorted(done.approximated), file=sys.stderr)
pack(fd, sys.stdout.buffer, overlay=True, recorded_owners=True)
"""


@pytest.mark.kernel
@pytest.mark.slow
def test_a_namespace_of_one_id_keeps_the_owners_of_all(tmp_path):
    """Round trip: what is packed is what was unpacked, but for what cannot even be recorded."""
    members = [
        entry("mine", data=b"1", uid=0, gid=0, mtime=7),
        entry("setuid", data=b"2", uid=33, gid=44, mode=0o6755, mtime=7),
        entry("d/", "dir", uid=1000, gid=1000, mode=0o1770, mtime=7),
        entry("d/.wh.gone", uid=0, gid=0),
        entry("d/in", data=b"3", uid=1000, gid=5, mode=0o400, mtime=7),
        entry("link", "symlink", link="mine", uid=1000, gid=0, mtime=7),
        entry("null", "char", devmajor=1, devminor=3, uid=0, gid=0),
    ]
    run = ["unshare", "--user", "--map-root-user", sys.executable, "-c", _SINGLE, str(tmp_path / "t")]
    done = subprocess.run(run, input=archive(*members), capture_output=True)
    if b"unshare" in done.stderr:
        pytest.skip(done.stderr.decode().strip())
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr.decode().strip() == "['link', 'null']"
    status = (tmp_path / "t/setuid").stat()
    # A refused owner takes the set-id bits with it: on the host they would mean somebody else.
    assert (status.st_uid, status.st_mode & 0o7777) == (os.geteuid(), 0o755)

    import tarfile

    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        found = {
            info.name: (info.uid, info.gid, info.mode, info.mtime) for info in tar if "null" not in info.name
        }
    assert found["mine"] == (0, 0, 0o644, 7)
    assert found["setuid"] == (33, 44, 0o6755, 7)
    assert found["d"] == (1000, 1000, 0o1770, 7)
    assert found["d/in"] == (1000, 5, 0o400, 7)
    assert "d/.wh.gone" in found


def test_which_attributes_travel():
    assert attributes.carried("user.note")
    assert attributes.carried("security.capability")
    assert attributes.carried("system.posix_acl_access")
    for name in (
        "user.overlay.opaque",
        "trusted.overlay.redirect",
        "user.sandcell.owner",
        "security.selinux",
    ):
        assert not attributes.carried(name)


@pytest.mark.parametrize(
    "forged", [b"", b"0", b"0:0", b"a:b:c", b"0:0:9", b"\xff:0:0", b"-1:0:644", b"0:0:77777"]
)
def test_a_record_that_makes_no_sense_is_ignored(tmp_path, forged):
    path = tmp_path / "f"
    path.write_bytes(b"")
    path.chmod(0o640)
    os.setxattr(path, attributes.OWNER, forged)
    fd = os.open(path, os.O_RDONLY)
    try:
        owner = attributes.owner(fd, os.fstat(fd), recorded=True)
    finally:
        os.close(fd)
    assert owner == (os.geteuid(), os.getegid(), 0o640)
