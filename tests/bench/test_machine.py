"""What the machine is, read from texts of /proc."""

from tests.bench import machine

ROOT = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw"
SYS = "23 27 0:22 / /sys rw,relatime - sysfs sysfs rw"
V1 = "36 31 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw"
V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw"
DATA = "50 27 0:40 / /var/tmp rw,relatime - tmpfs tmpfs rw"
SPACED = "51 27 0:41 / /mnt/my\\040disk rw,relatime - xfs /dev/sdb rw"


def test_mount_points_and_their_types() -> None:
    assert machine.mounts("\n".join([ROOT, UNIFIED, SPACED])) == [
        ("/", "ext4"),
        ("/sys/fs/cgroup/unified", "cgroup2"),
        ("/mnt/my disk", "xfs"),
    ]


def test_cgroup_layouts() -> None:
    assert machine.cgroups("\n".join([ROOT, SYS, V1, UNIFIED])) == "hybrid"
    assert machine.cgroups("\n".join([ROOT, SYS, V1])) == "v1"
    assert machine.cgroups("\n".join([ROOT, SYS, V2])) == "v2"
    assert machine.cgroups("\n".join([ROOT, SYS])) == "none"


def test_only_the_branch_of_a_hybrid_layout_is_hidden() -> None:
    assert machine.hidden("\n".join([ROOT, V1, UNIFIED])) == ["/sys/fs/cgroup/unified"]
    assert machine.hidden("\n".join([ROOT, V2])) == []


def test_the_file_system_is_that_of_the_longest_mount_point_above() -> None:
    text = "\n".join([ROOT, DATA])
    assert machine.filesystem(text, "/var/tmp/x") == "tmpfs"
    assert machine.filesystem(text, "/var/tmpx") == "ext4"


def test_the_processor_has_a_name_or_none() -> None:
    assert machine.processor("processor : 0\nmodel name\t: Fast CPU\n") == "Fast CPU"
    assert machine.processor("processor : 0\nBogoMIPS : 50\n") == ""
