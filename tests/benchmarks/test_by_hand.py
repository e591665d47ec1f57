"""examples/leaderboard.ipynb derives three cells of the leaderboard without this package's methods and metrics."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "leaderboard.ipynb"


def test_three_cells_are_those_of_the_page(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The notebook runs, and each of its three numbers equals the one on the page."""
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)

    assert len(capsys.readouterr().out.splitlines()) == 3
