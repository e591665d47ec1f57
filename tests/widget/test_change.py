"""The smallest change: computed on request, streamed, cancelled, cached, and stored in pages and scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.pictures.placement import Placement, find_placement
from saliency_widget.pictures.selection import mask_of
from saliency_widget.protocol.change import MOST_SETS, change_message
from tests.nets import LABELS, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, Gate
from tests.widget.test_offline import packet_of, told_in

SIDE = 21


def corners(images: np.ndarray) -> np.ndarray:
    """Say "both" (1) while two corners are bright, "not both" (0) as soon as one of them is not."""
    bright = np.minimum(images[:, :3, :3].mean((1, 2, 3)), images[:, -3:, -3:].mean((1, 2, 3)))
    both = 1 / (1 + np.exp(-20 * (bright - 0.5)))
    return np.stack([1 - both, both], 1)


def lit() -> np.ndarray:
    """Return a black picture with two bright corners, uint8."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[:3, :3] = image[-3:, -3:] = 255
    return image


def of_corners(make: Make, **options: Any) -> SaliencyWidget:
    """Return a widget of the two corners, with the map of the answer computed."""
    methods = [saliency.Occlusion(size=3, stride=3)]
    widget = make(corners, lit(), methods, labels=["not both", "both"], preprocess="0..1", **options)
    widget.compute("occlusion", 1, wait=True)
    return widget


def change(
    browser: Browser, method: str = "occlusion", target: int = 1, kind: str = "remove", fill: str = "black"
) -> dict[str, Any]:
    """Return the answer to a `change`."""
    rid = browser.request("change", method=method, target=target, kind=kind, fill=fill)
    return browser.wait("change", rid=rid).fields


def test_the_smallest_change_is_the_engine_s(make: Make) -> None:
    """A `change` returns what `saliency.counterfactual` does; its sets are selections of the shown picture."""
    widget = of_corners(make)
    for kind in ("remove", "keep"):
        browser = Browser(widget)
        answer = change(browser, kind=kind)

        expected = saliency.counterfactual(
            corners, lit(), 1, kind=kind, fill="black", order=widget.explanations["occlusion", 1],
            labels=["not both", "both"], preprocess="0..1", progress=False,
        )  # fmt: skip
        assert answer["sentence"] == expected.sentence
        assert (answer["before"], answer["after"]) == pytest.approx((expected.before, expected.after), abs=1e-6)
        assert (answer["minimal"], answer["smallest"]) == (expected.minimal, expected.smallest)
        assert (answer["percent"], answer["label"], answer["images"]) == (True, "both", expected.calls)
        wanted = [expected.mask_of(each) for each in (expected.segments, *expected.others)][:MOST_SETS]
        found = [mask_of(each, None, (SIDE, SIDE)) for each in answer["sets"]]
        np.testing.assert_array_equal(found, wanted)
        ops = [each.op for each in browser.messages]
        assert "progress" in ops


def test_a_set_that_is_selected_is_what_the_model_is_tested_on(make: Make) -> None:
    """Selected as `picked`, the smallest change gives the same probability in *What if…*: removed, or kept alone."""
    widget = of_corners(make)
    browser = Browser(widget)
    for kind, part in (("remove", "without"), ("keep", "only")):
        answer = change(browser, kind=kind)
        widget.picked = answer["sets"][0]
        assert widget.selection.any()
        view = {"sign": "auto", "keep": 30, "region": 0, "picked": widget.picked, "fill": "black"}
        rid = browser.request("what_if", method="occlusion", target=1, **view)
        rows = browser.wait("what_if", rid=rid).fields[part]

        (probability,) = (row["probability"] for row in rows if row["index"] == 1)
        assert probability == pytest.approx(answer["after"], abs=1e-6)


def test_sets_are_upright_where_the_model_sees_a_flipped_picture() -> None:
    """The set of a model that sees the picture upside down is turned back for the shown picture."""
    found = saliency.counterfactual(corners, lit(), 1, fill="black", preprocess="0..1", progress=False)
    flipped = find_placement(np.array([[-1.0, 0, SIDE - 1], [0, 1, 0]]), (SIDE, SIDE), (SIDE, SIDE), (SIDE, SIDE))

    plain, turned = (
        mask_of(change_message(found, each).fields["sets"][0], None, (SIDE, SIDE))
        for each in (Placement((0, 0, SIDE, SIDE), None), flipped)
    )
    assert plain is not None
    assert turned is not None
    np.testing.assert_array_equal(turned, plain[::-1])
    assert not np.array_equal(turned, plain)


def test_a_smallest_change_is_computed_once(make: Make) -> None:
    """The same request is answered from the cache; another kind or fill is not."""
    evaluated: list[int] = []

    def counted(images: np.ndarray) -> np.ndarray:
        evaluated.append(len(images))
        return corners(images)

    widget = make(counted, lit(), [saliency.Occlusion(size=3, stride=3)], target=1, preprocess="0..1")
    widget.compute(wait=True)
    browser = Browser(widget)
    first = change(browser)
    evaluated.clear()

    assert change(browser)["sets"] == first["sets"]
    assert evaluated == []
    change(browser, kind="keep")
    assert sum(evaluated) > 0


def test_python_finds_and_reads_the_smallest_change(make: Make) -> None:
    """`change` returns the engine's result, shows it in the browser, and `changes` has all that were found."""
    widget = of_corners(make, target=1)
    browser = Browser(widget)
    assert widget.changes == {}

    found = widget.change("remove", "black")
    assert widget.change("remove", "black") is found
    assert browser.wait("change").fields["sentence"] == found.sentence
    kept = widget.change("keep", "black", method="occlusion", target="both")

    assert (found.kind, kept.kind) == ("remove", "keep")
    assert widget.changes == {
        ("occlusion", 1, "remove", "black", None): found,
        ("occlusion", 1, "keep", "black", None): kept,
    }
    with pytest.raises(saliency.UnknownName, match="keep"):
        widget.change("less")
    with pytest.raises(saliency.UnknownName, match="grey"):
        widget.change(fill="pink")
    with pytest.raises(saliency.BadTarget, match="both"):
        widget.change(target=0)


def test_a_change_leads_to_a_given_class(make: Make) -> None:
    """`to` is a class by index or label, else `change_to`; the answer itself as `change_to` means any other class."""
    widget = of_corners(make, target=1)
    options: dict[str, Any] = {"labels": ["not both", "both"], "preprocess": "0..1", "progress": False, "fill": "black"}
    order = widget.explanations["occlusion", 1]
    expected = saliency.counterfactual(corners, lit(), 1, to=0, order=order, **options)

    found = widget.change(fill="black", to="not both")
    assert (found.segments, found.answers) == (expected.segments, expected.answers)
    assert widget.change(fill="black", to=0) is found
    widget.change_to = "not both"
    assert widget.change_to == 0
    assert widget.change(fill="black") is found
    widget.change_to = 1
    anything = widget.change(fill="black")
    assert list(widget.changes) == [("occlusion", 1, "remove", "black", each) for each in (0, None)]
    assert anything is not found
    with pytest.raises(saliency.BadTarget, match="already"):
        widget.change(to="both")
    with pytest.raises(saliency.UnknownName, match="neither"):
        widget.change(to="neither")
    with pytest.raises(saliency.BadField, match="change_to"):
        widget.change_to = 7


def test_a_class_that_is_not_the_answer_is_changed_to(make: Make) -> None:
    """The picture's change to the explained class is found, and stored with its class in pages, scripts and states."""
    dark = make(corners, 255 - lit(), [saliency.Occlusion(size=3, stride=3)], preprocess="0..1", target=1, change_to=1)
    dark.compute(wait=True)
    browser = Browser(dark)
    rid = browser.request("change", method="occlusion", target=1, kind="remove", fill="white", to=1)
    answer = browser.wait("change", rid=rid).fields

    assert answer["before"] < 0.5 < answer["after"]
    (stored,) = told_in(packet_of(dark.to_html()), "change")
    assert stored["asked"]["to"] == 1
    assert "kind='remove', to=1, fill='white'" in dark.code()
    again = SaliencyWidget.from_state(dark.link(), corners, lit(), preprocess="0..1", methods=["occlusion"])
    assert again.change_to == 1
    again.close()


