"""What a learner has predicted in the lessons: one small file of the store, which is one person's."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from sandcell.runtime.known import known

NAME = "lessons.json"


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """``text``: what was predicted, empty when nothing was. ``locked``: the experiment has been looked at
    since. ``right``: what came of it, ``None`` as long as nothing was observed. ``hints``: how many were
    read. ``tries``: how often it was locked."""

    text: str = ""
    locked: bool = False
    right: bool | None = None
    hints: int = 0
    tries: int = 0


Answers = dict[str, Answer]
"""Question → answer, of one lesson."""


class Progress:
    """The answers of a learner, kept in ``home``; every change is on disk when the call returns.

    A file that cannot be read counts as empty and is kept beside the new one as ``lessons.json.old``.
    """

    def __init__(self, home: str) -> None:
        self.path = f"{home}/{NAME}"

    def all(self) -> dict[str, Answers]:
        """Lesson (``"01"``) → its answers."""
        try:
            with open(self.path, "rb") as file:
                return msgspec.json.decode(file.read(), type=known(dict[str, Answers]))
        except (FileNotFoundError, ValueError):
            return {}

    def of(self, lesson: str) -> Answers:
        """The answers of one lesson."""
        return self.all().get(lesson, {})

    def put(self, lesson: str, question: str, answer: Answer) -> None:
        """Keep an answer in the place of the one before."""
        with self._changing() as found:
            found.setdefault(lesson, {})[question] = answer

    def forget(self, lesson: str) -> None:
        """Forget all answers of a lesson; without any it does nothing."""
        with self._changing() as found:
            found.pop(lesson, None)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Answers]]:
        """What is there, to be changed; two notebooks that answer at once both get theirs in."""
        with open(f"{self.path}.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self.all()
            if not found and os.path.exists(self.path):
                os.replace(self.path, f"{self.path}.old")
            yield found
            half = f"{self.path}.new"
            with open(half, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
            os.replace(half, self.path)
