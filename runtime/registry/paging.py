"""Lists that come by the page: where the next one is (RFC 8288, as the distribution-spec uses it)."""

import re
from urllib.parse import urljoin

import requests

from sandcell.runtime.errors import RegistryRefused
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.endpoint import origin

_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[^,;]+)*)")


def following(client: Client, response: requests.Response) -> str:
    """The whole address of the next page, empty on the last one; ``RegistryRefused`` if it is elsewhere."""
    for target, parameters in _LINK.findall(response.headers.get("Link", "")):
        if re.search(r';\s*rel\s*=\s*"?next"?\s*(;|$)', parameters, re.IGNORECASE):
            url: str = urljoin(response.url, target)
            if origin(url) != origin(response.url):
                cause = f"the next page of its list is at another host: {url[:100]}"
                raise RegistryRefused("ask", client.registry, cause)
            return url
    return ""
