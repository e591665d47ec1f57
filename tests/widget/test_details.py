"""Details: the part of a large photograph that is on the screen, at its full resolution."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from saliency_widget import SaliencyWidget
from saliency_widget.work.details import Box, detail
from tests.nets import picture
from tests.widget.conftest import Make
from tests.widget.front_end import Browser, Gate, unpack

SIZE = 1500, 2100
"""Height and width of the large picture."""


def means(images: np.ndarray) -> np.ndarray:
    """A model of three classes."""
    return np.asarray(images.mean((1, 2)))


def shrunk(image: Any) -> np.ndarray:
    """Preprocess: every 20th pixel, scaled to 0–1."""
    return np.asarray(np.asarray(Image.fromarray(np.asarray(image))).astype(np.float32)[::20, ::20] / 255)


def large(height: int = SIZE[0], width: int = SIZE[1]) -> np.ndarray:
    """Return a photograph-like picture: smooth colours, with a mark in the top left corner."""
    made = np.asarray(Image.fromarray(picture(12, 16)).resize((width, height), Image.Resampling.BICUBIC)).copy()
    made[:100, :200] = [250, 20, 20]
    return made


def cut(widget: SaliencyWidget, box: list[int], width: int = 4096, image: int = 0) -> tuple[list[int], np.ndarray]:
    """Return the box and the pixels of a detail that the browser requests."""
    browser = Browser(widget)
    found = browser.wait("detail", rid=browser.request("detail", image=image, box=box, width=width))
    assert found.fields["image"] == image
    return found.fields["box"], np.asarray(Image.open(io.BytesIO(found.buffers["picture"])).convert("RGB"), float)


def test_a_detail_is_the_picture_s_own_pixels(make: Make) -> None:
    """It is cut out of the full picture, to JPEG's accuracy, and ends at its borders."""
    img = large()
    widget = make(means, img, ["occlusion"], preprocess=shrunk)
    assert widget.spec["images"] == [{"name": "image 1", "size": [731, 1024], "full": list(SIZE)}]

    box, pixels = cut(widget, [130, 40, 430, 240])
    assert (box, pixels.shape) == ([130, 40, 430, 240], (200, 300, 3))
    assert abs(pixels - img[40:240, 130:430]).mean() < 1.5

    box, pixels = cut(widget, [1900, 1400, 2300, 1700])
    assert (box, pixels.shape) == ([1900, 1400, 2100, 1500], (100, 200, 3))


def test_a_detail_is_no_larger_than_it_is_shown(make: Make) -> None:
    """A large part is reduced to the width on the screen, as the display copy is; a small one is not enlarged."""
    img = large()
    widget = make(means, img, ["occlusion"], preprocess=shrunk)
    _, pixels = cut(widget, [0, 0, 2000, 1400], width=500)

    reduced = Image.fromarray(img[:1400, :2000]).resize((500, 350), Image.Resampling.LANCZOS)
    assert pixels.shape == (350, 500, 3)
    assert abs(pixels - np.asarray(reduced, float)).mean() < 1.5
    assert cut(widget, [0, 0, 100, 100], width=4000)[1].shape == (100, 100, 3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "EXIF"])
def test_a_detail_looks_like_the_display_copy(make: Make, tmp_path: Path, mode: str) -> None:
    """Of files that are grey, transparent, of 16 bits or turned by their EXIF data, it is the same place, upright."""
    img = large()
    if mode == "EXIF":
        # stored a quarter turn to the left: orientation 6
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.rot90(img)).save(tmp_path / "img.png", exif=exif)
    elif mode == "I;16":
        Image.fromarray(img[..., 0].astype(np.uint16) * 257).save(tmp_path / "img.png")
    else:
        Image.fromarray(img).convert(mode).save(tmp_path / "img.png")
    widget = make(
        means, tmp_path / "img.png", ["occlusion"], preprocess=lambda image: np.zeros((20, 30, 3), np.float32)
    )
    copy = np.asarray(widget._explainers.inputs.pictures[0].pixels, float)  # type: ignore[union-attr]
    (entry,) = widget.spec["images"]
    assert entry["full"] == list(SIZE)

    _, pixels = cut(widget, [0, 0, 2100, 1500], width=1024)
    assert pixels.shape == copy.shape
    assert abs(pixels - copy).mean() < 1.5
    red = pixels[:40, :80].mean((0, 1))
    if mode in ("RGBA", "EXIF"):
        assert red == pytest.approx([250, 20, 20], abs=3)


