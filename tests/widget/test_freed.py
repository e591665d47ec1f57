"""After `close()` nothing holds a model; explanations stay."""

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
    """Every model was called."""
    for model in range(len(widget.spec["models"])):
        widget.compute("gradient", 1, wait=True, model=model)


def added(widget: SaliencyWidget) -> None:
    """A picture was added later and explained."""
    widget.add(picture(seed=4))
    widget.compute(wait=True)


def failed(widget: SaliencyWidget) -> None:
    """A run ended in an error, whose traceback refers to the model."""
    with pytest.raises(saliency.BadTarget):
        widget.compute(target=99, wait=True)


def failed_in_the_browser(widget: SaliencyWidget) -> None:
    """A run ended in an error, which was sent."""
    browser = Browser(widget)
    browser.wait("error", rid=browser.request("compute", method="gradient", target=99))


def asked_what_if(widget: SaliencyWidget) -> None:
    """What-if results of selections and a curve were computed."""
    computed(widget)
    browser = Browser(widget)
    browser.wait("what_if", rid=browser.request("what_if", method="gradient", target=1, **WHAT_IF))
    browser.wait("curve", rid=browser.request("curve", method="gradient", target=1, fill="mean"))


def described(widget: SaliencyWidget) -> None:
    """The layers were listed, fields were set, and the view was written as Python."""
    browser = Browser(widget)
    browser.wait("described", rid=browser.request("describe", method="grad_cam", fields={}))
    browser.wait("configured", rid=browser.request("configure", method="grad_cam", fields={"layer": "stem"}))
    browser.wait("code", rid=browser.request("code", method="grad_cam", target=1))


def compared(widget: SaliencyWidget) -> None:
    """Several cells were shown side by side, drawn and stored."""
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
    """One or two models are freed once nobody else holds them; explanations can be read."""
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
    """The result of `saliency.explain` outlives the model."""
    net: torch.nn.Module = small_net()
    exp = saliency.explain(net, picture(), "grad_cam", 1, progress=False)
    held = weakref.ref(net)

    del net
    gc.collect()

    assert held() is None
    assert exp.mask.any()
