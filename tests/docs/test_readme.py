"""The README: its code runs, its links exist, its number of methods is right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import saliency

README = Path(__file__).resolve().parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    """Return the README's code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """All Python blocks of the README run unchanged, on the demo models."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"model": saliency.demo.model(), "img": saliency.demo.image()}
    for block in blocks("python"):
        exec(block, names)

    assert (tmp_path / "why.png").stat().st_size > 10_000
    assert names["exp"].method == "xrai"
    assert "xrai" in capsys.readouterr().out


def test_the_number_of_methods() -> None:
    """The README gives the number of methods that `saliency.methods()` lists."""
    numbers = re.findall(r"(\d+) \[methods\]", README.read_text(encoding="utf-8"))

    assert [int(number) for number in numbers] == [len(saliency.methods())]


def test_the_links_exist() -> None:
    """Files that the README links to exist."""
    for target in re.findall(r"\]\(([^)h#][^)#]*)[^)]*\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target


def test_make_targets_exist() -> None:
    """The Makefile has every target that the README names."""
    targets = set(re.findall(r"^([a-z]+):", (README.parent / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"make ([a-z]+)", README.read_text(encoding="utf-8"))) <= targets
