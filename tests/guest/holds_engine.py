"""Claims of every rung (``tests.engine``) that meet control groups."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.engine import claims, claims_living, claims_safety
from tests.guest.registry import Place, holds

if TYPE_CHECKING:
    from sandcell.runtime import Engine

_EVERYWHERE = (
    claims.it_runs_a_command_and_tells_its_output_and_status,
    claims.its_first_process_is_pid_1_in_namespaces_of_its_own,
    claims_living.limits_can_be_changed_while_it_runs,
    claims_safety.a_bad_memory_limit_or_a_real_one,
)
_LIMITED = (
    claims.exec_sees_the_same_world_and_its_signals_reach_only_its_own_processes,
    claims_living.a_paused_container_stands_still_and_goes_on,
    claims_living.a_paused_container_can_be_ended,
    claims_living.what_it_uses_can_be_seen,
    claims_safety.a_killed_monitor_ends_its_container_and_start_works_again,
)


def _adopt(claim: "Callable[[Engine], None]", settings: tuple[str, ...]) -> None:
    def check(place: Place) -> None:
        claim(place.engine)

    check.__name__ = claim.__name__
    holds(*settings)(check)


for _claim in _EVERYWHERE:
    _adopt(_claim, ("root", "user", "scope"))
for _claim in _LIMITED:
    _adopt(_claim, ("root", "scope"))
