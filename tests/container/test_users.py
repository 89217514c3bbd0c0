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


@pytest.mark.parametrize("user", ["4294967295", "99999999999999", "0:4294967295"])
def test_ids_that_linux_has_not_are_refused(user: str) -> None:
    with pytest.raises(InvalidOption, match="no such id"):
        resolve(user, "", "")
    with pytest.raises(InvalidOption, match="no such id"):
        resolve("big", "big:x:4294967295:0::/:/bin/sh\n", "")
    assert resolve("4294967294", "", "")[0].uid == 4294967294


def test_groups_that_linux_has_not_are_passed_over() -> None:
    user, _ = resolve("a", "a:x:5:5::/:/bin/sh\n", "big:x:99999999999:a\nsmall:x:6:a\n")
    assert user.additional_gids == (6,)


@pytest.mark.parametrize("odd", ["²", "9" * 5000, "-1", "1e3", " 1", "+1", ""])
def test_what_looks_like_a_number_and_is_none_names_nobody(odd: str) -> None:
    with pytest.raises(InvalidOption):
        resolve(odd or "a", f"a:x:{odd}:0::/:/bin/sh\n", "")
