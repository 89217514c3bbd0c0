"""``python -m sandcell.runtime.cli`` is the ``sandcell`` command."""

import sys

from sandcell.runtime.cli import main

sys.exit(main())
