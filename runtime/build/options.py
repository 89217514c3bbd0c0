"""What a person may ask of a build beside its text: the flags of ``docker build``."""

from collections.abc import Mapping

import msgspec


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The less usual flags of a build.

    ``contexts``: ``--build-context``, name → directory, ``docker-image://REF``, ``oci-layout://DIR``, or an
    address of a tar or a git repository. ``secrets``: contents by id. ``agents``: ssh agents by id, each
    a socket. ``labels`` are set last. ``platform``: ``os/architecture``, empty is this machine's.
    ``fresh_stages``: stages done again whatever the cache has. ``cache_from``, ``cache_to``:
    ``type=registry,ref=…``, ``type=local,src=…`` or ``dest=…``, ``type=inline``. ``ignore``: takes the
    place of the context's .dockerignore. ``network``: of every RUN that names none.
    """

    contexts: Mapping[str, str] = {}
    secrets: Mapping[str, bytes] = {}
    agents: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    platform: str = ""
    fresh_stages: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    ignore: str | None = None
    network: str = "default"
