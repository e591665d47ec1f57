"""Concepts in the widget: tested on request, brushed, cancelled, cached, and stored in pages and scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.pictures.selection import of_mask
from saliency_widget.protocol.channels import LEVELS
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make, Run
from tests.widget.front_end import PATIENCE, Browser, Message, require_cancelled
from tests.widget.test_offline import packet_of, told_in


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit directions by differences of means, here and in the widget: 20 times as fast as logistic regression."""
    defaults: Any = saliency.concepts.TCAV.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "classifier", "mean_difference")


def noise(count: int, seed: int) -> np.ndarray:
    """Return random pictures, (count, 24, 20, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, 24, 20, 3)).astype(np.uint8)


def red() -> np.ndarray:
    """Return pictures that have red in common."""
    found = noise(12, 1) // 4
    found[..., 0] = 255 - found[..., 0]
    return found


RANDOM = noise(220, 0)
BRUSHED = np.zeros(picture().shape[:2], bool)
BRUSHED[2:8, 2:8] = True
REGION = {"name": "corner", "image": 0, **of_mask(BRUSHED)}


def of_net(make: Make, **options: Any) -> SaliencyWidget:
    """Return a widget of a small network, with one map computed."""
    widget = make(small_net(), methods=["gradient", "input_x_gradient"], labels=LABELS, target=1, **options)
    widget.compute("gradient", 1, wait=True)
    return widget


def with_red(make: Make) -> SaliencyWidget:
    """Return a widget with a concept."""
    return of_net(make, concepts={"red": red()}, random=RANDOM)


def request(browser: Browser, *brushed: Any, layer: str = "") -> str:
    """Send a `concepts`; return its id."""
    return browser.request("concepts", method="gradient", target=1, layer=layer, brushed=list(brushed))


def concepts(browser: Browser, *brushed: Any, layer: str = "") -> Message:
    """Return the answer to a `concepts`."""
    return browser.wait("concepts", rid=request(browser, *brushed, layer=layer))


def error_in(browser: Browser, *brushed: Any, layer: str = "") -> str:
    """Return the sentence of a refused `concepts`."""
    return str(browser.wait("error", rid=request(browser, *brushed, layer=layer)).fields["message"])


def numbers(answer: Message) -> dict[str, tuple[float, ...]]:
    """Return the sensitivity, band and p of each concept."""
    return {
        row["name"]: tuple(row[name] for name in ("sensitivity", "low", "high", "p"))
        for row in answer.fields["concepts"]
    }


def engine(tcav: saliency.concepts.TCAV) -> dict[str, tuple[float, ...]]:
    """Return the same of a test."""
    rows = tcav.scores([picture()], 1).rows
    return {each.concept: (each.sensitivity, *each.band, each.p) for each in rows}


def test_the_numbers_and_maps_are_the_engine_s(make: Make) -> None:
    """A sensitivity comes with its band and p-value, as of `TCAV.scores`; the map is `TCAV.maps`'s presence."""
    answer = concepts(Browser(with_red(make)))
    assert (answer.fields["sets"], answer.fields["label"]) == (20, LABELS[1])
    assert answer.fields["layer"] in answer.fields["layers"]

    tcav = saliency.concepts.TCAV(small_net(), {"red": red()}, RANDOM, answer.fields["layer"], labels=LABELS)
    expected = engine(tcav)
    assert numbers(answer).keys() == expected.keys()
    np.testing.assert_allclose(numbers(answer)["red"], expected["red"], rtol=1e-3, atol=1e-6)
    (plane,) = (each.presence for each in tcav.maps(picture(), 1))
    levels = np.frombuffer(answer.buffers["maps"], np.int8).reshape(answer.fields["shape"])
    np.testing.assert_allclose(levels / LEVELS, plane / np.abs(plane).max(), atol=0.02)


def test_a_brushed_region_is_a_concept(make: Make) -> None:
    """Its crops are compared with the random images; without these, with the rest of the picture, which a note says."""
    answer = concepts(Browser(with_red(make)), REGION)
    assert set(numbers(answer)) == {"red", "corner"}
    assert any("30 overlapping crops of one picture" in each for each in answer.fields["notes"])

    alone = concepts(Browser(of_net(make)), REGION)
    assert any("rest of the brushed pictures" in each for each in alone.fields["notes"])
    crops, outside = saliency.concepts.crops, saliency.concepts.crops_outside
    tcav = saliency.concepts.TCAV(
        small_net(),
        {"corner": crops(picture(), BRUSHED, 30, size=20)},
        outside(picture(), [BRUSHED], 200, size=20),
        alone.fields["layer"],
        labels=LABELS,
    )
    np.testing.assert_allclose(numbers(alone)["corner"], engine(tcav)["corner"], rtol=1e-3, atol=1e-6)


def test_regions_of_one_name_are_one_concept(make: Make) -> None:
    """Regions of several pictures under one name are crops of one concept, without the note on a single picture."""
    widget = make(small_net(), [picture(), picture()[::-1].copy()], methods=["gradient"], labels=LABELS, target=1)
    widget.compute("gradient", 1, wait=True)
    answer = concepts(Browser(widget), REGION, {**REGION, "image": 1})
    assert set(numbers(answer)) == {"corner"}
    assert not any("of one picture" in each for each in answer.fields["notes"])


