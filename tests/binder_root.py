"""A machine as a Binder makes it: a Debian, uid 1000, no way to more rights, and system calls refused.

Its root is `tests.binder_debian`'s, below a writable layer; the checkout lies in its home, installed as
``environment.yml`` says. Everything is mounted in a private mount namespace, and goes with its last process.
No assertions.
"""

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.binder_debian import CHECKOUT, HOME, PREFIX, UID

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
_ENTER = """
set -eu
mount -t overlay -o lowerdir={debian},upperdir={kept}/upper,workdir={kept}/work root {kept}/root
cd {kept}/root
for name in proc sys dev; do
    mount --rbind "/$name" "$name"
done
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
_CODE = ["sandcell", "runtime", "magics", "notebooks", "tests"]
_REST = ["binder", "pyproject.toml", "README.md", "LICENSE"]


class Binder:
    """Such a machine over the root ``debian``. What is written there is kept below ``place``, from one of
    its commands to the next."""

    def __init__(self, debian: Path, place: Path) -> None:
        for name in ("root", "upper", "work"):
            (place / name).mkdir()
        given = {"debian": shlex.quote(str(debian)), "kept": shlex.quote(str(place))}
        self._enter = _ENTER.format(**given, prefix=PREFIX, home=HOME, uid=UID)
        home = place / "upper" / HOME[1:]
        home.mkdir(parents=True)
        subprocess.run(["cp", "-r", "-P", "-t", str(home), *_CODE, *_REST], cwd=CHECKOUT, check=True)
        subprocess.run(["chown", "-R", f"{UID}:{UID}", str(home)], check=True)
        # All else that it asks for is there already; and there may be no network.
        line = "pip install --quiet --no-deps --no-index --no-build-isolation -e '..[lab]'"
        self.run("", "sh", "-c", f"cd binder && {line}")

    def command(self, filter: str, *argv: str) -> list[str]:
        """The command that runs ``argv`` in its home, behind the system-call filter that the Python code
        ``filter`` loads."""
        wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", self._enter, "sh"]
        return [*wrapper, _BEGIN.format(filter=filter), *argv]

    def popen(self, filter: str, *argv: str, by: Sequence[str] = ()) -> "subprocess.Popen[str]":
        """Start ``argv`` there, by way of ``by``; what it says goes to one pipe."""
        ours = {name: value for name, value in os.environ.items() if name == "SANDCELL_TEST_SESSION"}
        return subprocess.Popen(
            [*by, *self.command(filter, *argv)],
            env={**ENVIRONMENT, **ours},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, filter: str, *argv: str, timeout: float = 100, by: Sequence[str] = ()) -> str:
        """What ``argv`` says there; ``AssertionError`` with it when it fails. ``by``: what starts it all."""
        with self.popen(filter, *argv, by=by) as process:
            said, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, f"exit status {process.returncode}\n{said}"
        return said
