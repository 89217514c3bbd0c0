"""Networks of containers: addresses, names and the firewall; rules of the kernel by netlink."""
