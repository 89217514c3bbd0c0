"""Finds the OCI JSON schemas of this machine and checks documents against them."""

import json
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[2]
_DEBIAN = Path("/usr/share/gocode/src/github.com/opencontainers")


def check(kind: str, name: str, document: bytes) -> None:
    """Is ``document`` what ``kind``-spec's ``name`` asks for? Skips where there are no schemas."""
    validator = pytest.importorskip("jsonschema")
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    folder = _folder(kind, name)
    resources = []
    for path in folder.glob("*.json"):
        # References are between files of one folder, whatever the ids say.
        schema = json.loads(path.read_text(), object_hook=_without_id)
        resources.append((path.name, Resource.from_contents(schema, default_specification=DRAFT4)))
    registry = Registry().with_resources(resources)
    validator.Draft4Validator({"$ref": name}, registry=registry).validate(json.loads(document))


def _without_id(value: dict) -> dict:
    return {key: inner for key, inner in value.items() if key != "id" or not isinstance(inner, str)}


def _folder(kind: str, name: str) -> Path:
    places = [
        _REPOSITORY.parent / "shared" / "oci-schemas" / kind,
        _DEBIAN / kind / "schema",
        _DEBIAN / kind.replace("runtime-spec", "specs") / "schema",
    ]
    for place in places:
        if (place / name).is_file():
            return place
    pytest.skip(f"no {name} of {kind} here (Debian: golang-github-opencontainers-image-spec-dev)")
