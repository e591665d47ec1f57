"""What `import saliency` loads, and when the rest is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

import saliency

LATER = ("saliency.attacks", "saliency.datasets", "saliency.metrics", "saliency.testbed")

CODE = f"""
import sys, saliency
loaded = {{name for name in sys.modules if name.startswith({LATER!r})}}
assert not loaded, loaded
saliency.metrics, saliency.evaluate
assert "saliency.api.evaluate" in sys.modules
"""


def test_only_what_explains_is_imported() -> None:
    """Metrics, attacks, test-beds and data sets are imported when they are first used."""
    done = subprocess.run([sys.executable, "-c", CODE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_later_names_are_public() -> None:
    """Names that are imported later are listed, exist, and are those of their modules; other names raise."""
    assert set(saliency.__all__) <= set(dir(saliency))
    assert saliency.check is saliency.api.check.check
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        getattr(saliency, "chekc")  # noqa: B009
