"""Resources of a bundle as files of a control group, for controllers that no host of the tests has."""

import pytest

from sandcell.runtime.container.bundle_resources import controllers, files
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.oci.spec_linux import (
    BlockIo,
    BlockIoThrottle,
    BlockIoWeight,
    HugepageLimit,
    InterfacePriority,
    Memory,
    NetworkResources,
    Rdma,
    Resources,
)

_DISK = BlockIoWeight(major=8, minor=0, weight=500, leaf_weight=300)
_RATE = (BlockIoThrottle(major=8, minor=16, rate=1000),)


def _written(resources: Resources, *, unified: bool) -> list[tuple[str, str]]:
    return [(file.name, file.text) for file in files(resources, unified=unified)]


def test_block_devices_have_weights_and_rates() -> None:
    block = BlockIo(
        weight=10,
        leaf_weight=20,
        weight_device=(_DISK,),
        throttle_read_bps_device=_RATE,
        throttle_write_bps_device=_RATE,
        throttle_read_iops_device=_RATE,
        throttle_write_iops_device=_RATE,
    )
    throttles = ("read_bps", "write_bps", "read_iops", "write_iops")
    assert _written(Resources(block_io=block), unified=False) == [
        ("blkio.weight", "10"),
        ("blkio.leaf_weight", "20"),
        ("blkio.weight_device", "8:0 500"),
        ("blkio.leaf_weight_device", "8:0 300"),
        *((f"blkio.throttle.{name}_device", "8:16 1000") for name in throttles),
    ]
    light = BlockIo(weight=1000, weight_device=(BlockIoWeight(major=8, minor=0, weight=10),))
    assert _written(Resources(block_io=light), unified=True) == [
        ("io.weight", "10000"),
        ("io.weight", "8:0 1"),
    ]


def test_packets_huge_pages_and_rdma_have_their_controllers() -> None:
    resources = Resources(
        network=NetworkResources(class_id=0x100001, priorities=(InterfacePriority("lo", 7),)),
        hugepage_limits=(HugepageLimit("2MB", 9),),
        rdma={"mlx5_1": Rdma(hca_handles=3, hca_objects=10), "mlx4_0": Rdma(hca_objects=5)},
    )
    assert controllers(resources, unified=False) == {"net_cls", "net_prio", "hugetlb", "rdma"}
    assert _written(resources, unified=False) == [
        ("hugetlb.2MB.limit_in_bytes", "9"),
        ("hugetlb.2MB.rsvd.limit_in_bytes", "9"),
        ("net_cls.classid", "1048577"),
        ("net_prio.ifpriomap", "lo 7"),
        ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10"),
        ("rdma.max", "mlx4_0 hca_object=5"),
    ]


@pytest.mark.parametrize(
    ("resources", "word", "unified"),
    [
        (
            Resources(block_io=BlockIo(weight_device=(BlockIoWeight(major=8, minor=0),))),
            "neither weight nor leafWeight",
            None,
        ),
        (Resources(rdma={"mlx5_1": Rdma()}), "neither hcaHandles nor hcaObjects", None),
        (Resources(unified={"memory.high": "1"}), "control groups of version 1", False),
        (Resources(unified={"../memory.high": "1"}), "no file of a control group", True),
        (Resources(network=NetworkResources(class_id=1)), "no such controller", True),
        (Resources(memory=Memory(swappiness=5)), "swappiness", True),
        (Resources(block_io=BlockIo(leaf_weight=100)), "no leafWeight", True),
    ],
)
def test_what_a_version_has_not_must_generate_an_error(
    resources: Resources, word: str, unified: bool | None
) -> None:
    for version in (True, False) if unified is None else (unified,):
        with pytest.raises(InvalidDocument, match=word):
            files(resources, unified=version)
