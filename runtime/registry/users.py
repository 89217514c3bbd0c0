"""Who may come into our own registry: a file of names and passwords, as htpasswd(1) writes it."""

import hmac
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import TypeAlias

from sandcell.runtime.errors import HostRefused, InvalidOption

Allowed: TypeAlias = Callable[[str, str], bool]
"""May this name with this password come in?"""

_BCRYPT = ("$2y$", "$2b$", "$2a$")
_OTHER = ("$apr1$", "{SHA}", "$1$", "$5$", "$6$", "$y$")


def known_users(users: Mapping[str, str]) -> Allowed:
    """Lets in those whose password is the one in ``users``, or has the bcrypt hash that is there.

    Takes as long for a wrong name as for a right one. A password that was right is remembered, by a
    keyed hash, since bcrypt is slow on purpose. ``HostRefused`` where hashes cannot be checked here.
    """
    if any(told.startswith(_BCRYPT) for told in users.values()):
        _bcrypt()
    key = secrets.token_bytes(32)
    right: dict[str, bytes] = {}
    lock = threading.Lock()
    someone = next(iter(users.values()), "")

    def allowed(user: str, password: str) -> bool:
        told = users.get(user, someone)
        mark = hmac.digest(key, f"{user}:{password}".encode(), "sha256")
        if hmac.compare_digest(right.get(user, b""), mark):
            return True
        if told.startswith(_BCRYPT):
            # One at a time: guesses must not take the machine.
            with lock:
                good = _bcrypt()(password.encode()[:72], told.encode())
        else:
            good = hmac.compare_digest(told.encode(), password.encode())
        if good and user in users:
            right[user] = mark
            return True
        return False

    return allowed


def read(path: str) -> dict[str, str]:
    """The lines ``NAME:HASH`` (``htpasswd -B``) or ``NAME:PASSWORD`` of a file; ``InvalidOption``.

    One with passwords must be readable by nobody else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            open_to_others = os.fstat(file.fileno()).st_mode & 0o077
            lines = file.read().splitlines()
    except OSError as error:
        raise InvalidOption("serve", path, os.strerror(error.errno or 0)) from None
    except UnicodeDecodeError:
        raise InvalidOption("serve", path, "it is no text") from None
    users = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        user, colon, told = line.strip().partition(":")
        if not (user and colon and told):
            raise InvalidOption("serve", path, f"line {number} is not NAME:PASSWORD")
        if told.startswith(_OTHER):
            raise InvalidOption("serve", path, f"line {number} has a hash that is not bcrypt", "htpasswd -B")
        if open_to_others and not told.startswith(_BCRYPT):
            raise InvalidOption("serve", path, "others can read the passwords", f"chmod 600 {path}")
        users[user] = told
    return users


def _bcrypt() -> Callable[[bytes, bytes], bool]:
    try:
        import bcrypt
    except ImportError:
        hint = "pip install 'sandcell[registry]', or write NAME:PASSWORD lines"
        raise HostRefused("serve", "bcrypt", "hashed passwords need the package bcrypt", hint) from None
    return bcrypt.checkpw
