"""The gallery over stored masks: sorted and filtered by the index, nearest maps, with a model and without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from saliency_widget import SaliencyWidget
from tests.nets import LABELS, picture, small_net
from tests.widget.front_end import Browser
from tests.widget.test_gallery import items, order

COUNT = 12
METHODS = ["grad_cam", "gradient"]


@pytest.fixture(scope="module")
def images() -> list[Any]:
    """Return pictures, one of which cannot be read."""
    return [*(picture(seed=i) for i in range(COUNT - 1)), b"no picture"]


@pytest.fixture(scope="module")
def path(images: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of masks, all of one class."""
    out = tmp_path_factory.mktemp("stored") / "masks.zarr"
    saliency.explain_dataset(
        images, small_net(), METHODS, ["cat"] * COUNT, out=out, labels=LABELS, progress=False, batch_size=4
    )
    return out


@pytest.fixture
def shown(path: Path, images: list[Any]) -> Iterator[tuple[SaliencyWidget, Browser]]:
    """Show the masks with their pictures, without a model."""
    widget = SaliencyWidget.from_masks(path, images)
    yield widget, Browser(widget)
    widget.close()


def test_tiles_have_the_numbers_of_the_index(shown: tuple[SaliencyWidget, Browser], path: Path) -> None:
    """Predictions, probabilities and errors are those that were stored; nothing is predicted."""
    _, browser = shown
    rows = saliency.open_masks(path).rows("gradient")
    found = items(browser, list(range(COUNT)))
    for row in rows[:-1]:
        tile = found[row["image"]]
        assert (tile["label"], tile["score"]) == (row["prediction"], pytest.approx(row["probability"]))
    assert "no picture" in found[COUNT - 1]["error"] or "BadImage" in found[COUNT - 1]["error"]
    plain, mapped = found[3]["file"], items(browser, [3], "grad_cam")[3]
    assert mapped["mapped"]
    assert mapped["file"] != plain


def test_orders_are_those_of_the_masks(shown: tuple[SaliencyWidget, Browser], path: Path) -> None:
    """Sorting and filtering agree with `Masks.rows`, and the nearest with `Masks.nearest`, after the picture itself."""
    widget, browser = shown
    masks = saliency.open_masks(path)
    assert {"probability", "prediction", "seconds"} <= {key for key, _ in widget.spec["gallery"]["sorts"]}
    rows = masks.rows("gradient", "probability", descending=True)
    assert order(browser, "probability", descending=True) == [each["image"] for each in rows]
    differs = [
        each["image"] for each in masks.rows("gradient") if each["error"] is None and each["prediction"] != "cat"
    ]
    assert order(browser, show="differs") == differs
    assert order(browser, show="error") == [COUNT - 1]
    assert order(browser, query="CAT", show="all") == [
        each["image"] for each in masks.rows("gradient") if "cat" in (each["label"], each["prediction"])
    ]
    near = [each.image for each in masks.nearest(4, "grad_cam", 60)]
    assert order(browser, near=4, method="grad_cam") == [4, *near]


def test_without_a_model_stored_maps_are_shown_and_nothing_new_is_computed(
    shown: tuple[SaliencyWidget, Browser], path: Path
) -> None:
    """An opened picture has every stored map; another class or picture is refused with the way out."""
    widget, browser = shown
    assert widget.spec["stored"]
    opened = browser.wait("done", "error", rid=browser.request("open", image=5))
    assert opened.op == "done", opened.fields
    assert set(widget.explanations) == {(method, LABELS.index("cat")) for method in METHODS}
    for method in METHODS:
        found = widget.compute(method, wait=True)
        expected = saliency.open_masks(path).mask(5, method)
        assert expected is not None
        np.testing.assert_allclose(found.mask, expected)
    with pytest.raises(saliency.Unsupported, match="pass model="):
        widget.compute("gradient", 0, wait=True)
    with pytest.raises(saliency.Unsupported, match="pass model="):
        widget.add(picture())
    sent = [each.fields for each in browser.of("prediction") if each.fields["image"] == 5]
    row = saliency.open_masks(path).row(5, "gradient")
    assert sent[0]["classes"][0]["label"] == "cat"
    expected_score = row["probability"] if row["prediction"] == "cat" else None
    assert sent[0]["classes"][0]["probability"] == expected_score
    cell = {"method": "gradient", "target": 2, "model": 0, "image": 5}
    assert (
        "pass model="
        in browser.wait("error", rid=browser.request("compute", **{**cell, "target": 1})).fields["message"]
    )
    start = len(browser.messages)
    browser.request("hello")
    results = [each.fields["result"] for each in browser.messages[start:] if each.op == "result"]
    assert [each["image"] for each in results[:2]] == [5, 5]


