"""What the operating system refuses the engine, told as our own errors."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def told(operation: str, object: str) -> Iterator[None]:
    """An ``OSError`` in the with statement becomes ``StoreFull`` or ``HostRefused``."""
    try:
        yield
    except OSError as error:
        from sandcell.runtime.layer.disk import refused

        raise refused(error, operation, object) from error