def test_a_value_changes_to_a_number(make: Make) -> None:
    """Of a model whose output is a value, `to` is the number to reach, which the script repeats."""

    def brightness(images: np.ndarray) -> np.ndarray:
        return images.mean((1, 2, 3))[:, None] * 10

    methods = [saliency.Occlusion(size=3, stride=3)]
    widget = make(brightness, lit(), methods, preprocess="0..1")
    found = widget.change(fill="white", to=0.5)
    assert found.after >= 0.5 > found.before
    assert "to=0.5" in widget.code()
    with pytest.raises(saliency.BadArgument, match="pass to"):
        widget.change(fill="white")


def test_reasons_of_the_engine_are_errors(make: Make) -> None:
    """A class that is not the answer, and a map that is not computed, give the engine's reason; invalid fields none."""
    widget = of_corners(make)
    widget.compute("occlusion", 0, wait=True)
    browser = Browser(widget)

    rid = browser.request("change", method="occlusion", target=0, kind="remove", fill="black")
    error = browser.wait("error", rid=rid).fields
    assert error["kind"] == "BadTarget"
    assert "both" in error["message"]
    for wrong in ({"kind": "less"}, {"fill": "pink"}, {"kind": None}, {"to": "both"}, {"to": True}):
        rid = browser.request("change", **{"method": "occlusion", "target": 1, "kind": "keep", "fill": "blur", **wrong})
        assert not [each for each in browser.messages if each.rid == rid]


def test_a_smallest_change_is_cancelled(make: Make) -> None:
    """A search that runs ends with `cancelled`, and the model's thread is then free."""
    gate = Gate()
    gate.release(10_000)

    def slow(images: np.ndarray) -> np.ndarray:
        gate(images)
        return corners(images)

    widget = make(slow, lit(), [saliency.Occlusion(size=3, stride=3)], preprocess="0..1", target=1, batch_size=1)
    widget.compute(wait=True)
    gate.revoke()
    browser = Browser(widget)
    rid = browser.request("change", method="occlusion", target=1, kind="remove", fill="black")
    gate.await_call()
    browser.request("cancel", rid=rid)
    gate.free()

    assert browser.wait("cancelled", rid=rid)
    assert widget.wait(PATIENCE)
    assert browser.of("change", rid) == []


def test_pages_notebooks_and_later_views_hold_the_smallest_change(make: Make) -> None:
    """An exported page, a saved notebook and the answer to `hello` hold it with its request."""
    widget = of_corners(make, target=1)
    answer = change(Browser(widget))
    widget.wait(PATIENCE)
    asked = {
        "op": "change",
        "method": "occlusion",
        "target": 1,
        "model": 0,
        "image": 0,
        "kind": "remove",
        "fill": "black",
        "to": None,
    }

    for packet in (packet_of(widget.to_html()), widget._snapshot):
        (stored,) = told_in(packet, "change")
        assert stored["asked"] == asked
        assert stored["sets"] == answer["sets"]
    later = Browser(widget)
    later.request("hello")
    assert later.wait("change").fields["asked"] == asked


def test_the_script_computes_the_smallest_change(make: Make, tmp_path: Path) -> None:
    """`code()` includes the call once it was computed; the script prints the same sentence."""
    widget = make(small_net(), labels=LABELS, methods=["gradient"])
    target = widget.compute(wait=True).target
    assert "counterfactual" not in widget.code()
    answer = change(Browser(widget), "gradient", int(target), fill="noise")
    text = widget.code()
    call = f"saliency.counterfactual(model, img, {target}, kind='remove', fill='noise', order=found, labels=labels"
    assert call in text

    file = tmp_path / "script.py"
    head = "import matplotlib; matplotlib.use('agg')\nfrom tests.nets import *\n"
    file.write_text(f"{head}model, img, labels = small_net(), picture(), LABELS\n{text}")
    ran = subprocess.run([sys.executable, file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert answer["sentence"] in ran.stdout
