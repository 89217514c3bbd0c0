"""The order of a container's steps, which is a matter of safety, and the plan as people read it."""

import itertools
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sandcell.runtime.container import jobs
from sandcell.runtime.container import steps as s
from sandcell.runtime.container.compose import compose
from sandcell.runtime.container.options import Options
from sandcell.runtime.container.plan import CgroupMount, Rootfs, plan
from sandcell.runtime.container.sealed import seal
from sandcell.runtime.errors import InvalidDocument
from sandcell.runtime.linux import mounts
from sandcell.runtime.linux.idmap import IdMap, Range
from sandcell.runtime.linux.process import Identity
from sandcell.runtime.oci.config import RunConfig
from sandcell.runtime.oci.spec import Process, Rlimit, Root, Spec
from tests.container.settings import MAPPED, ROOT, SINGLE, setting

ROOTFS = Rootfs("/h/c/rootfs", ("/h/skeleton", "/h/s/one"), "/h/c/upper", "/h/c/work")
V1 = (CgroupMount("memory", "cgroup", "memory"), CgroupMount("pids", "cgroup", "pids"))
V2 = (CgroupMount("", "cgroup2"),)
GOLDEN = Path(__file__).parent / "golden"

Facts = Callable[..., s.Plan]


def planned(
    options: Options = Options(),
    idmap: IdMap = ROOT,
    cgroups: tuple[CgroupMount, ...] = V2,
    rootfs: Rootfs = ROOTFS,
    **facts: object,
) -> s.Plan:
    """The plan of an ordinary container on a host with such facts."""
    path = "sandcell/ID" if cgroups else ""
    spec = compose(RunConfig(cmd=("sh",)), None, options, setting(idmap=idmap, cgroups_path=path, **facts))
    return plan(spec, rootfs, lambda _: (b"filter!!", 4), cgroups)


def kinds(steps: tuple[s.Step, ...]) -> list[str]:
    return [type(step).__name__ for step in steps]


def only(steps: tuple[s.Step, ...], kind: type) -> list:
    return [step for step in steps if type(step) is kind]


EVERY = [
    pytest.param(options, idmap, cgroups, id=f"{name}-{ids}-{version}")
    for (name, options), (ids, idmap), (version, cgroups) in itertools.product(
        {
            "plain": Options(),
            "host-network": Options(network="host"),
            "terminal": Options(tty=True),
            "read-only": Options(read_only=True),
            "user": Options(user="7:8"),
            "volumes": Options(volumes=("/a:/x", "/b:/x/y/z:ro", "/c:/x/y")),
        }.items(),
        {"root": ROOT, "mapped": MAPPED, "single": SINGLE}.items(),
        {"v2": V2, "v1": V1, "none": ()}.items(),
    )
]


@pytest.mark.parametrize(("options", "idmap", "cgroups"), EVERY)
def test_the_order_holds_whatever_is_asked_for(options: Options, idmap: IdMap, cgroups: tuple) -> None:
    inside = planned(options, idmap, cgroups).inside
    order = kinds(inside)
    pivot = order.index("PivotRoot")
    # Whatever needs the host's tree comes before it is left, and it is let go at once.
    assert order[pivot + 1] == "DropOldRoot"
    before = {"AwaitIds", "PrivateMounts", "Loopback", "OpenTree", "OpenKernel", "MountOverlay"}
    assert set(order[:pivot]) <= before
    assert not before & set(order[pivot:])
    assert order[pivot - 1] == "MountOverlay"
    # Rights go last: nothing is mounted, made or opened by one who has given them up.
    last = order[order.index("Identity") :]
    owners = ["RecordOwners"] if idmap is SINGLE else []
    assert last == ["Identity", *owners, "Filter", "WorkingDirectory", "Execute"]
    assert order.count("Execute") == order.count("PivotRoot") == order.count("Identity") == 1
    # What is masked or made read-only is mounted by then.
    assert order.index("Mask") > max(i for i, kind in enumerate(order) if kind in ("Mount", "AttachTree"))
    assert order.index("NewSession") < order.index("Identity")
    if "Console" in order:
        assert order.index("Console") < order.index("NewSession")
    if cgroups:
        first = next(i for i, step in enumerate(inside) if _is_cgroup(step))
        assert order.index("EnterCgroup") < first
    else:
        assert "EnterCgroup" not in order


def _is_cgroup(step: s.Step) -> bool:
    return isinstance(step, s.Mount) and step.fstype.startswith("cgroup")


@pytest.mark.parametrize(("options", "idmap", "cgroups"), EVERY)
def test_everything_opened_is_attached_once_and_after_the_host_is_gone(
    options: Options, idmap: IdMap, cgroups: tuple
) -> None:
    inside = planned(options, idmap, cgroups).inside
    opened = [step.key for step in inside if isinstance(step, s.OpenTree | s.OpenKernel)]
    attached = [step.key for step in inside if isinstance(step, s.AttachTree)]
    assert len(set(opened)) == len(opened)
    assert sorted(opened) == sorted(attached)
    dropped = kinds(inside).index("DropOldRoot")
    later = s.AttachTree | s.Mount | s.Node
    assert all(index > dropped for index, step in enumerate(inside) if isinstance(step, later))


