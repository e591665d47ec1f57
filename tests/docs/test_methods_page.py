"""docs/methods.md says of every method what its class says."""

from __future__ import annotations

import pytest

import saliency
from saliency.core.method import FAMILIES
from scripts import methods_page


def test_page_is_what_the_classes_say() -> None:
    """The page is what scripts/methods_page.py makes of today's methods."""
    assert methods_page.PAGE.read_text() == methods_page.text(), "run: python scripts/methods_page.py <the changed ids>"


@pytest.mark.parametrize("method", saliency.methods(), ids=lambda method: method.id)
def test_every_method_tells_what_it_is(method: saliency.MethodInfo) -> None:
    """A method has a family, a formula, a paper, advice, and a sentence for each of its fields."""
    assert method.family in FAMILIES
    assert method.cls.formula
    assert method.paper
    assert method.advice
    assert all(each["help"] for each in saliency.described(method.cls()))


def test_every_picture_belongs_to_a_method() -> None:
    """No picture is left of a method that is gone."""
    assert {path.stem for path in methods_page.PICTURES.iterdir()} <= {method.id for method in saliency.methods()}
