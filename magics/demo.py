"""Execute lesson 00 against the real runtime and print it: what ``./dev demo`` does.

``python -m sandcell.magics.demo [NOTEBOOK]``. Every cell is printed as it is executed, text first,
so that a terminal shows what a reader of the notebook would see. The exit status is 1 when a cell
failed.
"""

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TextIO

LESSON = Path(__file__).resolve().parent.parent / "notebooks" / "00_start_here.ipynb"
_WIDTH = 78
_OPEN = "./dev lab" if (LESSON.parents[1] / "dev").is_file() else "sandcell lessons && jupyter lab"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Printer:
    """Prints the cells of a notebook on ``stream``. ``color``: keep the colours of tracebacks."""

    def __init__(self, stream: TextIO, *, color: bool) -> None:
        self._stream = stream
        self._color = color

    def text(self, source: str) -> None:
        """A markdown cell, as it is written."""
        self._write(f"\n{source}\n")

    def source(self, source: str) -> None:
        """A code cell, before it is executed."""
        self._write("\n" + "".join(f"    {line}\n" for line in source.splitlines()))

    def outputs(self, outputs: list[dict[str, Any]]) -> None:
        """What a cell has shown, each part in its plain form."""
        text = "".join(_plain(output) for output in outputs).rstrip("\n")
        if not self._color:
            text = _ANSI.sub("", text)
        if text:
            self._write("".join(f"  │ {line}\n" for line in text.splitlines()))

    def end(self, failed: bool) -> None:
        """The last lines: how it went, and how to go on."""
        verdict = "A cell failed." if failed else "That was lesson 00, executed just now."
        self._write(f"\n{'─' * _WIDTH}\n{verdict} Open it in JupyterLab and change it:  {_OPEN}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _plain(output: dict[str, Any]) -> str:
    match output["output_type"]:
        case "stream":
            return str(output["text"])
        case "error":
            return "\n".join([*output["traceback"], ""])
        case _:
            return str(output["data"].get("text/plain", "")).rstrip("\n") + "\n"


def demonstrate(path: Path, printer: Printer) -> bool:
    """Execute the notebook at ``path`` in a new kernel, printing on the way.

    True when every cell did what it should. The file is not changed.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    with TemporaryDirectory(prefix="sandcell-demo-") as sockets:
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent.parent)}},
            # Sockets in a directory of ours: no port that others on this machine could connect to.
            config=Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}),
        )
        with client.setup_kernel():
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type != "code":
                    printer.text(cell.source)
                    continue
                printer.source(cell.source)
                try:
                    client.execute_cell(cell, index)
                except CellExecutionError:
                    return False
                finally:
                    printer.outputs(cell.outputs)
    return True


def main(arguments: list[str]) -> int:
    """Demonstrate the notebook named in ``arguments``, or lesson 00; return the exit status."""
    path = Path(arguments[0]).resolve() if arguments else LESSON
    if not path.is_file():
        sys.stderr.write(f"demo: {path} is not there; the lessons are in the source of sandcell\n")
        return 1
    printer = Printer(sys.stdout, color=sys.stdout.isatty())
    done = demonstrate(path, printer)
    printer.end(not done)
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
