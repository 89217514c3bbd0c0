"""Git repositories as a source of ADD and as a context: known by their commit, fetched only when needed.

``URL#REF:DIRECTORY`` as the Dockerfile reference has it ("Adding files from a Git repository"). git(1)
does the work, without the user's own configuration and without asking for anything.
"""

import os
import re
import subprocess
from typing import Any

from sandcell.runtime.build.context import Context, ContextError
from sandcell.runtime.build.ops import Place, Remote
from sandcell.runtime.build.patterns import clean
from sandcell.runtime.build.placing import Load
from sandcell.runtime.build.scratch import Scratch
from sandcell.runtime.build.spool import Spool
from sandcell.runtime.store import Store
from sandcell.runtime.store.worker import REMOVE, Here

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_PATIENCE = 600


def find(store: Store, remote: Remote) -> "Repository":
    """The commit that an address means now; ``ContextError`` where there is none, or no git here."""
    url, _, fragment = remote.url.partition("#")
    ref, _, directory = fragment.partition(":")
    if url.startswith("-") or ref.startswith("-"):
        raise ContextError(f"{remote.url} is no address of a repository")
    commit = ref if _COMMIT.fullmatch(ref) else _asked(url, ref)
    if remote.checksum and not commit.startswith(remote.checksum):
        raise ContextError(f"{remote.url} is not what --checksum says: it is {commit}")
    return Repository(store, url, commit, clean(directory), keep=remote.keep_git_dir)


def _asked(url: str, ref: str) -> str:
    """The commit of a branch or a tag, or of what the repository shows first."""
    rows = [line.split("\t") for line in _git("ls-remote", "--", url).splitlines() if "\t" in line]
    found = {name: commit for commit, name in rows}
    wanted = (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", ref) if ref else ("HEAD",)
    for name in wanted:
        if name in found:
            return found[name]
    cause = f"{url} has no branch or tag {ref}" if ref else f"{url} is empty"
    raise ContextError(cause)


class Repository:
    """One commit of a repository, or a directory of it."""

    def __init__(self, store: Store, url: str, commit: str, directory: str, *, keep: bool) -> None:
        self._store = store
        self._url = url
        self._commit = commit
        self._directory = directory
        self._keep = keep

    def told(self) -> Any:
        """The commit stands for its files."""
        return ["git", self._commit, self._directory, self._keep]

    def load(self, op: Place, owner: tuple[int, int], time: int, spool: Spool) -> Load:
        """The files of the commit, as a directory."""
        from sandcell.runtime.build.sources import ContextSources

        scratch = spool.held.enter_context(Scratch(self._store, Here()))
        folder = self.check_out(scratch.upper)
        context = spool.held.enter_context(Context(folder, _Nothing(), ""))
        from msgspec.structs import replace

        inner = replace(op, sources=(".",), unpack=False, parents=False)
        return next(ContextSources(inner, context).loads(owner, time, spool))

    def check_out(self, folder: str) -> str:
        """Fetch the commit into the empty directory ``folder``; gives the directory that is meant."""
        _git("init", "--quiet", "--template=", folder)
        _git("-C", folder, "remote", "add", "origin", self._url)
        try:
            _git("-C", folder, "fetch", "--quiet", "--depth=1", "origin", self._commit)
        except ContextError:
            # Not every server sends single commits, or part of a history.
            _git("-C", folder, "fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
        _git("-C", folder, "checkout", "--quiet", "--detach", self._commit)
        if os.path.exists(f"{folder}/.gitmodules"):
            _git("-C", folder, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
        if not self._keep:
            Here().run(REMOVE, {"path": f"{folder}/.git"})
        if self._directory:
            inner = os.path.realpath(f"{folder}/{self._directory}")
            if not os.path.isdir(inner) or not inner.startswith(os.path.realpath(folder) + "/"):
                raise ContextError(f"{self._url} has no directory {self._directory} at {self._commit[:12]}")
            return inner
        return folder


class _Nothing:
    """Remembers no digests: the directory is thrown away."""

    def get(self, key: str) -> dict[str, Any] | None:  # noqa: ARG002 - a protocol's signature
        return None

    def put(self, key: str, record: dict[str, Any]) -> None: ...


def _git(*words: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ALLOW_PROTOCOL": "git:http:https:ssh",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        "LC_ALL": "C",
    }
    # umask(2) decides the modes of checked out files, which must not depend on who builds.
    try:
        done = subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            umask=0o022,
        )
    except FileNotFoundError:
        raise ContextError(
            "git is not installed here, so no repository can be fetched", "install git"
        ) from None
    except subprocess.TimeoutExpired:
        raise ContextError(f"git {words[0]} did not end within {_PATIENCE} seconds") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing"]
        raise ContextError(f"git says: {said[-1].strip()[:200]}", "is the address right?")
    return done.stdout
