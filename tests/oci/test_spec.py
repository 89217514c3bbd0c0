"""config.json as the runtimes write it."""

import json
import shutil
import subprocess

import pytest

from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.spec import Process, Spec

from .schemas import check


def _meaning(value):
    """The document without what is absent by default."""
    if isinstance(value, dict):
        kept = {key: _meaning(inner) for key, inner in value.items()}
        return {
            key: inner
            for key, inner in kept.items()
            if inner not in ({}, [], "", False, None) or key == "allow"
        }
    return [_meaning(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.peer
@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_specs_of_other_runtimes_round_trip(runtime, tmp_path):
    if not shutil.which(runtime):
        pytest.skip(f"{runtime} is not installed")
    (tmp_path / "rootfs").mkdir()
    subprocess.run([runtime, "spec"], cwd=tmp_path, check=True)
    data = (tmp_path / "config.json").read_bytes()
    spec = decode(Spec, data, object="config.json")
    assert _meaning(json.loads(encode(spec))) == _meaning(json.loads(data))
    assert decode(Spec, encode(spec), object="config.json") == spec
    check("runtime-spec", "config-schema.json", encode(spec))


def test_root_is_written_out():
    assert json.loads(encode(Process(cwd="/")))["user"] == {"uid": 0, "gid": 0}
