"""Bodies of answers, never larger than they should be."""

import requests

from sandcell.runtime.errors import InvalidDocument

LARGEST = 4 << 20
_SPARE = 1 << 16


def bounded(response: requests.Response, what: str) -> bytes:
    """A body of 4 MiB at most, as it was sent; ``InvalidDocument`` for more.

    What a connection that breaks raises, also where fewer bytes come than were promised.
    """
    data = bytearray()
    while len(data) <= LARGEST:
        more = response.raw.read(LARGEST + 1 - len(data), decode_content=False)
        if not more:
            break
        data += more
    told = response.headers.get("Content-Length", "")
    if len(data) > LARGEST:
        raise InvalidDocument("pull", what, "it is larger than 4 MiB")
    if not data and not told and not response.headers.get("Transfer-Encoding"):
        # A head that was cut off looks like a whole one; no document is empty.
        raise requests.exceptions.ContentDecodingError("the head of the answer broke off")
    if told.isdecimal() and told != str(len(data)):
        raise requests.exceptions.ContentDecodingError(f"{len(data)} of {told} bytes came")
    return bytes(data)


def let_go(response: requests.Response) -> None:
    """End with an answer whose body nobody needs: a short one is read, so that the connection lives on."""
    try:
        while response.raw.read(_SPARE, decode_content=False) and response.raw.tell() < _SPARE:
            pass
    finally:
        response.close()
