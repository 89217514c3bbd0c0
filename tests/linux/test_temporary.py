"""Where files that end with the boot may be made, seen by somebody who may not write everywhere."""

import pytest

from sandcell.runtime.linux.temporary import temporary
from tests.plain_user import PlainUser

_ASK = "import sys; from sandcell.runtime.linux.temporary import temporary; print(temporary(sys.argv[1:]))"


@pytest.mark.rootless
def test_the_first_directory_that_may_be_written(plain_user: PlainUser) -> None:
    closed = plain_user.folder / "closed"
    closed.mkdir(exist_ok=True)
    closed.chmod(0o555)
    own = plain_user.directory("open")
    assert plain_user.run(_ASK, "/nowhere", str(closed), str(own), "/tmp") == f"{own}\n"


def test_there_is_always_one() -> None:
    assert temporary(()) == "/tmp"
    assert temporary(("/nowhere",)) == "/tmp"
