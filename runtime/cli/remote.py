"""``sandcell registry tags | inspect | referrers | delete`` and ``sandcell manifest inspect``."""

import json
import sys

import click

from sandcell.runtime.cli.door import Door
from sandcell.runtime.cli.human import size
from sandcell.runtime.cli.table import format_option, show

_REFERRERS = (("DIGEST", "Digest"), ("ARTIFACT TYPE", "ArtifactType"), ("SIZE", "Size"))


@click.command("tags")
@click.argument("name")
@click.pass_obj
def tags_command(door: Door, name: str) -> None:
    """List all tags that the repository of NAME has in its registry."""
    for tag in door.engine.registry_tags(name):
        print(tag)


@click.command("inspect")
@click.option("--raw", is_flag=True, help="The bytes as they are, those that the digest is of.")
@click.option("--digest", is_flag=True, help="Only print the digest.")
@click.argument("name")
@click.pass_obj
def inspect_command(door: Door, name: str, raw: bool, digest: bool) -> None:
    """Show the manifest or index that NAME means in its registry, without pulling anything."""
    found = door.engine.registry_manifest(name)
    if digest:
        print(found.digest)
    elif raw:
        sys.stdout.buffer.write(found.data)
    else:
        print(json.dumps(json.loads(found.data), indent=3))


@click.command("referrers")
@click.option("--artifact-type", default="", metavar="TYPE", help="Only those of this kind.")
@format_option
@click.argument("name")
@click.pass_obj
def referrers_command(door: Door, name: str, artifact_type: str, form: str) -> None:
    """List what belongs to NAME in its registry: signatures, lists of contents and the like."""
    rows = [
        {
            "Annotations": one.annotations,
            "ArtifactType": one.artifact_type,
            "Digest": one.digest,
            "MediaType": one.media_type,
            "Size": size(one.size),
        }
        for one in door.engine.registry_referrers(name, artifact_type=artifact_type)
    ]
    show(rows, _REFERRERS, form)


@click.command("delete")
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def delete_command(door: Door, names: tuple[str, ...]) -> None:
    """Delete what NAMES mean in their registries, with all their tags there. Nothing is deleted here."""
    for name in names:
        print(f"Deleted: {door.engine.registry_delete(name)}")


@click.group("manifest")
def manifest_command() -> None:
    """What a name means in its registry."""


manifest_command.add_command(inspect_command)
