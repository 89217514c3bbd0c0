"""The build cache carried to another store: as a layout, through a registry, within an image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime import BuildOptions, Engine
from sandcell.runtime.errors import InvalidOption, SandcellError
from sandcell.runtime.events import BuildWarning, StepFinished
from tests.build.world import Pretend, World
from tests.registry.serving import debian_registry, own, serving

TEXT = """
FROM base AS made
RUN write /made 1
FROM base
RUN write /x 1
LABEL a=b
COPY --from=made /made /copy
"""


class Place:
    """An engine with a store of its own that pretends to run commands."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.world = World(folder)
        self.engine = Engine(folder / "store", folder / "run")
        self.events: list[Any] = []

    def build(self, text: str = TEXT, name: str | None = None, **options: Any) -> Any:
        """Build, and tell the image; ``self.cached`` has a letter for each step, ``self.warned`` the rest."""
        from sandcell.runtime.build.build import build
        from sandcell.runtime.engine.build_caches import Caches

        self.events = []
        self.runner = Pretend()
        asked = BuildOptions(**options)
        with self.world.store.leases.working():
            caches = Caches(self.engine, asked, self.events.append)
            solved = build(
                text,
                store=self.world.store,
                find_image=self.world.find,
                run_step=self.runner,
                name=name,
                options=asked,
                imported=caches.imported,
                annotate=caches.annotations,
                on_event=self.events.append,
            )
            caches.export(solved)
        return solved.image

    @property
    def cached(self) -> str:
        steps = sorted(
            (one for one in self.events if isinstance(one, StepFinished)), key=lambda one: one.number
        )
        return "".join("h" if one.cached else "M" for one in steps)

    @property
    def warned(self) -> list[str]:
        return [one.text for one in self.events if isinstance(one, BuildWarning)]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Place]:
    yield Place(tmp_path / "there")


def test_a_directory(here: Place, there: Place, tmp_path: Path) -> None:
    image = here.build(cache_to=(f"type=local,dest={tmp_path}/cache,mode=max",))
    assert there.build(cache_from=(f"type=local,src={tmp_path}/cache",)).digest == image.digest
    assert there.cached == "hhhhhh" and there.runner.steps == []
    assert there.build().digest == image.digest, "what was brought is here now"
    # Only what the image itself has.
    here.build(cache_to=(f"type=local,dest={tmp_path}/small",))
    other = Place(tmp_path / "other")
    other.build(cache_from=(f"type=local,src={tmp_path}/small",))
    assert other.cached == "hMhhhh", "the stage made again is the same"


def test_a_directory_keeps_what_others_put_there(here: Place, tmp_path: Path) -> None:
    where = f"type=local,dest={tmp_path}/cache"
    here.build(cache_to=(f"{where},tag=one",))
    here.build("FROM base\nRUN write /y 2", cache_to=(f"{where},tag=two",))
    index = (tmp_path / "cache/index.json").read_text()
    assert '"one"' in index and '"two"' in index


def test_our_registry(here: Place, there: Place, tmp_path: Path) -> None:
    with serving(own(tmp_path / "registry")) as server:
        through(server.name, here, there)


@pytest.mark.slow
@pytest.mark.peer("docker-registry")
def test_debians_registry(here: Place, there: Place, tmp_path: Path) -> None:
    with debian_registry(tmp_path) as name:
        through(name, here, there)


def through(registry: str, here: Place, there: Place) -> None:
    reference = f"{registry}/team/cache:main"
    image = here.build(cache_to=(f"type=registry,ref={reference},mode=max",))
    assert there.build(cache_from=(reference,)).digest == image.digest
    assert there.cached == "hhhhhh"
    # Only the layers that are needed come.
    text = TEXT.replace("/made 1", "/made 2")
    there.build(text, cache_from=(f"type=registry,ref={reference}",))
    assert there.cached == "hMhhhM"


def test_within_an_image(here: Place, there: Place, tmp_path: Path) -> None:
    with serving(own(tmp_path / "registry")) as server:
        name = f"{server.name}/app:1"
        image = here.build(name=name, cache_to=("type=inline",))
        here.engine.push(name)
        there.build(cache_from=(name,))
        assert there.cached == "hMhhhh"
        assert there.build(cache_to=("type=inline",)).manifest.annotations
        assert image.manifest.annotations and not here.build().manifest.annotations


def test_a_cache_that_is_not_there_is_warned_of(there: Place, tmp_path: Path) -> None:
    with serving(own(tmp_path / "registry")) as server:
        there.build(cache_from=(f"{server.name}/none", f"type=local,src={tmp_path}/none"))
    assert there.cached == "hMhMMM"
    assert len(there.warned) == 2 and all("could not be read" in text for text in there.warned)


def test_a_lost_or_damaged_layer_is_done_again(here: Place, there: Place, tmp_path: Path) -> None:
    image = here.build(cache_to=(f"type=local,dest={tmp_path}/cache,mode=max",))
    first, last = (layer.descriptor.digest.hex for layer in (image.layers[1], image.layers[-1]))
    (tmp_path / "cache/blobs/sha256" / first).write_bytes(b"damaged")
    (tmp_path / "cache/blobs/sha256" / last).unlink()
    there.build(cache_from=(f"type=local,src={tmp_path}/cache",))
    assert there.cached == "hhhMhM"
    assert len(there.warned) >= 2


def test_another_machines_cache_cannot_lie_about_a_layer(here: Place, there: Place, tmp_path: Path) -> None:
    """A layer is what its digest says; a record that names another one is a miss or that layer."""
    here.build(cache_to=(f"type=local,dest={tmp_path}/cache",))
    for path in (tmp_path / "cache/blobs/sha256").iterdir():
        data = path.read_bytes()
        if data.startswith(b'{"form"'):
            path.write_bytes(data.replace(b'"size":', b'"size":1'))
    there.build(cache_from=(f"type=local,src={tmp_path}/cache",))
    assert there.cached == "hMhMMM"
    assert "could not be read" in there.warned[0]


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"cache_to": ("type=s3,bucket=x",)}, "there is no cache of type 's3'"),
        ({"cache_to": ("type=local,src=x,dst=y",)}, "type local has no option 'dst'"),
        ({"cache_to": ("type=registry,ref=x,mode=most",)}, "mode is min or max"),
        ({"cache_from": ("type=registry,ref",)}, "'ref' is no NAME=VALUE"),
        ({"cache_to": ('type=local,"dest=x',)}, "it is no list of fields"),
    ],
)
def test_what_is_no_cache(options: dict[str, tuple[str, ...]], cause: str, here: Place) -> None:
    with pytest.raises(InvalidOption) as caught:
        here.build(**options)
    assert cause in caught.value.cause


def test_what_cannot_be_written_is_an_error(here: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SandcellError):
        here.build(cache_to=(f"type=local,dest={tmp_path}/file/x",))
    with pytest.raises(InvalidOption, match="it needs dest"):
        here.build(cache_to=("type=local",))