@pytest.mark.parametrize(("options", "idmap", "cgroups"), EVERY)
def test_proc_and_sys_are_never_mounted_by_a_path_that_a_link_may_bend(
    options: Options, idmap: IdMap, cgroups: tuple
) -> None:
    inside = planned(options, idmap, cgroups).inside
    assert not [step for step in only(inside, s.Mount) if step.fstype in ("proc", "sysfs")]
    assert only(inside, s.OpenKernel)[0].fstype == "proc"


@pytest.mark.parametrize(("options", "idmap", "cgroups"), EVERY)
def test_a_plan_crosses_to_the_monitor_as_it_is(options: Options, idmap: IdMap, cgroups: tuple) -> None:
    plan = planned(options, idmap, cgroups)
    job = jobs.Run(id="x", plan=seal(plan), home="/h", run="/r", remove=True)
    come = jobs.decode_job(jobs.encode(job))
    assert isinstance(come, jobs.Run)
    assert come == job
    assert (come.plan.outside, come.plan.inside) == (plan.outside, plan.inside)
    assert come.plan.inside[: len(come.plan.first)] == come.plan.first
    assert come.plan.terminal == any(isinstance(step, s.Console) for step in plan.inside)


def test_other_jobs_and_replies_cross_too() -> None:
    me = Identity(1, 2, "boot")
    steps = planned().inside
    for job in (
        jobs.Exec(id="i", exec_id="e", init=me, namespaces=("mnt",), inside=steps, cgroup="a/b"),
        jobs.Task("a.b", {"path": "/x", "n": [1, None]}, MAPPED),
    ):
        assert jobs.decode_job(jobs.encode(job)) == job
    for reply in (
        jobs.Started(7),
        jobs.Refused("step", 2, "hint", executing=True),
        jobs.Exited(137, True),
        jobs.Done({"a": 1}),
        jobs.Done(None, "Conflict", ("a", "b", "c", "d")),
    ):
        assert jobs.decode_reply(jobs.encode(reply)) == reply


def test_without_no_new_privileges_the_filter_comes_while_it_still_may() -> None:
    spec = compose(RunConfig(cmd=("sh",)), None, Options(), setting())
    assert spec.process is not None
    risky = msgspec.structs.replace(
        spec, process=msgspec.structs.replace(spec.process, no_new_privileges=False)
    )
    order = kinds(plan(risky, ROOTFS, lambda _: (b"", 0)).inside)
    assert order[order.index("Filter") + 1] == "Identity"


def test_without_a_filter_there_is_none() -> None:
    spec = compose(RunConfig(cmd=("sh",)), None, Options(), setting())
    open_to_all = msgspec.structs.replace(spec, linux=msgspec.structs.replace(spec.linux, seccomp=None))
    assert "Filter" not in kinds(plan(open_to_all, ROOTFS, lambda _: (b"", 0)).inside)


def test_outside_the_group_comes_first_and_the_ids_last() -> None:
    assert kinds(planned(idmap=MAPPED).outside) == ["MakeCgroup", "NewNamespaces", "MapIds"]
    assert kinds(planned(cgroups=()).outside) == ["NewNamespaces"]
    (group,) = only(planned(Options(memory=64 << 20, cpus=1.5, pids_limit=9)).outside, s.MakeCgroup)
    limits = group.limits
    assert (limits.memory, limits.memory_swap, limits.pids) == (64 << 20, 64 << 20, 9)
    assert (limits.cpu_quota, limits.cpu_period) == (150_000, 100_000)
    assert limits.devices[0] == (False, "a *:* rwm")
    assert (True, "c 1:3 rwm") in limits.devices


def test_only_a_user_namespace_waits_for_ids() -> None:
    assert kinds(planned(idmap=MAPPED).inside)[0] == "AwaitIds"
    assert "AwaitIds" not in kinds(planned().inside)
    (waits,) = only(planned(idmap=IdMap((Range(5, 1000, 1),), (Range(6, 1000, 1),))).inside, s.AwaitIds)
    assert (waits.uid, waits.gid) == (5, 6)


def test_devices_are_made_as_root_and_borrowed_in_a_user_namespace() -> None:
    made = only(planned().inside, s.Node)
    assert {node.path for node in made} == {
        f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")
    }
    assert all(node.mode == stat.S_IFCHR | 0o666 for node in made)
    borrowed = planned(idmap=MAPPED).inside
    assert only(borrowed, s.Node) == []
    assert {tree.source for tree in only(borrowed, s.OpenTree) if tree.source.startswith("/dev/")} == {
        node.path for node in made
    }


def test_the_hosts_network_brings_its_host_name_and_no_loopback_of_ours() -> None:
    inside = planned(Options(network="host")).inside
    assert "Loopback" not in kinds(inside)
    assert "Hostname" not in kinds(inside)
    (namespaces,) = only(planned(Options(network="host")).outside, s.NewNamespaces)
    assert not {"net", "uts"} & set(namespaces.names)


