"""ssh agents for builds: one that runs already, or one started for some keys (ssh-agent(1), ssh-add(1))."""

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from sandcell.runtime.errors import BadInput, HostRefused

_PATIENCE = 5


@contextmanager
def agent(name: str, paths: tuple[str, ...]) -> Iterator[str]:
    """The socket of an agent, as long as the with statement lasts. ``paths``: the socket itself, or files of
    keys without a passphrase. ``BadInput``, ``HostRefused``."""
    asked = f"--ssh {name}={','.join(paths)}"
    paths = tuple(os.path.abspath(os.path.expanduser(path)) for path in paths)
    try:
        kinds = [stat.S_IFMT(os.stat(path).st_mode) for path in paths]
    except OSError as error:
        raise BadInput("build", asked, f"{error.filename}: {error.strerror}") from None
    if kinds == [stat.S_IFSOCK]:
        yield paths[0]
        return
    if set(kinds) != {stat.S_IFREG}:
        raise BadInput("build", asked, "it is neither one socket nor files of keys")
    with tempfile.TemporaryDirectory(prefix="sandcell-ssh-") as folder:
        socket = f"{folder}/agent"
        try:
            running = subprocess.Popen(
                ["ssh-agent", "-D", "-a", socket], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
        except FileNotFoundError:
            raise HostRefused(
                "build", asked, "ssh-agent is not installed", "install openssh-client"
            ) from None
        with running:
            try:
                # It tells its socket when it listens.
                assert running.stdout is not None
                running.stdout.readline()
                _add(asked, socket, paths)
                yield socket
            finally:
                running.terminate()


def _add(asked: str, socket: str, paths: tuple[str, ...]) -> None:
    environment = {**os.environ, "SSH_AUTH_SOCK": socket, "SSH_ASKPASS_REQUIRE": "never"}
    done = subprocess.run(
        ["ssh-add", "-q", *paths],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing"]
        raise BadInput("build", asked, f"ssh-add says: {said[-1]}", "a key with a passphrase needs an agent")
