"""Running Python as somebody without any rights, on a machine where the tests may run as root.

The user exists only inside a private mount namespace: /etc/passwd, /etc/group, /etc/subuid and
/etc/subgid are bound over there, so the machine's own files stay as they are. The checkout, the
installed packages and the interpreter are bound below the user's folder, because they may lie
where only root can look.
"""

import os
import pwd
import shlex
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from sandcell.runtime.linux.idmap import subordinate

UID = 61234
FIRST_SUBORDINATE = 700_000
CHECKOUT = Path(__file__).resolve().parent.parent


def _has_ranges(uid: int) -> bool:
    return subordinate(Path("/etc/subuid").read_text(), pwd.getpwuid(uid).pw_name, uid) is not None


class PlainUser:
    """An unprivileged user with a home of its own below ``folder``.

    Run by root, every program of it gets the uid 61234, no capability, and ids 700000–765535
    where ``ranges`` asks for them. Run by a plain user, that user is it.
    """

    def __init__(self, folder: Path) -> None:
        self.root = os.geteuid() == 0
        self.uid = UID if self.root else os.geteuid()
        self.folder = folder
        self.home = folder / "home"
        self.etc = folder / "etc"
        for place in (self.home, self.etc):
            place.mkdir()
        if not self.root:
            self.python, self.path = sys.executable, f"{CHECKOUT}"
            return
        folder.chmod(0o711)
        self.own(self.home)
        site = sysconfig.get_path("purelib")
        self.binds = {str(CHECKOUT): folder / "checkout", site: folder / "site"}
        self.path = f"{folder}/checkout:{folder}/site"
        self.python = os.path.realpath(sys.executable)
        if not self.python.startswith("/usr/"):
            self.binds[sys.base_prefix] = folder / "python"
            self.python = str(
                folder / "python" / Path(self.python).relative_to(Path(sys.base_prefix).resolve())
            )
        for target in self.binds.values():
            target.mkdir()
        line = f"learner:x:{UID}:{UID}::{self.home}:/bin/sh\n"
        (self.etc / "passwd").write_text(Path("/etc/passwd").read_text() + line)
        (self.etc / "group").write_text(Path("/etc/group").read_text() + f"learner:x:{UID}:\n")
        (self.etc / "ids").write_text(f"learner:{FIRST_SUBORDINATE}:65536\n")
        (self.etc / "none").write_text("")
        self.etc.chmod(0o755)
        # As udev(7) leaves it on most machines: who may make a namespace may have a tap link in it.
        self.tun = folder / "tun"
        if os.path.exists("/dev/net/tun"):
            os.mknod(self.tun, 0o666 | stat.S_IFCHR, os.stat("/dev/net/tun").st_rdev)
            self.tun.chmod(0o666)

    def own(self, path: Path) -> Path:
        """Give ``path`` to the user."""
        if self.root:
            os.chown(path, self.uid, self.uid)
        return path

    def directory(self, name: str) -> Path:
        """A new directory of the user's."""
        path = self.home / name
        path.mkdir(parents=True)
        return self.own(path)

    def command(
        self, *argv: str, ranges: bool = False, no_new_privs: bool = False, first: str = ""
    ) -> list[str]:
        """The command that runs ``argv`` as the user; its environment is the caller's.

        ``first``: shell commands that root runs before, in the same private mount namespace.
        """
        drop = ["setpriv", *(["--no-new-privs"] if no_new_privs else [])]
        if not self.root:
            if ranges and not _has_ranges(self.uid):
                pytest.skip(f"/etc/subuid gives uid {self.uid} no ids")
            return [*drop, *argv] if no_new_privs else list(argv)
        ids = self.etc / ("ids" if ranges else "none")
        over = {
            self.etc / "passwd": "/etc/passwd",
            self.etc / "group": "/etc/group",
            ids: "/etc/subuid",
        }
        lines = [f"mount --bind {shlex.quote(str(a))} {b}" for a, b in over.items()]
        lines.append(f"mount --bind {shlex.quote(str(ids))} /etc/subgid")
        lines += [f"mount --bind {shlex.quote(a)} {shlex.quote(str(b))}" for a, b in self.binds.items()]
        lines += [f"mount --bind {shlex.quote(str(self.tun))} /dev/net/tun"] if self.tun.exists() else []
        drop += [f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all"]
        script = "set -e\n" + "\n".join([*lines, first]) + '\nexec "$@"'
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", *drop, *argv]

    def environment(self, extra: Mapping[str, str] = {}) -> dict[str, str]:
        """A small environment: nothing of the machine's own configuration is in it."""
        return {
            "HOME": str(self.home),
            "USER": "learner",
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": self.path,
            "PYTHONDONTWRITEBYTECODE": "1",
            **{k: v for k, v in os.environ.items() if k.startswith("SANDCELL_TEST")},
            **extra,
        }

    def run(
        self,
        code: str,
        *arguments: str,
        ranges: bool = False,
        no_new_privs: bool = False,
        first: str = "",
        env: Mapping[str, str] = {},
        timeout: float = 60,
    ) -> str:
        """Run Python ``code`` (``sys.argv[1:]`` are ``arguments``) and give what it printed.

        ``AssertionError`` with its standard error when it fails.
        """
        argv = self.command(
            self.python, "-c", code, *arguments, ranges=ranges, no_new_privs=no_new_privs, first=first
        )
        done = subprocess.run(
            argv, env=self.environment(env), cwd="/", text=True, capture_output=True, timeout=timeout
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout
