"""The verdict on a map: measured on request, streamed, cancelled, cached, and stored in pages and scripts."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import saliency
from saliency_widget import SaliencyWidget
from tests.nets import LABELS, black_box, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, Gate
from tests.widget.test_offline import packet_of, told_in

GRID = saliency.Occlusion(size=4, stride=4)
VIEW = {"sign": "auto", "keep": 30, "region": 0, "picked": {}, "fill": "blur"}


def verdict(browser: Browser, method: str, target: int = 1) -> dict[str, Any]:
    """Return the answer to a `check`."""
    rid = browser.request("check", method=method, target=target)
    return browser.wait("verdict", rid=rid).fields


def test_the_verdict_is_the_engine_s(make: Make) -> None:
    """A `check` returns what `saliency.check` does: the sentence, the measurements with bands and curves, the cost."""
    net = small_net()
    widget = make(net, labels=LABELS, target=1, methods=["gradient"])
    explanation = widget.compute(wait=True)
    browser = Browser(widget)

    answer = verdict(browser, "gradient")

    expected = saliency.check(net, picture(), explanation, labels=LABELS, progress=False)
    assert (answer["supported"], answer["sentence"]) == (expected.supported, expected.sentence)
    assert answer["strength"] == pytest.approx(expected.strength, abs=1e-5)
    assert answer["images"] == [expected.images, expected.images_of_bands, expected.images_of_reruns]
    assert answer["percent"] is True
    for given, measure in zip(answer["measures"], expected.measures.values(), strict=True):
        assert (given["title"], given["advice"]) == (measure.title, measure.metric.advice)
        assert (given["decides"], given["reason"]) == (measure.decides, measure.found.reason)
        if not measure.found.reason:
            assert given["value"] == pytest.approx(measure.found.value, abs=1e-5)
        if measure.decides:
            band = measure.found.band
            assert band is not None
            assert (given["low"], given["high"]) == pytest.approx((band.low, band.high), abs=1e-5)
            for curve in given["curves"]:
                np.testing.assert_allclose(curve["values"], measure.found.curves[curve["name"]].values, atol=1e-5)
            assert given["band"]["low"] == pytest.approx(next(iter(band.curves.values()))[1].tolist(), abs=1e-5)
    result = browser.wait("result", rid=browser.request("compute", method="gradient", target=1)).fields["result"]
    assert result["check"] == list(saliency.check_cost(explanation))


def test_partial_verdicts_arrive_first(make: Make) -> None:
    """A `partial_verdict` follows each measurement, the first before any random map; progress is reported."""
    widget = make(target=1, methods=["gradient"])
    widget.compute(wait=True)
    browser = Browser(widget)

    rid = browser.request("check", method="gradient", target=1)
    browser.wait("verdict", rid=rid)

    replies = [each.op for each in browser.messages if each.rid == rid]
    first, *others = browser.of("partial_verdict", rid)
    assert replies[0] == "accepted"
    assert "progress" in replies
    assert replies[-1] == "verdict"
    assert first.fields["images"][1] == 0
    assert first.fields["supported"] is None
    assert len(others) >= 3


def test_random_maps_are_evaluated_once_for_a_target(make: Make) -> None:
    """The second map of a class reuses the random maps of the first; a verdict that is requested again is cached."""
    evaluated: list[int] = []
    function = black_box(small_net())

    def counted(images: np.ndarray) -> Any:
        evaluated.append(len(images))
        return function(images)

    widget = make(counted, methods=[GRID, saliency.Occlusion(size=6, stride=6)], target=1)
    for method in ("occlusion", "occlusion-2"):
        widget.compute(method, wait=True)
    browser = Browser(widget)

    first, other = verdict(browser, "occlusion"), verdict(browser, "occlusion-2")
    assert first["images"][1] > 0
    assert other["images"][1] == 0
    assert [each["low"] for each in other["measures"]] == [each["low"] for each in first["measures"]]
    evaluated.clear()
    again = verdict(browser, "occlusion")
    assert evaluated == []
    assert again["sentence"] == first["sentence"]


def test_a_selection_is_evaluated_while_a_verdict_is_measured(make: Make) -> None:
    """A what-if runs between two model calls of a check, which can be cancelled; the model's thread is then free."""
    gate = Gate()
    gate.release(10_000)
    widget = make(gate, methods=[GRID], target=0, batch_size=1)
    widget.compute(wait=True)
    gate.revoke()
    browser = Browser(widget)
    running = browser.request("check", method="occlusion", target=0)
    gate.await_call()
    waiting = browser.request("check", method="occlusion", target=0)

    rid = browser.request("what_if", method="occlusion", target=0, **VIEW)
    gate.release(8)
    browser.wait("what_if", rid=rid)
    assert browser.of("verdict", running) == []
    for each in (waiting, running):
        browser.request("cancel", rid=each)
    gate.free()

    assert browser.wait("cancelled", rid=waiting)
    assert browser.wait("cancelled", rid=running)
    assert widget.wait(PATIENCE)


