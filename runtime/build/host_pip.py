"""pip, as files of an image: what ``host:pip`` has more.

It comes from the wheels that every Python brings for `ensurepip`, so no network is needed and pip need not be
installed here; where Python was packed without them, an installed pip is taken. The wheels come along, for
``python3 -m venv``.
"""

import os
import subprocess
import sysconfig
import zipfile
from glob import glob

from sandcell.runtime.build import host_packages
from sandcell.runtime.build.elf import Loader
from sandcell.runtime.build.host_python import Interpreter, add_bytecode
from sandcell.runtime.build.host_tree import HostTree
from sandcell.runtime.errors import HostRefused

_SITE = "import site; print(site.getsitepackages()[0])"
_PROGRAM = "#!/usr/bin/env python3\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"


def facts() -> list[object]:
    """What changes when the pip does that an image would get."""
    found = _wheels(Interpreter.running())
    return list(found) or list(host_packages.versions("pip"))


def add_pip(tree: HostTree, loader: Loader, python: Interpreter) -> None:
    """Put pip where ``python`` looks for packages in ``tree``, with the commands ``pip`` and ``pip3``.

    ``HostRefused`` where there is none on this host.
    """
    wheels = _wheels(python)
    own = [path for path in wheels if os.path.basename(path).startswith("pip-")]
    if own:
        _unpack(tree, python, max(own, key=_version))
        _add_ensurepip(tree, python, wheels)
    else:
        try:
            host_packages.add_packages(tree, loader, python, "pip")
        except HostRefused as error:
            hint = "install it: apt install python3-venv, or pip itself"
            raise HostRefused("make image", "host:pip", error.cause, hint) from None
    for name in ("pip", "pip3"):
        tree.text(f"/usr/local/bin/{name}", _PROGRAM, mode=0o755)


def _wheels(python: Interpreter) -> tuple[str, ...]:
    """The wheels of ensurepip: its own, or where a distribution keeps them (`sysconfig`, WHEEL_PKG_DIR)."""
    places = (f"{python.library}/ensurepip/_bundled", sysconfig.get_config_var("WHEEL_PKG_DIR"))
    return tuple(path for place in places if place for path in sorted(glob(f"{place}/*.whl")))


def _version(path: str) -> tuple[int, ...]:
    return tuple(int(part) for part in os.path.basename(path).split("-")[1].split(".") if part.isdecimal())


def _unpack(tree: HostTree, python: Interpreter, wheel: str) -> None:
    """What installing a pure wheel does (binary distribution format, "Installing a wheel")."""
    asked = subprocess.run([python.executable, "-I", "-c", _SITE], capture_output=True, text=True, check=True)
    site = python.place(asked.stdout.strip())
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if not name.endswith((".exe", "/"))]
        for name in names:
            tree.text(f"{site}/{name}", archive.read(name))
    # They are in no file of the host, so there is no bytecode to take over.
    root = f"{wheel}!"
    sources = [f"{root}/{name}" for name in names if name.endswith(".py")]
    add_bytecode(tree, sources, python, lambda path: site + path.removeprefix(root), root)


def _add_ensurepip(tree: HostTree, python: Interpreter, wheels: tuple[str, ...]) -> None:
    folder = f"{python.library}/ensurepip"
    sources = [path for path in sorted(glob(f"{folder}/*.py")) if tree.copy(path, python.place(path))]
    add_bytecode(tree, sources, python, python.place, python.library)
    for wheel in wheels:
        tree.copy(wheel, python.place(wheel))
