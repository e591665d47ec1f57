"""Fixtures for widgets that are closed at the end of their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from saliency_widget import SaliencyWidget
from tests.nets import LABELS, picture, small_net

Make = Callable[..., SaliencyWidget]


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
