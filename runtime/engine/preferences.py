"""What config.toml says of the engine: another rung than the best, and stores that are used as well.

::

    rung = "rootless"
    stores = ["/srv/class"]
"""

from typing import Any

from sandcell.runtime.errors import BadInput
from sandcell.runtime.registry.config_file import paths


def rung() -> str:
    """The rung that the user asks for, empty without. ``BadInput`` for a file that cannot be read as TOML;
    that there is such a rung is for the probe to see."""
    return str(_read()[1].get("rung", ""))


def stores() -> tuple[str, ...]:
    """Homes of other stores, whose images are there as well, read-only. ``BadInput`` for what is no list of
    paths; that there are such stores is for the store to see."""
    path, settings = _read()
    told = settings.get("stores", [])
    if not isinstance(told, list) or not all(isinstance(one, str) and one.startswith("/") for one in told):
        raise BadInput("read", path, "`stores` is no list of absolute paths", 'stores = ["/srv/class"]')
    return tuple(told)


def told() -> tuple[str, dict[str, Any]]:
    """The path of the config.toml that counts, empty without one, and what it says. ``BadInput`` as above."""
    return _read()


def _read() -> tuple[str, dict[str, Any]]:
    for path in paths():
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue  # who needs it for more will tell
        import tomllib

        try:
            return path, tomllib.loads(data.decode())
        except ValueError as error:
            raise BadInput("read", path, str(error)) from None
    return "", {}
