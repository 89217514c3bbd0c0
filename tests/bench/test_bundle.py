"""Our config.json, made usable for another runtime without making it cheaper."""

from typing import Any

from tests.bench.bundle import dated, for_peer, overlay


def test_root_and_control_group_are_the_peers_and_the_rest_stays() -> None:
    config: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs", "readonly": True},
        "linux": {"cgroupsPath": "/ours", "seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}},
    }
    assert for_peer(config, "/there", str) == {
        "ociVersion": "1.2.0",
        "root": {"path": "/there", "readonly": True},
        "mounts": [],
        "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}},
    }


def test_a_bind_whose_source_is_ours_alone_gets_a_stand_in() -> None:
    proc = {"destination": "/proc", "type": "proc", "source": "proc"}
    real = {"destination": "/tmp", "type": "bind", "source": "/", "options": ["bind"]}
    ours = {"destination": "/etc/hosts", "source": "/no/such/file", "options": ["rbind", "ro"]}
    found = for_peer({"mounts": [proc, real, ours]}, "/there", lambda destination: f"/stand-in{destination}")
    assert found["mounts"] == [proc, real, {**ours, "source": "/stand-in/etc/hosts"}]


def test_older_runtimes_are_spared_what_they_do_not_know() -> None:
    config: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}},
    }
    assert dated(config) == {
        "ociVersion": "1.0.2",
        "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}},
    }


def test_the_topmost_layer_comes_first_in_the_mount_options() -> None:
    assert overlay(("/bottom", "/top"), "/w") == (
        "lowerdir=/top:/bottom,upperdir=/w/upper,workdir=/w/work,volatile"
    )
