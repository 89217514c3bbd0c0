"""A Debian archive of two packages, made here and served on loopback: what their installation asks of a
container's ids is what packages of Debian ask."""

import hashlib
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_CONTROL = """Package: {name}
Version: 1
Architecture: all
Maintainer: nobody <nobody@example.org>
Depends: {depends}
Description: made for a test
"""

# A user of its own, files that belong to it and to a group of the system, a set-id program, a service's
# first steps as that user, and a file capability.
_AFTER = """#!/bin/sh
set -e
adduser --system --group --home /var/lib/marked --quiet marked
chown -R marked:marked /var/lib/marked
chown root:mail /usr/bin/marked
chmod 2755 /usr/bin/marked
install -d -o marked -g adm -m 2750 /var/log/marked
su -s /bin/sh -c 'echo "$(id -u)" > /var/lib/marked/as' marked
"""


def make(folder: Path) -> Path:
    """The archive below ``folder``: two packages and their index."""
    archive = folder / "archive"
    archive.mkdir()
    data = {"usr/share/marked/data": "data\n", "etc/marked.conf": "colour=blue\n"}
    _package(archive, "marked-data", "adduser", data, "")
    _package(archive, "marked", "marked-data, adduser", {"usr/bin/marked": "#!/bin/sh\nid -u\n"}, _AFTER)
    index = ""
    for deb in sorted(archive.glob("*.deb")):
        control = subprocess.run(["dpkg-deb", "-f", deb], capture_output=True, text=True, check=True).stdout
        size, digest = deb.stat().st_size, hashlib.sha256(deb.read_bytes()).hexdigest()
        index += f"{control}Filename: ./{deb.name}\nSize: {size}\nSHA256: {digest}\n\n"
    (archive / "Packages").write_text(index)
    return archive


def _package(archive: Path, name: str, depends: str, files: dict[str, str], after: str) -> None:
    tree = archive.parent / name
    for path, text in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
        (tree / path).chmod(0o755 if "/bin/" in path else 0o644)
    about = tree / "DEBIAN"
    about.mkdir(parents=True)
    (about / "control").write_text(_CONTROL.format(name=name, depends=depends))
    if after:
        (about / "postinst").write_text(after)
        (about / "postinst").chmod(0o755)
    for folder, _, _ in os.walk(tree):
        os.chmod(folder, 0o755)
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Zgzip", "-b", tree, archive / f"{name}.deb"],
        check=True,
        capture_output=True,
    )


@contextmanager
def serving(archive: Path) -> Iterator[str]:
    """The archive's line for sources.list, while it is served on loopback."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(archive)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"deb [trusted=yes] http://127.0.0.1:{server.server_port} ./"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
