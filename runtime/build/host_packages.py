"""An installed Python package with all that it needs, as files of an image: what ``host:kernel`` has more.

The files are those that the packages' own lists name (``RECORD``, PEP 376 and 627), so nothing else of
the host's site-packages comes along. Left out: scripts, ``.pth`` files, and where a package came from.
"""

import os
import subprocess
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from sandcell.runtime.build import host_files
from sandcell.runtime.build.elf import Loader
from sandcell.runtime.build.host_python import Interpreter, add_bytecode
from sandcell.runtime.build.host_tree import HostTree
from sandcell.runtime.errors import HostRefused

_SKIPPED_ENDS = (".pyc", ".pth", "/direct_url.json", "/INSTALLER", "/REQUESTED")
_SITE = "import site; print(site.getsitepackages()[0])"


def versions(name: str) -> list[tuple[str, str, str]]:
    """Name, version and place of the package ``name`` and of all that it needs, itself first.

    ``HostRefused`` where one of them is not installed for the Python that runs us.
    """
    return [(one.metadata["Name"], one.version, str(one.locate_file(""))) for one in _closure(name)]


def add_packages(tree: HostTree, loader: Loader, python: Interpreter, name: str) -> None:
    """Put the package ``name`` and all that it needs where ``python`` looks for packages in ``tree``.

    ``HostRefused`` where one is not installed, or was installed without a list of its files.
    """
    asked = subprocess.run([python.executable, "-I", "-c", _SITE], capture_output=True, text=True, check=True)
    site = python.place(asked.stdout.strip())
    for package in _closure(name):
        _add(tree, loader, python, package, site)


def _add(tree: HostTree, loader: Loader, python: Interpreter, package: Distribution, site: str) -> None:
    root = os.path.realpath(str(package.locate_file("")))
    if not package.files:
        name = package.metadata["Name"]
        raise HostRefused("take package", name, "it has no list of its files", "install it with pip")

    def place(path: str) -> str:
        return site + path.removeprefix(root) if path.startswith(root + "/") else python.place(path)

    sources: list[str] = []
    modules: list[str] = []
    for file in package.files:
        path = f"{root}/{file}"
        if ".." in file.parts or path.endswith(_SKIPPED_ENDS) or not tree.copy(path, place(path)):
            continue
        if path.endswith(".py"):
            sources.append(path)
        elif path.endswith(".so"):
            modules.append(path)
    add_bytecode(tree, sources, python, place, root)
    host_files.add_libraries(tree, loader, tuple(modules), under=python.executable, place=place)


def _closure(name: str) -> list[Distribution]:
    found: dict[str, Distribution] = {}
    todo = [(name, "")]
    while todo:
        wanted, by = todo.pop(0)
        key = wanted.lower().replace("_", "-").replace(".", "-")
        if key in found:
            continue
        try:
            package = found[key] = distribution(wanted)
        except PackageNotFoundError:
            cause = f"{wanted} is not installed beside sandcell" + (f", and {by} needs it" if by else "")
            raise HostRefused("make image of", name, cause, f"pip install {name}") from None
        todo += [(one, wanted) for one in _needs(package)]
    return list(found.values())


def _needs(package: Distribution) -> list[str]:
    """Names of the packages that it needs here, without its extras."""
    from packaging.requirements import Requirement

    wanted = map(Requirement, package.requires or ())
    return [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
