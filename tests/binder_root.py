"""A machine as a Binder makes it: uid 1000, no way to more rights, and system calls refused.

Its root is this machine's userland (/usr, read-only), with a home, a /tmp and an /etc of its own. The Python
environment lies where repo2docker puts it, /srv/conda/envs/notebook, over that of the tests. Everything is
mounted in a private mount namespace, and goes with its last process. No assertions.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import sandcell

CHECKOUT = Path(sandcell.__file__).resolve().parents[1]
PREFIX = "/srv/conda/envs/notebook"
HOME = "/home/jovyan"
UID = 1000
ENVIRONMENT = {
    "APP_BASE": "/srv",
    "CONDA_DIR": "/srv/conda",
    "HOME": HOME,
    "LANG": "C.UTF-8",
    "NB_PYTHON_PREFIX": PREFIX,
    "NB_UID": str(UID),
    "NB_USER": "jovyan",
    "PATH": f"{PREFIX}/bin:/usr/local/bin:/usr/bin:/bin",
    "SHELL": "/bin/bash",
    "USER": "jovyan",
}
_SCRIPT = """#!{prefix}/bin/python
import sys
from {module} import {function}
sys.exit({function}())
"""
_PROGRAMS = {
    "sandcell": ("sandcell.runtime.cli", "entry"),
    "jupyter": ("jupyter_core.command", "main"),
    "jupyter-lab": ("jupyterlab.labapp", "main"),
}
_ENTER = """
set -eu
root=$1
shift
mount -t tmpfs -o mode=755 root "$root"
cd "$root"
mkdir -p usr etc tmp proc sys dev var/tmp srv/conda/envs run home .{prefix} .{home} .{python}
for name in bin sbin lib lib32 lib64 libx32; do
    if [ -L "/$name" ]; then
        cp -P "/$name" .
    elif [ -d "/$name" ]; then
        mkdir "$name"
        mount --bind "/$name" "$name"
    fi
done
mount --bind /usr usr
mount -o remount,bind,ro usr
for name in ld.so.cache os-release alternatives ssl nsswitch.conf fonts; do
    [ ! -e "/etc/$name" ] || cp -r "/etc/$name" etc/
done
echo "jovyan:x:{uid}:{uid}::{home}:/bin/bash" >etc/passwd
echo "jovyan:x:{uid}:" >etc/group
echo "127.0.0.1 localhost" >etc/hosts
chmod 1777 tmp var/tmp
mount --rbind /proc proc
mount --rbind /sys sys
mount --rbind /dev dev
case {python} in /usr/*) ;; *) mount --bind {python} .{python} ;; esac
mount --bind {kept}/home .{home}
mount -t overlay -o lowerdir={venv},upperdir={kept}/upper,workdir={kept}/work env .{prefix}
mkdir mnt
/usr/sbin/pivot_root . mnt
cd {home}
umount -l /mnt
exec setpriv --no-new-privs --reuid={uid} --regid={uid} --clear-groups --inh-caps=-all \
    {prefix}/bin/python -c "$@"
"""
_BEGIN = """
import os, sys
{filter}
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Binder:
    """Such a machine, whose files below ``place`` stay between its commands."""

    def __init__(self, place: Path) -> None:
        self._place = place
        for name in ("root", "home", "upper", "work", "upper/bin", "upper/share", "upper/lib"):
            (place / name).mkdir()
        for name, (module, function) in _PROGRAMS.items():
            script = place / "upper/bin" / name
            script.write_text(_SCRIPT.format(prefix=PREFIX, module=module, function=function))
            script.chmod(0o755)
        self._check_out()
        for path in (place / "home", *(place / "upper").rglob("*"), *(place / "home").rglob("*")):
            os.lchown(path, UID, UID)

    def _check_out(self) -> None:
        """What repo2docker copies into the home, and ``pip install -e`` makes of it."""
        parts = (
            "sandcell",
            "runtime",
            "magics",
            "notebooks",
            "binder",
            "pyproject.toml",
            "README.md",
            "LICENSE",
        )
        copy = ["cp", "-r", "-P", "-t", str(self._place / "home")]
        subprocess.run([*copy, *parts], cwd=CHECKOUT, check=True)
        library = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        site = self._place / "upper" / library
        site.mkdir(parents=True)
        for path in (Path(sys.prefix) / library).glob("*sandcell*.pth"):
            (site / path.name).write_text(f"{HOME}\n")

    def command(self, filter: str, *argv: str) -> list[str]:
        """The command that runs ``argv`` in its home, behind the system-call filter that the Python code
        ``filter`` loads."""
        given = {
            "prefix": PREFIX,
            "home": HOME,
            "uid": UID,
            "python": shlex.quote(os.path.realpath(sys.base_prefix)),
            "venv": shlex.quote(sys.prefix),
            "kept": shlex.quote(str(self._place)),
        }
        enter = _ENTER.format(**given)
        begin = _BEGIN.format(filter=filter)
        wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", enter, "sh"]
        return [*wrapper, str(self._place / "root"), begin, *argv]

    def popen(self, filter: str, *argv: str, env: Mapping[str, str] = {}) -> "subprocess.Popen[str]":
        """Start ``argv`` there; what it says goes to one pipe."""
        return subprocess.Popen(
            self.command(filter, *argv),
            env={
                **ENVIRONMENT,
                **{k: v for k, v in os.environ.items() if k == "SANDCELL_TEST_SESSION"},
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, filter: str, *argv: str, timeout: float = 100) -> str:
        """What ``argv`` says there; ``AssertionError`` with it when it fails."""
        with self.popen(filter, *argv) as process:
            said, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, f"exit status {process.returncode}\n{said}"
        return said
