"""Where config.toml may lie; apart, for who wants no more of it loads nothing else."""

import os


def paths() -> tuple[str, ...]:
    """Where config.toml may be, the first one counts: SANDCELL_CONFIG, the user's, the machine's."""
    named = os.environ.get("SANDCELL_CONFIG")
    if named:
        return (named,)
    user = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return (f"{user}/sandcell/config.toml", "/etc/sandcell/config.toml")
