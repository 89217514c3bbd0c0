"""``sandcell kernel``: kernelspecs, connection files, and kernels as jupyter_client drives them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from sandcell.runtime.cli import kernelspecs, main
from sandcell.runtime.engine import kernels
from sandcell.runtime.errors import BadInput
from sandcell.runtime.linux.host import Host
from tests.plain_user import PlainUser

_DRIVER = "import sys; from tests.cli.kernel_driver import try_all; try_all(sys.argv[1])"
_CONNECTION = {
    "transport": "tcp",
    "ip": "127.0.0.1",
    "key": "secret",
    "signature_scheme": "hmac-sha256",
    **{channel: 5000 + number for number, channel in enumerate(kernels.CHANNELS)},
}


def test_a_kernel_is_told_of_sockets_and_keeps_the_key() -> None:
    told = kernels.inside({**_CONNECTION, "more": "kept"})
    assert told["transport"] == "ipc"
    assert [told[channel] for channel in kernels.CHANNELS] == [1, 2, 3, 4, 5]
    assert (told["key"], told["signature_scheme"], told["more"]) == ("secret", "hmac-sha256", "kept")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "truncated"),
        (json.dumps({**_CONNECTION, "transport": "pigeon"}), "neither tcp"),
        (json.dumps({**_CONNECTION, "hb_port": None}), "hb_port is missing"),
    ],
)
def test_a_faulty_connection_file_is_one_error(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "file").write_text(text)
    with pytest.raises(BadInput, match=cause):
        kernels.read_connection(str(tmp_path / "file"))
    with pytest.raises(BadInput, match="No such file"):
        kernels.read_connection(str(tmp_path / "other"))


def test_a_link_in_a_sockets_place_is_not_followed(tmp_path: Path) -> None:
    hosts, kernel = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    hosts.bind(f"{tmp_path}/hosts")
    hosts.listen()
    hosts.setblocking(False)
    place = tmp_path / "place"
    place.mkdir()
    (place / "kernel-1").symlink_to(tmp_path / "hosts")
    fd = os.open(place, os.O_PATH)
    try:
        with pytest.raises(OSError, match="symbolic link"):
            os.open("kernel-1", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
        found: list[socket.socket] = []
        caller = Thread(target=lambda: found.append(kernels.call(fd, "kernel-1")))
        caller.start()
        kernel.bind(f"{place}/kernel-2")
        kernel.listen()
        (place / "kernel-2").rename(place / "kernel-1")
        caller.join(30)
        assert found
        with pytest.raises(BlockingIOError):
            hosts.accept()
        found[0].close()
    finally:
        os.close(fd)
        hosts.close()
        kernel.close()


def test_kernelspecs_are_made_listed_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, prefix = kernelspecs.folder(str(tmp_path)), f"--prefix={tmp_path}"
    for title in ("first", "second"):
        kernelspecs.write(place, "mine", "some:image", title, ["--mount"])
    spec = json.loads((place / "mine" / "kernel.json").read_bytes())
    assert spec["argv"][-5:] == ["run", "--mount", "--", "some:image", "{connection_file}"]
    assert (spec["display_name"], spec["interrupt_mode"]) == ("second", "message")
    assert main(["kernel", "list", prefix, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["Image"] == "some:image"
    assert main(["kernel", "remove", prefix, "mine"]) == 0
    assert not (place / "mine").exists()
    assert main(["kernel", "remove", prefix, "mine"]) == 1
    assert "there is no such kernel" in capsys.readouterr().err


def test_the_kernel_of_somebody_else_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "share/jupyter/kernels/theirs/kernel.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"argv": ["x"], "display_name": "x", "language": "x"}')
    for words in (["install", "--name", "theirs", "image"], ["remove", "theirs"]):
        assert main(["kernel", *words, f"--prefix={tmp_path}"]) == 1
    assert capsys.readouterr().err.count("theirs") >= 2
    assert theirs.exists()
    assert kernelspecs.name_of("reg.example:5000/A/b:1") == "sandcell-reg.example-5000-a-b-1"
    with pytest.raises(BadInput):
        kernelspecs.check_name("a b")


@pytest.mark.kernel
@pytest.mark.notebook
@pytest.mark.slow
def test_jupyter_drives_it_as_root(host: Host, tmp_path: Path) -> None:
    if host.rung != "root":
        pytest.skip(f"this user has the rung {host.rung}")
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(tmp_path)], capture_output=True, text=True, timeout=110
    )
    assert done.stdout.endswith("all well\n"), done.stdout + done.stderr
    assert "there is no python3 in it" in done.stderr


@pytest.mark.kernel
@pytest.mark.rootless
@pytest.mark.notebook
@pytest.mark.slow
@pytest.mark.peer("newuidmap")
def test_jupyter_drives_it_as_a_plain_user(plain_user: PlainUser) -> None:
    base = plain_user.directory("kernels")
    assert plain_user.run(_DRIVER, str(base), ranges=True, timeout=110).endswith("all well\n")
