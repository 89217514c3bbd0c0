"""The runtimes that the same tests drive: ours, and those of Debian, which test the tests."""

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from sandcell.runtime.linux.host import Host


class Runtime(NamedTuple):
    """``argv``: what its command line begins with."""

    name: str
    argv: tuple[str, ...]

    @property
    def ours(self) -> bool:
        """True for ``sandcell-oci``."""
        return self.name == "sandcell-oci"


# The older ones know no host with both kinds of control groups: the second is hidden from them, in a
# mount namespace of their own.
_ALONE = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'

_MODULE = (sys.executable, "-m", "sandcell.runtime.oci_cli")
_SCRIPT = Path(__file__).parents[2] / "runtime/oci_cli/sandcell-oci"
_INSTALLED = any(Path(sys.prefix).glob("lib/python*/site-packages/_sandcell.pth"))
# As the installed script starts it, where we are installed; else by PYTHONPATH.
OURS = Runtime("sandcell-oci", (sys.executable, "-I", "-S", str(_SCRIPT)) if _INSTALLED else _MODULE)
PEERS = tuple(
    Runtime(name, ("unshare", "-m", "--propagation", "slave", "sh", "-c", _ALONE, "sh", name))
    for name in ("crun", "runc")
)


def usable(runtime: Runtime, host: Host) -> Runtime:
    """The runtime; skips with the reason where it cannot make containers here."""
    if os.geteuid() != 0 or host.rung != "root":
        pytest.skip("makes control groups, device nodes and mounts: root only")
    for program in (runtime.name, "unshare"):
        if not runtime.ours and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (./dev test installs it as root)")
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no /usr/bin/python3 to look around with in a container")
    return runtime
