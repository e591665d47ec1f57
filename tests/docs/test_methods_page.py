"""docs/methods.md says of every method what its class says."""

from __future__ import annotations

import saliency
from scripts import methods_page


def test_page_is_what_the_classes_say() -> None:
    """The page is what scripts/methods_page.py makes of today's methods."""
    assert methods_page.PAGE.read_text() == methods_page.text(), "run: python scripts/methods_page.py <the changed ids>"


def test_every_picture_belongs_to_a_method() -> None:
    """No picture is left of a method that is gone."""
    assert {path.stem for path in methods_page.PICTURES.iterdir()} <= {method.id for method in saliency.methods()}
