"""Facts of the host that a user's flags name: devices, and a file with a filter."""

import os
import stat

from sandcell.runtime.container.compose import CAPABILITIES
from sandcell.runtime.container.flag_words import parse_device
from sandcell.runtime.container.options import Options
from sandcell.runtime.container.rights import DEFAULT, UNCONFINED, bounding, parse_security, read_profile
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.oci.spec import Seccomp


def numbers(options: Options) -> dict[str, tuple[str, int, int]]:
    """Type, major and minor of each device that is given to the container. ``InvalidOption`` when
    there is none."""
    found = {}
    for text in options.devices:
        source = parse_device(text).source
        try:
            status = os.stat(source)
        except OSError as error:
            cause = os.strerror(error.errno or 0)
            raise InvalidOption("use", f"--device {text}", cause, "ls -l /dev") from None
        if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            raise InvalidOption("use", f"--device {text}", "it is no device of this host", "ls -l /dev")
        kind = "c" if stat.S_ISCHR(status.st_mode) else "b"
        found[source] = (kind, os.major(status.st_rdev), os.minor(status.st_rdev))
    return found


def profile(options: Options, machine: str, kernel: tuple[int, int]) -> Seccomp | None:
    """The system call filter of ``--security-opt seccomp=FILE``, ``None`` where no file is named."""
    path = parse_security(options.security).seccomp
    if path in (DEFAULT, UNCONFINED):
        return None
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        cause = f"{path}: {os.strerror(error.errno or 0)}"
        raise InvalidOption("use", f"--security-opt seccomp={path}", cause, "write unconfined") from None
    held = bounding(CAPABILITIES, options.cap_add, options.cap_drop)
    return read_profile(data, path, machine, held, kernel)
