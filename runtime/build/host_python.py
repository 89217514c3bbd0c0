"""The Python that runs us, as files of an image: interpreter, standard library, bytecode.

Left out: packages and everything that could change what Python does (site-packages, ``.pth``,
sitecustomize), tests, what needs a screen, what only serves to compile C. A Python that lives
elsewhere than in /usr (pyenv, uv, conda, a home directory) stands in /usr/local of the image:
Python finds its library beside itself, and no path of the host is told.

Bytecode is kept, but its header says "unchecked hash" (PEP 552) instead of the source's time, so
nothing is compiled or written inside, and the layer does not depend on when Python was installed.
"""

import os
import re
import stat
import sys
from collections.abc import Callable

import msgspec

from sandcell.runtime.build.host_tree import HostTree

_SKIPPED_DIRECTORIES = frozenset(
    (
        "__pycache__",
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idlelib",
        "tkinter",
        "turtledemo",
        "ensurepip",
        "lib2to3",
    )
)
_SKIPPED_FILES = frozenset(
    ("turtle.py", "sitecustomize.py", "usercustomize.py", "EXTERNALLY-MANAGED", "pip.conf", "pyvenv.cfg")
)
_SKIPPED_ENDS = (".a", ".o", ".exe", ".pyc", ".pyo", ".h", ".pth", ".egg-link")
_SKIPPED_MODULES = ("_tkinter.", "_test", "_ctypes_test.", "xxlimited", "_xxtestfuzz.")

# marshal's codes for a text of up to 255 ASCII characters, interned or not, referred to again or not.
_SHORT_TEXTS = b"zZ\xfa\xda"

# Flags of a bytecode file: identified by the source's hash, which is never checked.
_UNCHECKED = b"\1\0\0\0"

# Runs in a fresh interpreter, so that equal sources give equal bytecode: marshal's output depends on
# what else the process holds.
_COMPILE = """
import base64, json, marshal, sys
for place, source in json.load(sys.stdin):
    try:
        code = compile(base64.b64decode(source), place, "exec", dont_inherit=True, optimize=0)
        data = marshal.dumps(code)
    except (SyntaxError, ValueError):
        data = b""
    sys.stdout.buffer.write(len(data).to_bytes(4, "little") + data)
"""


class Interpreter(msgspec.Struct, frozen=True, kw_only=True):
    """One installed Python. Paths are real ones, without symbolic links above the prefix.

    ``name``: ``python3.11``; ``tag``: of its bytecode files; ``library``: the standard library;
    ``platform_library``: where its compiled modules are, often the same.
    """

    prefix: str
    executable: str
    name: str
    tag: str
    library: str
    platform_library: str

    @classmethod
    def running(cls) -> "Interpreter":
        """The one that runs this code; of a virtual environment the one it was made from."""
        name = f"python{sys.version_info.major}.{sys.version_info.minor}{sys.abiflags}"
        prefix = os.path.realpath(sys.base_prefix)
        executable = f"{prefix}/bin/{name}"
        if not os.path.exists(executable):
            executable = os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)
        platform = f"{os.path.realpath(sys.base_exec_prefix)}/{sys.platlibdir}/{name}"
        tag = sys.implementation.cache_tag or ""
        library = os.path.realpath(os.path.dirname(os.__file__))
        return cls(
            prefix=prefix,
            executable=executable,
            name=name,
            tag=tag,
            library=library,
            platform_library=platform,
        )

    def place(self, path: str) -> str:
        """Where a path of the host stands in the image."""
        if self.prefix in ("/usr", "/usr/local") or not path.startswith(self.prefix + "/"):
            return path
        return "/usr/local" + path[len(self.prefix) :]


def add_python(tree: HostTree, python: Interpreter) -> tuple[str, ...]:
    """Put the interpreter and its library into ``tree``; gives the host's files whose libraries it needs."""
    program = tree.carry(python.executable, python.place)
    place = python.place(python.executable)
    directory = os.path.dirname(place)
    for link in ("python3", "python"):
        if f"{directory}/{link}" not in tree:
            tree.symlink(f"{directory}/{link}", os.path.basename(place))
    modules: list[str] = []
    sources: list[str] = []
    for library in dict.fromkeys((python.library, python.platform_library)):
        _walk(tree, library, python, modules, sources)
    add_bytecode(tree, sources, python, python.place, python.library)
    return (program, *modules)


