"""What is told of blobs on their way."""

from collections.abc import Callable
from typing import TypeAlias

from sandcell.runtime.events import Callback, TransferEvent
from sandcell.runtime.oci.descriptor import Descriptor

Tell: TypeAlias = Callable[[Descriptor, int, str], None]
"""Hears of a blob how many of its bytes are there, and the ``state`` of a ``TransferEvent``."""


def telling(action: str, name: str, on_event: Callback) -> Tell:
    """Tells ``on_event`` of the blobs of the image ``name``. ``action``: pull or push."""

    def tell(blob: Descriptor, done: int, state: str) -> None:
        digest = str(blob.digest)
        on_event(
            TransferEvent(action=action, name=name, digest=digest, done=done, total=blob.size, state=state)
        )

    return tell
