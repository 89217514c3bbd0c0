"""``python -m sandcell.magics.server.describe`` writes openapi.json anew, after the routes changed."""

import json
from pathlib import Path

from sandcell import __version__
from sandcell.magics.server.routes import document


def main() -> None:
    """Write the file beside this one."""
    place = Path(__file__).with_name("openapi.json")
    place.write_text(json.dumps(document(__version__), indent=1) + "\n")


if __name__ == "__main__":
    main()