def test_a_failed_verdict_is_an_error(make: Make) -> None:
    """A map that is not computed, and a model that raises, give errors; the next request succeeds."""
    faults: list[str] = []

    def fragile(images: np.ndarray) -> np.ndarray:
        if faults:
            raise ValueError(faults.pop())
        return np.asarray(images.mean((1, 2)))

    widget = make(fragile, methods=[GRID], target=0)
    browser = Browser(widget)

    early = browser.request("check", method="occlusion", target=0)
    assert "not computed" in browser.wait("error", rid=early).fields["message"]
    widget.compute(wait=True)
    faults.append("out of order")
    broken = browser.request("check", method="occlusion", target=0)
    assert "out of order" in browser.wait("error", rid=broken).fields["message"]
    assert verdict(browser, "occlusion", 0)["sentence"]


def test_other_weights_are_measured_again(make: Make) -> None:
    """After a change of weights the page is notified, and a verdict uses neither cached numbers nor cached bands."""
    net = small_net()
    widget = make(net, labels=LABELS, target=1, methods=["gradient"])
    widget.compute(wait=True)
    browser = Browser(widget)
    before = verdict(browser, "gradient")
    with torch.no_grad():
        for weights in net.parameters():
            weights.mul_(0.5)

    widget._check_weights()
    browser.wait("stale")
    widget.wait(PATIENCE)
    widget.compute(wait=True)
    after = verdict(browser, "gradient")

    assert after["images"][1] > 0
    assert after["measures"][0]["value"] != before["measures"][0]["value"]


def test_python_measures_as_the_tab_does(make: Make) -> None:
    """check() computes the map, returns the engine's verdict and sends it with its request; it is measured once."""
    net = small_net()
    widget = make(net, labels=LABELS, target=0, methods=["gradient", "grad_cam"])
    browser = Browser(widget)
    assert widget.verdicts == {}

    found = widget.check("gradient", LABELS[1])

    explanation = widget.explanations["gradient", 1]
    expected = saliency.check(net, picture(), explanation, labels=LABELS, progress=False)
    assert found.sentence == expected.sentence
    assert found.strength == pytest.approx(expected.strength, abs=1e-5)
    assert widget.verdicts == {("gradient", 1): found}
    sent = browser.wait("verdict").fields
    assert sent["asked"] == {"op": "check", "method": "gradient", "target": 1, "model": 0, "image": 0}
    assert (sent["rid"], sent["sentence"]) == ("", found.sentence)
    assert widget.check("gradient", 1) is found
    assert widget.check().measures.keys() == found.measures.keys()
    assert set(widget.verdicts) == {("gradient", 1), (widget.method, widget.target)}
    with pytest.raises(saliency.UnknownName, match="offers no method"):
        widget.check("gradients")


def test_a_page_that_is_opened_later_gets_the_verdicts(make: Make) -> None:
    """The state that a `hello` returns has each verdict after its result."""
    widget = make(target=1, methods=["gradient"])
    found = widget.check()

    browser = Browser(widget)
    browser.request("hello")
    sent = browser.wait("verdict").fields

    assert sent["sentence"] == found.sentence
    ops = [each.op for each in browser.messages]
    assert ops.index("result") < ops.index("verdict")


