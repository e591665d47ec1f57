"""The channels of a layer: computed on request, cancelled, cached, and stored in pages and scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.pictures.placement import Placement, find_placement
from saliency_widget.protocol.channels import LEVELS, MOST_CHANNELS, MOST_SIDE, channels_message
from saliency_widget.protocol.values import CHANNEL_METHODS
from saliency_widget.traits.parameters import Layers
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, Message, explainer_of, require_cancelled
from tests.widget.test_offline import packet_of, told_in


def of_net(make: Make, **options: Any) -> SaliencyWidget:
    """Return a widget of a small network, with one map computed."""
    widget = make(small_net(), methods=["gradient", "input_x_gradient"], labels=LABELS, target=1, **options)
    widget.compute("gradient", 1, wait=True)
    return widget


def request(browser: Browser, layer: str = "", by: str = "input_x_gradient", target: int = 1) -> str:
    """Send a `channels`; return its id."""
    return browser.request("channels", method="gradient", target=target, layer=layer, by=by)


def channels(browser: Browser, layer: str = "", by: str = "input_x_gradient") -> Message:
    """Return the answer to a `channels`."""
    return browser.wait("channels", rid=request(browser, layer, by))


def maps_in(answer: Message) -> np.ndarray:
    """Return the levels of the maps, (channels, h, w)."""
    return np.frombuffer(answer.buffers["maps"], np.int8).reshape(-1, *answer.fields["shape"])


@pytest.mark.parametrize("by", CHANNEL_METHODS)
def test_the_channels_are_the_engine_s(make: Make, by: str) -> None:
    """Indices, sums, shares and maps are those of `saliency.explain(…, at=layer)`, the largest first."""
    answer = channels(Browser(of_net(make)), by=by)
    layer = answer.fields["layer"]
    assert layer in answer.fields["layers"]

    found = saliency.explain(small_net(), picture(), by, 1, at=layer, labels=LABELS, progress=False)
    rows = [(each["index"], each["sum"], each["share"]) for each in answer.fields["channels"]]
    expected = [(each.index, each.sum, each.share) for each in found.channels[:MOST_CHANNELS]]
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-7)
    assert (answer.fields["count"], answer.fields["label"]) == (found.mask.shape[-1], LABELS[1])
    for (index, _, _), levels in zip(rows, maps_in(answer), strict=True):
        plane = found.mask[..., index]
        np.testing.assert_allclose(levels / LEVELS, plane / (np.abs(plane).max() or 1), atol=0.51 / LEVELS)


def test_a_layer_that_is_chosen_is_ranked_or_refused(make: Make) -> None:
    """Each layer on offer has its own channels; the branch of a skip connection is refused with the next that cuts."""
    browser = Browser(of_net(make))
    names = channels(browser).fields["layers"]
    assert not [name for name in names for each in names if name.startswith(f"{each}.")]
    found = {name: browser.wait("channels", "error", rid=request(browser, name)).fields for name in names}
    refused = {name: each["message"] for name, each in found.items() if each["op"] == "error"}
    assert {name: each["layer"] for name, each in found.items() if name not in refused} == {
        name: name for name in names if name != "block"
    }
    assert ":add_:0" in refused["block"]


def test_the_automatic_layer_cuts(make: Make) -> None:
    """Where the layer of CAMs does not cut the model, as in transformers, the last layer that does is ranked."""
    widget = of_net(make)
    explainer_of(widget).layers = Layers(("stem", "relu", "block"), "block")
    assert channels(Browser(widget)).fields["layer"] == "relu"


def laid(mask: np.ndarray, **fields: Any) -> saliency.LayerExplanation:
    """Return an attribution to a layer with that mask."""
    return saliency.LayerExplanation(mask, target=0, label="a", method="gradient", caption="", layer="net.4", **fields)


def test_maps_are_upright_where_the_model_sees_a_flipped_picture() -> None:
    """The map of a channel is turned back for the shown picture, and covers the same part of it."""
    mask = np.zeros((2, 3, 1), np.float32)
    mask[0, 0] = 1
    fed = (4, 6)
    flipped = find_placement(np.array([[-1.0, 0, 3], [0, 1, 0]]), fed, fed, fed)
    plain, turned = (
        channels_message(laid(mask, grid=(2, 3)), [], each, fed) for each in (Placement((0, 0, 6, 4), None), flipped)
    )

    assert np.asarray(plain.buffers["maps"]).tolist() == [[[LEVELS, 0, 0], [0, 0, 0]]]
    assert plain.fields["place"] == turned.fields["place"]
    np.testing.assert_array_equal(
        np.asarray(turned.buffers["maps"])[0], np.kron([[0, 0, 0], [LEVELS, 0, 0]], np.ones((2, 2)))
    )


def test_tokens_without_a_position_are_in_no_map() -> None:
    """The map of a transformer's layer starts after its class token; a dense layer has bars without maps."""
    tokens = np.arange(1, 6, dtype=np.float32)[:, None]
    whole = Placement((0, 0, 4, 4), None)
    found = channels_message(laid(tokens, grid=(2, 2), before=1), [], whole, (4, 4))
    levels = np.asarray(found.buffers["maps"])[0]
    np.testing.assert_array_equal(levels, np.rint(np.array([[2, 3], [4, 5]]) / 5 * LEVELS))
    dense = channels_message(laid(np.ones(3, np.float32)), [], whole, (4, 4))
    assert (dense.fields["shape"], dict(dense.buffers), len(dense.fields["channels"])) == (None, {}, 3)


