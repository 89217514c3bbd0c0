"""The header WWW-Authenticate: what a server wants to know (RFC 9110, section 11.6.1)."""

import re

import msgspec

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_SCHEME = re.compile(rf"\s*,*\s*({_TOKEN})(?=\s|,|$)")
_PARAMETER = re.compile(rf"\s*,*\s*({_TOKEN})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+))")


class Challenge(msgspec.Struct, frozen=True):
    """``scheme`` in lower case (basic, bearer) and its parameters, names in lower case."""

    scheme: str
    parameters: dict[str, str] = {}


def challenges(header: str) -> tuple[Challenge, ...]:
    """Every challenge of a header; what cannot be read ends the list."""
    found = []
    at = 0
    while (match := _SCHEME.match(header, at)) is not None:
        at = match.end()
        parameters: dict[str, str] = {}
        while (given := _PARAMETER.match(header, at)) is not None:
            at = given.end()
            quoted = given[2]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else given[3]
            parameters.setdefault(given[1].lower(), value)
        found.append(Challenge(match[1].lower(), parameters))
    return tuple(found)
