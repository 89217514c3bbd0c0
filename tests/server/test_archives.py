"""Archives over HTTP: what goes out comes in again, and nothing of a refused body does anything."""

import io
import json
import tarfile
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError

from sandcell import Engine, Options

pytestmark = [pytest.mark.slow, pytest.mark.kernel]


def tar(**files: bytes) -> bytes:
    """A tar of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def untar(data: bytes) -> dict[str, bytes]:
    """The regular files of a tar."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = ((one.name, archive.extractfile(one)) for one in archive if one.isfile())
        return {name: file.read() for name, file in found if file is not None}


@pytest.fixture
def post(jp_fetch: Any, room: Any) -> Any:
    """Send a tar; the JSON that is answered."""

    async def post(*path: str, body: bytes, **query: str) -> Any:
        headers = {"Content-Type": "application/x-tar"}
        place = ("sandcell", "api", *path)
        return json.loads(
            (await jp_fetch(*place, method="POST", body=body, params=query, headers=headers)).body
        )

    return post


async def test_an_image_is_saved_and_loaded(jp_fetch: Any, post: Any, clean: Engine) -> None:
    digest = clean.image("small").digest
    answer = await jp_fetch("sandcell", "api", "images", "small", "archive")
    assert answer.headers["Content-Type"] == "application/x-tar"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert "oci-layout" in untar(answer.body)
    loaded = await post("load", body=answer.body, name="again")
    assert [one["names"] for one in loaded["images"]] == [["again:latest"]]
    assert clean.image("again").digest == digest
    clean.remove_image("again")


async def test_files_go_into_a_container_and_come_out(jp_fetch: Any, post: Any, clean: Engine) -> None:
    clean.create("small", None, Options(name="box"))
    await post("containers", "box", "archive", body=tar(new=b"x" * 3_000_000), path="/root")
    assert [change.path for change in clean.diff("box") if change.kind == "A"] == ["root/new"]
    answer = await jp_fetch("sandcell", "api", "containers", "box", "archive", params={"path": "/root/new"})
    assert untar(answer.body) == {"new": b"x" * 3_000_000}
    whole = await jp_fetch("sandcell", "api", "containers", "box", "export")
    assert {"note", "root/new"} <= set(untar(whole.body))
    made = await post("import", body=tar(hello=b"hi"), name="imported")
    assert made["names"] == ["imported"]
    assert [entry.path for entry in clean.image_files("imported")] == ["hello"]
    clean.remove_image("imported")


@pytest.mark.parametrize(
    ("method", "path", "query", "status"),
    [
        ("GET", ("images", "nobody", "archive"), {}, 404),
        ("GET", ("images", "small", "archive"), {"form": "zip"}, 400),
        ("GET", ("containers", "nobody", "export"), {}, 404),
        ("GET", ("containers", "box", "archive"), {}, 400),
        ("GET", ("containers", "box", "archive"), {"path": "/nowhere"}, 404),
        ("POST", ("containers", "box", "archive"), {"path": "/nowhere"}, 404),
        ("POST", ("load",), {}, 422),
        ("POST", ("import",), {"name": "../x"}, 400),
        ("GET", ("load",), {}, 405),
    ],
)
async def test_what_is_wrong_is_told(
    jp_fetch: Any, room: Any, clean: Engine, method: str, path: tuple[str, ...], query: Any, status: int
) -> None:
    clean.create("small", None, Options(name="box"))
    body = {"body": b"no tar at all" * 100_000} if method == "POST" else {}
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("sandcell", "api", *path, method=method, params=query, **body)
    assert caught.value.code == status
    assert json.loads(caught.value.response.body)["error"]["cause"]


async def test_a_body_cut_off_loads_nothing(jp_fetch: Any, post: Any, clean: Engine) -> None:
    whole = (await jp_fetch("sandcell", "api", "images", "small", "archive")).body
    with pytest.raises(HTTPClientError) as caught:
        await post("load", body=whole[: len(whole) // 2], name="half")
    assert caught.value.code in (400, 422)
    assert "half:latest" not in {entry.name for entry in clean.images()}
