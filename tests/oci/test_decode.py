import json
import subprocess
import sys

import pytest

from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.config import History, ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index, Manifest, decode_manifest
from tests.oci.test_schemas import SPEC

DIGEST = Digest.of(b"")
BLOB = Descriptor(media_types.LAYER_GZIP, DIGEST, 7)


def test_canonical_form_has_no_spaces_and_sorted_maps():
    config = RunConfig(labels={"b": "2", "a": "1"}, exposed_ports={"80/tcp": {}})
    assert encode(config) == b'{"ExposedPorts":{"80/tcp":{}},"Labels":{"a":"1","b":"2"}}'
    assert encode(decode(RunConfig, encode(config), object="x")) == encode(config)


def test_what_the_spec_requires_is_written_although_empty():
    manifest = json.loads(encode(Manifest(config=BLOB, layers=())))
    assert manifest["schemaVersion"] == 2
    assert manifest["layers"] == []
    assert json.loads(encode(Index()))["manifests"] == []


def test_null_counts_as_absent():
    data = (
        b'{"architecture":"amd64","os":"linux","config":{"Cmd":null,"Labels":null},'
        b'"rootfs":{"type":"layers","diff_ids":null},"history":null}'
    )
    config = decode(ImageConfig, data, object="config")
    assert config == ImageConfig(architecture="amd64", os="linux", rootfs=RootFs())


def test_unknown_keys_are_ignored():
    assert decode(RunConfig, b'{"User":"1","Domainname":"x"}', object="config") == RunConfig(user="1")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"mediaType":"a/b","digest":"%s","size":"1"}', "size"),
        (b'{"mediaType":"a/b","digest":"%s","size":-1}', "size"),
        (b'{"mediaType":"a/b","digest":"sha256:1","size":1}', "digest"),
        (b'{"mediaType":1,"digest":"%s","size":1}', "mediaType"),
        (b'{"mediaType":"a/b"}', "digest"),
        (b"{", "JSON"),
        (b"", "JSON"),
        (b'{"a":"\xff"}', "JSON"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_faults_are_named_with_their_place(data, place):
    with pytest.raises(InvalidDocument) as caught:
        decode(Descriptor, data.replace(b"%s", DIGEST.encode()), object="descriptor")
    assert place in str(caught.value)


def test_nested_place():
    data = encode(Manifest(config=BLOB, layers=(BLOB,))).replace(b'"size":7}]', b'"size":null}]')
    with pytest.raises(InvalidDocument, match=r"layers\[0\].*size|layers\[\.\.\.\].*size"):
        decode_manifest(data, object="manifest")


def test_a_manifest_and_an_index_are_told_apart():
    manifest = Manifest(config=BLOB, layers=(BLOB,))
    assert decode_manifest(encode(manifest), object="x") == manifest
    assert decode_manifest(encode(Index(manifests=(BLOB,))), object="x") == Index(manifests=(BLOB,))
    both = {**json.loads(encode(manifest)), "manifests": []}
    with pytest.raises(InvalidDocument, match="at once"):
        decode_manifest(json.dumps(both).encode(), object="x")
    with pytest.raises(InvalidDocument):
        decode_manifest(encode(manifest).replace(b'"schemaVersion":2', b'"schemaVersion":1'), object="x")


def test_edits_make_new_values():
    empty = ImageConfig(architecture="amd64", os="linux", rootfs=RootFs())
    edited = empty.with_layer(DIGEST, History(created="2024-01-01T00:00:00Z", created_by="RUN x"))
    edited = edited.with_config(user="1000").with_history(History(created_by="USER 1000", empty_layer=True))
    assert empty.rootfs.diff_ids == ()
    assert edited.rootfs.diff_ids == (DIGEST,)
    assert edited.config.user == "1000"
    assert edited.created == "2024-01-01T00:00:00Z"
    assert [entry.created_by for entry in edited.history] == ["RUN x", "USER 1000"]


def test_environment_lets_the_last_one_win():
    assert RunConfig(env=("A=1", "B=x=y", "A=2", "C")).environment == {"A": "2", "B": "x=y", "C": ""}


_FIRST = """if True:
    import sys, threading
    from sandcell.runtime.oci import decode, spec
    data, gate = sys.stdin.buffer.read(), threading.Barrier(4)
    sys.setswitchinterval(1e-6)
    def read():
        gate.wait()
        decode.decode(spec.Spec, data, object="x")
    for thread in [threading.Thread(target=read) for _ in range(4)]:
        thread.start()
"""


@pytest.mark.slow
def test_threads_that_read_the_first_documents_at_once_do_not_crash():
    running = [subprocess.Popen([sys.executable, "-c", _FIRST], stdin=subprocess.PIPE) for _ in range(8)]
    for one in running:
        one.communicate(encode(SPEC), timeout=60)
    assert [one.returncode for one in running] == [0] * 8
