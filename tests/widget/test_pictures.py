"""Another picture for a widget that is open: from Python, and dropped or pasted in the browser."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saliency
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser


def other(size: tuple[int, int] = (16, 28)) -> np.ndarray:
    """Return another picture than the default, uint8 (H, W, 3)."""
    return np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)


def file(array: np.ndarray, kind: str = "PNG") -> bytes:
    """Return a picture as a file."""
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def send(browser: Browser, data: Any, name: str = "cat") -> str:
    """Drop a file and return the rid of the request."""
    browser.send({"op": "picture", "rid": f"drop-{name}", "name": name}, data if isinstance(data, list) else [data])
    return f"drop-{name}"


def test_a_dropped_picture_is_explained(make: Make) -> None:
    """A dropped picture is shown with its own prediction and top class; the first one keeps its results."""
    net = small_net()
    widget = make(net, labels=LABELS, target=1, methods=["gradient"])
    first = widget.compute(wait=True)
    browser = Browser(widget)

    rid = send(browser, file(other()))

    assert browser.wait("taken", rid=rid).fields["image"] == 1
    welcome = browser.wait("welcome").fields
    assert welcome["image"] == 1
    assert widget.spec["images"][1] == {"name": "cat", "size": [16, 28]}
    assert widget.image_index == 1
    found = widget.compute(wait=True)
    alone = saliency.explain(net, other(), "gradient", progress=False, labels=LABELS)
    np.testing.assert_allclose(found.mask, alone.mask, atol=1e-6)
    assert widget.target == alone.target
    widget.image_index = 0
    widget.target = 1
    assert widget.explanation is first


def test_a_picture_is_read_and_fed_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is decoded and preprocessed once for all methods, what-if results and curves of a widget."""
    opened, fed = [], []
    whole = Image.open

    def counted(*args: Any) -> Any:
        opened.append(args)
        return whole(*args)

    def preprocess(image: Image.Image) -> np.ndarray:
        fed.append(np.array_equal(np.asarray(image), other()))
        return np.asarray(image, np.float32) / 255

    monkeypatch.setattr(Image, "open", counted)
    widget = make(small_net(), file(other()), ["gradient", "occlusion", "grad_cam"], preprocess=preprocess, target=1)
    widget.compute("gradient", wait=True)
    before = sum(fed)
    widget.compute("occlusion", wait=True)
    browser = Browser(widget)
    about = {"method": "gradient", "target": 1, "fill": "mean"}
    browser.wait("what_if", rid=browser.request("what_if", sign="auto", keep=30, region=0, picked={}, **about))
    browser.wait("curve", rid=browser.request("curve", **about))
    widget.compute("grad_cam", wait=True)

    assert before >= 1
    assert sum(fed) == before
    assert len(opened) == 1


def test_python_adds_pictures_too(make: Make) -> None:
    """`add` returns the index, numbers repeated names, and applies the current fields to the new image."""
    widget = make(target=1, methods=["smooth_grad"], parameters={"smooth_grad": {"samples": 2}})

    indices = [widget.add(other(), "one"), widget.add(other((9, 9)), "one"), widget.add(other())]

    assert indices == [1, 2, 3]
    assert [each["name"] for each in widget.spec["images"]][1:] == ["one", "one 2", "image 4"]
    assert widget.image_index == 3
    assert widget.compute(wait=True).images == 2
    assert "image 4" in widget.to_html()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no picture at all", "cannot be read as a picture"),
        (file(other())[:-400], "cannot be read as a picture"),
        (file(other())[:40], "cannot be read as a picture"),
    ],
    ids=["text", "cut off", "header"],
)
def test_data_that_is_no_picture_is_an_error(make: Make, data: bytes, reason: str) -> None:
    """An unreadable file is answered with an error, and changes nothing."""
    widget = make(target=1, methods=["gradient"])
    browser = Browser(widget)

    rid = send(browser, data)

    error = browser.wait("error", rid=rid).fields
    assert error["kind"] == "BadImage"
    assert reason in error["message"]
    assert len(widget.spec["images"]) == 1
    assert widget.image_index == 0


def test_too_large_and_too_many(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures with too many pixels, and one picture too many, are refused with the reason."""
    monkeypatch.setattr("saliency_widget.handlers.MOST_PIXELS", 100)
    monkeypatch.setattr("saliency_widget.work.explainers.MOST_IMAGES", 2)
    widget = make(target=1, methods=["gradient"])
    browser = Browser(widget)

    assert "too large" in browser.wait("error", rid=send(browser, file(other()), "large")).fields["message"]
    browser.wait("taken", rid=send(browser, file(other((8, 8))), "second"))
    assert "2 pictures" in browser.wait("error", rid=send(browser, file(other((8, 8))), "third")).fields["message"]
    with pytest.raises(saliency.BadImage, match="2 pictures"):
        widget.add(picture())


@pytest.mark.parametrize(
    "buffers", [[], [b""], [b"a", b"b"], [bytes((8 << 20) + 1)]], ids=["none", "empty", "two", "huge"]
)
def test_nonsense_is_ignored_with_a_reason(make: Make, caplog: pytest.LogCaptureFixture, buffers: list[bytes]) -> None:
    """Anything but one file of at most 8 MiB is not accepted, and the reason is logged."""
    widget = make(methods=["gradient"])
    browser = Browser(widget)

    browser.send({"op": "picture", "rid": "r", "name": "x"}, buffers)

    assert browser.messages == []
    assert "expected" in caplog.text
    assert widget.wait(PATIENCE)


def test_a_large_picture_is_preprocessed_once_before_it_is_shown(make: Make) -> None:
    """The constructor calls the preprocessing once: the placement is found with the first map. The page stays small."""
    calls: list[tuple[int, ...]] = []

    def preprocess(image: Any) -> np.ndarray:
        calls.append(np.shape(image))
        return np.asarray(Image.fromarray(np.asarray(image)).resize((32, 24)), np.float32) / 255

    large = np.kron(picture(30, 40), np.ones((50, 50, 1), np.uint8))
    widget = make(small_net(), large, ["gradient"], labels=LABELS, preprocess=preprocess)
    assert calls == [(1500, 2000, 3)]
    assert widget.spec["images"][0]["size"] == [768, 1024]
    widget.compute("gradient", wait=True)
    assert len(calls) > 1
    assert len(widget.to_html()) < 2_000_000
