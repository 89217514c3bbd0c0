import hashlib

import pytest

from sandcell.runtime.errors import InvalidDigest
from sandcell.runtime.oci.digest import Digest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_of_and_parse_agree():
    digest = Digest.of(b"")
    assert digest == EMPTY == Digest.parse(EMPTY)
    assert (digest.algorithm, digest.hex) == ("sha256", EMPTY[7:])
    assert isinstance(Digest.parse(EMPTY), Digest)


def test_sha512_is_known_and_hashes():
    text = "sha512:" + hashlib.sha512(b"x").hexdigest()
    hasher = Digest.parse(text).hasher()
    hasher.update(b"x")
    assert Digest.from_hasher(hasher) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        "sha256:abc",
        EMPTY.upper(),
        "md5:" + "0" * 32,
        EMPTY + "\n",
        "sha256:" + "g" * 64,
        "sha256:../../../etc/passwd",
        EMPTY[:-1] + "٣",
    ],
)
def test_what_is_no_digest_is_refused(text):
    with pytest.raises(InvalidDigest):
        Digest.parse(text)
