"""Compiled system call filters, kept in memory and in the run directory: compiling takes longer than
the whole start of a container, and the same few profiles come again and again."""

import os

from sandcell.runtime.container.plan import Compile
from sandcell.runtime.container.seccomp_profile import cache_key, compile_profile, filter_flags
from sandcell.runtime.engine.places import Places
from sandcell.runtime.oci.spec import Seccomp

_known: dict[Seccomp, tuple[bytes, int]] = {}


def compiler(places: Places) -> Compile:
    """The function that ``container.plan`` needs: a profile's program and flags."""

    def compile_filter(profile: Seccomp) -> tuple[bytes, int]:
        found = _known.get(profile)
        if found is None:
            found = (_program(places, profile), filter_flags(profile))
            _known[profile] = found
        return found

    return compile_filter


def _program(places: Places, profile: Seccomp) -> bytes:
    machine = os.uname().machine
    directory = f"{places.run}/filters"
    path = f"{directory}/{cache_key(profile, machine)}"
    try:
        with open(path, "rb") as file:
            if program := file.read():
                return program  # an empty file is what a crash of the machine may leave
    except OSError:
        pass
    program = bytes(compile_profile(profile, machine))
    os.makedirs(directory, mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.urandom(4).hex()}"
    with open(temporary, "wb") as file:
        file.write(program)
    os.rename(temporary, path)
    return program
