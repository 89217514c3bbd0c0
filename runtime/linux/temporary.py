"""Where a user without a directory of the session keeps what ends with the boot: hier(7)."""

import os
from collections.abc import Iterable


def temporary(places: Iterable[str] = ("/tmp", "/var/tmp")) -> str:
    """The first of the machine's temporary directories in which this user may make files, the same for all
    processes of the user; /tmp where there is none. TMPDIR is not asked: it may differ between sessions."""
    return next((place for place in places if os.access(place, os.W_OK | os.X_OK)), "/tmp")
