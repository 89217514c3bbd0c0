"""What the house asks of its files, as pure functions: each gives one line for each fault."""

import ast
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
LONGEST = 450
BANNED_NAMES = ("utils", "util", "helpers", "helper", "common", "misc", "base", "manager")
UNFINISHED = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")


def too_long(path: str, text: str) -> list[str]:
    """A file that does not fit on a few screens."""
    lines = text.count("\n")
    return [f"{path}: {lines} lines, more than {LONGEST}"] if lines > LONGEST else []


def bad_name(path: str) -> list[str]:
    """A name that does not say what is inside."""
    parts = path.removesuffix(".py").split("/")
    return [f"{path}: {part} says nothing" for part in parts if part in BANNED_NAMES]


def unfinished(path: str, text: str) -> list[str]:
    """A promise to do it later."""
    return [
        f"{path}:{number}: {word}"
        for number, line in enumerate(text.splitlines(), 1)
        for word in UNFINISHED
        if word in line
    ]


def undocumented(path: str, text: str) -> list[str]:
    """A module, or a public class, function or method, without a docstring. A method that a base
    class in the same file, or imported from another of ours, explains need not be explained again."""
    tree = ast.parse(text)
    lines = [] if ast.get_docstring(tree) else [f"{path}: no docstring"]
    told = {node.name: _methods_told(node) for node in _classes(tree)}
    return lines + [
        f"{path}:{node.lineno}: {node.name} has no docstring"
        for node, bases in _public(tree.body, [])
        if not ast.get_docstring(node) and not any(node.name in told.get(base, ()) for base in bases)
    ]


_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sandcell."):
            file = CHECKOUT / f"{str(node.module).replace('.', '/')}.py"
            if file.exists():
                wanted = {alias.name for alias in node.names}
                yield from (found for found in _classes(_parsed(file)) if found.name in wanted)


@functools.cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _methods_told(node: ast.ClassDef) -> set[str]:
    return {m.name for m in node.body if isinstance(m, _Definition) and ast.get_docstring(m)}


def _public(body: Sequence[ast.stmt], bases: list[str]) -> Iterator[tuple[_Definition, list[str]]]:
    """Public definitions, each with the names of the base classes of the class it stands in."""
    for node in body:
        if not isinstance(node, _Definition) or node.name.startswith("_") or _is_overload(node):
            continue
        yield node, bases
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body, [ast.unparse(base) for base in node.bases])


def _is_overload(node: _Definition) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list)


def patched(path: str, text: str) -> list[str]:
    """A test that changes what it tests instead of handing a fake in, or that sleeps.

    Only a function called ``until`` may sleep: it waits, bounded, for what another process does.
    """
    lines = []
    tree = ast.parse(text)
    waiting = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "until"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.arg == "monkeypatch":
            lines.append(f"{path}:{node.lineno}: monkeypatch")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unittest.mock"):
            lines.append(f"{path}:{node.lineno}: unittest.mock")
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("time.sleep", "sleep")
            and node not in waiting
        ):
            lines.append(f"{path}:{node.lineno}: sleeps")
    return lines


def with_outputs(path: str, text: str) -> list[str]:
    """A notebook that was saved after it was run."""
    return [
        f"{path}: cell {number} has {'outputs' if cell['outputs'] else 'an execution count'}"
        for number, cell in enumerate(json.loads(text)["cells"], 1)
        if cell["cell_type"] == "code" and (cell["outputs"] or cell.get("execution_count") is not None)
    ]
