"""Which parts of a source are copied, and under which paths: ``--exclude`` and ``--parents``.

Pure. Paths are relative to the source, empty for the source itself.
"""

from collections.abc import Iterable

from sandcell.runtime.build.patterns import IgnoreRules, clean


def kept(paths: Iterable[tuple[str, bool]], rules: IgnoreRules, name: str) -> set[str]:
    """Those of ``paths`` (with: is it a directory) that no rule leaves out. The source itself is judged
    by ``name`` where it is no directory; a directory stays where something below it does."""
    wanted: set[str] = set()
    for path, is_directory in paths:
        if not path and is_directory:
            wanted.add(path)
        elif not rules.excluded_by(path or name):
            while path not in wanted:
                wanted.add(path)
                path = path.rpartition("/")[0]
    return wanted


def parent_depth(source: str) -> int:
    """How many leading directories of what ``source`` matches ``--parents`` does not keep: those
    before ``/./``."""
    before, pivot, _ = source.partition("/./")
    base = clean(before) if pivot else ""
    return len(base.split("/")) if base else 0


def without(path: str, depth: int) -> str:
    """``path`` without its first ``depth`` directories."""
    return "/".join(path.split("/")[depth:])
