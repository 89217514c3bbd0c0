"""Numbers as docker writes them for people: sizes, ages, short ids."""

from datetime import UTC, datetime


def size(count: int) -> str:
    """Bytes with three digits and a decimal unit: ``0B``, ``1.5kB``, ``64.2MB``."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}TB"


def instant(text: str) -> float | None:
    """An RFC 3339 time as seconds since the epoch; ``None`` for an empty or unreadable one."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def stamp(seconds: float, precision: str = "seconds") -> str:
    """Seconds since the epoch as an RFC 3339 time in UTC; ``precision`` as ``isoformat`` names it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """How long, in one unit: ``12 seconds``, ``About an hour``, ``3 weeks``."""
    whole = int(seconds)
    minutes, hours = whole // 60, round(seconds / 3600)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours <= 1 else f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{days // 365} years"


def ago(then: float | None, now: float) -> str:
    """How long since ``then``: ``5 minutes ago``; ``N/A`` where it is not known."""
    return "N/A" if then is None else f"{duration(max(0.0, now - then))} ago"


def short(digest: str, length: int = 12) -> str:
    """The first figures of a digest or an id, without the name of the algorithm."""
    return digest.rpartition(":")[2][:length]


def ellipsis(text: str, width: int) -> str:
    """``text`` in at most ``width`` characters, the last one ``…`` where it was cut."""
    return text if len(text) <= width else text[: width - 1] + "…"
