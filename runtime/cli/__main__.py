"""``python -m sandcell.runtime.cli`` is the ``sandcell`` command."""

from sandcell.runtime.cli import entry

entry()
