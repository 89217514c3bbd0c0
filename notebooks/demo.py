"""``./dev demo``: the first lesson, executed by a real kernel, printed cell by cell."""

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

LESSON = Path(__file__).with_name("00_start_here.ipynb")


def printed(cell: Any) -> str:
    """What somebody who looks at the cell reads, without pictures."""
    if cell.cell_type != "code":
        return str(cell.source) + "\n"
    lines = ["  ┃ " + line for line in cell.source.splitlines()]
    for output in cell.outputs:
        if output.output_type == "stream":
            text = output.text
        elif output.output_type == "error":
            text = "\n".join(output.traceback)
        else:
            text = output.data.get("text/plain", "")
        lines += [*text.splitlines()]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run every cell and print it as it ends. Gives 1 when a cell failed that should not have."""
    notebook = nbformat.read(LESSON, as_version=4)

    def show(cell: Any, **_: Any) -> None:
        print(printed(cell), flush=True)

    def show_text(cell: Any, **_: Any) -> None:
        if cell.cell_type != "code":
            show(cell)

    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": str(LESSON.parent)}},
        on_cell_start=show_text,
        on_cell_executed=show,
    )
    try:
        client.execute()
    except CellExecutionError:
        return 1  # the cell has been printed, with its error
    print("Open it in JupyterLab and try it yourself: ./dev lab")
    return 0


if __name__ == "__main__":
    sys.exit(main())
