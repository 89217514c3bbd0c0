"""Other stores beside one's own: everything in them is there, and nothing of them is changed."""

import os
import subprocess
from pathlib import Path

import pytest

from sandcell.runtime.errors import BadInput, ImageNotFound
from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store
from tests.plain_user import PlainUser

from .images import FLAVOUR, image, later

HELLO = Reference.parse("hello")


@pytest.fixture
def class_(tmp_path: Path) -> Store:
    """The store of a class, with an image of two layers, unpacked."""
    store = Store(tmp_path / "class")
    store.snapshots.ensure(image(store, {"a": b"1"}, {"b": b"2"}, name="hello"), HOST, FLAVOUR)
    store.cache.put("step", {"digest": "x"})
    return store


@pytest.fixture
def mine(tmp_path: Path, class_: Store) -> Store:
    return Store(tmp_path / "mine", [class_.home])


def listing(store: Store) -> list[tuple[str, int]]:
    """All files of a store with the times of their last change."""
    found = []
    for folder, _, names in os.walk(store.home):
        found += [(f"{folder}/{name}", os.lstat(f"{folder}/{name}").st_ctime_ns) for name in names]
    return sorted(found)


def test_names_blobs_unpacked_layers_and_steps_are_used_where_they_lie(class_: Store, mine: Store) -> None:
    before = listing(class_)
    found = mine.image("hello")
    assert mine.image(str(found.digest)) == mine.image(str(found.digest)[7:19]) == found
    assert list(mine.names.all()) == ["hello:latest"]
    paths = [one.path for one in mine.snapshots.ensure(found, HOST, FLAVOUR)]
    assert paths == [one.path for one in class_.snapshots.ensure(found, HOST, FLAVOUR)]
    assert mine.blobs.touch(found.layers[0].descriptor.digest)
    assert mine.cache.get("step") == {"digest": "x"}
    assert list(mine.blobs.list()) == []
    # The class's own use of its snapshots marked them.
    assert [one for one in listing(class_) if "snapshots/" not in one[0]] == [
        one for one in before if "snapshots/" not in one[0]
    ]


def test_what_is_built_on_them_lies_in_ones_own_store_once(class_: Store, mine: Store) -> None:
    built = image(mine, {"a": b"1"}, {"c": b"3"}, name="mine")
    layers = [layer.descriptor.digest for layer in built.layers]
    assert set(mine.blobs.list()) == {built.digest, built.manifest.config.digest, layers[1]}
    assert [Path(one.path).parent.parent.name for one in mine.snapshots.ensure(built, HOST, FLAVOUR)] == [
        "class",
        "mine",
    ]
    assert not class_.blobs.has(layers[1])
    with pytest.raises(ImageNotFound):
        class_.image("mine")


def test_ones_own_name_counts_first_and_going_back_is_possible(class_: Store, mine: Store) -> None:
    shared = class_.image("hello")
    own = image(mine, {"z": b"9"}, name="hello")
    assert mine.image("hello").digest == own.digest
    assert not mine.names.shared(HELLO)
    assert mine.names.all()["hello:latest"].digest == own.digest
    assert mine.names.remove(HELLO) is not None
    assert mine.image("hello").digest == shared.digest
    assert mine.names.shared(HELLO)
    assert mine.names.remove(HELLO) is None


def test_prune_deletes_nothing_of_the_class_and_keeps_what_stands_on_it(class_: Store, mine: Store) -> None:
    built = image(mine, {"a": b"1"}, {"c": b"3"}, name="mine")
    lost = image(mine, {"x": b"1"})
    later(mine)
    before = listing(class_)
    removed = mine.prune(cache=True).removed
    assert str(lost.digest) in removed
    assert not {str(built.digest), str(built.layers[1].descriptor.digest)} & set(removed)
    assert listing(class_) == before
    assert mine.image("mine") == built


def test_a_store_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no/store") as told:
        Store(tmp_path / "mine", [str(tmp_path / "no" / "store")])
    assert "config.toml" in told.value.hint


_LEARNER = """
import sys
from sandcell import Engine
from sandcell.runtime.errors import Conflict
with Engine() as engine:
    assert engine.shared_stores == (sys.argv[1],)
    assert [one.name for one in engine.images()] == ["lesson:latest"], engine.images()
    result = engine.run("lesson", ("cat", "/hello"))
    assert result.text == "hello class\\n", result
    engine.remove(result.container)
    engine.build("FROM lesson\\nRUN echo more > /more", name="mine")
    result = engine.run("mine", ("cat", "/hello", "/more"))
    assert result.text == "hello class\\nmore\\n", result
    engine.remove(result.container)
    try:
        engine.remove_image("lesson")
        raise SystemExit("it was removed")
    except Conflict as error:
        assert "shared store" in error.cause
    print(engine.run("lesson", ("cat", "/hello")).text, end="")
"""


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.rootless
@pytest.mark.skipif(os.geteuid() != 0, reason="the class's store belongs to another user: root")
def test_a_learner_runs_and_builds_on_images_of_a_store_that_only_others_may_write(
    plain_user: PlainUser, tmp_path: Path
) -> None:
    from sandcell import Engine

    class_ = plain_user.folder / "class"
    with Engine(class_, tmp_path / "run") as engine:
        (tmp_path / "hello").write_text("hello class\n")
        engine.build("FROM host:tiny\nCOPY hello /hello", name="lesson", context=tmp_path)
        engine.remove_image("host:tiny")
    for folder in (class_, class_ / "snapshots", class_ / "cache"):
        folder.chmod(0o755)
    subprocess.run(["chmod", "-R", "go+rX", class_ / "layout"], check=True)
    config = plain_user.folder / "config.toml"
    config.write_text(f'stores = ["{class_}"]\n')
    home, run = plain_user.directory("shared"), plain_user.directory("shared-run")
    env = {"SANDCELL_HOME": str(home), "SANDCELL_RUN": str(run), "SANDCELL_CONFIG": str(config)}
    assert plain_user.run(_LEARNER, str(class_), env=env, timeout=110) == "hello class\n"