def test_a_small_picture_has_no_details(make: Make) -> None:
    """A picture that is shown at its full resolution has no other size."""
    assert "full" not in make(means, picture(), ["occlusion"]).spec["images"][0]


def test_a_detail_does_not_wait_for_the_model(make: Make) -> None:
    """It comes while a model call runs."""
    gate = Gate()
    widget = make(gate, large(), ["occlusion"], preprocess=shrunk, target=0)
    browser = Browser(widget)
    browser.request("compute", method="occlusion", target=0)
    gate.await_call()

    browser.wait("detail", rid=browser.request("detail", image=0, box=[0, 0, 300, 300], width=300))
    gate.free()


def test_a_detail_that_left_the_screen_is_cancelled(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting request is not computed, and gets `cancelled`."""
    widget = make(means, large(), ["occlusion"], preprocess=shrunk)
    held, begun = threading.Event(), threading.Event()
    computed: list[Box] = []

    def slow(image: np.ndarray, box: Box, width: int) -> Any:
        begun.set()
        held.wait()
        computed.append(box)
        return detail(image, box, width)

    monkeypatch.setattr("saliency_widget.work.details.detail", slow)
    browser = Browser(widget)
    first = browser.request("detail", image=0, box=[0, 0, 10, 10], width=10)
    assert begun.wait(60)
    second = browser.request("detail", image=0, box=[20, 0, 30, 10], width=10)
    browser.request("cancel", rid=second)
    browser.wait("cancelled", rid=second)
    held.set()

    browser.wait("detail", rid=first)
    assert computed == [(0, 0, 10, 10)]


def test_a_box_outside_the_picture_gets_an_error(make: Make) -> None:
    """The error names the box and the size of the picture; what is no box gets no reply."""
    widget = make(means, large(), ["occlusion"], preprocess=shrunk)
    browser = Browser(widget)
    rid = browser.request("detail", image=0, box=[5000, 0, 6000, 10], width=10)
    assert "2100 × 1500" in browser.wait("error", rid=rid).fields["message"]
    for wrong in ({"box": [0, 0, 10]}, {"box": [10, 0, 0, 10]}, {"box": [0, 0, 1.5, 1]}, {"width": 0}, {"image": 7}):
        browser.request("detail", rid="wrong", **{"image": 0, "box": [0, 0, 10, 10], "width": 10, **wrong})
    assert [each for each in browser.messages if each.rid == "wrong"] == []


def test_a_picture_of_a_gallery_that_is_not_open_has_none(make: Make) -> None:
    """The reply names it; once it is opened, it has details."""
    widget = make(means, [large() for _ in range(9)], ["occlusion"], preprocess=shrunk)
    browser = Browser(widget)
    rid = browser.request("detail", image=4, box=[0, 0, 10, 10], width=10)
    assert browser.wait("error", rid=rid).fields["message"] == "Image 4 is not open."

    widget.image_index = 4
    assert widget.spec["images"][4]["full"] == list(SIZE)
    assert cut(widget, [0, 0, 10, 10], image=4)[1].shape == (10, 10, 3)


def test_a_saved_notebook_has_no_details(make: Make) -> None:
    """The snapshot holds none after one was shown."""
    widget = make(means, large(), ["occlusion"], preprocess=shrunk, target=0)
    widget.compute(wait=True)
    cut(widget, [0, 0, 300, 300])
    assert "detail" not in {each.op for each in unpack(widget._snapshot)}
