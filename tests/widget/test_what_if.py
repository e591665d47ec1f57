"""What-ifs and curves: the predictions for a selection, and while pixels are inserted and deleted."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.pictures.selection import mask_of, of_mask
from tests.nets import LABELS, black_box, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, Gate

VIEW = {"sign": "auto", "keep": 30, "region": 0, "picked": {}, "fill": "blur"}
GRID = saliency.Occlusion(size=4, stride=4)
"""Evaluates 30 windows of the small picture, and the picture itself."""


def what_if(browser: Browser, method: str, target: int = 1, **view: Any) -> dict[str, Any]:
    """Return the answer to a `what_if`."""
    rid = browser.request("what_if", method=method, target=target, **{**VIEW, **view})
    return browser.wait("what_if", rid=rid).fields


def test_a_what_if_evaluates_the_selection(make: Make) -> None:
    """`what_if` returns the engine's predictions for the pixels that the area view keeps."""
    net = small_net()
    widget = make(net, labels=LABELS, target=1, methods=["gradient"])
    shown = widget.compute("gradient", wait=True)
    browser = Browser(widget)

    answer = what_if(browser, "gradient", keep=20, fill="mean")

    expected = saliency.what_if(net, picture(), shown.top(20), "mean", labels=LABELS)
    for name, rows in (("only", expected.only), ("without", expected.without)):
        assert [row["label"] for row in answer[name]] == [row.label for row in rows]
        np.testing.assert_allclose([row["probability"] for row in answer[name]], [row.shown for row in rows], atol=1e-6)
    assert answer["area"] == pytest.approx(shown.top(20).mean())


def test_regions_and_masks_of_one_s_own(make: Make) -> None:
    """Picked regions and a brushed mask are evaluated exactly, and are `selection` in Python."""
    net = small_net()
    widget = make(net, labels=LABELS, target=1, methods=[saliency.XRAI(steps=4)])
    regions = widget.compute(wait=True).regions
    assert regions is not None
    own = np.zeros(regions.ranks.shape, bool)
    own[3:9, 5:17] = True
    browser = Browser(widget)

    for picked, mask in (({"regions": [0, 2]}, np.isin(regions.ranks, [0, 2])), (of_mask(own), own)):
        answer = what_if(browser, "xrai", picked=picked)
        expected = saliency.what_if(net, picture(), mask, labels=LABELS)
        assert answer["area"] == pytest.approx(mask.mean())
        assert answer["only"][0]["probability"] == pytest.approx(expected.only[0].probability, abs=1e-6)
        widget.picked = picked
        np.testing.assert_array_equal(widget.selection, mask)


def test_a_selection_is_at_the_position_shown(make: Make) -> None:
    """For a model that is fed a rotated picture, a mask brushed on the upright one is rotated accordingly."""

    def turned(image: np.ndarray) -> np.ndarray:
        return np.asarray(np.rot90(image).astype(np.float32) / 255)

    widget = make(lambda images: images.mean((1, 2)), preprocess=turned, methods=[GRID], target=0)
    mask = widget.compute(wait=True).mask
    shown = np.zeros(picture().shape[:2], bool)
    shown[2:7, 1:16] = True

    widget.select(shown)

    assert widget.selection.shape == mask.shape
    np.testing.assert_array_equal(widget.selection, np.rot90(shown))


def test_a_result_is_computed_once(make: Make) -> None:
    """The same pixels cost no model call under any name; other weights or another fill cost one more."""
    calls: list[int] = []
    function = black_box(small_net())

    def counted(images: np.ndarray) -> Any:
        calls.append(len(images))
        return function(images)

    widget = make(counted, methods=[GRID], target=1)
    shown = widget.compute(wait=True)
    browser = Browser(widget)
    first = what_if(browser, "occlusion", keep=40)
    before = len(calls)

    again = what_if(browser, "occlusion", keep=40)
    brushed = what_if(browser, "occlusion", picked=of_mask(shown.top(40)))
    assert len(calls) == before
    assert first["only"] == again["only"] == brushed["only"]
    what_if(browser, "occlusion", keep=40, fill="white")

    assert len(calls) == before + 1
    assert calls[-1] == 2


def test_an_answer_comes_while_a_long_method_runs(make: Make) -> None:
    """A what-if runs between two model calls of a running explanation: it waits for one call, not for the end."""
    gate = Gate()
    gate.release(10_000)
    widget = make(gate, methods=[GRID, saliency.Occlusion(size=2, stride=2)], target=0, batch_size=1)
    widget.compute("occlusion", wait=True)
    gate.revoke()
    browser = Browser(widget)
    long = browser.request("compute", method="occlusion-2", target=0)
    gate.await_call()

    rid = browser.request("what_if", method="occlusion", target=0, **VIEW)
    # the running call, and that of the what-if
    gate.release(2)
    browser.wait("what_if", rid=rid)

    assert browser.of("result", long) == []
    gate.free()
    browser.wait("result", rid=long)


