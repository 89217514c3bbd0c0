"""What must hold on every rung against processes and images that mean harm."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from sandcell.runtime import Engine, Options
from sandcell.runtime.container.options import ExecOptions
from tests.engine.claims import IMAGE, background, claim, sh, until

_SYSTEM_CALLS = r"""
import ctypes, errno, fcntl, json, os, platform
libc = ctypes.CDLL(None, use_errno=True)
number = {
    "x86_64": dict(keyctl=250, add_key=248, request_key=249, io_uring_setup=425, userfaultfd=323, bpf=321,
                   mount=165, unshare=272, pivot_root=155, open_by_handle_at=304, perf_event_open=298),
    "aarch64": dict(keyctl=219, add_key=217, request_key=218, io_uring_setup=425, userfaultfd=282, bpf=280,
                    mount=40, unshare=97, pivot_root=41, open_by_handle_at=265, perf_event_open=241),
}[platform.machine()]
arguments = {"keyctl": (0, -3, 1), "add_key": (b"user", b"x", b"x", 1, -3), "unshare": (0x10000000,),
             "io_uring_setup": (4, ctypes.create_string_buffer(256)), "userfaultfd": (1,)}
answers = {}
for name, call in number.items():
    ctypes.set_errno(0)
    given = [a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a)
             for a in arguments.get(name, (0,) * 5)]
    result = libc.syscall(call, *given)
    answers[name] = "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]
print(json.dumps(answers))
"""


@claim
def the_filter_refuses_what_would_reach_the_kernel_also_to_an_exec(engine: Engine) -> None:
    command = ("python3", "-I", "-c", _SYSTEM_CALLS)
    answers = [json.loads(engine.run("host", command, Options(remove=True)).stdout)]
    made = engine.create("host", ("sleep", "1000"))
    engine.start(made)
    answers.append(json.loads(engine.exec(made, command).stdout))
    engine.remove(made, force=True)
    for found in answers:
        assert set(found.values()) == {"EPERM"}, found


_PUSH = r"""
import fcntl, os, termios
for request in (termios.TIOCSTI, termios.TIOCSTI | 1 << 32):
    try:
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        done = libc.ioctl(0, ctypes.c_ulong(request), b"x")
        print("pushed" if done == 0 else "refused", flush=True)
    except OSError as error:
        print("refused", flush=True)
"""


@claim
def nobody_types_into_a_terminal_for_others(engine: Engine) -> None:
    # TIOCSTI, whichever upper half its number has: the kernel looks at 32 bits of it.
    options = Options(remove=True, tty=True)
    told = engine.run("host", ("python3", "-I", "-c", _PUSH), options).text
    assert told.split() == ["refused", "refused"]


@claim
def abstract_sockets_and_groups_of_the_host_are_out_of_reach(engine: Engine) -> None:
    name = f"sandcell-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as mine:
        mine.bind("\0" + name)
        mine.listen()
        script = f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')"
        result = engine.run("host", ("python3", "-I", "-c", script), Options(remove=True))
    assert b"ConnectionRefusedError" in result.stderr
    if engine.nursery.idmap.single:
        return  # setgroups(2) is denied for good there, and all groups but one are nobody's
    with _more_groups(), Engine(engine.places.home, engine.places.run) as mine:
        assert set(sh(mine, "id -G").split()) <= {"0"}
        with background(mine) as id:
            assert set(mine.exec(id, ("id", "-G")).text.split()) <= {"0"}


@contextmanager
def _more_groups() -> Iterator[None]:
    """We are in more groups than a container shall hear of, as far as we may choose them."""
    if os.geteuid() != 0:
        yield
        return
    before = os.getgroups()
    os.setgroups([*before, 12345])
    try:
        yield
    finally:
        os.setgroups(before)


@claim
def no_capability_is_inherited(engine: Engine) -> None:
    look = ("cat", "/proc/self/status")
    with background(engine) as id:
        for text in (sh(engine, "cat /proc/self/status"), engine.exec(id, look, ExecOptions()).text):
            status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
            assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


@claim
def modules_at_the_hosts_paths_run_nowhere_on_the_way(engine: Engine) -> None:
    import encodings

    library = os.path.dirname(os.path.dirname(os.path.abspath(encodings.__file__)))
    names = (
        "encodings/idna encodings/__init__ encodings/ascii os struct stat posixpath socket tarfile linecache"
    )
    poison = f"""
FROM {IMAGE}
RUN mkdir -p {library}/encodings && for n in {names}; do echo "open('/owned', 'w')" > {library}/$n.py; done
"""
    engine.build(poison, name="claims:poison")
    made = engine.create("claims:poison", ("sh", "-c", "sleep 1000"), Options())
    engine.start(made)
    folder = f"{engine.places.home}/poison-{os.getpid()}"
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/in", "w") as file:
        file.write("x")
    try:
        assert engine.exec(made, ("true",)).status == 0
        engine.copy(f"{folder}/in", f"{made.id}:/copied")
        engine.copy(f"{made.id}:/copied", f"{folder}/out")
        engine.commit(made, "claims:poisoned")
        assert {change.path for change in engine.diff(made)} == {"copied"}
        assert not os.path.exists("/owned")
    finally:
        engine.remove(made, force=True)
    script = "printf '#!/proc/self/exe\\n' > /s; chmod 755 /s; /s; echo $?; test -e /owned || echo clean"
    result = engine.run("claims:poisoned", ("sh", "-c", script), Options(remove=True))
    assert result.stdout.endswith(b"clean\n")
    for name in ("claims:poison", "claims:poisoned"):
        engine.remove_image(name, force=True)


@claim
def places_of_the_kernel_stay_masked_below_volumes(engine: Engine) -> None:
    look = (
        "cat /proc/kcore /proc/keys 2>/dev/null | wc -c; echo x 2>/dev/null > /proc/sysrq-trigger || echo no"
    )
    assert sh(engine, look, volumes=("/etc:/proc2:ro",)) == "0\nno\n"
    with background(engine, "mkdir /tmp/p; ln -s /tmp/p /data/proc; sleep 1000") as id:
        until(lambda: engine.exec(id, ("test", "-L", "/data/proc")).status == 0, "the link")
        assert engine.exec(id, ("sh", "-c", look)).text == "0\nno\n"
