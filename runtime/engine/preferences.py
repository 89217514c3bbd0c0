"""What config.toml says of the host: ``rung = "rootless"`` asks for another rung than the best."""

from sandcell.runtime.errors import BadInput
from sandcell.runtime.registry.config_file import paths


def rung() -> str:
    """The rung that the user asks for, empty without. ``BadInput`` for a file that cannot be read as TOML;
    that there is such a rung is for the probe to see."""
    for path in paths():
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue  # who needs it for more will tell
        import tomllib

        try:
            asked = tomllib.loads(data.decode()).get("rung", "")
        except ValueError as error:
            raise BadInput("read", path, str(error)) from None
        return str(asked)
    return ""