def test_in_a_user_namespace_the_hosts_network_brings_the_hosts_sys_read_only() -> None:
    inside = planned(Options(network="host"), MAPPED).inside
    (sys,) = [tree for tree in only(inside, s.OpenTree) if tree.source == "/sys"]
    assert sys.recursive
    assert sys.flags & mounts.MS_RDONLY
    assert [tree.fstype for tree in only(inside, s.OpenKernel)] == ["proc"]


def test_volumes_are_restricted_when_they_are_opened_parents_first() -> None:
    inside = planned(Options(volumes=("/a:/x/y:ro", "/b:/x", "/c:/x/y/z"))).inside
    trees = {tree.source: tree for tree in only(inside, s.OpenTree)}
    assert trees["/a"].flags & mounts.MS_RDONLY
    assert not trees["/b"].flags & mounts.MS_RDONLY
    assert all(trees[name].recursive for name in ("/a", "/b", "/c"))
    assert all(trees[name].flags & mounts.MS_NOSUID and trees[name].flags & mounts.MS_NODEV for name in trees)
    placed = [step.target for step in only(inside, s.AttachTree)]
    assert placed.index("/x") < placed.index("/x/y") < placed.index("/x/y/z")


def test_a_read_only_root_is_made_so_when_all_is_in_place() -> None:
    inside = planned(Options(read_only=True, workdir="/made/on/the/way")).inside
    root = inside.index(s.ReadOnly(("/",)))
    later = kinds(inside[root + 1 :])
    assert not {"Mount", "AttachTree", "Symlink", "Node", "Mask", "Directory"} & set(later)


def test_without_a_control_group_no_device_opens() -> None:
    def overlay(idmap: IdMap, cgroups: tuple) -> s.MountOverlay:
        (found,) = only(planned(idmap=idmap, cgroups=cgroups).inside, s.MountOverlay)
        return found

    assert overlay(ROOT, ()).nodev
    assert not overlay(ROOT, V1).nodev
    assert overlay(MAPPED, ()).nodev  # there the kernel says the same


def test_a_plain_directory_may_be_the_root() -> None:
    inside = planned(rootfs=Rootfs("/somewhere")).inside
    assert s.BindRoot("/somewhere", "/somewhere") in inside
    assert "MountOverlay" not in kinds(inside)


def test_groups_of_version_1_are_one_mount_each_below_a_tmpfs_that_is_read_only_in_the_end() -> None:
    inside = planned(cgroups=V1).inside
    below = [step for step in only(inside, s.Mount) if step.target.startswith("/sys/fs/cgroup")]
    assert [(step.fstype, step.target.removeprefix("/sys/fs/cgroup")) for step in below] == [
        ("tmpfs", ""),
        ("cgroup", "/memory"),
        ("cgroup", "/pids"),
        ("tmpfs", ""),
    ]
    assert all(step.flags & mounts.MS_RDONLY for step in below[1:])
    assert below[-1].flags & mounts.MS_REMOUNT


def test_with_a_single_id_no_groups_are_set() -> None:
    (single,) = only(planned(idmap=SINGLE).inside, s.Identity)
    (mapped,) = only(planned(idmap=MAPPED).inside, s.Identity)
    assert (single.setgroups, mapped.setgroups) == (False, True)


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(InvalidDocument, match="no process"):
        plan(Spec(oci_version="1.2.0", root=Root("r")), ROOTFS, lambda _: (b"", 0))
    odd = Process(cwd="/", args=("a",), rlimits=(Rlimit("RLIMIT_NONSENSE", 1, 1),))
    with pytest.raises(InvalidDocument, match="RLIMIT_NONSENSE"):
        plan(Spec(oci_version="1.2.0", process=odd), ROOTFS, lambda _: (b"", 0))


@pytest.mark.parametrize(
    ("name", "idmap", "cgroups", "options"),
    [
        ("root", ROOT, V2, Options()),
        ("rootless", MAPPED, (), Options()),
        (
            "everything",
            ROOT,
            V1,
            Options(
                memory=64 << 20,
                cpus=1.5,
                pids_limit=9,
                tty=True,
                read_only=True,
                network="host",
                volumes=("/a:/x:ro",),
            ),
        ),
    ],
)
def test_a_plan_reads_as_it_is(name: str, idmap: IdMap, cgroups: tuple, options: Options) -> None:
    golden = GOLDEN / f"{name}.plan"
    text = str(planned(options, idmap, cgroups)) + "\n"
    assert golden.read_text(encoding="utf-8") == text


def test_every_step_describes_itself_in_one_line() -> None:
    for kind in msgspec.inspect.type_info(s.Inside).types + msgspec.inspect.type_info(s.Outside).types:
        assert kind.cls.describe is not s.Step.describe, kind.cls
    for options, idmap, cgroups in (case.values for case in EVERY):
        for step in (*planned(options, idmap, cgroups).inside, *planned(options, idmap, cgroups).outside):
            assert "\n" not in step.describe()
