"""Which program runs a cell, and with what."""

import pytest

from sandcell.magics.deliver import deliver
from sandcell.runtime.errors import InvalidOption

CELL = "/run/sandcell/cell"
PRELUDE = "/run/sandcell/prelude"


@pytest.mark.parametrize(
    ("body", "interpreter", "shell", "command", "language"),
    [
        ("echo", "", (), ("/bin/sh", CELL), "shell"),
        ("echo", "", ("/bin/bash", "-o", "pipefail", "-c"), ("/bin/bash", "-o", "pipefail", CELL), "shell"),
        ("echo", "bash", ("/bin/sh", "-c"), ("bash", CELL), "shell"),
        ("#!/bin/bash -x -e\necho", "", ("/bin/sh", "-c"), ("/bin/bash", "-x -e", CELL), "shell"),
        ("#! /bin/bash\necho", "", (), ("/bin/bash", CELL), "shell"),
        ("#!/bin/bash\necho", "sh", (), ("sh", CELL), "shell"),
        ("#!/usr/bin/env python3\n", "", (), ("/usr/bin/env", "python3", PRELUDE), "python"),
        ("#!/usr/bin/env -S python3 -u\n", "", (), ("/usr/bin/env", "-S python3 -u", PRELUDE), "python"),
        ("x", "python3.12 -u", (), ("python3.12", "-u", PRELUDE), "python"),
        ("x", "python3 -m pdb", (), ("python3", "-m", "pdb", CELL), "other"),
        ("x", "perl -w", (), ("perl", "-w", CELL), "other"),
        ("x", "'my shell'", (), ("my shell", CELL), "other"),
        ("#!\nx", "", (), ("/bin/sh", CELL), "shell"),
    ],
)
def test_commands(
    body: str, interpreter: str, shell: tuple[str, ...], command: tuple[str, ...], language: str
) -> None:
    delivery = deliver(body, interpreter=interpreter, shell=shell)
    assert delivery.command == command
    assert delivery.language == language
    assert delivery.files["cell"] == body.encode()
    assert ("prelude" in delivery.files) == (language == "python")


def test_inside_a_container_the_directory_is_filled_in_later() -> None:
    assert deliver("echo", room="{dir}").command == ("/bin/sh", "{dir}/cell")


def test_strict_is_for_shells() -> None:
    assert deliver("x", strict=True).command == ("/bin/sh", "-e", CELL)
    assert deliver("#!/usr/bin/env bash\n", strict=True).command == ("/usr/bin/env", "bash", "-e", CELL)
    with pytest.raises(InvalidOption, match="not a shell"):
        deliver("x", interpreter="python3", strict=True)


def test_an_empty_interpreter_is_an_error() -> None:
    with pytest.raises(InvalidOption, match="names no program"):
        deliver("x", interpreter=" ")
