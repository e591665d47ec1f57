"""After `close()` nothing holds a model, whatever was asked of it; what was explained stays."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import saliency
from saliency_widget import SaliencyWidget
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser

WHAT_IF = {"sign": "auto", "keep": 30, "region": 0, "picked": {}, "fill": "mean"}


def computed(widget: SaliencyWidget) -> None:
    """Every model was asked."""
    for model in range(len(widget.spec["models"])):
        widget.compute("gradient", 1, wait=True, model=model)


def added(widget: SaliencyWidget) -> None:
    """A picture came later, and was asked about."""
    widget.add(picture(seed=4))
    widget.compute(wait=True)


def failed(widget: SaliencyWidget) -> None:
    """A run has ended in an error, whose traceback knows the model."""
    with pytest.raises(saliency.BadTarget):
        widget.compute(target=99, wait=True)


def failed_in_the_browser(widget: SaliencyWidget) -> None:
    """A run has ended in an error, which was sent."""
    browser = Browser(widget)
    browser.wait("error", rid=browser.ask("compute", method="gradient", target=99))


def asked_what_if(widget: SaliencyWidget) -> None:
    """Selections were asked about, and a whole curve."""
    computed(widget)
    browser = Browser(widget)
    browser.wait("what_if", rid=browser.ask("what_if", method="gradient", target=1, **WHAT_IF))
    browser.wait("curve", rid=browser.ask("curve", method="gradient", target=1, fill="mean"))


def described(widget: SaliencyWidget) -> None:
    """The model was asked for its layers, its fields were set, and the view was written as Python."""
    browser = Browser(widget)
    browser.wait("described", rid=browser.ask("describe", method="grad_cam", fields={}))
    browser.wait("configured", rid=browser.ask("configure", method="grad_cam", fields={"layer": "stem"}))
    browser.wait("code", rid=browser.ask("code", method="grad_cam", target=1))


def compared(widget: SaliencyWidget) -> None:
    """Several cells were laid side by side, drawn and kept."""
    computed(widget)
    widget.compare(["gradient", "grad_cam"])
    widget.snapshot_png(width=100)
    widget.to_html()


def cancelled(widget: SaliencyWidget) -> None:
    """A run was cancelled before it could begin or end."""
    widget.compute("gradient", 2)
    widget.cancel()


@pytest.mark.parametrize(
    "use", [computed, added, failed, failed_in_the_browser, asked_what_if, described, compared, cancelled]
)
@pytest.mark.parametrize("count", [1, 2])
def test_closing_frees_every_model(make: Make, use: Callable[[SaliencyWidget], None], count: int) -> None:
    """One or two models are gone when nobody else holds them; explanations can be read."""
    nets: list[Any] = [small_net(seed=seed) for seed in range(count)]

    widget = make(nets if count > 1 else nets[0], methods=["gradient", "grad_cam"], labels=LABELS, target=1)
    use(widget)
    assert widget.wait(PATIENCE)
    threads = [each for each in threading.enumerate() if each.name == "saliency-widget"]
    held = [weakref.ref(net) for net in nets]
    explained = len(widget.explanations)

    widget.close()
    nets.clear()
    for thread in threads:
        thread.join(PATIENCE)
    gc.collect()

    assert [reference() for reference in held] == [None] * count
    assert len(widget.explanations) == explained
    for exp in widget.explanations.values():
        assert np.isfinite(exp.mask).all()


def test_an_explanation_holds_no_model() -> None:
    """What `saliency.explain` gives can outlive the model by any time."""
    net: torch.nn.Module = small_net()
    exp = saliency.explain(net, picture(), "grad_cam", 1, progress=False)
    held = weakref.ref(net)

    del net
    gc.collect()

    assert held() is None
    assert exp.mask.any()
