"""Formulas as plain text."""

from __future__ import annotations

import pytest

import saliency
from saliency_widget.traits.formulas import plain


@pytest.mark.parametrize(
    ("latex", "text"),
    [
        (r"M = \partial f / \partial x", "M = ∂f / ∂x"),
        (r"\frac1n \sum_{i=1}^n m(x + \varepsilon_i)^2", "1/n ∑ᵢ₌₁ⁿ m(x + εᵢ)²"),
        (r"\frac{a + b}{2}\, \overline m", "(a + b)/2 m̄"),
        (r"x_{\setminus w} \not\ni \bigl(y - 1\bigr)", "x_(∖ w) ∌ (y − 1)"),
        (r"R^2 \mapsto \arg\max z \text{ at } A^k_{ij}", "R² ↦ arg max z at Aᵏᵢⱼ"),
        (r"\unknown{x}", "unknownx"),
        ("", ""),
    ],
)
def test_plain(latex: str, text: str) -> None:
    """Commands become characters, indices small ones where Unicode has them; fractions have brackets where needed."""
    assert plain(latex) == text


@pytest.mark.parametrize("method", saliency.methods(), ids=lambda method: str(method.id))
def test_every_method(method: saliency.MethodInfo) -> None:
    """The formula of each method has no LaTeX left, and its brackets close."""
    text = plain(method.cls.formula)

    assert text
    assert not set(text) & set("\\{}^") - ({"^"} if "e^(" in text else set())
    assert text.count("(") == text.count(")")
