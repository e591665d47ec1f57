"""Code that is copied from the widget gives what the widget shows, without it."""

from __future__ import annotations

import builtins
import io
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.picked import of_mask
from saliency_widget.recipe import expression
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import Browser

METHODS = ["gradient", saliency.XRAI(steps=4), saliency.SmoothGrad(saliency.IntegratedGradients(steps=3), samples=2)]


def run(code: str, monkeypatch: pytest.MonkeyPatch, **given: Any) -> dict[str, Any]:
    """Run a script where there is no widget, nor a screen."""
    import matplotlib as mpl

    mpl.use("agg")
    real = builtins.__import__

    def without_widget(name: str, *args: Any, **options: Any) -> Any:
        assert not name.startswith("saliency_widget")
        return real(name, *args, **options)

    names: dict[str, Any] = dict(given)
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without_widget)
        exec(compile(code, "copied.py", "exec"), names)
    sys.modules["matplotlib.pyplot"].close("all")
    return names


def picture_of(widget: SaliencyWidget, width: int) -> np.ndarray:
    """What the widget draws, float (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(widget.snapshot_png(width))).convert("RGB"), float)


@pytest.mark.parametrize(
    ("method", "look"),
    [
        ("gradient", {"mode": "area", "keep": 20}),
        ("gradient", {"mode": "area", "picked": of_mask(np.tri(24, 20) > 0)}),
        ("gradient", {"mode": "heat", "sign": "signed", "threshold": 60, "gamma": 0.5}),
        ("smooth_grad", {"mode": "area", "keep": 45, "sign": "positive", "opacity": 0.4}),
        ("smooth_grad", {"mode": "heat"}),
        ("xrai", {"mode": "area", "region": 2}),
        ("xrai", {"mode": "area", "picked": {"regions": [0, 2]}}),
        ("xrai", {"mode": "heat", "sign": "positive", "colormap": "viridis", "opacity": 1.0, "gamma": 2.0}),
    ],
    ids=str,
)
def test_the_script_gives_what_is_shown(
    make: Make, monkeypatch: pytest.MonkeyPatch, method: str, look: dict[str, Any]
) -> None:
    """The mask, what is selected of it, and the picture but for the outlines."""
    net = small_net()
    widget = make(net, labels=LABELS, target=1, methods=METHODS, method=method, **look)
    shown = widget.compute(wait=True)

    found = run(widget.code(), monkeypatch, model=net, img=picture(), labels=LABELS)

    np.testing.assert_allclose(found["found"].mask, shown.mask, atol=1e-6)
    assert found["found"].label == "bee"
    if look["mode"] == "area":
        np.testing.assert_array_equal(found["kept"], widget.selection)
    else:
        height, width = picture().shape[:2]
        # scaled by one: nothing but colours and opacity
        drawn = picture_of(widget, width)
        assert np.abs(np.rint(found["shown"]) - drawn).mean() < 1.5
        assert found["shown"].shape == (height, width, 3)


def test_light_is_where_the_selection_is(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a picture that the model sees cropped and larger, the script's picture is the widget's."""
    net = small_net()

    def preprocess(image: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat(image[2:22, 1:19], 2, 0), 2, 1).astype(np.float32) / 255

    widget = make(net, preprocess=preprocess, target=1, methods=["grad_cam"], mode="area", keep=40, opacity=1.0)
    widget.compute(wait=True)

    code = widget.code()
    found = run(code, monkeypatch, model=net, img=picture(), preprocess=preprocess)

    assert "# model, img, preprocess: as they were" in code
    # the script draws no line round it
    monkeypatch.setattr("saliency_widget.drawing._outlined", lambda drawn, *_: drawn)
    drawn = picture_of(widget, picture().shape[1])
    differs = np.abs(found["shown"] - drawn).max(2) > 2
    assert differs.mean() < 0.05
    np.testing.assert_array_equal(found["kept"], widget.selection)


@pytest.mark.parametrize(
    "method",
    [
        saliency.IntegratedGradients(steps=3, baseline=np.array([0.5, 0.25, 1.0])),
        saliency.IntegratedGradients(baseline=("black", 0.5)),
        saliency.SmoothGrad(saliency.BlurIG(steps=2, sqrt=True), spread=0.2),
        saliency.XRAI(base_attribution=saliency.GradientSaliency()),
        saliency.Occlusion(size=(3, 5)),
    ],
    ids=repr,
)
def test_methods_are_written_as_they_are(method: saliency.Method) -> None:
    """What is written is the same method, arrays and methods inside included."""
    written = expression(method)

    assert written is not None
    assert eval(written, {"saliency": saliency, "np": np}).key() == method.key()


def test_what_cannot_be_written_is_left_to_its_owner() -> None:
    """A method with a large array, or of a class of one's own, is `method`, as it was given to the widget."""

    class Mine(saliency.GradientSaliency):
        pass

    assert expression(Mine()) is None
    assert expression(saliency.IntegratedGradients(baseline=np.zeros((24, 20, 3)))) is None


def test_the_browser_asks_for_the_script(make: Make) -> None:
    """`code` is answered with the very text; for what is not computed with an error."""
    widget = make(target=1, methods=["gradient", "grad_cam"], preprocess=None)
    widget.compute("gradient", wait=True)
    browser = Browser(widget)

    told = browser.wait("code", rid=browser.ask("code", method="gradient", target=1))
    none = browser.wait("error", rid=browser.ask("code", method="grad_cam", target=1))

    assert told.fields["text"] == widget.code()
    assert "not computed" in none.fields["message"]


def test_a_state_comes_back(make: Make) -> None:
    """Through JSON another widget looks the same; what is no state of this version is refused."""
    import json

    net = small_net()
    first = make(net, labels=LABELS, target=1, methods=["gradient", "integrated_gradients"], keep=12, sign="signed")
    first.method = "integrated_gradients"
    first.parameters = {"integrated_gradients": {"steps": 4}}
    first.picked = of_mask(np.tri(24, 20) > 0)
    state = json.loads(json.dumps(first.state()))

    second = SaliencyWidget.from_state(state, net, picture(), labels=LABELS)

    try:
        assert second.state() == state
        np.testing.assert_array_equal(second.compute(wait=True).mask, first.compute(wait=True).mask)
        np.testing.assert_array_equal(second.selection, first.selection)
        assert second.snapshot_png() == first.snapshot_png()
    finally:
        second.close()
    for wrong in ({}, {**state, "version": 99}, None):
        with pytest.raises(saliency.BadField, match="version 1"):
            SaliencyWidget.from_state(wrong, net, picture())  # type: ignore[arg-type]  # the point