def test_large_maps_are_averaged() -> None:
    """The sides of a map are at most `MOST_SIDE`; a map without a value stays zero."""
    mask = np.zeros((150, 100, 2), np.float32)
    mask[:75, :, 0] = -2
    found = channels_message(laid(mask, grid=(150, 100)), [], Placement((0, 0, 100, 150), None), (150, 100))
    levels = np.asarray(found.buffers["maps"])
    assert max(levels.shape[1:]) <= MOST_SIDE
    assert levels[0, :24].tolist() == np.full((24, levels.shape[2]), -LEVELS).tolist()
    assert not levels[0, 26:].any()
    assert not levels[1].any()


def test_channels_are_computed_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same request is answered from the cache; another layer is computed."""
    browser = Browser(of_net(make))
    first = channels(browser)
    counted = Mock(wraps=saliency.explain)
    monkeypatch.setattr(saliency, "explain", counted)

    assert channels(browser).fields["channels"] == first.fields["channels"]
    assert counted.call_count == 0
    channels(browser, first.fields["layers"][0])
    assert counted.call_count == 1


def test_reasons_are_sentences(make: Make) -> None:
    """A plain function and an unknown layer give a reason; invalid fields get no answer."""
    function = make(lambda images: images.mean((1, 2)), methods=["occlusion"], preprocess="0..1", target=1)
    function.compute(wait=True)
    browser = Browser(function)
    rid = browser.request("channels", method="occlusion", target=1, layer="", by="lrp")
    assert "layers" in browser.wait("error", rid=rid).fields["message"]

    browser = Browser(of_net(make))
    assert browser.wait("error", rid=request(browser, "layer9")).fields["kind"] == "UnknownName"
    for wrong in ({"by": "rise"}, {"by": None}, {"layer": 3}):
        rid = browser.request("channels", **{"method": "gradient", "target": 1, "layer": "", "by": "lrp", **wrong})
        assert not [each for each in browser.messages if each.rid == rid]


def test_channels_that_wait_are_cancelled(make: Make) -> None:
    """A ranking that waits for the model's thread ends with `cancelled`."""
    widget = of_net(make)
    require_cancelled(widget, request, "channels")


def test_pages_notebooks_and_later_views_hold_the_channels(make: Make) -> None:
    """An exported page, a saved notebook and the answer to `hello` hold them with their maps and request."""
    widget = of_net(make)
    answer = channels(Browser(widget))
    widget.wait(PATIENCE)
    asked = {"op": "channels", "method": "gradient", "target": 1, "model": 0, "image": 0}
    asked |= {"layer": "", "by": "input_x_gradient"}

    for packet in (packet_of(widget.to_html()), widget._snapshot):
        (stored,) = told_in(packet, "channels")
        assert stored["asked"] == asked
        assert stored["channels"] == answer.fields["channels"]
        assert stored["lengths"] == [len(answer.buffers["maps"])]
    later = Browser(widget)
    later.request("hello")
    again = later.wait("channels")
    assert again.fields["asked"] == asked
    assert again.buffers == answer.buffers


def test_the_script_ranks_the_channels(make: Make, tmp_path: Path) -> None:
    """`code()` includes the call once it was computed, with the layer that was chosen; the script prints the table."""
    widget = of_net(make)
    assert "at=" not in widget.code()
    answer = channels(Browser(widget), by="lrp")
    layer, first = answer.fields["layer"], answer.fields["channels"][0]
    text = widget.code()
    assert f"saliency.explain(model, img, 'lrp', target=1, at={layer!r}, labels=labels" in text

    file = tmp_path / "script.py"
    head = "import matplotlib; matplotlib.use('agg')\nfrom tests.nets import *\n"
    file.write_text(f"{head}model, img, labels = small_net(), picture(), LABELS\n{text}print(first.shape)\n")
    ran = subprocess.run([sys.executable, file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"{first['index']}" in ran.stdout.splitlines()[1].split()
    assert str(picture().shape[:2]) in ran.stdout
