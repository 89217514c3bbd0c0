"""ADD of addresses: a web server and a git repository on loopback."""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sandcell.runtime.errors import DockerfileError
from tests.build.world import World

MODIFIED = "Wed, 21 Oct 2015 07:28:00 GMT"
SECONDS = 1445412480


class Pages(ThreadingHTTPServer):
    """Pages by path, each with a status and more headers; remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.pages: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Pages

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server.pages.get(self.path.partition("?")[0], (404, {}, b"none"))
        if headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
            status, body = 304, b""
        if headers.get("Last-Modified") and self.headers.get("If-Modified-Since") == headers["Last-Modified"]:
            status, body = 304, b""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def answering(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def web() -> Iterator[Pages]:
    pages = Pages()
    with answering(pages):
        yield pages


def archive() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        member = tarfile.TarInfo("in/file")
        member.size, member.uid = 2, 7
        tar.addfile(member, io.BytesIO(b"hi"))
    return out.getvalue()


def test_a_file_is_fetched_once(world: World, web: Pages) -> None:
    web.pages["/dir/a%20b.txt"] = (200, {"ETag": '"1"', "Last-Modified": MODIFIED}, b"one")
    text = f"FROM scratch\nADD {web.base}/dir/a%20b.txt?x=1 /d/"
    image = world.build(text)
    assert world.top(image) == ["d 755 0:0", "d/a b.txt 600 0:0"]
    assert world.files(image).tree.entries["d/a b.txt"].mtime == SECONDS
    assert dict(world.files(image).contents(["d/a b.txt"])) == {"d/a b.txt": b"one"}
    assert world.build(text).digest == image.digest
    assert world.cached() == "h"
    assert web.asked[-1][1]["If-None-Match"] == '"1"'
    web.pages["/dir/a%20b.txt"] = (200, {"ETag": '"2"'}, b"two")
    assert world.build(text).digest != image.digest


def test_a_checksum_that_is_known_asks_nobody(world: World, web: Pages) -> None:
    web.pages["/x"] = (200, {}, b"one")
    for algorithm in ("sha256", "sha384", "sha512"):
        web.asked.clear()
        digest = hashlib.new(algorithm, b"one").hexdigest()
        text = f"FROM scratch\nADD --checksum={algorithm}:{digest} --chmod=640 --chown=1:2 {web.base}/x /y"
        assert world.top(world.build(text)) == ["y 640 1:2"]
        world.build(text)
    assert len(web.asked) == 2
    web.asked.clear()
    text = f"FROM scratch\nADD --checksum=sha256:{hashlib.sha256(b'one').hexdigest()} {web.base}/x /y"
    web.pages.clear()
    world.build(text)
    assert web.asked == []
    world.store.prune()
    world.build(text)
    assert web.asked == []


def test_the_name_comes_from_the_server_or_the_address(world: World, web: Pages) -> None:
    web.pages["/get"] = (200, {"Content-Disposition": 'attachment; filename="../../etc/name.txt"'}, b"1")
    assert world.top(world.build(f"FROM scratch\nADD {web.base}/get /d/"))[-1] == "d/name.txt 600 0:0"


def test_an_archive_is_unpacked_only_when_it_is_asked_for(world: World, web: Pages) -> None:
    web.pages["/a.tgz"] = (200, {}, archive())
    world.write("a.tgz", archive())
    top = {
        flags + source: world.top(world.build(f"FROM scratch\nADD {flags} {source} /d/"))[-1]
        for flags in ("", "--unpack=true", "--unpack=false")
        for source in (f"{web.base}/a.tgz", "a.tgz")
    }
    assert list(top.values()) == [
        "d/a.tgz 600 0:0", "d/in/file 644 7:0", "d/in/file 644 7:0", "d/in/file 644 7:0",
        "d/a.tgz 600 0:0", "d/a.tgz 644 0:0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("{}/none", "could not be fetched: it answered 404"),
        ("{}/short", "could not be fetched: 3 of 5 bytes came"),
        ("http://127.0.0.1:1/x", "could not be fetched: Connection refused"),
        ("--checksum=sha256:" + "0" * 64 + " {}/x", "is not what --checksum says: it is sha256:"),
        ("{}/", "tells no name for the file"),
        ("http://[/x", "could not be fetched"),
    ],
)
def test_what_cannot_be_fetched(source: str, cause: str, world: World, web: Pages) -> None:
    web.pages["/x"] = web.pages["/"] = (200, {}, b"one")
    web.pages["/short"] = (200, {"Content-Length": "5"}, b"one")
    with pytest.raises(DockerfileError) as caught:
        world.build(f"FROM scratch\nADD {source.format(web.base)} /d/")
    assert cause in caught.value.cause
    assert caught.value.lines == (2, 2)


# ---------------------------------------------------------------- git


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A repository with a tag and a branch, served over HTTP; its address, and where it is worked on."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    work, bare = tmp_path / "work", tmp_path / "www" / "repo.git"
    work.mkdir()
    git(work, "init", "-q", "-b", "main")
    (work / "README").write_text("one")
    (work / "docs").mkdir()
    (work / "docs/page").write_text("page")
    commit(work)
    git(work, "tag", "v1")
    (work / "README").write_text("two")
    commit(work)
    git(work, "clone", "-q", "--bare", str(work), str(bare))
    git(bare, "update-server-info")

    class Files(SimpleHTTPRequestHandler):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words, directory=str(bare.parent))

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    with answering(server):
        yield f"http://127.0.0.1:{server.server_address[1]}/repo.git", work


def git(folder: Path, *words: str) -> str:
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    done = subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, check=True)
    return done.stdout.decode().strip()


def commit(work: Path) -> None:
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "change")


@pytest.mark.slow
@pytest.mark.peer("git")
def test_a_repository_at_a_commit(world: World, repository: tuple[str, Path]) -> None:
    url, work = repository
    first, head = git(work, "rev-parse", "v1"), git(work, "rev-parse", "HEAD")
    for fragment, expected in (("", b"two"), ("#v1", b"one"), ("#main", b"two"), (f"#{first}", b"one")):
        image = world.build(f"FROM scratch\nADD {url}{fragment} /src")
        assert dict(world.files(image).contents(["src/README"])) == {"src/README": expected}, fragment
        assert "src/.git" not in world.files(image).tree.entries
    world.build(f"FROM scratch\nADD {url} /src")
    assert world.cached() == "h"
    assert world.top(world.build(f"FROM scratch\nADD --chown=5:5 {url}#v1:docs /d/")) == [
        "d 755 5:5", "d/page 644 5:5",
    ]  # fmt: skip
    kept = world.build(f"FROM scratch\nADD --keep-git-dir=true --checksum={head} {url} /src")
    assert "src/.git/HEAD" in world.files(kept).tree.entries


@pytest.mark.slow
@pytest.mark.peer("git")
@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("{}#none", "has no branch or tag none"),
        ("{}#v1:none", "has no directory none"),
        ("{}#v1:../..", "has no directory"),
        ("--checksum=" + "0" * 40 + " {}", "is not what --checksum says"),
        ("http://127.0.0.1:1/none.git", "git says:"),
    ],
)
def test_what_a_repository_does_not_have(
    source: str, cause: str, world: World, repository: tuple[str, Path]
) -> None:
    with pytest.raises(DockerfileError) as caught:
        world.build(f"FROM scratch\nADD {source.format(repository[0])} /src")
    assert cause in caught.value.cause
    left = Path(world.store.home, "scratch")
    assert not left.exists() or not any(left.iterdir())
