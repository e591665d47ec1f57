"""What the README says is what happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import saliency

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    """The README's code of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All Python in the README runs as it stands, on the demo models."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"model": saliency.demo.model(), "img": saliency.demo.image()}
    for block in blocks("python"):
        exec(block, names)

    assert (tmp_path / "why.png").stat().st_size > 10_000
    assert names["exp"].method == "xrai"
    assert "xrai" in capsys.readouterr().out


def test_the_links_lead_somewhere() -> None:
    """Files that the README links to are there."""
    for target in re.findall(r"\]\(([^)h][^)]*)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target


def test_the_commands_are_the_makefile_s() -> None:
    """The make targets that the README names exist."""
    targets = set(re.findall(r"^([a-z]+):", (README.parent / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"make ([a-z]+)", README.read_text(encoding="utf-8"))) <= targets
