import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandcell.runtime.layer import tar_write
from sandcell.runtime.layer.tar_read import TarReader

_PART = st.text(st.characters(codec="utf-8", exclude_characters="/\0\n"), min_size=1, max_size=60).filter(
    lambda text: text not in (".", "..")
)
_NAME = st.lists(_PART, min_size=1, max_size=8).map("/".join)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    name=_NAME,
    link=_NAME,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    gid=st.integers(0, 2**32 - 2),
    mtime=st.integers(-(2**31), 2**40),
    xattrs=st.dictionaries(
        st.sampled_from(["user.a", "user.b", "security.capability"]), st.binary(max_size=99)
    ),
)
def test_our_reader_and_tarfile_read_what_we_write(name, link, mode, uid, gid, mtime, xattrs):
    fields = {"mode": mode, "uid": uid, "gid": gid, "mtime": mtime, "link": link.encode(), "xattrs": xattrs}
    data = tar_write.header(name.encode(), b"2", **fields) + tar_write.END
    header = TarReader(io.BytesIO(data).read).next()
    assert (header.name.decode(), header.link.decode()) == (name, link)
    assert (header.mode, header.uid, header.gid) == (mode, uid, gid)
    assert header.mtime == mtime * 1_000_000_000
    assert header.xattrs == xattrs
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        (info,) = tar.getmembers()
    assert (info.name, info.linkname) == (name.rstrip("/"), link)
    assert (info.mode, info.uid, info.gid, info.mtime) == (mode, uid, gid, mtime)


def test_sizes_beyond_eleven_octal_digits():
    data = tar_write.header(b"f", b"0", mode=0o644, size=1 << 40)
    assert TarReader(io.BytesIO(data).read).next().size == 1 << 40


def test_a_plain_entry_is_one_block():
    assert len(tar_write.header(b"a/" * 50 + b"b" * 99, b"0", mode=0o644)) == 512
    assert len(tar_write.header(b"b" * 101, b"0", mode=0o644)) == 3 * 512
