"""What an image runs on (image-spec, image-index.md, ``platform``; names as in Go's GOOS, GOARCH)."""

import os
import re
from typing import Self

import msgspec

from sandcell.runtime.errors import InvalidOption

_WORD = r"[a-z0-9_.-]+"
_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "i386": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
}


class Platform(msgspec.Struct, frozen=True, omit_defaults=True):
    """Operating system, architecture and variant. ``str()`` is docker's ``linux/arm/v7``."""

    architecture: str
    os: str
    os_version: str = msgspec.field(default="", name="os.version")
    os_features: tuple[str, ...] = msgspec.field(default=(), name="os.features")
    variant: str = ""

    @classmethod
    def here(cls, machine: str | None = None) -> Self:
        """The platform of this machine, or of one whose ``uname -m`` is ``machine``."""
        name = machine or os.uname().machine
        architecture, variant = _MACHINES.get(name, (name, ""))
        return cls(architecture, "linux", variant=variant)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``os/architecture[/variant]``, or an architecture alone; ``InvalidOption``."""
        parts = text.lower().split("/")
        if len(parts) == 1:
            parts = ["linux", *parts]
        if not 2 <= len(parts) <= 3 or not all(re.fullmatch(_WORD, part) for part in parts):
            hint = "write os/architecture, for example linux/arm64"
            raise InvalidOption("read platform", text, "it is no platform", hint)
        architecture, variant = _MACHINES.get(parts[1], (parts[1], ""))
        variant = parts[2] if len(parts) > 2 else variant
        # What these call a variant is what they all are.
        usual = (architecture, variant) in (("arm64", "v8"), ("amd64", "v1"))
        return cls(architecture, parts[0], variant="" if usual else variant)

    def runs(self, other: "Platform") -> bool:
        """Does a machine of this platform run programs of ``other``?"""
        if (self.os, self.architecture) != (other.os, other.architecture):
            return False
        if self.architecture == "arm":
            return (other.variant or "v7") <= (self.variant or "v7")
        return True

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)
