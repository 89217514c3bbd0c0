"""Published ports as people write them: ``-p [ADDR:]HOST:PORT[/proto]``, or ``-p PORT``."""

import os
import socket

import msgspec

from sandcell.runtime.errors import InvalidOption

NAME = "ports.json"


class Publish(msgspec.Struct, frozen=True):
    """A port of the host that leads to one of the container. ``host_port`` 0: any free one."""

    port: int
    host_port: int = 0
    address: str = "127.0.0.1"
    protocol: str = "tcp"

    def __str__(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown}:{self.host_port}->{self.port}/{self.protocol}"


def parse_publish(text: str) -> Publish:
    """One ``-p``; ``InvalidOption`` when it cannot be read. docker-run(1), ``--publish``; unlike there
    the address is 127.0.0.1 unless one is given."""
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
    numbers = [_port(text, part) for part in ("0", *parts)[-2:]]
    if not numbers[1]:
        raise _wrong(text)
    return Publish(numbers[1], numbers[0], address, protocol or "tcp")


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
            return msgspec.json.decode(file.read(), type=tuple[Publish, ...])
    except (FileNotFoundError, msgspec.DecodeError):
        return ()