def test_a_region_of_a_picture_of_a_gallery_that_is_closed_is_read(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A region that was brushed in a picture which was closed since is a concept of the pictures that are open."""
    monkeypatch.setattr("saliency_widget.work.explainers.MOST_OPENED", 1)
    widget = make(small_net(), noise(40, 3), methods=["gradient"], labels=LABELS, target=1)
    explainers = widget._explainers
    assert explainers is not None
    explainers.open(1)
    widget.image_index = 1
    widget.compute("gradient", 1, wait=True)
    explainers.open(2, needed=[1])
    assert (0, 0) not in explainers
    browser = Browser(widget)
    rid = browser.request("concepts", method="gradient", target=1, image=1, layer="", brushed=[REGION])
    assert set(numbers(browser.wait("concepts", rid=rid))) == {"corner"}


def test_images_are_read_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same request is answered from the cache; a new region reads only its own crops; a class reads nothing."""
    browser = Browser(with_red(make))
    concepts(browser)
    read = Mock(wraps=saliency.features)
    monkeypatch.setattr(saliency, "features", read)
    concepts(browser)
    assert read.call_count == 0
    concepts(browser, REGION)
    assert read.call_count == 1


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"concepts": {"red": red()}}, saliency.BadArgument, "needs random="),
        ({"concepts": [red()], "random": RANDOM}, saliency.BadField, "dict from name to images"),
        ({"concepts": {"": red()}, "random": RANDOM}, saliency.BadField, "name of a concept"),
        ({"brushed": [{"name": "a"}]}, saliency.BadField, "brushed: expected regions"),
    ],
)
def test_wrong_arguments_are_refused(make: Make, given: Any, error: type[Exception], sentence: str) -> None:
    """What is no set of concepts is refused when the widget is made."""
    with pytest.raises(error, match=sentence):
        make(**given)


def test_reasons_are_sentences(make: Make, tmp_path: Path) -> None:
    """Concepts of one image, empty folders, few random images, no room, no concept: the reason and the way out."""
    assert "at least 10 images" in error_in(Browser(of_net(make, concepts={"one": red()[:1]}, random=RANDOM)))
    empty = error_in(Browser(of_net(make, concepts={"none": str(tmp_path)}, random=RANDOM)))
    assert "concept 'none'" in empty
    assert "at least 200 images" in error_in(Browser(of_net(make, concepts={"red": red()}, random=RANDOM[:150])))
    browser = Browser(of_net(make))
    assert "brush a region" in error_in(browser)
    everything = {**REGION, **of_mask(np.ones_like(BRUSHED))}
    assert "no room" in error_in(browser, everything)
    assert "another size" in error_in(browser, {**REGION, **of_mask(BRUSHED[:9])})
    assert "UnknownName" in str(browser.wait("error", rid=request(browser, REGION, layer="nowhere")).fields["kind"])
    assert "called 'red' already" in error_in(Browser(with_red(make)), {**REGION, "name": "red"})
    for wrong in ({"brushed": [{**REGION, "image": 7}]}, {"brushed": None}, {"layer": 3}):
        rid = browser.request("concepts", **{"method": "gradient", "target": 1, "layer": "", "brushed": [], **wrong})
        assert not [each for each in browser.messages if each.rid == rid]


def test_a_plain_function_has_no_concepts(make: Make) -> None:
    """A model without layers gives the reason."""
    function = make(lambda images: images.mean((1, 2)), methods=["occlusion"], preprocess="0..1", target=1)
    function.compute(wait=True)
    browser = Browser(function)
    rid = browser.request("concepts", method="occlusion", target=1, layer="", brushed=[REGION])
    assert "layers" in browser.wait("error", rid=rid).fields["message"]


def test_a_test_that_waits_is_cancelled(make: Make) -> None:
    """A test that waits for the model's thread ends with `cancelled`."""
    widget = with_red(make)
    require_cancelled(widget, request, "concepts")


def test_pages_and_later_views_hold_the_concepts(make: Make) -> None:
    """An exported page, a saved notebook and the answer to `hello` hold them; the state has the regions."""
    widget = with_red(make)
    widget.brushed = [REGION]
    answer = concepts(Browser(widget), REGION)
    widget.wait(PATIENCE)
    asked = {
        "op": "concepts",
        "method": "gradient",
        "target": 1,
        "model": 0,
        "image": 0,
        "layer": "",
        "brushed": [REGION],
    }
    for packet in (packet_of(widget.to_html()), widget._snapshot):
        (stored,) = told_in(packet, "concepts")
        assert stored["asked"] == asked
        assert stored["concepts"] == answer.fields["concepts"]
    later = Browser(widget)
    later.request("hello")
    assert later.wait("concepts").buffers == answer.buffers
    again = SaliencyWidget.from_state(widget.state(), small_net(), picture(), labels=LABELS)
    assert again.brushed == [REGION]
    again.close()


def test_the_script_tests_the_concepts(make: Make, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`code()` includes the test once it was made, with the regions; the script prints the same numbers."""
    widget = with_red(make)
    assert "TCAV" not in widget.code()
    answer = concepts(Browser(widget), REGION)
    text = widget.code()
    assert "# model, img, concepts, random, labels: as they were given to the widget" in text

    names = run(text, model=small_net(), img=picture(), labels=LABELS, concepts={"red": red()}, random=RANDOM)
    maps = {each.concept: each.sensitivity for each in names["tcav"].maps(picture(), 1)}
    assert maps.keys() == numbers(answer).keys()
    for name, (sensitivity, *_) in numbers(answer).items():
        assert maps[name] == pytest.approx(sensitivity, rel=1e-3, abs=1e-6)
    assert names["concept_map"].shape == picture().shape[:2]
    assert "random 95 %" in capsys.readouterr().out
