"""PAIR's own package over ours, as seen from the widget."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_another_package_named_saliency_is_reported_with_the_fix(tmp_path: Path) -> None:
    """If another package is installed as `saliency`, importing the widget names the commands that repair it."""
    (tmp_path / "saliency").mkdir()
    (tmp_path / "saliency" / "__init__.py").write_text("core = None\n")
    checkout = Path(__file__).resolve().parents[2]
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(checkout)!r}]; import saliency_widget"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "pip uninstall --yes saliency" in done.stderr
    assert "--force-reinstall --no-deps saliency-widget" in done.stderr
