"""The README and the pages beside it: code runs, make targets exist, numbers are right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import saliency
from saliency.core.evidence import automatic

README = Path(__file__).resolve().parents[2] / "README.md"
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
WORKFLOWS = (".github/workflows/tests.yml", ".github/workflows/nightly.yml")


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
    assert names["exp"].method == automatic(transformer=False)[0]
    assert "xrai" in capsys.readouterr().out


@pytest.mark.parametrize("name", [*PAGES, ".pre-commit-config.yaml", *WORKFLOWS])
def test_make_targets_exist(name: str) -> None:
    """The make targets and variables that a page, a hook or a workflow names exist."""
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    text = (README.parent / name).read_text(encoding="utf-8")
    commands = re.findall(r"(?:^\s*|`|run: |entry: )make ((?:--silent )?[a-z][^`\n#|]*)", text, re.MULTILINE)
    words = {word for command in commands for word in command.replace("--silent", "").split()}
    variables = {word.partition("=")[0] for word in words if word.partition("=")[1]}
    targets = {word for word in words if re.fullmatch(r"[a-z-]+", word)}

    assert commands or name != "CONTRIBUTING.md"
    assert targets <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert variables <= {*re.findall(r"^([A-Z_]+) [?:]=", makefile, re.MULTILINE), "CHROMIUM"}