def test_the_script_reads_the_stored_map(
    shown: tuple[SaliencyWidget, Browser], images: list[Any], tmp_path: Path
) -> None:
    """`code()` opens the masks, and runs in a process of its own."""
    widget, _ = shown
    widget.image_index = 2
    widget.method = "gradient"
    code = widget.code()
    assert "masks.explanation(2, 'gradient')" in code
    np.save(tmp_path / "images.npy", np.stack(images[:-1]))
    head = "import matplotlib; matplotlib.use('agg'); import numpy as np\n"
    head += f"images = [*np.load({str(tmp_path / 'images.npy')!r}), b'']\n"
    subprocess.run([sys.executable, "-c", head + code + "assert found.label == 'cat'"], check=True, timeout=300)


def test_masks_without_pictures_stand_alone(path: Path) -> None:
    """Without pictures a thumbnail is the map alone, and an opened picture is grey."""
    widget = SaliencyWidget.from_masks(saliency.open_masks(path))
    browser = Browser(widget)
    found = items(browser, [1, COUNT - 1])
    assert found[1]["file"].startswith(b"\xff\xd8")
    assert "file" not in found[COUNT - 1]
    assert widget.compute("grad_cam", image=3, wait=True).mask.any()
    widget.close()


def test_with_a_model_an_opened_picture_has_all_tools(path: Path, images: list[Any]) -> None:
    """The tiles are those of the index, and an opened picture is explained by the model."""
    widget = SaliencyWidget.from_masks(path, images, small_net(), labels=LABELS, methods=METHODS)
    browser = Browser(widget)
    assert "stored" not in widget.spec
    assert order(browser, near=4, method="grad_cam")[0] == 4
    found = widget.compute("gradient", 0, image=6, wait=True)
    expected = saliency.explain(small_net(), images[6], "gradient", 0, labels=LABELS, progress=False)
    np.testing.assert_allclose(found.mask, expected.mask, atol=1e-6)
    widget.close()


def test_what_does_not_fit_is_refused(path: Path, images: list[Any], tmp_path: Path) -> None:
    """Other pictures, a model without pictures, indices without labels, and a folder without masks are errors."""
    with pytest.raises(saliency.BadImage, match="Expected the 12 pictures that were explained, got 2"):
        SaliencyWidget.from_masks(path, images[:2])
    with pytest.raises(saliency.BadArgument, match="pass images="):
        SaliencyWidget.from_masks(path, model=small_net())
    with pytest.raises(saliency.BadTarget, match="pass labels="):
        SaliencyWidget.from_masks(path, images, truth=[0] * COUNT)
    with pytest.raises(saliency.BadTarget, match="each of the 12 pictures, got 3"):
        SaliencyWidget.from_masks(path, images, truth=["cat"] * 3)
    with pytest.raises(saliency.BadField, match="no masks"):
        SaliencyWidget.from_masks(tmp_path)
    with pytest.raises(FileNotFoundError):
        SaliencyWidget.from_masks(tmp_path / "nothing")


def test_true_classes_judge_the_stored_predictions(path: Path, images: list[Any]) -> None:
    """With `truth` a tile is right where the stored prediction is the true class."""
    rows = saliency.open_masks(path).rows("gradient")
    truth = [each["prediction"] or "cat" for each in rows]
    truth[0] = next(each for each in LABELS if each != truth[0])
    widget = SaliencyWidget.from_masks(path, images, truth=truth)
    found = items(Browser(widget), [0, 1])
    assert [found[i]["right"] for i in (0, 1)] == [False, True]
    widget.close()
