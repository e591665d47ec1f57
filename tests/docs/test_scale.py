"""docs/scale.md: its blocks run in order, from one picture to several processes and what the masks say."""

from __future__ import annotations

import re
import shlex
import sys
import webbrowser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import saliency
from saliency.command import main
from tests.datasets import torch_runs
from tests.nets import small_net

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The four blocks of Python run unchanged."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {
        "model": small_net(),
        "images": torch_runs.data(),
        "model_factory": small_net,
        "data": torch_runs.data,
    }
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)

    assert len(names["masks"]) == names["gallery"].spec["gallery"]["count"] == 6
    names["gallery"].close()
    assert saliency.open_masks("masks.zarr").methods == ["gradient", "grad_cam"]


def test_the_commands_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines for the shell run unchanged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "factories", raising=False)
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    (tmp_path / "photos").mkdir()
    for i, each in enumerate(torch_runs.data()[:3]):
        Image.fromarray(each).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "factories.py").write_text("from tests.nets import small_net as model\n")
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for line in block.splitlines():
        command, *arguments = shlex.split(line)
        assert (command, main(arguments)) == ("saliency", 0)

    assert len(opened) == 1
