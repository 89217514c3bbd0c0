"""All claims, by importing the modules that have them."""

from tests.guest import holds_engine, holds_host, holds_limits, holds_oci, holds_systemd, holds_tree

__all__ = ["holds_engine", "holds_host", "holds_limits", "holds_oci", "holds_systemd", "holds_tree"]
