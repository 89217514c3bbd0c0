"""What is asked for becomes a config.json that every runtime would understand."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandcell.runtime.container.compose import CAPABILITIES, SHARED, compose
from sandcell.runtime.container.options import Options
from sandcell.runtime.container.plan import CgroupMount, Rootfs, plan
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.oci.config import RunConfig
from sandcell.runtime.oci.decode import decode, encode
from sandcell.runtime.oci.spec import Mount, Spec, User
from tests.container.settings import MAPPED, ROOT, SINGLE, setting

CONFIG = RunConfig(cmd=("sh", "-c", "x"))


def composed(
    options: Options = Options(),
    config: RunConfig = CONFIG,
    command: tuple[str, ...] | None = None,
    **facts: Any,
) -> Spec:
    return compose(config, command, options, setting(**facts))


def environment(spec: Spec) -> dict[str, str]:
    assert spec.process is not None
    return dict(entry.split("=", 1) for entry in spec.process.env)


def mounted(spec: Spec, place: str) -> Mount:
    (found,) = [mount for mount in spec.mounts if mount.destination == place]
    return found


# ------------------------------------------------------------ what runs


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "over", "command", "expected"),
    [
        ((), ("a", "b"), None, None, ("a", "b")),
        (("e",), ("a", "b"), None, None, ("e", "a", "b")),
        (("e",), ("a",), None, ("c",), ("e", "c")),
        ((), ("a",), None, ("c", "d"), ("c", "d")),
        (("e",), ("a",), ("o", "p"), None, ("o", "p")),
        (("e",), ("a",), ("o",), ("c",), ("o", "c")),
        (("e",), ("a",), (), ("c",), ("c",)),
        (("e",), ("a",), None, (), ("e",)),
    ],
)
def test_entrypoint_and_command(entrypoint, cmd, over, command, expected) -> None:  # type: ignore[no-untyped-def]
    spec = composed(Options(entrypoint=over), RunConfig(entrypoint=entrypoint, cmd=cmd), command)
    assert spec.process is not None
    assert spec.process.args == expected


@pytest.mark.parametrize(
    ("cmd", "over", "command"), [((), None, None), ((), None, ("",)), (("a",), (), None)]
)
def test_nothing_to_run_is_said(cmd, over, command) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidOption) as caught:
        composed(Options(entrypoint=over), RunConfig(cmd=cmd), command)
    assert caught.value.hint


@pytest.mark.parametrize("word", ["a\0b", "\udcff"])
def test_words_that_linux_cannot_take_are_said(word: str) -> None:
    with pytest.raises(InvalidOption):
        composed(command=("sh", "-c", word))
    with pytest.raises(InvalidOption):
        composed(config=RunConfig(cmd=("sh",), env=(f"A={word}",)))


def test_variables_come_from_the_image_and_then_the_options() -> None:
    spec = composed(
        Options(env={"A": "mine", "NEW": "x=y"}, hostname="box", tty=True),
        RunConfig(cmd=("sh",), env=("A=image", "B=image", "PATH=/only", "BARE")),
    )
    assert environment(spec) == {
        "PATH": "/only",
        "HOSTNAME": "box",
        "HOME": "/root",
        "TERM": "xterm",
        "A": "mine",
        "B": "image",
        "BARE": "",
        "NEW": "x=y",
    }
    assert "TERM" not in environment(composed())


def test_the_working_directory() -> None:
    for options, config, expected in (
        (Options(), CONFIG, "/"),
        (Options(), RunConfig(cmd=("a",), working_dir="/w"), "/w"),
        (Options(workdir="/o"), RunConfig(cmd=("a",), working_dir="/w"), "/o"),
    ):
        spec = composed(options, config)
        assert spec.process is not None
        assert spec.process.cwd == expected


# ------------------------------------------------------------ rights


def test_root_holds_fourteen_capabilities_and_others_none() -> None:
    root, other = composed().process, composed(user=User(uid=7, gid=7)).process
    assert root is not None and root.capabilities is not None
    assert other is not None and other.capabilities is not None
    assert root.capabilities.effective == root.capabilities.permitted == CAPABILITIES
    assert len(CAPABILITIES) == 14
    assert other.capabilities.effective == other.capabilities.permitted == ()
    assert other.capabilities.bounding == CAPABILITIES
    for sets in (root.capabilities, other.capabilities):
        assert sets.ambient == sets.inheritable == ()
    assert root.no_new_privileges and other.no_new_privileges


@pytest.mark.parametrize(
    ("facts", "held"),
    [
        ({"cgroups_path": "a/b"}, True),
        ({"cgroups_path": ""}, False),
        ({"cgroups_path": "", "idmap": MAPPED}, True),
    ],
)
def test_devices_are_made_only_where_something_keeps_them_shut(facts: dict[str, Any], held: bool) -> None:
    process = composed(**facts).process
    assert process is not None and process.capabilities is not None
    for names in (process.capabilities.bounding, process.capabilities.effective):
        assert ("CAP_MKNOD" in names) == held
    assert len(process.capabilities.bounding) == (14 if held else 13)


def test_the_kernels_files_are_masked_and_read_only() -> None:
    linux = composed().linux
    assert linux is not None
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware"} <= set(linux.masked_paths)
    assert {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"} <= set(
        linux.readonly_paths
    )


def test_every_kernel_file_system_is_nosuid_and_what_it_can_be_besides() -> None:
    for mount in composed().mounts:
        assert "nosuid" in mount.options, mount
        if mount.destination not in ("/dev", "/dev/pts"):
            assert "nodev" in mount.options, mount
    assert "ro" in mounted(composed(), "/sys").options
    assert "ro" in mounted(composed(), "/sys/fs/cgroup").options


def test_devices_are_all_forbidden_but_the_harmless() -> None:
    linux = composed().linux
    assert linux is not None and linux.resources is not None
    first, *rest = linux.resources.devices
    assert (first.allow, first.access) == (False, "rwm")
    open_ = {(rule.type, rule.major, rule.minor) for rule in rest if set(rule.access) & set("rw")}
    assert open_ == {
        ("c", a, b) for a, b in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2))
    } | {("c", 136, None)}


# ------------------------------------------------------------ limits, names, files


def test_limits() -> None:
    linux = composed(Options(memory=64 << 20, cpus=1.5)).linux
    assert linux is not None and linux.resources is not None
    resources = linux.resources
    assert resources.memory is not None and resources.cpu is not None and resources.pids is not None
    assert (resources.memory.limit, resources.memory.swap) == (64 << 20, 64 << 20)
    assert (resources.cpu.quota, resources.cpu.period) == (150_000, 100_000)
    assert resources.pids.limit > 0  # fork bombs are limited unasked
    without = composed(cgroups_path="").linux
    assert without is not None
    assert without.resources is None


@pytest.mark.parametrize("idmap", [ROOT, SINGLE, MAPPED])
@pytest.mark.parametrize("network", ["none", "host"])
@pytest.mark.parametrize("group", ["", "a/b"])
def test_namespaces(idmap: Any, network: str, group: str) -> None:
    spec = composed(Options(network=network), idmap=idmap, cgroups_path=group)
    assert spec.linux is not None
    names = {namespace.type for namespace in spec.linux.namespaces}
    expected = {"pid", "mount", "ipc"}
    expected |= {"network", "uts"} if network == "none" else set()
    expected |= {"cgroup"} if group else set()
    expected |= {"user"} if idmap.uids else set()
    assert names == expected
    assert bool(spec.hostname) == (network == "none")


def test_the_host_name_is_the_short_id_unless_asked_for() -> None:
    assert composed().hostname == "0123456789ab"
    assert composed(Options(hostname="box")).hostname == "box"


def test_places_of_ours() -> None:
    spec = composed()
    assert mounted(spec, "/etc/hosts").source == "/h/c/hosts"
    assert "ro" in mounted(spec, SHARED).options
    assert "ro" not in mounted(spec, f"{SHARED}/out").options
    places = [mount.destination for mount in spec.mounts]
    assert places.index("/proc") == 0
    assert places.index(SHARED) < places.index(f"{SHARED}/out")


def test_sys_of_the_host_where_its_network_is_and_a_user_namespace() -> None:
    assert mounted(composed(Options(network="host"), idmap=MAPPED), "/sys").type == "bind"
    assert mounted(composed(Options(network="host")), "/sys").type == "sysfs"
    assert mounted(composed(idmap=MAPPED), "/sys").type == "sysfs"


# ------------------------------------------------------------ whatever is asked for

_WORD = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8)
_PATH = st.from_regex(r"/[a-z]{1,4}(/[a-z]{1,4}){0,2}", fullmatch=True)
_OPTIONS = st.builds(
    Options,
    env=st.dictionaries(_WORD.filter(lambda word: "=" not in word), _WORD, max_size=3),
    volumes=st.lists(
        st.tuples(_PATH, _PATH, st.sampled_from(["", ":ro", ":rw"])).map(lambda v: f"{v[0]}:{v[1]}{v[2]}"),
        max_size=3,
        unique_by=lambda text: text.split(":")[1],
    ).map(tuple),
    workdir=st.one_of(st.just(""), _PATH),
    memory=st.one_of(st.none(), st.integers(6 << 20, 1 << 40)),
    cpus=st.one_of(st.none(), st.floats(0.01, 100)),
    pids_limit=st.one_of(st.none(), st.integers(-1, 10_000)),
    network=st.sampled_from(["none", "host"]),
    tty=st.booleans(),
    hostname=st.sampled_from(["", "box"]),
    read_only=st.booleans(),
    entrypoint=st.one_of(st.none(), st.lists(_WORD, max_size=2).map(tuple)),
)
_CONFIGS = st.builds(
    RunConfig,
    cmd=st.lists(_WORD, min_size=1, max_size=3).map(tuple),
    env=st.lists(_WORD.map(lambda word: f"V={word}"), max_size=2).map(tuple),
    working_dir=st.one_of(st.just(""), _PATH),
)
_FACTS = st.fixed_dictionaries(
    {
        "idmap": st.sampled_from([ROOT, SINGLE, MAPPED]),
        "user": st.builds(User, uid=st.integers(0, 9), gid=st.integers(0, 9)),
        "cgroups_path": st.sampled_from(["", "sandcell/x"]),
        "machine": st.sampled_from(["x86_64", "aarch64"]),
    }
)


@pytest.mark.slow
@given(_OPTIONS, _CONFIGS, st.lists(_WORD, min_size=1, max_size=3).map(tuple), _FACTS)
def test_any_document_can_be_written_read_again_and_planned(
    options: Options, config: RunConfig, command: tuple[str, ...], facts: dict[str, Any]
) -> None:
    spec = composed(options.check(), config, command, **facts)
    written = encode(spec)
    assert decode(Spec, written, object="config.json") == spec
    assert json.loads(written)["ociVersion"]
    below = (CgroupMount("", "cgroup2"),) if facts["cgroups_path"] else ()
    steps = plan(spec, Rootfs("/r", ("/l",), "/u", "/w"), lambda _: (b"", 0), below)
    assert str(steps)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(steps), type=type(steps)) == steps


_SCHEMAS = Path(__file__).resolve().parents[3] / "shared" / "oci-schemas" / "runtime-spec"


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(_OPTIONS, _CONFIGS, st.lists(_WORD, min_size=1, max_size=3).map(tuple), _FACTS)
def test_any_document_is_one_that_the_specification_allows(
    options: Options, config: RunConfig, command: tuple[str, ...], facts: dict[str, Any]
) -> None:
    document = json.loads(encode(composed(options.check(), config, command, **facts)))
    _validator().validate(document)


_made: list[Any] = []


def _validator() -> Any:
    if not _made:
        validator = pytest.importorskip("jsonschema")
        referencing = pytest.importorskip("referencing")
        from referencing.jsonschema import DRAFT4

        if not _SCHEMAS.is_dir():
            pytest.skip("no JSON schemas of the runtime specification here")
        resources = [
            (path.name, referencing.Resource.from_contents(json.loads(path.read_text()), DRAFT4))
            for path in _SCHEMAS.glob("*.json")
        ]
        registry = referencing.Registry().with_resources(resources)
        _made.append(validator.Draft4Validator({"$ref": "config-schema.json"}, registry=registry))
    return _made[0]
