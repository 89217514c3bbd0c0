"""Links to containers' web servers, through the Jupyter server that this kernel belongs to."""

import json
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from sandcell.runtime.engine.values import Container
    from sandcell.runtime.oci.image import Image


def links(container: "Container", image: "Image | None") -> list[tuple[int, str]]:
    """The ports that a running container publishes or its image exposes, and where each is reached: the
    path of an address on the notebook's own server. Empty where there is no such server."""
    if container.state != "running":
        return []
    exposed = [*(image.config.config.exposed_ports if image is not None else ())]
    published = [text.rpartition(":")[2] for text in container.options.publish]
    numbers = [text.partition("/")[0] for text in (*exposed, *published) if not text.endswith("/udp")]
    found = dict.fromkeys(int(text) for text in numbers if text.isascii() and text.isdigit())
    base = _base_url() if found else ""
    return [(port, f"{base}sandcell/port/{quote(container.name)}/{port}/") for port in found] if base else []


def _base_url() -> str:
    """Where the server that started this kernel has its pages, from the file that it writes about itself."""
    parent = os.environ.get("JPY_PARENT_PID", "")
    if not parent.isdigit():
        return ""
    from jupyter_core.paths import jupyter_runtime_dir

    try:
        with open(f"{jupyter_runtime_dir()}/jpserver-{parent}.json") as file:
            base = json.load(file)["base_url"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return base if isinstance(base, str) and base.startswith("/") and base.endswith("/") else ""
