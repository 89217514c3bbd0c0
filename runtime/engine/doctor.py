"""What this host allows, as a text a learner can act on (``sandcell doctor``)."""

import textwrap

import msgspec

from sandcell.runtime.engine.ladder import Step, ladder
from sandcell.runtime.engine.remedies import AUDIENCES, remedies
from sandcell.runtime.linux.host_model import Check, Facet, Host, Rung

_WIDTH = 100

RUNGS: dict[Rung, str] = {
    "root": "containers run with everything the kernel has",
    "rootless": "containers run without root, in a user namespace",
    "nomount": "containers run on a copy of their image's files: nothing can be mounted",
    "chroot": "containers get another root directory, a copy of their image's files, and no more",
    "none": "no container runs: plans, images and builds that only copy are what is left",
}

# Who refuses things, in a sentence each; docs/words.md has the terms.
LAYERS = {
    "seccomp": "a filter of system calls; whoever started this session put it on",
    "AppArmor": "a policy that refuses requests by the program that makes them",
    "SELinux": "a policy that refuses requests by the label of who makes them",
    "no_new_privs": "a promise that a process and all it starts never get more rights, not even by sudo",
    "sysctl": "a setting of the kernel's that root may change",
    "delegation": "control groups are limited by whoever owns the group above",
    "masked /proc": "parts of /proc were covered when this session was started",
    "capabilities": "pieces of root's power; this session was started without this one",
    "file system": "the disk, or what stands for it, below the store",
    "id ranges": "the ids in /etc/subuid and /etc/subgid that root gives to a user",
    "iptables": "rules for packets that pass through this machine, made by its old program",
    "tool": "a program that is not installed",
    "kernel": "the kernel of this machine itself",
}

STATES = {"real": "real", "emulated": "something like it", "shared": "the host's own"}


def examined(host: Host) -> Host:
    """The host with what may have changed since it was probed: whether packets of bridges are dropped."""
    from sandcell.runtime.linux import iptables_legacy
    from sandcell.runtime.network import firewall

    if host.rung != "root" or not iptables_legacy.forward_drops():
        return host
    found = Check("--network bridge", False, 0, "iptables", firewall.LEGACY_DROPS, firewall.legacy_accepts())
    return msgspec.structs.replace(host, checks=(*host.checks, found))


def report(host: Host) -> str:
    """Plain text: the rung, every facet with what it is here, and who refused what.

    Lines are at most 100 columns wide; the same host always gives the same text.
    """
    head = [f"rung {host.rung}: {RUNGS[host.rung]}", f"Linux {host.kernel}, {host.machine}", ""]
    lines = [*head, "The ladder", *map(_step, ladder(host)), "", "A container's own …"]
    for facet in facets(host):
        lines += _facet(facet)
    if host.refused:
        lines += ["", "Refused here"]
        for check in host.refused:
            lines += _check(check)
        lines += ["", "Who refused"]
        for layer in refusers(host):
            lines += [f"  {layer}", *_wrapped("", LAYERS.get(layer, "something else"))]
            for remedy in remedies(layer):
                lines += _wrapped(f"{AUDIENCES[remedy.audience]}: ", remedy.help)
    else:
        lines += ["", "Nothing was refused."]
    return "\n".join(lines) + "\n"


def facets(host: Host) -> tuple[Facet, ...]:
    """What there is to tell of a container's sides: one line for all of them where no container runs."""
    if host.rung != "none" or not host.facets:
        return host.facets
    return (msgspec.structs.replace(host.facets[0], name="everything"),)


def refusers(host: Host) -> tuple[str, ...]:
    """The layers that refused something here, each once."""
    return tuple(dict.fromkeys(check.layer for check in host.refused))


def _step(step: Step) -> str:
    mark = {"above": " x", "here": "->", "below": "  "}[step.place]
    return f"  {mark} {step.rung:<10}{'you are here' if step.place == 'here' else step.why}".rstrip()


def _facet(facet: Facet) -> list[str]:
    lines = [f"  {facet.name:<14}{STATES[facet.state]}"]
    if facet.reason:
        lines += _wrapped("", facet.reason)
    if facet.fix:
        lines += _wrapped("to get it: ", facet.fix)
    return lines


def _check(check: Check) -> list[str]:
    lines = [f"  {check.name}, by {check.layer}"]
    lines += _wrapped("", check.detail)
    if check.fix:
        lines += _wrapped("what to do: ", check.fix)
    return lines


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=" " * 16 + label,
        subsequent_indent=" " * 16,
        break_long_words=False,
        break_on_hyphens=False,
    )
