"""Models whose numbers are a value, the probability of two classes, or one of several outputs, in the widget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency_widget.protocol.messages import pack
from tests.adapters.headed import IMAGE, model
from tests.nets import small_net
from tests.widget.conftest import Make
from tests.widget.front_end import Browser

VIEW = {"sign": "auto", "keep": 30, "region": 0, "picked": {}, "fill": "blur"}


def opened(make: Make, net: Any, **options: Any) -> tuple[Any, Browser, dict[str, Any]]:
    """A widget, its browser, and the `prediction` that it is sent."""
    widget = make(net, img=IMAGE, methods=["gradient"], **options)
    browser = Browser(widget)
    browser.request("hello")
    return widget, browser, browser.wait("prediction").fields


def test_a_value_is_sent_as_a_value(make: Make) -> None:
    """A value of 58 is shown in its unit without a probability: in prediction, what-if, curves and saved page."""
    net = model("torch", (58.0,))
    widget, browser, fields = opened(make, net)
    (row,) = fields["classes"]
    assert (row["index"], row["label"], row["probability"]) == (0, "value", None)
    assert row["value"] == pytest.approx(58, rel=1e-5)

    exp = widget.compute(wait=True)
    assert exp.score == pytest.approx(58, rel=1e-5)
    found = browser.wait("what_if", rid=browser.request("what_if", method="gradient", target=0, **VIEW)).fields
    expected = saliency.what_if(net, IMAGE, exp.top(30))
    assert found["only"][0]["value"] == pytest.approx(expected.only[0].score, rel=1e-5)
    curve = browser.wait("curve", rid=browser.request("curve", method="gradient", target=0, fill="blur")).fields
    assert curve["measure"] == "value"
    assert curve["insertion"][-1] == pytest.approx(58, rel=1e-5)
    assert pack([widget._explainers[0, 0].prediction_message()])


def test_both_classes_of_a_sigmoid_are_offered(make: Make) -> None:
    """The prediction shows .953 and .047; class 0 is explained by −z, and the curves end at .047."""
    widget, browser, fields = opened(make, model("torch", (3.0,), "sigmoid"), labels=["no", "yes"])
    shown = {row["label"]: row["probability"] for row in fields["classes"]}
    assert shown == pytest.approx({"yes": 0.9526, "no": 0.0474}, abs=1e-4)

    exp = widget.compute(target="no", wait=True)
    assert exp.score == pytest.approx(-3, abs=1e-4)
    curve = browser.wait("curve", rid=browser.request("curve", method="gradient", target=0, fill="blur")).fields
    assert curve["insertion"][-1] == pytest.approx(0.0474, abs=1e-4)


def test_activation_and_output_reach_every_call_and_the_script(make: Make) -> None:
    """`activation` and `output` apply to predictions and maps, and `code()` writes them; a callable by its name."""
    import torch

    net = small_net()

    class Two(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean((2, 3)), net(x)

    widget = make(Two(), methods=["gradient"], output=1, activation="sigmoid", target=2)
    exp = widget.compute(wait=True)
    np.testing.assert_allclose(
        exp.mask, saliency.explain(net, exp.picture, "gradient", 2, progress=False).mask, atol=1e-7
    )
    scores = np.array([row.score for row in widget.predictions])
    shown = [row.probability for row in widget.predictions]
    assert shown == pytest.approx((1 / (1 + np.exp(-scores))).tolist())
    assert "target=2, activation='sigmoid', output=1" in widget.code()
    assert "# model, img: as they were given" in widget.code()

    by_name = make(Two(), methods=["gradient"], output=lambda outputs: outputs[1], target=2)
    assert "target=2, output=output" in by_name.code()
    assert "# model, img, output: as they were given" in by_name.code()


def test_an_activation_or_output_that_cannot_be_is_refused_at_once(make: Make) -> None:
    """Invalid values are refused like those of every other argument."""
    with pytest.raises(saliency.UnknownName, match="activation"):
        make(small_net(), activation="sofmax")
    with pytest.raises(saliency.BadField, match="output= takes"):
        make(small_net(), output=0.5)
