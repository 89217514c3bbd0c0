"""What a container reads to find others: /etc/hosts and /etc/resolv.conf. hosts(5), resolv.conf(5)."""

import os
import re
from collections.abc import Callable, Iterable

LOCAL = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
MARK = "# containers of network "
_SECTION = re.compile(f"^(?={MARK})", re.MULTILINE)
_UPSTREAM = ("/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf")
_MOST = 1 << 20


def hosts(before: str, network: str, lines: Iterable[str]) -> str:
    """The file with ``lines`` below the mark of that network, and without the mark where there are none.
    What stands above the first mark stays as it is, and so do the other networks' parts."""
    head, *sections = _SECTION.split(before)
    mark = f"{MARK}{network}\n"
    rest = [section for section in sections if not section.startswith(mark)]
    new = "".join(f"{line}\n" for line in lines)
    if head and not head.endswith("\n"):
        head += "\n"
    return head + "".join(rest) + (mark + new if new else "")


def rewrite(path: str, network: str, lines: Iterable[str]) -> None:
    """Renew a network's part in place: the file is mounted into a container, so it must stay the same
    file. Nothing where it is gone."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        old = os.read(fd, _MOST).decode(errors="replace")
        new = hosts(old, network, lines).encode()
        if new != old.encode():
            os.pwrite(fd, new, 0)
            os.ftruncate(fd, len(new))
    finally:
        os.close(fd)


def is_local(line: str) -> bool:
    """True for a ``nameserver`` line whose address means the reader itself, or is of one link of the host's
    only (RFC 4291, section 2.5.6)."""
    words = line.split()
    return words[:1] == ["nameserver"] and (
        words[1:2] in (["::1"], ["::"], ["0.0.0.0"]) or words[-1].lower().startswith(("127.", "fe80:"))
    )


def resolver(read: Callable[[str], str]) -> str:
    """The resolv.conf for a container on a bridge: the host's, and where that names a resolver on the
    host's own loopback, the file with the servers behind it. A loopback server is never handed on:
    inside it would be the container itself."""
    text = read("/etc/resolv.conf")
    if any(is_local(line) for line in text.splitlines()):
        for path in _UPSTREAM:
            other = read(path)
            if other and not any(is_local(line) for line in other.splitlines()):
                return other
    return "".join(f"{line}\n" for line in text.splitlines() if not is_local(line))


def unanswered(text: str, *, six: bool) -> str:
    """Why nobody answers who reads this resolv.conf on a network (with ``six`` of IPv6 too); else empty."""
    servers = [line.split()[-1] for line in text.splitlines() if line.startswith("nameserver ")]
    if not servers:
        return "names of the outside are not found: this host has no name server but on itself"
    if not six and all(":" in server for server in servers):
        return "names of the outside are not found: this host's name servers have IPv6, the network has not"
    return ""