def test_a_check_from_python_is_cancelled(make: Make) -> None:
    """cancel() ends a check that runs, and one that waits, with Cancelled."""
    gate = Gate()
    gate.release(10_000)
    widget = make(gate, methods=[GRID, saliency.Occlusion(size=6, stride=6)], target=0, batch_size=1)
    for method in ("occlusion", "occlusion-2"):
        widget.compute(method, wait=True)
    gate.revoke()
    explainer = widget._ready_explainers().shown
    results = list(explainer.results.values())
    errors: list[saliency.Cancelled] = []

    def check(number: int) -> None:
        try:
            explainer.what_if_requests.wait_for_verdict(results[number])
        except saliency.Cancelled as error:
            errors.append(error)

    threads = [threading.Thread(target=check, args=[number]) for number in range(2)]
    threads[0].start()
    gate.await_call()
    threads[1].start()
    while len(explainer._queue._open) < 2:
        time.sleep(0.01)
    widget.cancel()
    gate.free()
    for each in threads:
        each.join(PATIENCE)

    assert widget.wait(PATIENCE)
    assert len(errors) == 2
    assert widget.verdicts == {}


def checked(make: Make) -> tuple[SaliencyWidget, dict[str, Any]]:
    """Return a widget with a verdict."""
    widget = make(small_net(), labels=LABELS, target=1, methods=["gradient", "grad_cam"], method="gradient")
    widget.compute(wait=True)
    answer = verdict(Browser(widget), "gradient")
    widget.wait(PATIENCE)
    return widget, answer


def test_pages_and_notebooks_hold_the_verdict(make: Make) -> None:
    """An exported page and a saved notebook store the verdict with its request, and name it in their caption."""
    widget, answer = checked(make)

    page = widget.to_html()
    for packet in (packet_of(page), widget._snapshot):
        (stored,) = told_in(packet, "verdict")
        assert stored["asked"] == {"op": "check", "method": "gradient", "target": 1, "model": 0, "image": 0}
        assert stored["sentence"] == answer["sentence"]
    assert told_in(packet_of(page), "partial_verdict") == []
    words = answer["sentence"].split("'")[0]
    assert words in page.partition("<figcaption>")[2].partition("</figcaption>")[0]
    widget.method = "grad_cam"
    assert words not in widget.to_html().partition("<figcaption>")[2].partition("</figcaption>")[0]


def test_a_page_measures_the_evidence_first(make: Make) -> None:
    """`to_html(evidence=True)` measures every map of the present weights, and no curve."""
    net = small_net()
    widget = make(net, labels=LABELS, target=1, methods=["gradient", "grad_cam"])
    for method in ("gradient", "grad_cam"):
        widget.compute(method, wait=True)
    with torch.no_grad():
        for weights in net.parameters():
            weights.mul_(0.5)
    widget.compute("gradient", wait=True)

    browser = Browser(widget)
    page = packet_of(widget.to_html(evidence=True))

    (stored,) = told_in(page, "verdict")
    assert browser.wait("verdict").fields["asked"] == stored["asked"]
    assert stored["asked"]["method"] == "gradient"
    assert told_in(page, "curve") == []
    assert set(widget.verdicts) == {("gradient", 1)}


def test_the_script_measures_the_verdict(make: Make, tmp_path: Path) -> None:
    """`code()` checks the maps that were checked in the widget, and no others; the script prints the same sentence."""
    widget, answer = checked(make)
    text = widget.code()
    assert "print(saliency.check(model, img, found, labels=labels, progress=False))" in text

    file = tmp_path / "script.py"
    head = "import matplotlib; matplotlib.use('agg')\nfrom tests.nets import *\n"
    file.write_text(f"{head}model, img, labels = small_net(), picture(), LABELS\n{text}")
    ran = subprocess.run([sys.executable, file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert answer["sentence"] in ran.stdout

    widget.compute("grad_cam", wait=True)
    widget.compare(["grad_cam", "gradient"])
    assert [line for line in widget.code().splitlines() if "saliency.check" in line] == [
        "print(saliency.check(model, img, cells[1][1], labels=labels, progress=False))"
    ]
