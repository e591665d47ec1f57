"""Importing the packages loads no framework and no heavy module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "flax", "onnxruntime", "transformers"}
HEAVY = {
    "matplotlib",
    "pandas",
    "IPython",
    "skimage",
    "scipy",
    "anywidget",
    "ipywidgets",
    "zarr",
    "pyarrow",
    "ray",
    "sklearn",
}


def loaded_by(statement: str, cwd: Path) -> set[str]:
    """Return the top-level modules that are loaded after a statement, in a new Python process."""
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], cwd=cwd, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("package", ["saliency", "saliency.core", "saliency.deepexplain", "saliency_widget"])
def test_an_import_brings_in_no_framework(package: str, checkout: Path) -> None:
    """All names of the engine, of PAIR's interface or of the widget load no framework, also where all are installed."""
    assert loaded_by(f"from {package} import *", checkout) & FRAMEWORKS == set()


def test_the_engine_needs_no_notebook(checkout: Path) -> None:
    """Listing the methods and explaining load no module for plotting, tables or notebooks."""
    statement = "import saliency; saliency.methods(); saliency.explain, saliency.Explanation"

    assert loaded_by(statement, checkout) & HEAVY == set()


def test_a_framework_is_seen(tmp_path: Path) -> None:
    """A package that imports a framework, even by `exec`, is detected."""
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "offender.py").write_text("exec('import torch')\n")

    assert loaded_by("import offender", tmp_path) & FRAMEWORKS == {"torch"}