def _walk(
    tree: HostTree, directory: str, python: Interpreter, modules: list[str], sources: list[str]
) -> None:
    try:
        with os.scandir(directory) as rows:
            entries = sorted(rows, key=lambda row: row.name)
    except OSError:
        return
    for entry in entries:
        name = entry.name
        if entry.is_dir(follow_symlinks=False):
            if name not in _SKIPPED_DIRECTORIES and not name.startswith("config-"):
                _walk(tree, entry.path, python, modules, sources)
            continue
        if name in _SKIPPED_FILES or name.endswith(_SKIPPED_ENDS) or name.startswith(_SKIPPED_MODULES):
            continue
        if entry.is_symlink() and not os.path.realpath(entry.path).startswith(python.prefix + "/"):
            continue
        place = python.place(entry.path)
        if name.startswith("_sysconfigdata") and name.endswith(".py"):
            _add_build_facts(tree, entry.path, place, python)
        elif not tree.copy(entry.path, place):
            continue
        if name.endswith(".so"):
            modules.append(entry.path)
        elif name.endswith(".py"):
            sources.append(entry.path)


def _add_build_facts(tree: HostTree, path: str, place: str, python: Interpreter) -> None:
    """The record of how Python was built, with the prefix as it is in the image."""
    with open(path, "rb") as file:
        text = file.read()
    if place != path:
        built = re.search(rb"'prefix': '([^']+)'", text)
        for prefix in {os.fsencode(python.prefix), *(built.groups() if built else ())}:
            text = text.replace(prefix, b"/usr/local")
    tree.text(place, text)


def add_bytecode(
    tree: HostTree, sources: list[str], python: Interpreter, place_of: Callable[[str], str], root: str
) -> None:
    """Bytecode of these files of the host, which stand at ``place_of`` them in ``tree``. ``root``: the
    directory that they are below."""
    from importlib.util import MAGIC_NUMBER, source_hash

    missing: list[tuple[str, bytes]] = []
    for path in sources:
        place = place_of(path)
        content = tree.content(place)
        body = _valid_body(path, content, python)
        if body is None:
            missing.append((place, content))
        else:
            header = MAGIC_NUMBER + _UNCHECKED + source_hash(content)
            name = f"{os.path.basename(root)}/{path.removeprefix(root + '/')}"
            tree.text(_cached(place, python.tag), header + _moved(body, name, place))
    for (place, content), body in zip(missing, _compile(missing, python), strict=True):
        if body:
            header = MAGIC_NUMBER + _UNCHECKED + source_hash(content)
            tree.text(_cached(place, python.tag), header + body)


def _cached(path: str, tag: str) -> str:
    directory, _, name = path.rpartition("/")
    return f"{directory}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc"


def _valid_body(path: str, content: bytes, python: Interpreter) -> bytes | None:
    """The code of the bytecode file that the host would use for this very source."""
    from importlib.util import MAGIC_NUMBER, source_hash

    try:
        with open(_cached(path, python.tag), "rb") as file:
            data = file.read()
            status = os.stat(path)
            if not os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                return None
    except OSError:
        return None
    if data[:4] != MAGIC_NUMBER:
        return None
    if data[4] & 1:
        return data[16:] if data[8:16] == source_hash(content) else None
    stamp = (int(status.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
    size = (status.st_size & 0xFFFFFFFF).to_bytes(4, "little")
    return data[16:] if data[8:16] == stamp + size and status.st_size == len(content) else None


def _moved(body: bytes, name: str, place: str) -> bytes:
    """``body`` with the file name in it replaced by ``place``, so that equal code is equal bytes.

    ``name``: how the file's path ends, wherever Python was built or installed. marshal writes a short
    text as a type code, its length and itself; a name written otherwise stays, which harms nothing:
    Python corrects it when it loads the module.
    """
    new = os.fsencode(place)
    ending = os.fsencode("/" + name)
    end = body.find(ending) + len(ending)
    while end >= len(ending) and len(new) < 256:
        for length in range(len(ending), min(256, end - 1)):
            start = end - length
            if body[start - 1] == length and body[start - 2] in _SHORT_TEXTS and body[start] == ord("/"):
                return body[: start - 1] + bytes((len(new),)) + new + body[end:]
        end = body.find(ending, end) + len(ending)
    return body


def _compile(sources: list[tuple[str, bytes]], python: Interpreter) -> list[bytes]:
    """Bytecode of sources, each with its name in the image; empty where one cannot be compiled."""
    if not sources:
        return []
    import subprocess

    done = subprocess.run(
        [python.executable, "-I", "-S", "-c", _COMPILE],
        input=msgspec.json.encode(sources),
        capture_output=True,
        check=False,
    )
    bodies = []
    at = 0
    for _ in sources:
        size = int.from_bytes(done.stdout[at : at + 4], "little")
        bodies.append(done.stdout[at + 4 : at + 4 + size])
        at += 4 + size
    return bodies
