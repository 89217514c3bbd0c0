"""Facts of a host that never was, for composing containers without one."""

from typing import Any

from sandcell.runtime.container.compose import Setting
from sandcell.runtime.linux.idmap import HOST, IdMap, Range
from sandcell.runtime.oci.spec import User

ROOT = HOST
SINGLE = IdMap((Range(0, 1000, 1),), (Range(0, 1000, 1),))
MAPPED = IdMap((Range(0, 1000, 1), Range(1, 100_000, 65_536)), (Range(0, 1000, 1), Range(1, 100_000, 65_536)))


def setting(**facts: Any) -> Setting:
    """An ordinary host, but for ``facts``."""
    usual: dict[str, Any] = {
        "id": "0123456789abcdef" * 4,
        "idmap": ROOT,
        "user": User(uid=0, gid=0),
        "home": "/root",
        "shared": "/h/c/shared",
        "etc": {"hosts": "/h/c/hosts", "hostname": "/h/c/hostname"},
        "cgroups_path": "sandcell/ID",
        "kernel": (6, 8),
        "machine": "x86_64",
    }
    return Setting(**{**usual, **facts})
