"""Compiled system call filters kept as files: compiling takes longer than the whole start of a
container, and the same few profiles come again and again. The compiler is imported when it has to be."""

import os

import msgspec

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.linux.seccomp_load import FILTER_FLAGS
from sandcell.runtime.linux.syscalls_table import newest
from sandcell.runtime.oci.spec_linux import Seccomp

# Raised whenever the same document compiles to other bytes, so that kept programs are forgotten.
COMPILER = 1


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
    from sandcell.runtime.container.seccomp_profile import compile_profile

    program = bytes(compile_profile(profile, machine))
    os.makedirs(directory, mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.urandom(4).hex()}"
    with open(temporary, "wb") as file:
        file.write(program)
    os.rename(temporary, path)
    return program


def filter_flags(profile: Seccomp) -> int:
    """What to hand to ``seccomp_load.install``; a profile with a listener also gets NEW_LISTENER."""
    flags = FILTER_FLAGS["NEW_LISTENER"] if profile.listener_path else 0
    for name in profile.flags:
        flag = FILTER_FLAGS.get(name.removeprefix("SECCOMP_FILTER_FLAG_"))
        if flag is None:
            cause, hint = f"there is no flag {name}", "see config-linux.md, section Seccomp"
            raise InvalidOption("filter", "system calls", cause, hint)
        flags |= flag
    return flags


def cache_key(profile: Seccomp, machine: str) -> str:
    """Names the bytes that ``compile_profile`` gives: equal keys, equal programs. 32 hex digits."""
    from _blake2 import blake2b  # hashlib would load OpenSSL

    document = msgspec.json.encode((COMPILER, newest(), machine, profile))
    return blake2b(document, digest_size=16).hexdigest()
