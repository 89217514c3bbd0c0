"""What stands in for files of an image's /etc: who the container is, and how it finds others."""

from sandcell.runtime.container.flag_words import parse_host, resolver
from sandcell.runtime.container.options import Options


def etc_files(options: Options, hostname: str, *, alone: bool = False) -> dict[str, str]:
    """What stands in for files of the image's /etc: the network's, and what the user adds."""
    files = _usual_files(options, hostname, alone=alone)
    lines = "".join(f"{parse_host(text)}\n" for text in options.add_host)
    if lines:
        from sandcell.runtime.network.names import MARK

        before, mark, after = files["hosts"].partition(MARK)
        files["hosts"] = before + lines + mark + after
    if options.dns or options.dns_search or options.dns_option:
        resolv = files.get("resolv.conf", "")
        files["resolv.conf"] = resolver(options.dns, options.dns_search, options.dns_option, resolv)
    return files


def _usual_files(options: Options, hostname: str, *, alone: bool) -> dict[str, str]:
    """Without a way out there is nobody to resolve names, and the image's own resolv.conf, if any,
    stays. ``alone``: its way out is pasta or slirp4netns."""
    hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
    if options.network == "host":
        return {
            "hosts": host_file("/etc/hosts") or hosts,
            "hostname": hostname + "\n",
            "resolv.conf": host_file("/etc/resolv.conf"),
        }
    if options.network != "none":
        from sandcell.runtime.container import slirp
        from sandcell.runtime.network import names as files

        if alone:
            return {
                "hosts": f"{files.LOCAL}{slirp.ADDRESS}\t{hostname}\n",
                "hostname": hostname + "\n",
                "resolv.conf": f"nameserver {slirp.RESOLVER}\n",
            }
        return {
            "hosts": files.LOCAL,
            "hostname": hostname + "\n",
            "resolv.conf": files.resolver(host_file),
        }
    return {"hosts": f"{hosts}127.0.1.1\t{hostname}\n", "hostname": hostname + "\n"}


def host_file(path: str) -> str:
    """The text of a file of this machine; empty where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
