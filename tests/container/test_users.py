"""A user's name means what the image's own files say."""

import pytest

from sandcell.runtime.container.users import resolve
from sandcell.runtime.errors import InvalidOption
from sandcell.runtime.oci.spec import User

PASSWD = "root:x:0:0:root:/root:/bin/sh\nlearner:x:1000:1001::/home/learner:/bin/sh\nbroken\n"
GROUP = "root:x:0:\nteam:x:50:learner,other\nlearner:x:1001:\n"


@pytest.mark.parametrize(
    ("text", "user", "home"),
    [
        ("", User(uid=0, gid=0), "/root"),
        ("root", User(uid=0, gid=0), "/root"),
        ("learner", User(uid=1000, gid=1001, additional_gids=(50,)), "/home/learner"),
        ("1000", User(uid=1000, gid=1001, additional_gids=(50,)), "/home/learner"),
        ("4711", User(uid=4711, gid=0), "/"),
        ("learner:team", User(uid=1000, gid=50), "/home/learner"),
        ("1:2", User(uid=1, gid=2), "/"),
    ],
)
def test_names_and_numbers(text: str, user: User, home: str) -> None:
    assert resolve(text, PASSWD, GROUP) == (user, home)


def test_an_image_without_the_file_still_has_numbers_and_root() -> None:
    assert resolve("", "", "") == (User(uid=0, gid=0), "/")
    assert resolve("7:8", "", "") == (User(uid=7, gid=8), "/")


@pytest.mark.parametrize("text", ["nobody", "learner:nogroup", "nobody:0"])
def test_an_unknown_name_is_refused_and_the_known_ones_are_told(text: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        resolve(text, PASSWD, GROUP)
    assert caught.value.hint
