"""What must hold of registries on every rung: the engine's own one, over a loopback address."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sandcell.runtime import Engine, Options
from sandcell.runtime.errors import ImageNotFound
from tests.engine.claims import IMAGE, claim


@contextmanager
def registry(engine: Engine) -> Iterator[str]:
    """A registry over the engine's store; its host and port."""
    server = engine.registry(port=0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.name
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@claim
def a_build_pulls_the_image_it_begins_with(engine: Engine) -> None:
    with registry(engine) as host:
        there = f"{host}/team/base:1"
        engine.tag(IMAGE, there)
        (warning,) = engine.push(there)
        assert "this machine" in warning, warning
        engine.remove_image(there, force=True)
        image = engine.build(f"FROM {there}\nRUN cat /file >/copy", name="pulled:1")
        assert engine.image(there).digest == engine.image(IMAGE).digest
        assert engine.build(f"FROM {there}\nRUN cat /file >/copy", pull=True).digest == image.digest
        result = engine.run("pulled:1", ("cat", "/copy"), Options(remove=True))
        assert result.stdout == b"from-the-image\n"
        for name in ("pulled:1", there, "team/base:1"):
            engine.remove_image(name, force=True)
        try:
            engine.pull(there)
        except ImageNotFound as error:
            assert host in error.cause, error
        else:
            raise AssertionError("it was there still")
