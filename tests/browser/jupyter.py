"""A Jupyter server on loopback, with its own home folder."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import IO, Any, Self

START = 300.0
"""Seconds in which a server has to start, on a machine that is busy with other tests."""


class Running:
    """A server's process and its log, within a `with` block."""

    _process: subprocess.Popen[bytes]
    _output: IO[bytes]

    def stop(self) -> None:
        """Stop the server and its child processes."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


class Jupyter(Running):
    """JupyterLab or Notebook 7, at a port that the system chooses.

    Args:
        app: "lab" or "notebook".
        home: folder for configuration, data, settings, kernels' files; notebooks are in `home / "root"`.
    """

    def __init__(self, app: str, home: Path) -> None:
        self.app, self.token = app, secrets.token_hex(16)
        self.root, self.log = home / "root", home / "server.log"
        self.root.mkdir(parents=True)
        # no news pop-up over the notebook
        settings = home / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
        homes = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        environment = {**os.environ, **{name: str(home / folder) for name, folder in homes.items()}}
        # the kernel imports the checkout's packages, and leaves a core to the browser
        environment |= {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "OMP_NUM_THREADS": "1"}
        shown = {"lab": "LabApp", "notebook": "JupyterNotebookApp"}[app]
        command = [
            *(sys.executable, "-m", "jupyter", app, "--no-browser", "--allow-root"),
            *("--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", "--ServerApp.port_retries=0"),
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.root}",
            f"--{shown}.expose_app_in_browser=True",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
            "--LabApp.extension_manager=readonly",
        ]
        self._output = self.log.open("wb")
        self._process = subprocess.Popen(
            command, env=environment, stdout=self._output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
        self.url = self._started(home / "runtime" / f"jpserver-{self._process.pid}.json")

    def _started(self, path: Path) -> str:
        end = time.monotonic() + START
        while time.monotonic() < end and self._process.poll() is None:
            try:
                url = f"http://127.0.0.1:{json.loads(path.read_text())['port']}"
                with urllib.request.urlopen(f"{url}/api/status?token={self.token}", timeout=5):
                    return url
            except (OSError, ValueError):
                time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.app} did not start:\n{self.log.read_text()}")

    def address(self, notebook: str) -> str:
        """Return the address of a notebook."""
        path = f"lab/tree/{notebook}?reset&" if self.app == "lab" else f"notebooks/{notebook}?"
        return f"{self.url}/{path}token={self.token}"

    def write(self, name: str, cells: list[str]) -> None:
        """Write a notebook."""
        (self.root / name).write_text(json.dumps(notebook(cells)))


def notebook(cells: list[str]) -> dict[str, Any]:
    """Return a notebook as JSON: importing nbformat takes longer than a test."""
    made: list[dict[str, Any]] = [
        {"id": f"c{i}", "cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
        for i, cell in enumerate(cells)
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": made}