def test_a_long_method_uses_small_batches_during_a_what_if(make: Make) -> None:
    """After a what-if interrupted, the running explanation uses batches of one image for a while."""
    asked_of: list[int] = []
    reached = threading.Event()

    def model(images: np.ndarray) -> np.ndarray:
        asked_of.append(len(images))
        if sum(asked_of) > 60:
            reached.set()
        time.sleep(0.002)
        return np.asarray(images.mean((1, 2)))

    widget = make(model, methods=[GRID, saliency.Occlusion(size=2, stride=1)], target=0)
    widget.compute("occlusion", wait=True)
    asked_of.clear()
    browser = Browser(widget)
    long = browser.request("compute", method="occlusion-2", target=0)
    assert reached.wait(PATIENCE)
    browser.wait("what_if", rid=browser.request("what_if", method="occlusion", target=0, **VIEW))
    widget.wait(0.1)
    browser.request("cancel", rid=long)
    browser.wait("cancelled", rid=long)

    before, (_, *after) = asked_of[:10], asked_of[len(asked_of) - asked_of[::-1].index(2) - 1 :]
    assert max(before) >= 4
    assert len(after) > 3
    assert set(after) == {1}


def test_curves_are_the_engine_s(make: Make) -> None:
    """The insertion and deletion curves of the shown result are computed once, with their areas."""
    net = small_net()
    widget = make(net, labels=LABELS, target=1, methods=["gradient"])
    shown = widget.compute(wait=True)
    browser = Browser(widget)

    answer = browser.wait("curve", rid=browser.request("curve", method="gradient", target=1, fill="mean")).fields
    again = browser.wait("curve", rid=browser.request("curve", method="gradient", target=1, fill="mean")).fields

    expected = saliency.perturbation_curves(net, picture(), shown, fill="mean", points=24)
    np.testing.assert_allclose(answer["insertion"], expected.insertion, atol=1e-6)
    np.testing.assert_allclose(answer["deletion"], expected.deletion, atol=1e-6)
    np.testing.assert_allclose(answer["shares"], expected.shares)
    assert answer["insertion_auc"] == pytest.approx(expected.insertion_auc, abs=1e-6)
    assert {name: value for name, value in again.items() if name not in ("seq", "rid")} == {
        name: value for name, value in answer.items() if name not in ("seq", "rid")
    }


def test_a_curve_can_be_cancelled(make: Make) -> None:
    """A curve can be cancelled while it waits and while it runs; the model's thread is then free."""
    gate = Gate()
    gate.release(10_000)
    widget = make(gate, methods=[GRID], target=0, batch_size=1)
    widget.compute(wait=True)
    gate.revoke()
    browser = Browser(widget)
    running = browser.request("curve", method="occlusion", target=0, fill="blur")
    gate.await_call()
    waiting = browser.request("curve", method="occlusion", target=0, fill="mean")

    browser.request("cancel", rid=waiting)
    assert browser.wait("cancelled", rid=waiting)
    browser.request("cancel", rid=running)
    gate.free()

    assert browser.wait("cancelled", rid=running)
    assert widget.wait(PATIENCE)


def test_what_cannot_be_answered_is_an_error(make: Make) -> None:
    """A missing result and a model that returns NaN for a part give errors; the next request succeeds."""

    def fragile(images: np.ndarray) -> np.ndarray:
        return np.where(images[:, :1, :1, 0].reshape(-1, 1) > 0.9, np.nan, images.mean((1, 2)))

    widget = make(fragile, methods=[GRID], target=0)
    browser = Browser(widget)

    early = browser.request("what_if", method="occlusion", target=0, **VIEW)
    assert "not computed" in browser.wait("error", rid=early).fields["message"]
    widget.compute(wait=True)
    broken = browser.request("what_if", method="occlusion", target=0, **{**VIEW, "fill": "white"})
    assert browser.wait("error", rid=broken).fields["kind"] == "BadOutput"
    broken = browser.request("curve", method="occlusion", target=0, fill="white")
    assert browser.wait("error", rid=broken).fields["kind"] == "BadOutput"
    assert what_if(browser, "occlusion", 0)["only"]


def test_closing_ends_all_requests(make: Make) -> None:
    """Waiting requests are withdrawn, and a running one ends after its model call."""
    gate = Gate()
    gate.release(10_000)
    widget = make(gate, methods=[GRID], target=0, batch_size=1)
    widget.compute(wait=True)
    gate.revoke()
    browser = Browser(widget)
    browser.request("curve", method="occlusion", target=0, fill="blur")
    gate.await_call()
    browser.request("what_if", method="occlusion", target=0, **VIEW)

    widget.close()
    gate.release(1)

    assert widget.wait(PATIENCE)
    assert gate.calls < 45


@pytest.mark.parametrize("seed", range(4))
def test_run_lengths_are_the_mask(seed: int) -> None:
    """A mask is restored from its run lengths unchanged, and through JSON's lists."""
    mask = np.random.default_rng(seed).random((5, 7)) < [0.5, 0, 1, 0.1][seed]

    picked = of_mask(mask)

    assert sum(picked["runs"]) == mask.size
    found = mask_of(picked, None, mask.shape)
    assert found is not None
    np.testing.assert_array_equal(found, mask)
    assert mask_of(picked, None, (7, 5)) is None
    assert mask_of({}, None, mask.shape) is None
    assert mask_of({"regions": [1]}, None, mask.shape) is None


def test_the_error_of_select_names_the_accepted_values(make: Make) -> None:
    """`select` takes a mask or ranks, not both, and refuses anything else."""
    widget: SaliencyWidget = make(methods=["gradient"], target=1)
    widget.compute(wait=True)
    top = widget.selection

    widget.select(~top)
    assert (widget.selection == ~top).all()
    widget.select()
    assert (widget.selection == top).all()
    with pytest.raises(TypeError, match="not both"):
        widget.select(top, regions=[0])
    with pytest.raises(saliency.BadField, match="regions"):
        widget.select(regions=[-1])
    with pytest.raises(saliency.BadShape, match="shape"):
        widget.select(np.zeros((2, 2, 2)))
