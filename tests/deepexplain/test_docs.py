"""The statements of docs/migrating.md about DeepExplain hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.needs("tensorflow")


def test_the_code_runs(checkout: Path) -> None:
    """All of the section's Python runs as it stands, and gives attributions of the examples' shape."""
    if pytest.importorskip("keras").backend.backend() != "tensorflow":
        pytest.skip("Keras computes with another backend here")
    section = (checkout / "docs/migrating.md").read_text(encoding="utf-8").partition("# Coming from DeepExplain")[2]
    blocks = re.findall(r"```python\n(.*?)```", section.partition("\n# ")[0], re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)

    assert names["attributions"].shape == names["xs"].shape
    assert np.abs(names["attributions"]).max() > 0
