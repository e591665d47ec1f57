"""The command: explain, show, evaluate, changed and cluster, from a folder to exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import saliency
from saliency.command import main
from tests.nets import picture

FACTORY = """
import numpy as np

def model():
    return lambda images: np.tanh(images[:, 3:9, 2:8]).mean((1, 2)) @ np.ones((3, 4), "f") * [1, 2, 3, 4]

def other():
    return lambda images: images[:, 9:].mean((1, 2)) @ np.ones((3, 4), "f") * [4, 3, 2, 1]

def broken():
    raise OSError("no weights")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with pictures and factories of models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "factories", raising=False)
    (tmp_path / "photos").mkdir()
    for i in range(24):
        Image.fromarray(picture(40, 40, seed=i)).save(tmp_path / "photos" / f"{i:02d}.png")
    (tmp_path / "photos" / "bad.png").write_bytes(b"junk")
    (tmp_path / "factories.py").write_text(FACTORY)
    return tmp_path


def test_from_a_folder_to_a_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`explain` writes masks and continues by itself, `show` writes a page, `cluster` and `changed` print."""
    common = ["photos", "--method", "occlusion", "--quiet", "--batch-size", "8"]
    assert main(["explain", *common, "--model", "factories:model", "--out", "a"]) == 0
    assert main(["explain", *common, "--model", "factories:model", "--out", "a"]) == 0
    assert main(["explain", *common, "--model", "factories:other", "--out", "b"]) == 0
    assert "1 pictures have an error" in capsys.readouterr().out

    assert main(["show", "a", "--images", "photos", "--no-browser", "--sort", "score", "--page", "p.html"]) == 0
    text = (folder / "p.html").read_text(encoding="utf-8")
    assert text.count("<figure>") == 25
    assert text.count("data:image/png") == 24
    assert "BadImage" in text

    assert main(["changed", "a", "a"]) == 0
    assert main(["changed", "a", "b"]) == 1
    assert "The reasons changed" in capsys.readouterr().out
    assert main(["cluster", "a", "--all-classes"]) == 0
    assert "pictures" in capsys.readouterr().out


def test_a_dry_run_estimates_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It explains 20 pictures; the storage that it names is what the run takes."""
    common = ["explain", "photos", "--method", "occlusion", "--model", "factories:model", "--out", "a", "--quiet"]
    assert main([*common, "--dry-run", "--workers", "4"]) == 0
    out = capsys.readouterr().out
    assert "25 pictures; 20 probed" in out
    assert "4 workers" in out
    assert not (folder / "a").exists()


def test_evaluate_measures_methods(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table is printed, and the rows are in the file."""
    for each in list((folder / "photos").iterdir())[2:]:
        each.unlink()
    call = ["evaluate", "photos", "--model", "factories:model", "--method", "occlusion", "--metric", "gini", "--quiet"]
    assert main([*call, "--out", "rows.jsonl"]) == 0

    assert "gini" in capsys.readouterr().out
    assert len(saliency.Evaluation.load(folder / "rows.jsonl").rows) >= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "photos", "--model", "factories:broken"], "no weights"),
        (["explain", "photos", "--model", "nothing:there"], "nothing"),
        (["explain", "nowhere", "--model", "factories:model"], "nowhere"),
        (["explain", "photos", "--model", "factories:model", "--method", "occlusionn"], "occlusion"),
        (["show", "nowhere"], "nowhere"),
        (["show", "photos"], "something else"),
    ],
    ids=["factory", "module", "folder", "method", "masks", "no masks"],
)
def test_a_bad_call_ends_in_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    """The exit code is 2, and one line names what is wrong."""
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_python_m_saliency_is_the_command(checkout: Path) -> None:
    """`python -m saliency --help` lists the commands."""
    done = subprocess.run(
        [sys.executable, "-m", "saliency", "--help"], cwd=checkout, capture_output=True, text=True, check=True
    )

    assert all(each in done.stdout for each in ("explain", "show", "evaluate", "changed", "cluster"))
