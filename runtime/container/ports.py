"""Published ports as people write them: ``-p [ADDR:]HOST:PORT[/proto]``, ``-p PORT``, also ranges."""

import os
import socket

import msgspec

from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.known import known

NAME = "ports.json"


class Publish(msgspec.Struct, frozen=True):
    """A port of the host that leads to one of the container. ``host_port`` 0: any free one; with
    ``last``: the first free one from ``host_port`` to there."""

    port: int
    host_port: int = 0
    address: str = "127.0.0.1"
    protocol: str = "tcp"
    last: int = 0

    @property
    def place(self) -> str:
        """Where to call on the host: ``127.0.0.1:8080``, ``[::1]:8080``."""
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.host_port}"

    def __str__(self) -> str:
        return f"{self.place}->{self.port}/{self.protocol}"


def parse_publish(text: str) -> tuple[Publish, ...]:
    """One ``-p``; ``InvalidOption`` when it cannot be read. docker-run(1), ``--publish``; unlike there
    the address is 127.0.0.1 unless one is given. Ranges are as long on both sides, or one port of the
    container gets the first free one of the host's."""
    plain, _, protocol = text.partition("/")
    address = "127.0.0.1"
    if plain.startswith("["):
        address, closed, plain = plain[1:].partition("]:")
        if not closed:
            raise _wrong(text)
    parts = plain.split(":")
    if len(parts) == 3 and not text.startswith("["):
        address = parts.pop(0)
    if len(parts) not in (1, 2) or protocol not in ("", "tcp", "udp"):
        raise _wrong(text)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.inet_pton(family, address)
    except OSError:
        raise _wrong(text) from None
    outer, inner = (_range(text, part) for part in ("0", *parts)[-2:])
    if not inner[0] or (outer[0] and outer[1] - outer[0] != inner[1] - inner[0] and inner[0] != inner[1]):
        raise _wrong(text)
    protocol = protocol or "tcp"
    if inner[0] == inner[1]:
        last = outer[1] if outer[1] > outer[0] else 0
        return (Publish(inner[0], outer[0], address, protocol, last),)
    return tuple(
        Publish(inner[0] + step, outer[0] + step if outer[0] else 0, address, protocol)
        for step in range(inner[1] - inner[0] + 1)
    )


def _range(text: str, part: str) -> tuple[int, int]:
    first, dash, last = part.partition("-")
    numbers = _port(text, first), _port(text, last if dash else first)
    if dash and not 0 < numbers[0] <= numbers[1]:
        raise _wrong(text)
    return numbers


def _port(text: str, part: str) -> int:
    if not part:
        return 0
    if not part.isascii() or not part.isdigit() or int(part) > 65535:
        raise _wrong(text)
    return int(part)


def _wrong(text: str) -> InvalidOption:
    return InvalidOption(
        "publish", text, "not a port to publish", "write -p 8080:80, or -p 0.0.0.0:8080:80/udp"
    )


def write(run: str, ports: tuple[Publish, ...]) -> None:
    """Note beside a container's state which ports of the host lead to it. ``OSError``."""
    path = f"{run}/{NAME}"
    with open(path + ".new", "wb") as file:
        file.write(msgspec.json.encode(ports))
    os.rename(path + ".new", path)


def read(run: str) -> tuple[Publish, ...]:
    """The ports as last noted, with the numbers that the host has given; none where there is no note."""
    try:
        with open(f"{run}/{NAME}", "rb") as file:
            return msgspec.json.decode(file.read(), type=known(tuple[Publish, ...]))
    except (FileNotFoundError, msgspec.DecodeError):
        return ()
