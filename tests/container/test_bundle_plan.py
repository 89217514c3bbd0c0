"""Steps of a bundle that no kernel here can play."""

from sandcell.runtime.container import bundle_steps as b
from sandcell.runtime.container.bundle_plan import Setting, bundle_plan
from sandcell.runtime.oci.spec import Mount, Process, Root, Seccomp, Spec


def _program(_: Seccomp) -> tuple[bytes, int]:
    return b"", 0


def test_selinux_labels_what_is_mounted_and_nothing_of_the_kernels() -> None:
    mounts = tuple(
        Mount(destination=f"/{kind}{'-full' * bool(more)}", type=kind, options=more)
        for kind, more in (("tmpfs", ()), ("proc", ()), ("mqueue", ()), ("tmpfs", ("tmpcopyup", "ro")))
    )
    spec = Spec(oci_version="1.0.0", root=Root("/r"), mounts=mounts, process=Process(cwd="/", args=("x",)))
    setting = Setting(
        root="/r",
        bundle="/b",
        own=frozenset({"mnt"}),
        fresh=frozenset({"mnt"}),
        compile_filter=_program,
        cgroup=False,
        label="u:r:t:s0:c1,c2",
    )
    made = [step for step in bundle_plan(spec, setting) if isinstance(step, b.FileSystem)]
    labelled = [(step.fstype, [o for o in step.options if o.startswith("context=")]) for step in made]
    context = ["context=u:r:t:s0:c1,c2"]
    assert labelled == [("tmpfs", context), ("proc", []), ("mqueue", []), ("tmpfs", context)]
