"""Compiled system call filters kept as files: compiling takes longer than the whole start of a
container, and the same few profiles come again and again."""

import os

from sandcell.runtime.container.seccomp_profile import cache_key, compile_profile
from sandcell.runtime.oci.spec import Seccomp


def kept_program(directory: str, profile: Seccomp) -> bytes:
    """The program of ``profile`` for this machine: out of ``directory`` (made where missing), where it is
    put the first time. Errors as of ``compile_profile``, and ``OSError``."""
    machine = os.uname().machine
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
