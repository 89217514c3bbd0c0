"""Compiled system call filters, kept in memory and in the run directory."""

from sandcell.runtime.container.plan import Compile
from sandcell.runtime.container.seccomp_kept import filter_flags, kept_program
from sandcell.runtime.engine.places import Places
from sandcell.runtime.oci.spec import Seccomp

_known: dict[Seccomp, tuple[bytes, int]] = {}


def compiler(places: Places) -> Compile:
    """The function that ``container.plan`` needs: a profile's program and flags."""

    def compile_filter(profile: Seccomp) -> tuple[bytes, int]:
        found = _known.get(profile)
        if found is None:
            found = (kept_program(f"{places.run}/filters", profile), filter_flags(profile))
            _known[profile] = found
        return found

    return compile_filter
