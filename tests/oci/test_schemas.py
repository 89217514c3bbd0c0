"""Our documents against the JSON schemas of the specifications."""

import jsonschema
import pytest

from sandcell.runtime.oci import media_types, spec
from sandcell.runtime.oci.config import Healthcheck, History, ImageConfig, RootFs, RunConfig
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.digest import Digest
from sandcell.runtime.oci.manifest import Index, Manifest
from sandcell.runtime.oci.platform import Platform

from .schemas import check

BLOB = Descriptor(
    media_types.LAYER_GZIP,
    Digest.of(b""),
    7,
    annotations={media_types.REF_NAME: "a:1"},
    platform=Platform.here("armv7l"),
    data=b"\x00\xff",
)
CONFIG = ImageConfig(
    created="2024-01-01T00:00:00Z",
    architecture="amd64",
    os="linux",
    config=RunConfig(
        user="1:2",
        exposed_ports={"80/tcp": {}},
        env=("A=1",),
        entrypoint=("/a",),
        cmd=("b",),
        volumes={"/v": {}},
        working_dir="/w",
        labels={"a": "b"},
        stop_signal="SIGINT",
        shell=("/bin/sh", "-c"),
        healthcheck=Healthcheck(test=("CMD", "x"), interval=10**9),
    ),
    rootfs=RootFs(diff_ids=(Digest.of(b""),)),
    history=(History(created="2024-01-01T00:00:00Z", created_by="x", empty_layer=True),),
)
SPEC = spec.Spec(
    oci_version=spec.OCI_VERSION,
    process=spec.Process(
        user=spec.User(additional_gids=(1,), umask=0o22),
        args=("sh",),
        cwd="/",
        env=("A=1",),
        no_new_privileges=True,
        capabilities=spec.Capabilities(bounding=("CAP_KILL",)),
        rlimits=(spec.Rlimit("RLIMIT_NOFILE", 10, 5),),
        io_priority=spec.IoPriority("IOPRIO_CLASS_BE", 4),
        oom_score_adj=0,
    ),
    root=spec.Root("rootfs", readonly=True),
    hostname="x",
    mounts=(spec.Mount(destination="/proc", type="proc", source="proc", options=("nosuid",)),),
    hooks=spec.Hooks(create_runtime=(spec.Hook(path="/bin/true", timeout=1),)),
    linux=spec.Linux(
        namespaces=(spec.Namespace("pid"), spec.Namespace("network", "/run/netns/x")),
        uid_mappings=(spec.IdMapping(0, 1000, 1),),
        resources=spec.Resources(
            memory=spec.Memory(limit=1 << 28, disable_oom_killer=False),
            cpu=spec.Cpu(quota=50_000, period=100_000),
            pids=spec.Pids(100),
            devices=(spec.DeviceRule(allow=False, access="rwm"),),
            block_io=spec.BlockIo(
                throttle_read_iops_device=(spec.BlockIoThrottle(major=8, minor=0, rate=9),)
            ),
            unified={"memory.high": "1"},
        ),
        seccomp=spec.Seccomp(
            default_action="SCMP_ACT_ERRNO",
            default_errno_ret=1,
            architectures=("SCMP_ARCH_X86_64",),
            syscalls=(
                spec.SeccompSyscall(
                    names=("clone",),
                    action="SCMP_ACT_ALLOW",
                    args=(spec.SeccompArg(index=0, value=1, value_two=0, op="SCMP_CMP_MASKED_EQ"),),
                ),
            ),
        ),
        masked_paths=("/proc/kcore",),
        devices=(spec.Device(type="c", path="/dev/null", major=1, minor=3, file_mode=0o666),),
        personality=spec.Personality("LINUX"),
    ),
)


@pytest.mark.parametrize(
    ("kind", "schema", "value"),
    [
        ("image-spec", "content-descriptor.json", BLOB),
        (
            "image-spec",
            "image-manifest-schema.json",
            Manifest(config=BLOB, layers=(BLOB,), annotations={"a": "b"}),
        ),
        ("image-spec", "image-index-schema.json", Index(manifests=(BLOB,))),
        ("image-spec", "config-schema.json", CONFIG),
        ("runtime-spec", "config-schema.json", SPEC),
    ],
)
def test_documents_are_valid(kind, schema, value):
    check(kind, schema, encode(value))


def test_the_check_can_fail():
    with pytest.raises(jsonschema.ValidationError):
        check("image-spec", "image-manifest-schema.json", b'{"schemaVersion":1}')
    with pytest.raises(jsonschema.ValidationError):
        check("runtime-spec", "config-schema.json", encode(SPEC).replace(b"SCMP_ACT_ERRNO", b"ERRNO"))
