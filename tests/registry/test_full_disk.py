"""A disk that is full while a blob comes: on the side of who pulls, and on the registry's."""

import subprocess
import sys
from pathlib import Path

import pytest

PREAMBLE = """
import os, sys
from pathlib import Path
from sandcell.runtime.errors import StoreFull, RegistryRefused
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.store import Store
from tests import full_disk
from tests.registry.asking import Registry, finishing
from tests.registry.serving import client, own, serving
from tests.registry.test_transfer import get, send
from tests.store.images import image
folder = Path(sys.argv[1])
(folder / "small").mkdir()
full_disk.mount(str(folder / "small"), "4m")
here = Store(folder / "here")
made = image(here, {"a": os.urandom(2_000_000)}, name="hello")
"""

PULL = """
there = Store(folder / "small" / "there")
image(there, {"b": b"stands"}, name="stands")
with serving(own(folder / "served")) as server:
    send(client(server.name, folder), made, here)
    full_disk.fill(str(folder / "small"), leave=1_000_000)
    try:
        get(client(server.name, folder), there)
    except StoreFull as error:
        assert error.hint, error
    else:
        raise AssertionError("it fitted")
    assert list(there.names.all()) == ["stands:latest"]
    there.blobs.verify(there.image("stands").digest)
    full_disk.free(str(folder / "small"))
    assert get(client(server.name, folder), there) == made
    there.prune()
    assert os.listdir(f"{there.home}/tmp") == []
"""

SERVE = """
with serving(own(folder / "small" / "served")) as server:
    registry = Registry(server.name, "1.1")
    kept = registry.blob(b"stands")
    full_disk.fill(str(folder / "small"), leave=1_000_000)
    data, place = os.urandom(2_000_000), registry.begin()
    assert registry("PATCH", place, data, Content_Range="0-1999999").status == 507
    reached = int(registry("GET", place).headers["range"].partition("-")[2]) + 1
    assert 0 < reached < 1_000_000, reached
    try:
        send(client(server.name, folder), made, here)
    except RegistryRefused as error:
        assert "507" in error.cause, error
    assert registry("GET", f"blobs/{kept}").body == b"stands"
    full_disk.free(str(folder / "small"))
    rest = registry("PATCH", place, data[reached:], Content_Range=f"{reached}-1999999")
    assert rest.status == 202, rest
    from sandcell.runtime.oci.digest import Digest
    assert registry("PUT", finishing(rest.headers["location"], Digest.of(data))).status == 201
    assert registry("GET", f"blobs/{Digest.of(data)}").body == data
"""


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("what", [PULL, SERVE], ids=["pull", "serve"])
def test_a_full_disk_costs_nothing_that_stands(tmp_path: Path, what: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PREAMBLE + what, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
