"""``sandcell doctor | info | version | completion``."""

import platform
import sys

import click

from sandcell.runtime.cli import COMPLETION
from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.table import as_json, format_option


@click.command("doctor")
@format_option
@click.pass_obj
def doctor_command(door: Door, form: str) -> None:
    """Show what this host allows: each facet of a container is real, emulated or shared with the
    host, with the reason; who refused what, and what each can do about it who may: you on your own
    laptop, the administrator of a JupyterHub, of Kubernetes, or nobody (Binder)."""
    from sandcell.runtime.engine.doctor import LAYERS, RUNGS, examined, refusers, report
    from sandcell.runtime.engine.ladder import ladder
    from sandcell.runtime.engine.remedies import remedies

    host = examined(door.engine.host)
    if form == "json":
        print(as_json({"Rung": host.rung, "Meaning": RUNGS[host.rung], "KernelVersion": host.kernel}))
        for facet in host.facets:
            row = {"Facet": facet.name, "State": facet.state, "Reason": facet.reason, "Fix": facet.fix}
            print(as_json(row))
        for check in host.checks:
            told = {"Ok": check.ok, "Layer": check.layer, "Detail": check.detail, "Fix": check.fix}
            print(as_json({"Check": check.name, **told}))
        for id in door.engine.spoiled():
            print(as_json({"Corrupted": id, "Files": f"{door.engine.places.container(id)}/upper"}))
        for step in ladder(host):
            print(as_json({"Step": step.rung, "Place": step.place, "Why": step.why}))
        for layer in refusers(host):
            helps = {remedy.audience: remedy.help for remedy in remedies(layer)}
            print(as_json({"RefusedBy": layer, "Meaning": LAYERS.get(layer, ""), "Remedies": helps}))
        return

    sys.stdout.write(report(host))
    for id in door.engine.spoiled():
        print(f"\nThe record of the container {id[:12]} cannot be read, as after a loss of power.")
        print(f"  Its files are in {door.engine.places.container(id)}/upper")
        print(f"  to remove it: sandcell rm -f {id[:12]}")


@click.command("info")
@format_option
@click.pass_obj
def info_command(door: Door, form: str) -> None:
    """Show the store and the host in numbers."""
    from sandcell import __version__

    engine = door.engine
    containers = engine.containers(all=True)
    running = sum(container.state == "running" for container in containers)
    facts = {
        "Version": __version__,
        "Store": engine.places.home,
        **({"SharedStores": " ".join(shared)} if (shared := engine.shared_stores) else {}),
        "Run": engine.places.run,
        "Rung": engine.host.rung,
        "Containers": len(containers),
        "ContainersRunning": running,
        "Images": len(engine.images()),
        "KernelVersion": platform.release(),
        "Architecture": platform.machine(),
        "Python": platform.python_version(),
    }
    if form == "json":
        print(as_json(facts))
    else:
        print("\n".join(f"{name + ':':19}{value}" for name, value in facts.items()))


@click.command("version")
def version_command() -> None:
    """Show the version of sandcell and of the Python that runs it."""
    from sandcell import __version__

    print(f"sandcell {__version__} (Python {platform.python_version()})")


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL: source <(sandcell completion bash)"""
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    root = ctx.find_root().command
    if script is not None:
        sys.stdout.write(script(root, {}, "sandcell", COMPLETION).source())
