"""A real JupyterLab and a real browser, for tests that look at what a person sees. No assertions."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync"
)

_DEAF = f"""
import errno, os, socket, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})
from sandcell.runtime.linux.process import PR_SET_NO_NEW_PRIVS, prctl
from sandcell.runtime.linux.seccomp import Action, Arg, Rule, compile_filter
from sandcell.runtime.linux.seccomp_load import install
from sandcell.runtime.linux.syscall import MACHINE
links = Rule(("socket",), Action.ERRNO, errno.EAFNOSUPPORT, (Arg(0, "EQ", socket.AF_NETLINK),))
prctl(PR_SET_NO_NEW_PRIVS, 1)
install(compile_filter(Action.ALLOW, 0, [links], [MACHINE]))
os.execv("/usr/bin/chromium", ["chromium", *sys.argv[1:]])
"""
_SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    # A kernel on a busy machine may take longer than the second that it has for its completions.
    "completer-extension/manager": '{"providerTimeout": 30000}',
}


def until(answer: Any, wanted: Any, what: str, seconds: float = 60) -> None:
    """Wait for what another process does; bounded."""
    deadline = time.monotonic() + seconds
    while answer() != wanted:
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


class Lab(msgspec.Struct, frozen=True):
    """A running JupyterLab. ``folder`` holds its notebooks; ``home`` and ``run`` are its store's."""

    base: str
    folder: Path
    home: Path
    run: Path

    def notebook(self, name: str) -> str:
        """The address of a notebook in it."""
        return f"{self.base}/lab/tree/{name}?token=t&reset"

    def notebook7(self, name: str) -> str:
        """The address of a notebook in it as Jupyter Notebook shows it, which is served beside JupyterLab."""
        return f"{self.base}/notebooks/{name}?token=t"

    def write(self, name: str, *cells: str, kernel: str = "python3") -> str:
        """Write a notebook of these cells; its address."""
        spec = {"name": kernel, "display_name": kernel}
        empty = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
        told = [{**empty, "id": f"cell-{number}", "source": text} for number, text in enumerate(cells)]
        document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": told}
        (self.folder / name).write_text(json.dumps(document))
        return self.notebook(name)

    def kernel(self) -> tuple[str, bool]:
        """How the kernel of the notebook that is open is, and whether the page is connected to it."""
        with urllib.request.urlopen(f"{self.base}/api/sessions?token=t", timeout=60) as answer:
            kernels = [session["kernel"] for session in json.load(answer)]
        newest = max(kernels, key=lambda kernel: kernel["connections"], default=None)
        return (newest["execution_state"], newest["connections"] > 0) if newest else ("none", False)


@contextmanager
def serving(
    place: Path,
    folder: Path,
    *options: str,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
) -> Iterator[Lab]:
    """JupyterLab over ``folder``, everything of its own below ``place``, with an empty store.

    ``python``: whose JupyterLab it is. ``env`` is added to its environment.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "HOME": str(place),
        "JUPYTER_CONFIG_DIR": str(place / "config"),
        "JUPYTER_DATA_DIR": str(place / "data"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
        "SANDCELL_HOME": str(place / "home"),
        "SANDCELL_RUN": str(place / "run"),
        **(env or {}),
    }
    for name, text in _SETTINGS.items():
        settings = place / f"config/lab/user-settings/@jupyterlab/{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(text)
    given = [f"--port={port}", "--no-browser", "--allow-root", "--IdentityProvider.token=t"]
    given += [f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None", *options]
    with open(place / "log", "w") as log:
        server = subprocess.Popen(
            [python, "-m", "jupyterlab", *given], env=environment, stdout=log, stderr=log
        )

    with answering(server, place / "runtime") as base:
        yield Lab(base, folder, place / "home", place / "run")


@contextmanager
def answering(server: "subprocess.Popen[bytes]", runtime: Path) -> Iterator[str]:
    """The address of a Jupyter server when it answers; it ends with the with statement. ``runtime``: where it
    writes its port, which is another one than it was told where somebody else has taken that meanwhile."""
    base = ""

    def answers() -> bool:
        nonlocal base
        try:
            told = json.loads((runtime / f"jpserver-{server.pid}.json").read_bytes())
            base = f"http://127.0.0.1:{told['port']}"
            urllib.request.urlopen(f"{base}/api?token=t", timeout=5).close()
        except (OSError, ValueError):
            return False
        return True

    try:
        until(answers, True, "the Jupyter server")
        yield base
    finally:
        server.terminate()
        try:
            server.wait(60)
        finally:
            server.kill()


@contextmanager
def browsing() -> Iterator[Any]:
    """A real browser. It hears nothing of links that come and go on this machine, as those of containers do:
    it would break off what it loads then."""
    api = pytest.importorskip("playwright.sync_api")
    with TemporaryDirectory(prefix="sandcell-browser-") as folder, api.sync_playwright() as playwright:
        program = Path(folder, "chromium")
        program.write_text(f"#!{sys.executable}\n{_DEAF}")
        program.chmod(0o755)
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS.split())
        yield browser
        browser.close()


def complaints(page: Any) -> list[str]:
    """Grows with every error that the page's scripts make.

    JupyterLab asks each kernel for its debugger's state and for a subshell, and complains when that kernel
    ends meanwhile; that is not ours.
    """
    told: list[str] = []

    def hear(text: str) -> None:
        if "Canceled future" not in text:
            told.append(text)

    page.on("pageerror", lambda error: hear(str(error)))
    page.on("console", lambda message: hear(message.text) if message.type == "error" else None)
    return told


def press(page: Any, menu: str, entry: str) -> None:
    """Choose an entry of a menu."""
    page.click(f'.lm-MenuBar-itemLabel:text-is("{menu}")')
    page.click(f'.lm-Menu-itemLabel:text-is("{entry}")')


def dark(page: Any) -> None:
    """Choose the dark theme."""
    page.click('.lm-MenuBar-itemLabel:text-is("Settings")')
    page.hover('.lm-Menu-itemLabel:text-is("Theme")')
    page.click('.lm-Menu-itemLabel:text-is("JupyterLab Dark")')
    page.wait_for_selector("body[data-jp-theme-light=false]", state="attached")


def run_all(page: Any, lab: Lab) -> None:
    """Open the menu and run every cell of the notebook that is shown."""
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    until(lab.kernel, ("idle", True), "the kernel")
    press(page, "Run", "Run All Cells")
