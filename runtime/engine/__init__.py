"""Where the rooms meet: a file per noun and a short method per verb.

``Engine`` is the door. Images, containers and the kernel know nothing of each other; here a
container is made of an image, and a container's changes become one.
"""

from sandcell.runtime.engine.engine import Engine

__all__ = ["Engine"]
