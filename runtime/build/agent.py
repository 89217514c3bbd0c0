"""The socket of an ssh agent, handed on to a build step (``RUN --mount=type=ssh``).

The step gets a socket of its own, with the owner and mode it asks for, and what is said at it is said to
the agent; ssh-agent(1). The agent's own socket and the keys stay outside.
"""

import os
import socket
import threading
from types import TracebackType
from typing import Self

_PIECE = 1 << 16


class AgentSocket:
    """A socket ``path`` in ``directory`` that leads to the agent at ``agent``, as long as the with
    statement lasts."""

    def __init__(self, directory: str, agent: str, *, mode: int, owner: tuple[int, int]) -> None:
        self.path = f"{directory}/agent"
        self._agent = agent
        self._mode = mode
        self._owner = owner

    def __enter__(self) -> Self:
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        directory = os.open(os.path.dirname(self.path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A socket's address is short; the way to our directory may be long. unix(7)
            self._listening.bind(f"/proc/self/fd/{directory}/agent")
        finally:
            os.close(directory)
        try:
            os.chown(self.path, *self._owner)
            os.chmod(self.path, self._mode)
        except PermissionError:
            os.chmod(self.path, 0o666)  # the ids are not ours to give; the directory is closed to others
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                agent.connect(self._agent)
            except OSError:
                client.close()
                agent.close()
                continue
            for here, there in ((client, agent), (agent, client)):
                threading.Thread(target=_pass_on, args=(here, there), daemon=True).start()


def _pass_on(here: socket.socket, there: socket.socket) -> None:
    try:
        while data := here.recv(_PIECE):
            there.sendall(data)
    except OSError:
        pass
    # Each direction ends for both: an agent answers what it was asked and closes.
    for one in (here, there):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
