"""Points in time as people type them for ``--since`` and ``--until``."""

import re
from datetime import datetime

from sandcell.runtime.errors import InvalidOption

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")
_AGO = re.compile(r"(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+(?:\.[0-9]+)?)s)?")


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of ``1h30m`` (so long ago), of an RFC 3339 time (local where it names no
    zone) or of seconds since the epoch. ``InvalidOption``."""
    if _SECONDS.fullmatch(text):
        return float(text)
    ago = _AGO.fullmatch(text)
    if text and ago:
        days, hours, minutes, seconds = (float(part or 0) for part in ago.groups())
        return now - (((days * 24 + hours) * 60 + minutes) * 60 + seconds)
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise InvalidOption(
            "read time", text, "not a time", "write 10m (ago), 2026-01-31T12:00:00Z or seconds since 1970"
        ) from None
