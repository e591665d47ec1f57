"""The training images for and against an answer: found on request, cancelled, cached, stored in pages and scripts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import saliency
from saliency_widget import SaliencyWidget
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make, Run
from tests.widget.front_end import PATIENCE, Browser, Message, require_cancelled
from tests.widget.test_offline import packet_of, told_in

SHOWN = 5


def training_images() -> list[tuple[np.ndarray, int]]:
    """Return 16 pictures with a class each."""
    random = np.random.default_rng(4)
    return [(random.integers(0, 256, (24, 20, 3)).astype(np.uint8), i % len(LABELS)) for i in range(16)]


def index_of(net: Any = None, dataset: Any = None, **options: Any) -> saliency.influence.Index:
    """Return the index of the training images of a small network."""
    images = training_images() if dataset is None else dataset
    return saliency.influence.Index(net or small_net(), images, labels=LABELS, progress=False, **options)


def of_net(make: Make, index: Any, net: Any = None) -> SaliencyWidget:
    """Return a widget of a small network and its training images, with one map computed."""
    widget = make(net or small_net(), methods=["gradient", "input_x_gradient"], labels=LABELS, target=1, index=index)
    widget.compute("gradient", 1, wait=True)
    return widget


def request(browser: Browser) -> str:
    """Send an `examples`; return its id."""
    return browser.request("examples", method="gradient", target=1)


def examples(browser: Browser) -> Message:
    """Return the answer to an `examples`."""
    return browser.wait("examples", rid=request(browser))


def error_in(browser: Browser) -> str:
    """Return the sentence of a refused `examples`."""
    return str(browser.wait("error", rid=request(browser)).fields["message"])


def test_the_examples_are_the_engine_s(make: Make) -> None:
    """Names, labels, scores and losses are those of `Index.explain`; each image has its picture and two maps."""
    index = index_of()
    answer = examples(Browser(of_net(make, index)))
    found = index.explain(picture(), 1, SHOWN)
    expected = [*found.proponents, *found.opponents]

    rows = answer.fields["examples"]
    assert [(row["name"], row["label"]) for row in rows] == [(each.name, each.label) for each in expected]
    np.testing.assert_allclose([row["score"] for row in rows], [each.score for each in expected], rtol=1e-5)
    np.testing.assert_allclose([row["loss"] for row in rows], [each.loss for each in expected], rtol=1e-5)
    assert (answer.fields["label"], answer.fields["count"]) == (LABELS[1], len(index))
    for i, (row, each) in enumerate(zip(rows, expected, strict=True)):
        with Image.open(io.BytesIO(answer.buffers[str(i)])) as image:
            assert list(image.size[::-1]) == row["size"] == list(each.picture.shape[:2])
    levels = np.frombuffer(answer.buffers["maps"], np.uint8)
    assert levels.size == sum(height * width for row in rows for height, width in row["shared"])
    mine = expected[0].similarity()[0].mask
    top = np.percentile(mine, 99)
    share = np.clip((mine - mine.min()) / (top - mine.min()), 0, 1)
    np.testing.assert_allclose(levels[: mine.size].reshape(mine.shape) / 255, share, atol=0.51 / 255)


def test_examples_are_on_offer_with_an_index_only(make: Make) -> None:
    """`spec` says which models have an index; a request without one is refused, and the way out is named."""
    assert of_net(make, index_of()).spec["index"] == [True]
    without = of_net(make, None)
    assert without.spec["index"] == [False]
    assert "index=saliency.influence.Index" in error_in(Browser(without))


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ("folder", "must be an index of the model's training images.*got str"),
        ([None, None], "for each of the 1 models, got 2"),
        (saliency.influence.Index, "got type"),
    ],
)
def test_a_wrong_index_is_refused(make: Make, index: Any, sentence: str) -> None:
    """What is no index, or not one for each model, is refused when the widget is made."""
    with pytest.raises(saliency.BadField, match=sentence):
        make(index=index)


def test_an_index_of_another_model_is_refused(make: Make) -> None:
    """Other weights, another preprocess, another number of classes: the sentence gives both numbers and the way out."""
    assert "for bee, the model" in error_in(Browser(of_net(make, index_of(small_net(seed=5)))))
    assert "another preprocess" in error_in(Browser(of_net(make, index_of(preprocess="0..255"))))
    wide = small_net()
    wide.head = torch.nn.Linear(6, 6)
    index = saliency.influence.Index(wide, training_images(), progress=False)
    assert "it has 6 classes, the model 4" in error_in(Browser(of_net(make, index)))


def test_an_index_of_earlier_weights_is_refused(make: Make) -> None:
    """Features of earlier weights are of another model; a new index is not."""
    net = small_net()
    index = index_of(net)
    with torch.no_grad():
        net.block.weight.mul_(1.5)
    assert "weights have changed" in error_in(Browser(of_net(make, index, net)))
    assert examples(Browser(of_net(make, index_of(net), net)))


def test_images_that_are_read_in_order_have_no_pictures(make: Make) -> None:
    """The training images of a stream are listed by name, with the reason why they have no picture."""

    def stream() -> Iterator[tuple[np.ndarray, int]]:
        yield from training_images()

    answer = examples(Browser(of_net(make, index_of(dataset=stream()))))
    assert answer.buffers == {}
    assert {row["shared"] for row in answer.fields["examples"]} == {None}
    assert "read in order" in answer.fields["notes"][-1]


def test_examples_that_wait_are_cancelled(make: Make) -> None:
    """A search that waits for the model's thread ends with `cancelled`."""
    widget = of_net(make, index_of())
    require_cancelled(widget, request, "examples")


def test_pages_and_later_views_hold_the_examples(make: Make) -> None:
    """An exported page and the answer to `hello` hold them with their pictures; a saved notebook has no room."""
    widget = of_net(make, index_of())
    answer = examples(Browser(widget))
    widget.wait(PATIENCE)

    (stored,) = told_in(packet_of(widget.to_html()), "examples")
    assert stored["asked"] == {"op": "examples", "method": "gradient", "target": 1, "model": 0, "image": 0}
    assert stored["examples"] == answer.fields["examples"]
    assert sum(stored["lengths"]) == sum(map(len, answer.buffers.values()))
    assert told_in(widget._snapshot, "examples") == []
    later = Browser(widget)
    later.request("hello")
    assert later.wait("examples").buffers == answer.buffers


def test_the_script_finds_the_examples(make: Make, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`code()` includes the call once they were found; the script prints the same images."""
    widget = of_net(make, index_of())
    assert "index" not in widget.code()
    first = examples(Browser(widget)).fields["examples"][0]
    text = widget.code()
    assert "# model, img, index, labels: as they were given to the widget" in text

    run(text, model=small_net(), img=picture(), labels=LABELS, index=index_of())
    assert first["name"] in capsys.readouterr().out.splitlines()[2].split()
