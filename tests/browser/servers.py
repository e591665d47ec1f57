"""Servers on loopback: of notebooks, by Voila and marimo, and of the apps of examples/hosts."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.browser.jupyter import START, Running, notebook

CHECKOUT = str(Path(__file__).resolve().parents[2])


class Server(Running):
    """A process that serves one page.

    Args:
        command: arguments of Python.
        home: folder for its log and everything it would write to the user's home.
        url: address of the page.
        settings: environment variables.
    """

    def __init__(self, command: list[str], home: Path, url: str, settings: Mapping[str, str] | None = None) -> None:
        self.url, self.log = url, home / "server.log"
        environment = {**os.environ, "PYTHONPATH": CHECKOUT, "OMP_NUM_THREADS": "1", "HOME": str(home)}
        for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            environment[name] = str(home / name.lower())
        environment |= settings or {}
        self._output = self.log.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            cwd=home,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + START
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(re.sub(r"(//[^/]*/).*", r"\1", self.url), timeout=5):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"the server did not start:\n{self.log.read_text()}")


def voila(home: Path, cells: list[str]) -> Server:
    """Start Voila with a notebook of these cells."""
    (home / "test.ipynb").write_text(json.dumps(notebook(cells)))
    port, token = free_port(), secrets.token_hex(16)
    command = [
        "-m",
        "voila",
        "test.ipynb",
        "--no-browser",
        f"--port={port}",
        "--Voila.ip=127.0.0.1",
        f"--token={token}",
    ]
    return Server(command, home, f"http://127.0.0.1:{port}/?token={token}")


def marimo(home: Path, cells: list[str]) -> Server:
    """Start marimo with an app of these cells; each ends in the value that it shows."""
    bodies = []
    for cell in cells:
        *body, last = cell.strip().splitlines()
        lines = "".join(f"    {line}\n" for line in [*body, last])
        bodies.append(f"@app.cell\ndef _():\n{lines}    return\n")
    (home / "app.py").write_text("import marimo\n\napp = marimo.App()\n\n\n" + "\n\n".join(bodies))
    port, token = free_port(), secrets.token_hex(16)
    command = ["-m", "marimo", "run", "app.py", "--headless", "--host=127.0.0.1", f"--port={port}"]
    command += ["--token", f"--token-password={token}"]
    return Server(command, home, f"http://127.0.0.1:{port}/?access_token={token}")


def free_port() -> int:
    """Return an unused port: these servers cannot report a port that the system chose."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
