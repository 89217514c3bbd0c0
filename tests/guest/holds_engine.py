"""Claims of every rung (``tests.engine``) that meet control groups, and what else another kernel may do
otherwise: Debian's, with AppArmor, and with bridges and nftables in modules."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sandcell.runtime.linux.namespaces import loopback_up
from tests.engine import (
    claims,
    claims_living,
    claims_options,
    claims_safety,
    claims_volumes,
)
from tests.guest.registry import Place, holds

if TYPE_CHECKING:
    from sandcell.runtime import Engine

_EVERYWHERE = (
    claims.it_runs_a_command_and_tells_its_output_and_status,
    claims.its_first_process_is_pid_1_in_namespaces_of_its_own,
    claims_living.limits_can_be_changed_while_it_runs,
    claims_safety.a_bad_memory_limit_or_a_real_one,
    claims_safety.what_must_die_with_its_client_does,
)
_LIMITED = (
    claims.exec_sees_the_same_world_and_its_signals_reach_only_its_own_processes,
    claims_living.a_paused_container_stands_still_and_goes_on,
    claims_living.a_paused_container_can_be_ended,
    claims_living.what_it_uses_can_be_seen,
    claims_safety.a_killed_monitor_ends_its_container_and_start_works_again,
    claims_living.it_stands_still_while_it_is_committed_and_whoever_was_killed_left_it_paused,
)
_KERNEL = (
    claims_options.limits_of_its_control_group_are_set,
    claims_options.another_containers_processes_can_be_seen_and_the_hosts,
    claims_options.devices_of_the_host_are_shown_where_asked_for,
    claims_safety.capabilities_no_new_privs_and_the_filter_are_as_promised,
    claims_volumes.a_new_volume_has_the_images_files_and_keeps_what_is_written,
    claims_volumes.a_read_only_root_takes_nothing_but_its_volumes_do,
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
for _claim in _KERNEL:
    _adopt(_claim, ("root",))


@holds("root")
def containers_of_a_network_reach_each_other_and_are_reached(place: Place) -> None:
    from tests.network import checks

    loopback_up()  # nobody else has set it up here
    checks.containers_of_a_network_reach_each_other_and_the_host_by_name(place.engine)
    checks.beside_a_policy_of_dropping_containers_call_out_and_nobody_calls_in(place.engine)
    checks.published_ports_carry_megabytes_both_ways_and_close_by_halves(place.engine)
