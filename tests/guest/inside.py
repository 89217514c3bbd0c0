"""What runs in the guest: every claim in every setting, one line reported for each.

``python -m tests.guest.inside bare`` is called by the first script, with no systemd; ``systemd`` by
a service of systemd's; both call ``run SETTING`` as the user whom the setting is about.
"""

import os
import pwd
import subprocess
import sys
import time
import traceback
from pathlib import Path

from tests.guest import holds, holds_host
from tests.guest.registry import CLAIMS, Place

_LINE = "/dev/ttyS1"
_TREE = Path("/sys/fs/cgroup")
_WANTED = Path("/srv/settings")


def report(line: str) -> None:
    """One line to whoever started the guest."""
    with open(_LINE, "w") as out:
        out.write(line + "\n")


def setting(name: str, *wrapper: str, user: str = "root") -> None:
    """Check what must hold there, in a process of its own, and report it."""
    if name not in wanted():
        return
    folder = Path("/data", user)
    folder.mkdir(exist_ok=True)
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    argv = [*wrapper, sys.executable, "-m", "tests.guest.inside", "run", name, str(folder)]
    began = time.monotonic()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        assert process.stdout is not None
        for line in process.stdout:
            report(line.rstrip("\n"))
    report(f"# {name}: exit status {process.returncode} after {time.monotonic() - began:.0f} s")


def wanted() -> list[str]:
    """The settings that whoever started the guest wants to hear of."""
    return _WANTED.read_text().split()


def as_user(user: str, *more: str) -> tuple[str, ...]:
    """The wrapper that becomes ``user``, with nothing of root's."""
    entry = pwd.getpwnam(user)
    variables = (f"HOME={entry.pw_dir}", f"USER={user}", f"XDG_RUNTIME_DIR=/run/user/{entry.pw_uid}")
    ids = (f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups", "--inh-caps=-all")
    return ("setpriv", *ids, "env", *variables, *more)


def bare() -> None:
    """Without systemd."""
    profile = Path("/run/profile")
    profile.write_text(holds_host.PROFILE)
    subprocess.run(["apparmor_parser", "--replace", profile], check=True, capture_output=True)
    setting("root")
    (_TREE / "cgroup.subtree_control").write_text("+memory +cpu +cpuset +pids +io +hugetlb")
    for name, path in (("user", _TREE / "given"), ("bare", _TREE / "empty/given")):
        # What is delegated: the directory and the files of cgroup-v2, "Model of Delegation".
        path.mkdir(parents=True)
        for file in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(path / file, 1000, 1000)
        enter = ("sh", "-c", f'echo 0 > {path}/cgroup.procs; exec "$@"', "sh")
        setting(name, *enter, *as_user("learner"), user="learner")
    setting("other", *as_user("learner"), user="learner")


def systemd() -> None:
    """With systemd as the machine's init."""
    setting("system")
    subprocess.run(["systemctl", "start", "user@1000.service"], check=True)
    scope = ("systemd-run", "--user", "--quiet", "--scope", "--property=Delegate=yes")
    setting("scope", *as_user("learner", *scope), user="learner")
    setting("session", *as_user("learner"), user="learner")


def run(name: str, folder: str) -> None:
    """Check every claim of the setting; one line each to standard output."""
    place = Place(name, Path(folder))
    for claim in CLAIMS:
        if name not in claim.settings:
            continue
        began = time.monotonic()
        try:
            claim.check(place)
            word, why = "ok", ""
        except BaseException:
            word, why = "failed", traceback.format_exc().replace("\n", "\x1f")
        print(name, claim.name, word, f"{time.monotonic() - began:.2f}", why, sep="\t", flush=True)
    place.close()


if __name__ == "__main__":
    assert holds.__doc__
    {"bare": bare, "systemd": systemd}.get(sys.argv[1], lambda: run(*sys.argv[2:]))()
