"""One test for each line that the guest reports. The guest is started once, for all of them."""

import pytest

from tests.guest import holds  # noqa: F401
from tests.guest.boot import SECONDS
from tests.guest.registry import CLAIMS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS + 240)]


@pytest.mark.parametrize(
    ("setting", "name"), [(setting, claim.name) for claim in CLAIMS for setting in claim.settings]
)
def test_in_the_guest(report: dict[tuple[str, str], str], setting: str, name: str) -> None:
    assert (setting, name) in report, "the guest ended before it came to this"
    assert report[setting, name] == ""
