"""Pull and push against our own registry, well and with faults; and against Debian's docker-registry."""

import json
import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from sandcell.runtime.errors import (
    Corrupted,
    ImageNotFound,
    InvalidDocument,
    LoginNeeded,
    RegistryRefused,
    SandcellError,
    Unreachable,
)
from sandcell.runtime.events import TransferEvent, silent
from sandcell.runtime.oci import media_types
from sandcell.runtime.oci.decode import encode
from sandcell.runtime.oci.descriptor import Descriptor
from sandcell.runtime.oci.image import Image
from sandcell.runtime.oci.manifest import Index, Manifest
from sandcell.runtime.oci.platform import Platform
from sandcell.runtime.oci.reference import Reference
from sandcell.runtime.registry.answers import Handler
from sandcell.runtime.registry.client import Client
from sandcell.runtime.registry.credentials import Credentials, Login
from sandcell.runtime.registry.pull import pull
from sandcell.runtime.registry.push import push
from sandcell.runtime.registry.settings import Host, Settings
from sandcell.runtime.registry.trust import Trust
from sandcell.runtime.registry.users import known_users
from sandcell.runtime.store import Store
from tests.store.images import image

from .serving import certificate, client, debian_registry, own, serving

pytestmark = pytest.mark.filterwarnings("ignore:Unverified HTTPS")


@pytest.fixture
def made(here: Store) -> Image:
    return image(here, {"a": b"1" * 3_000_000}, {"b": bytes(range(256)) * 9000}, name="hello")


def send(to: Client, made: Image, store: Store, name: str = "team/hello:1", **more: object) -> None:
    reference = Reference.parse(f"{to.registry}/{name}")
    push(to, reference, made.descriptor, store, **{"elsewhere": {}, "on_event": silent, **more})  # type: ignore[arg-type]


def get(source: Client, store: Store, name: str = "team/hello:1", **more: object) -> Image:
    return pull(source, Reference.parse(f"{source.registry}/{name}"), store, **more)  # type: ignore[arg-type]


