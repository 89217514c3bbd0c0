"""Documents that break a rule of the specification, without a container."""

from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime.container.bundle_mounts import parse
from sandcell.runtime.errors import InvalidDocument, InvalidOption
from sandcell.runtime.oci.decode import decode
from sandcell.runtime.oci.spec import IdMapping, Mount, Spec
from sandcell.runtime.oci_cli import documents
from sandcell.runtime.oci_cli.bundle import load
from sandcell.runtime.oci_cli.check import check
from sandcell.runtime.oci_cli.record import is_name
from sandcell.runtime.oci_cli.update import amount

PROCESS: dict[str, Any] = {"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}}


def spec(**more: Any) -> Spec:
    """A document with these parts."""
    return decode(Spec, documents.write({"ociVersion": "1.0.0", **more}).encode(), object="config.json")


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ({"ociVersion": "1.0"}, "ociVersion"),
        ({"ociVersion": "2.0.0"}, "ociVersion"),
        ({"annotations": {"": "x"}}, "key is empty"),
        ({"hooks": {"poststop": [{"path": "bin/true"}]}}, "hooks.poststop: path is not absolute"),
        ({"hooks": {"createRuntime": [{"path": "/bin/true", "timeout": 0}]}}, "timeout"),
        ({"process": {**PROCESS, "args": []}}, "args is empty"),
        ({"process": {**PROCESS, "env": ["PATH"]}}, "no NAME=VALUE: 'PATH'"),
        ({"process": {**PROCESS, "env": ["=x"]}}, "no NAME=VALUE: '=x'"),
        # An error until version 1.1 of the specification, a warning since then.
        ({"process": {**PROCESS, "capabilities": {"ambient": ["CAP_MINE"]}}}, "there is no CAP_MINE"),
        ({"process": {**PROCESS, "cwd": "here"}}, "absolute"),
        (
            {"process": {**PROCESS, "rlimits": [{"type": "RLIMIT_CPU", "hard": 1, "soft": 1}] * 2}},
            "RLIMIT_CPU is listed twice",
        ),
        ({"linux": {"namespaces": [{"type": "pid"}] * 2}}, "pid is listed twice"),
        ({"linux": {"namespaces": [{"type": "net"}]}}, "no namespace of type 'net'"),
        ({"linux": {"namespaces": [{"type": "ipc", "path": "ns"}]}}, "path is not absolute"),
        ({"linux": {"maskedPaths": ["proc/kcore"]}}, "linux.maskedPaths"),
        ({"linux": {"readonlyPaths": ["proc"]}}, "linux.readonlyPaths"),
        ({"linux": {"memoryPolicy": {"mode": "MPOL_MINE"}}}, "no mode 'MPOL_MINE'"),
        ({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "3-1"}}}, "'3-1' is no list of nodes"),
        ({"linux": {"memoryPolicy": {"mode": "MPOL_LOCAL", "flags": ["F"]}}}, "no flag 'F'"),
        ({"linux": {"netDevices": {"eth0": {}}, "namespaces": []}}, "they need a network namespace"),
        ({"linux": {"intelRdt": {"closID": "x"}}}, "linux.intelRdt: sandcell-oci does not support it"),
        (
            {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"}}},
            "listenerPath",
        ),
        ({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}}}, "has no errno"),
        (
            {
                "linux": {
                    "seccomp": {
                        "defaultAction": "SCMP_ACT_ALLOW",
                        "syscalls": [{"names": ["a"], "action": "SCMP_ACT_KILL", "errnoRet": 1}],
                    }
                }
            },
            "has no errno",
        ),
        (
            {
                "linux": {
                    "seccomp": {
                        "defaultAction": "SCMP_ACT_ALLOW",
                        "syscalls": [{"names": [], "action": "SCMP_ACT_KILL"}],
                    }
                }
            },
            "names none",
        ),
    ],
)
def test_an_invalid_value_must_generate_an_error(part: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidDocument, match=word):
        check(spec(**part))


@pytest.mark.parametrize("root", [None, {"path": "missing"}, {"path": "config.json"}])
def test_a_directory_must_exist_at_the_roots_path(tmp_path: Path, root: dict[str, str] | None) -> None:
    document = {"ociVersion": "1.0.0", **({"root": root} if root else {})}
    (tmp_path / "config.json").write_text(documents.write(document))
    with pytest.raises(InvalidDocument, match=r"root\.path is no directory"):
        load(str(tmp_path))


def test_mappings_of_a_mount_go_together_and_are_for_bind_mounts() -> None:
    maps = (IdMapping(0, 1000, 1),)
    for mount, word in (
        (Mount(destination="/a", type="bind", source="/b", uid_mappings=maps), "go together"),
        (Mount(destination="/a", type="tmpfs", uid_mappings=maps, gid_mappings=maps), "only bind mounts"),
        (Mount(destination="/a", type="tmpfs", options=("ridmap",)), "only bind mounts"),
    ):
        with pytest.raises(InvalidDocument, match=word):
            parse(mount)


def test_unknown_annotations_must_be_ignored() -> None:
    told = {"org.example.unknown": "", "run.example": "1"}
    check(spec(annotations=told))
    assert spec(annotations=told).annotations == told


def test_an_unknown_property_must_be_ignored() -> None:
    check(spec(process=PROCESS, new={"thing": 1}, linux={"newer": [], "namespaces": [{"type": "mount"}]}))


def test_json_is_read_and_written_without_the_package() -> None:
    value = {"a": [1, -2, True, None, 'ä\n"\\'], "b": {}, "c": [], "d": {"e": "f"}}
    assert documents.read(documents.write(value), object="x") == value
    assert documents.write({"a": [1, {}], "b": {"c": 2}}, pretty=True) == (
        '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": {\n    "c": 2\n  }\n}'
    )
    for text in ("", "[]", "{", '{"a": 1} x', "nonsense"):
        with pytest.raises(InvalidDocument):
            documents.read(text, object="x")


def test_names_and_amounts() -> None:
    assert [is_name(name) for name in ("a", "A-b_c.d+1", "", ".", "..", "a/b", "ä", "x" * 1025)] == (
        [True, True] + [False] * 6
    )
    assert [amount("x", text) for text in ("-1", "1024", "2k", "3MB", "1g")] == [
        -1,
        1024,
        2048,
        3 << 20,
        1 << 30,
    ]
    for text in ("k", "1.5", "2x", "0x10"):
        with pytest.raises(InvalidOption):
            amount("memory", text)
