"""Command lines, mount options and documents, without a container."""

import pytest

from sandcell.runtime.container.bundle_mounts import NOEXEC, NOSUID, RDONLY, parse
from sandcell.runtime.container.bundle_process import still_ours
from sandcell.runtime.errors import InvalidDocument, InvalidOption
from sandcell.runtime.oci.spec import Linux, Mount, Namespace, Process, Spec
from sandcell.runtime.oci.spec_linux import TimeOffset
from sandcell.runtime.oci_cli.arguments import parse as arguments
from sandcell.runtime.oci_cli.bundle import check
from sandcell.runtime.oci_cli.features import features
from sandcell.runtime.oci_cli.priority import processors
from sandcell.runtime.oci_cli.verbs import signal_number


def test_options_stand_before_and_after_the_command() -> None:
    line = arguments(["--root=/r", "--log", "/l", "exec", "-d", "-e", "A=1", "--env", "B=2", "c", "ls", "-l"])
    assert (line.command, line.get("root"), line.get("log"), line.id) == ("exec", "/r", "/l", "c")
    assert line.each("env") == ("A=1", "B=2")
    assert line.words == ("c", "ls", "-l")
    assert arguments(["delete", "-f", "c"]).has("force")


@pytest.mark.parametrize("words", [["nosuch"], ["create", "--nosuch"], ["create", "--bundle"]])
def test_what_is_not_understood_is_an_error(words: list[str]) -> None:
    with pytest.raises(InvalidOption):
        arguments(words)


def test_a_later_mount_option_takes_an_earlier_one_back() -> None:
    wanted = parse(Mount(destination="/a", source="/b", options=("rbind", "ro", "rw", "nosuid", "rnoexec")))
    assert wanted.bind and wanted.recursive
    assert (wanted.attributes.set, wanted.attributes.clear) == (NOSUID, RDONLY)
    assert wanted.attributes.tree_set == NOEXEC


def test_a_sysctl_of_the_host_is_refused() -> None:
    still_ours("net.ipv4.ip_forward", frozenset({"net"}))
    for name in ("net.ipv4.ip_forward", "kernel.panic", "kernel.shmmax"):
        with pytest.raises(InvalidDocument):
            still_ours(name, frozenset())


MOUNT = Namespace("mount")


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        (Spec(oci_version="2.0.0", linux=Linux()), "ociVersion"),
        (Spec(oci_version="1.0.0", linux=Linux(namespaces=(MOUNT, MOUNT))), "twice"),
        (Spec(oci_version="1.0.0", linux=Linux(namespaces=(MOUNT, Namespace("x")))), "no namespace"),
        (Spec(oci_version="1.0.0", linux=Linux(namespaces=(MOUNT, Namespace("user")))), "id mappings"),
        (
            Spec(
                oci_version="1.3.0",
                linux=Linux(namespaces=(MOUNT,), time_offsets={"boottime": TimeOffset(1)}),
            ),
            "time namespace",
        ),
        (
            Spec(
                oci_version="1.1.0", linux=Linux(namespaces=(MOUNT,)), process=Process(cwd="x", args=("a",))
            ),
            "absolute",
        ),
    ],
)
def test_what_the_specification_forbids_is_refused(spec: Spec, word: str) -> None:
    with pytest.raises(InvalidDocument, match=word):
        check(spec)


def test_features_name_what_there_is() -> None:
    told = features()
    assert told["linux"]["namespaces"] == ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]
    assert {"rbind", "rro", "tmpcopyup", "rslave"} <= set(told["mountOptions"])
    assert "SECCOMP_FILTER_FLAG_LOG" in told["linux"]["seccomp"]["supportedFlags"]


def test_words_become_numbers() -> None:
    assert processors("0-2,5") == {0, 1, 2, 5}
    assert [signal_number(text) for text in ("9", "KILL", "SIGKILL", "term")] == [9, 9, 9, 15]
    with pytest.raises(InvalidOption):
        signal_number("NOPE")
