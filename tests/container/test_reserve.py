"""The spawner's children, by what they say at their sockets."""

import os
import socket
from collections.abc import Iterator

import pytest

from sandcell.runtime.container import spawner
from sandcell.runtime.container.spawner import Reserve
from sandcell.runtime.linux.idmap import HOST
from sandcell.runtime.linux.process import receive_descriptors


class Child:
    """One that waits for a job; ``link`` is its number at the reserve."""

    def __init__(self, reserve: Reserve) -> None:
        ours, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.settimeout(10)
        self.link = ours.detach()
        reserve.waiting.append(self.link)
        reserve.poll.register(self.link)

    def says(self, reserve: Reserve, word: bytes) -> None:
        self.end.send(word)
        reserve.hear(self.link)


@pytest.fixture
def reserve() -> Iterator[Reserve]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        reserve = Reserve(theirs, HOST)
        yield reserve
        for link in (*reserve.waiting, *reserve.busy):
            reserve.dismiss(link)


def test_a_child_takes_a_job_and_gets_the_socket_of_jobs_again_when_it_comes_back(reserve: Reserve) -> None:
    child = Child(reserve)
    child.says(reserve, b"t")
    assert (reserve.waiting, reserve.busy) == ([], [child.link])
    child.says(reserve, b"b")
    assert (reserve.waiting, reserve.busy) == ([child.link], [])
    said, fds = receive_descriptors(child.end, 1)
    assert said == b"b"
    with socket.socket(fileno=fds[0]) as again:
        assert os.fstat(again.fileno()).st_ino == os.fstat(reserve._channel.fileno()).st_ino
    child.end.close()


def test_who_ends_is_forgotten_also_with_a_word_unread(reserve: Reserve) -> None:
    ended, killed = Child(reserve), Child(reserve)
    ended.end.close()
    reserve.hear(ended.link)
    killed.says(reserve, b"t")
    killed.says(reserve, b"b")
    killed.end.close()
    reserve.hear(killed.link)
    assert (reserve.waiting, reserve.busy) == ([], [])


def test_no_more_wait_than_are_of_use_and_of_the_busy_only_the_last_are_known(reserve: Reserve) -> None:
    busy = [Child(reserve) for _ in range(spawner._MOST_BUSY + 1)]
    for child in busy:
        child.says(reserve, b"t")
    assert reserve.busy == [child.link for child in busy[1:]]
    assert busy[0].end.recv(1) == b""
    for child in busy[1:]:
        child.says(reserve, b"b")
    assert len(reserve.waiting) == spawner._MOST_WAITING
    refused = busy[1 + spawner._MOST_WAITING]
    assert refused.end.recv(1) == b""
    assert reserve.busy == []
    for child in busy:
        child.end.close()
