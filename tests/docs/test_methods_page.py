"""docs/methods.md is generated from the methods' classes."""

from __future__ import annotations

import saliency
from scripts import methods_page


def test_page_is_generated() -> None:
    """The page is what scripts/methods_page.py writes for the current methods."""
    assert methods_page.PAGE.read_text() == methods_page.text(), "run: python scripts/methods_page.py <the changed ids>"


def test_every_picture_belongs_to_a_method() -> None:
    """Every picture belongs to a method."""
    assert {path.stem for path in methods_page.PICTURES.iterdir()} <= {method.id for method in saliency.methods()}
