"""``python -m sandcell.runtime.oci_cli``."""

from sandcell.runtime.oci_cli import main

main()