def test_there_and_back(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    events: list[TransferEvent] = []
    with serving(own(tmp_path / "served")) as server:
        wire = client(server.name, tmp_path)
        send(wire, made, here, on_event=events.append)
        assert get(wire, there, on_event=events.append) == made
        assert there.image(f"{server.name}/team/hello:1") == made
        states = Counter((event.action, event.state) for event in events)
        assert states["push", "done"] == 3 == states["pull", "done"]
        events.clear()
        send(wire, made, here, on_event=events.append)
        assert get(wire, there, f"team/hello@{made.digest}", on_event=events.append) == made
        assert {event.state for event in events} == {"exists"}
        assert there.image(f"{server.name}/team/hello@{made.digest}") == made
        with pytest.raises(ImageNotFound):
            get(wire, there, "team/hello:2")


def test_a_blob_is_mounted(tmp_path: Path, here: Store, made: Image) -> None:
    events: list[TransferEvent] = []
    with serving(own(tmp_path / "served")) as server:
        wire = client(server.name, tmp_path)
        send(wire, made, here)
        elsewhere = {layer.digest: "team/hello" for layer in made.manifest.layers}
        send(wire, made, here, "other/name:1", elsewhere=elsewhere, on_event=events.append)
        assert Counter(event.state for event in events if event.state != "moving") == {
            "mounted": 2,
            "done": 1,
        }


def with_faults(plan: dict[str, int]) -> type[Handler]:
    """A handler that cuts bodies or answers badly a number of times; ``plan`` counts down."""
    counting = threading.Lock()

    def due(fault: str) -> bool:
        with counting:  # several connections are answered at once
            plan[fault] = plan.get(fault, 0) - 1
            if plan[fault] < 0:
                plan[fault] = 0
                return False
            return True

    class Faulty(Handler):
        def do_GET(self) -> None:
            if self.path != "/v2/" and due("busy"):
                self._left, self._chunked = None, False
                self._answer(503, {"Retry-After": "1"})
                self.close_connection = True
                return
            super().do_GET()

        do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def blob(self, name: str, digest: str) -> None:
            if self.command == "GET" and due("cut"):
                real = self.connection

                class Short:
                    settimeout = real.settimeout

                    def sendfile(self, file: object, start: int, count: int) -> None:
                        real.sendfile(file, start, max(1, count // 2))  # type: ignore[arg-type]

                self.connection = Short()  # type: ignore[assignment]
                try:
                    super().blob(name, digest)
                finally:
                    self.connection = real
                    self.close_connection = True
                with counting:
                    plan["ranges"] = plan.get("ranges", 0) + ("Range" in self.headers)
                return
            super().blob(name, digest)

        def complete(self, name: str, id: str) -> None:
            if due("broken upload"):
                self.connection.close()
                raise ConnectionError
            super().complete(name, id)

    return Faulty


def test_a_cut_blob_is_continued(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    plan = {"cut": 8}
    with serving(own(tmp_path / "served"), None) as server:
        send(client(server.name, tmp_path), made, here)
        server.RequestHandlerClass = with_faults(plan)
        assert get(client(server.name, tmp_path), there) == made
    assert plan["cut"] == 0 and plan["ranges"] >= 4


def test_busy_and_broken_are_tried_again(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    plan = {"busy": 3}
    waits: list[float] = []
    with serving(own(tmp_path / "served"), with_faults(plan)) as server:
        credentials = Credentials(str(tmp_path / "none.json"))
        wire = Client(server.name, Settings(), credentials, wait=waits.append)
        send(wire, made, here)
        assert waits == [1.0, 1.0, 1.0]
        plan["busy"] = 1000
        with pytest.raises(RegistryRefused, match="503"):
            get(wire, there)
    assert there.names.all() == {}


def test_nobody_there(tmp_path: Path, there: Store) -> None:
    with serving(own(tmp_path / "served")) as server:
        name = server.name
    with pytest.raises(Unreachable):
        get(client(name, tmp_path), there)


def damaged(change: object) -> type[Handler]:
    class Lying(Handler):
        def manifest(self, name: str, wanted: str) -> None:
            found = self._registry.shelf.find(name, wanted)
            assert found is not None
            headers, data = change(*found)  # type: ignore[operator]
            self._answer(200, headers, data)

    return Lying


def _other_bytes(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": one.media_type, "Docker-Content-Digest": one.digest}, data + b" "


def _other_type(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": media_types.INDEX}, data


def _page(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "text/html"}, b"<html>log in to the hotel's network</html>"


def _huge(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": one.media_type}, data + b" " * (5 << 20)


def _both(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": one.media_type}, data[:-1] + b',"manifests":[]}'


def _twice(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": one.media_type}, data[:-1] + b',"layers":[]}'


def _shorter(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": one.media_type, "Content-Length": str(len(data) - 9)}, data


def _longer(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": one.media_type, "Content-Length": str(len(data) + 9), "Connection": "close"}, data


def _no_digest(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": one.media_type, "Docker-Content-Digest": "sha256:none"}, data


def _compressed(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    import gzip

    return {"Content-Type": one.media_type, "Content-Encoding": "gzip"}, gzip.compress(data)


def _smaller(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    document = json.loads(data)
    document["layers"][0]["size"] -= 1
    return {"Content-Type": one.media_type}, json.dumps(document).encode()


def _larger(one: Descriptor, data: bytes) -> tuple[dict[str, str], bytes]:
    document = json.loads(data)
    document["layers"][0]["size"] += 1
    return {"Content-Type": one.media_type}, json.dumps(document).encode()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_other_bytes, Corrupted),
        (_other_type, InvalidDocument),
        (_page, InvalidDocument),
        (_huge, InvalidDocument),
        (_both, InvalidDocument),
        (_twice, InvalidDocument),
        (_shorter, InvalidDocument),
        (_longer, SandcellError),
        (_no_digest, SandcellError),
        (_compressed, InvalidDocument),
        (_smaller, Corrupted),
        (_larger, SandcellError),
    ],
)
def test_a_lying_registry_names_nothing(
    tmp_path: Path, here: Store, there: Store, made: Image, change: object, error: type[Exception]
) -> None:
    with serving(own(tmp_path / "served")) as server:
        send(client(server.name, tmp_path), made, here)
        server.RequestHandlerClass = damaged(change)
        with pytest.raises(error):
            get(client(server.name, tmp_path), there)
    assert there.names.all() == {}


def test_an_index_that_calls_an_index_an_image(tmp_path: Path, here: Store, there: Store) -> None:
    inner = here.blobs.put_bytes(encode(Index()), media_types.INDEX)
    told = Descriptor(media_types.MANIFEST, inner.digest, inner.size, platform=Platform.here())
    with serving(own(tmp_path / "served")) as server:
        wire = client(server.name, tmp_path)
        for name, data in ((inner.digest, encode(Index())), ("1", encode(Index(manifests=(told,))))):
            wire.call("PUT", f"odd/manifests/{name}", headers={"Content-Type": media_types.INDEX}, body=data)
        for everything in (False, True):
            with pytest.raises(InvalidDocument, match="is called"):
                get(wire, there, "odd:1", all_platforms=everything)
    assert there.names.all() == {}


def test_a_proxy_is_used_as_the_environment_says(
    tmp_path: Path, here: Store, there: Store, made: Image
) -> None:
    asked: list[str] = []

    class Proxy(Handler):
        """Our own registry, asked as a proxy is: by whole addresses."""

        def _admit(self) -> None:
            asked.append(self.path)

    with serving(own(tmp_path / "served"), Proxy) as server:
        os.environ["http_proxy"] = f"http://{server.name}"
        try:
            settings = Settings({"registry.test": Host(insecure=True)})
            send(client("registry.test", tmp_path, settings), made, here)
            assert get(client("registry.test", tmp_path, settings), there) == made
        finally:
            del os.environ["http_proxy"]
    assert asked and all(path.startswith("http://registry.test/v2/") for path in asked)


def test_of_an_index_the_right_image_is_taken(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    other = image(here, {"c": b"3"})
    arm = Descriptor(
        other.descriptor.media_type,
        other.digest,
        other.descriptor.size,
        platform=Platform("s390x", "linux"),
    )
    mine = Descriptor(made.descriptor.media_type, made.digest, made.descriptor.size, platform=Platform.here())
    index = encode(Index(manifests=(arm, mine)))
    with serving(own(tmp_path / "served")) as server:
        wire = client(server.name, tmp_path)
        send(wire, made, here, "multi:a")
        send(wire, other, here, "multi:b")
        wire.call("PUT", "multi/manifests/1", headers={"Content-Type": media_types.INDEX}, body=index)
        assert get(wire, there, "multi:1") == made
        assert get(wire, there, "multi:1", platform=Platform("s390x", "linux")) == other
        with pytest.raises(ImageNotFound, match="linux/riscv64"):
            get(wire, there, "multi:1", platform=Platform("riscv64", "linux"))
        with pytest.raises(ImageNotFound, match="linux/riscv64") as caught:
            get(wire, there, "multi:a", platform=Platform("riscv64", "linux"))
        assert str(Platform.here()) in caught.value.hint
        assert get(wire, there, "multi:a", platform=Platform.here()) == made


def test_basic_login(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    with serving(own(tmp_path / "served", allowed=known_users({"me": "secret"}))) as server:
        wire = client(server.name, tmp_path)
        with pytest.raises(LoginNeeded, match="a name and a password"):
            send(wire, made, here)
        with pytest.raises(LoginNeeded, match="does not take"):
            wire.login(Login("me", "wrong"))
        known = Credentials(str(tmp_path / "docker/config.json"))
        known.put(server.name, Login("me", "secret"))
        send(client(server.name, tmp_path), made, here)
        assert get(client(server.name, tmp_path), there) == made


def test_a_mirror_is_asked_first_and_passed_over(
    tmp_path: Path, here: Store, there: Store, made: Image
) -> None:
    with serving(own(tmp_path / "served")) as server, serving(own(tmp_path / "mirror")) as mirror:
        settings = Settings({server.name: Host(mirrors=("http://127.0.0.1:1", f"http://{mirror.name}"))})
        send(client(server.name, tmp_path), made, here)
        asked: list[str] = []
        mirror.log = asked.append
        assert get(client(server.name, tmp_path, settings), there) == made
        assert len(asked) == 1 and " 404 " in asked[0]


def test_certificates_count(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    cert, key = certificate(tmp_path)
    with serving(own(tmp_path / "served", tls=(cert, key))) as server:
        send(client(server.name, tmp_path), made, here)  # loopback: any certificate will do
        # The same by a name that is not excused.
        from sandcell.runtime.registry.endpoint import Endpoint

        strict = client(server.name, tmp_path)
        strict._found = Endpoint(f"https://{server.name}")
        with pytest.raises(Unreachable, match="certificate"):
            get(strict, there)
        strict._found = Endpoint(f"https://{server.name}", Trust(only=cert))
        assert get(strict, there) == made


def test_docker_schema2_is_pulled_and_pushed(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    manifest = Manifest(
        media_type=media_types.DOCKER_MANIFEST,
        config=Descriptor(media_types.DOCKER_CONFIG, made.manifest.config.digest, made.manifest.config.size),
        layers=tuple(
            Descriptor(media_types.DOCKER_LAYER_GZIP, one.digest, one.size) for one in made.manifest.layers
        ),
    )
    old = here.load(here.blobs.put_bytes(encode(manifest), media_types.DOCKER_MANIFEST))
    with serving(own(tmp_path / "served")) as server:
        wire = client(server.name, tmp_path)
        send(wire, old, here, "old:1")
        assert get(wire, there, "old:1") == old


@pytest.mark.peer("docker-registry", "skopeo")
@pytest.mark.slow
def test_debian_s_registry(tmp_path: Path, here: Store, there: Store, made: Image) -> None:
    import subprocess

    with debian_registry(tmp_path) as name:
        wire = client(name, tmp_path)
        events: list[TransferEvent] = []
        send(wire, made, here)
        elsewhere = {layer.digest: "team/hello" for layer in made.manifest.layers}
        send(wire, made, here, "other/name:2", elsewhere=elsewhere, on_event=events.append)
        assert sum(event.state == "mounted" for event in events) == 2
        assert get(wire, there, "other/name:2") == made
        reply = subprocess.run(
            [
                "skopeo",
                "inspect",
                "--tls-verify=false",
                "--format",
                "{{.Digest}}",
                f"docker://{name}/team/hello:1",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert reply.stdout.strip() == made.digest
        subprocess.run(
            ["skopeo", "copy", "-q", "--dest-tls-verify=false", "--format", "v2s2",
             f"oci:{here.layout_path}:hello:latest", f"docker://{name}/theirs:1"],
            check=True, capture_output=True,
        )  # fmt: skip
        theirs = get(wire, there, "theirs:1")
        assert theirs.descriptor.media_type == media_types.DOCKER_MANIFEST
        assert theirs.config.rootfs == made.config.rootfs
