"""Fixtures for widgets that are closed at the end of their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import matplotlib.pyplot as plt
import pytest

from saliency_widget import SaliencyWidget
from tests.nets import LABELS, picture, small_net

Make = Callable[..., SaliencyWidget]


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Run the script of a widget with the names it needs, without showing figures; return the names it defines."""
    monkeypatch.setattr(plt, "show", lambda: None)

    def run(text: str, **names: Any) -> dict[str, Any]:
        exec(text, names)
        return names

    yield run
    plt.close("all")


@pytest.fixture
def make() -> Iterator[Make]:
    """Create widgets that are closed at the end; by default of a small network and a small picture."""
    made: list[SaliencyWidget] = []

    def make(model: Any = None, img: Any = None, methods: Any = None, **options: Any) -> SaliencyWidget:
        if model is None:
            model = small_net()
            options.setdefault("labels", LABELS)
        widget = SaliencyWidget(model, picture() if img is None else img, methods, **options)
        made.append(widget)
        return widget

    yield make
    for widget in made:
        widget.close()
