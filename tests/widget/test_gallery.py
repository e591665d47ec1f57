"""The gallery of a widget with many pictures: thumbnails, predictions and maps of what is seen, orders, and opening."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.protocol.requests import InvalidRequest, parse
from saliency_widget.protocol.values import BadTrait
from saliency_widget.work import explainers, gallery
from saliency_widget.work.collection import MANY
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import Browser, Message, unpack
from tests.widget.test_offline import packet_of

COUNT = 14


def pictures(count: int = COUNT) -> dict[str, Any]:
    """Return different pictures by name."""
    return {f"p{i}": picture(seed=i) for i in range(count)}


def of_many(make: Make, images: Any = None, **options: Any) -> tuple[SaliencyWidget, Browser]:
    """Return a widget of many pictures, with the browser that shows it."""
    widget = make(
        small_net(), pictures() if images is None else images, ["grad_cam", "gradient"], labels=LABELS, **options
    )
    return widget, Browser(widget)


def items(browser: Browser, images: list[int], method: str = "") -> dict[int, dict[str, Any]]:
    """Request pictures; return what is known of each in the end, with its thumbnail or map as `file`."""
    rid = browser.request("items", images=images, model=0, method=method)
    start = len(browser.messages)
    browser.wait("done", "error", "cancelled", rid=rid)
    found: dict[int, dict[str, Any]] = {}
    for message in browser.messages[:start] + browser.messages[start:]:
        if message.op == "items":
            at = 0
            for each in message.fields["items"]:
                file = message.buffers["pictures"][at : at + each["bytes"]]
                at += each["bytes"]
                found[each["image"]] = {**found.get(each["image"], {}), **each, **({"file": file} if file else {})}
    return found


def order(browser: Browser, sort: str = "image", show: str = "all", **fields: Any) -> list[int]:
    """Request an order; return its indices."""
    wanted = {"descending": False, "query": "", "near": None, "model": 0, "method": "gradient", **fields}
    answer = browser.wait("order", rid=browser.request("order", sort=sort, show=show, **wanted))
    return np.frombuffer(answer.buffers["order"], "<u4").tolist()


def predict_all(browser: Browser) -> Message:
    """Predict all pictures."""
    return browser.wait("done", "error", rid=browser.request("predict", model=0))


def top_classes(images: Any) -> list[saliency.Prediction]:
    """Return the top class of each picture, one by one."""
    return [saliency.predict(small_net(), each, 1, LABELS)[0] for each in images]


def test_nine_pictures_open_a_gallery_and_fewer_are_shown_side_by_side(make: Make) -> None:
    """From nine pictures on, one is open and the others are counted; a short list with classes is a gallery too."""
    few = make(small_net(), pictures(MANY - 1), ["gradient"], labels=LABELS)
    assert "gallery" not in few.spec
    assert len(few.spec["images"]) == MANY - 1
    with pytest.raises(BadTrait, match="side by side"):
        few.gallery = True

    many, _ = of_many(make, pictures(MANY))
    assert many.gallery
    assert many.spec["gallery"]["count"] == MANY
    assert list(many.spec["images"]) == [0]
    shows = [key for key, _ in many.spec["gallery"]["shows"]]
    assert "wrong" not in shows  # no true class is known

    judged, _ = of_many(make, pictures(3), truth=["cat", None, 0])
    assert judged.gallery
    assert "wrong" in [key for key, _ in judged.spec["gallery"]["shows"]]


def test_thousands_of_pictures_are_read_when_they_are_seen(make: Make) -> None:
    """The constructor reads one of 5,000 pictures, and what the browser is sent does not grow with their number."""
    read: list[int] = []

    class Pictures:
        def __len__(self) -> int:
            return 5000

        def __getitem__(self, index: int) -> np.ndarray:
            read.append(index)
            return picture(seed=index % 7)

    widget, browser = of_many(make, Pictures())
    assert set(read) == {0}
    few, _ = of_many(make)
    assert len(json.dumps(widget.spec)) < len(json.dumps(few.spec)) + 100

    found = items(browser, list(range(4000, 4020)))
    assert set(found) == set(range(4000, 4020))
    assert set(read) == {0, *range(4000, 4020)}


def test_thumbnails_come_first_and_predictions_are_the_engine_s(make: Make) -> None:
    """Each requested picture arrives as a small JPEG file, then with its top class, as `saliency.predict` gives it."""
    images = pictures()
    _, browser = of_many(make, images)
    found = items(browser, [3, 5, 8])
    assert sorted(found) == [3, 5, 8]
    kinds = [bool(each.buffers["pictures"]) for each in browser.of("items")]
    assert kinds == sorted(kinds, reverse=True)

    for i, expected in zip((3, 5, 8), top_classes([images[f"p{i}"] for i in (3, 5, 8)]), strict=True):
        assert (found[i]["name"], found[i]["label"]) == (f"p{i}", expected.label)
        assert found[i]["score"] == pytest.approx(expected.probability, rel=1e-4)
        with Image.open(io.BytesIO(found[i]["file"])) as small:
            np.testing.assert_allclose(np.asarray(small), images[f"p{i}"], atol=60)


def test_maps_are_drawn_on_what_is_seen_only(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a method, the pictures that are seen, and no others, are explained in a batch and sent with their maps."""
    explained: list[int] = []
    each = saliency.explain_each

    def counting(model: Any, images: Any, *arguments: Any, **options: Any) -> Any:
        explained.append(len(images))
        return each(model, images, *arguments, **options)

    monkeypatch.setattr(saliency, "explain_each", counting)
    _, browser = of_many(make)
    plain = items(browser, [1, 2])
    mapped = items(browser, [1, 2, 4], "grad_cam")
    assert explained == [3]
    assert all(mapped[i]["mapped"] for i in (1, 2, 4))
    assert mapped[1]["file"] != plain[1]["file"]
    items(browser, [1, 2], "grad_cam")
    assert explained == [3]  # the maps are kept


def test_right_and_wrong_follow_the_true_classes(make: Make) -> None:
    """Pictures are right, wrong or of unknown class; filters and sorts agree with the predictions one by one."""
    images = pictures()
    tops = top_classes(images.values())
    truth = [each.index if i % 3 else (each.index + 1) % len(LABELS) for i, each in enumerate(tops)]
    truth[5] = None  # type: ignore[call-overload]  # a list of both
    _, browser = of_many(make, images, truth=truth)
    predict_all(browser)
    found = items(browser, list(range(COUNT)))
    wrong = [i for i in range(COUNT) if i % 3 == 0]
    assert [i for i in range(COUNT) if found[i]["right"] is False] == wrong
    assert found[5]["right"] is None
    assert found[3]["truth"] == LABELS[truth[3]]

    scores = [each.probability or 0 for each in tops]
    assert order(browser, "score", "wrong", descending=True) == sorted(wrong, key=lambda i: -scores[i])
    assert order(browser, show="confident") == [i for i in wrong if scores[i] >= 0.5]
    assert set(order(browser, show="right")) == set(range(COUNT)) - set(wrong) - {5}
    label = tops[1].label
    with_label = [i for i in range(COUNT) if label in (tops[i].label, "" if truth[i] is None else LABELS[truth[i]])]
    assert order(browser, query=label.upper()) == with_label
    assert order(browser, query="p13") == [13]
    labels = [tops[i].label for i in order(browser, "label")]
    assert labels == sorted(labels)
    # pictures without the value are last in both directions
    assert order(browser, "truth")[-1] == order(browser, "truth", descending=True)[-1] == 5


def test_the_classes_that_a_data_set_gives_are_the_true_ones(make: Make) -> None:
    """Items that are pairs bring their class, by index or label."""
    pairs = [(each, "bee") for each in pictures().values()]

    class Data:
        def __len__(self) -> int:
            return len(pairs)

        def __getitem__(self, index: int) -> Any:
            return pairs[index]

    widget, browser = of_many(make, Data())
    assert widget.spec["gallery"]["truth"]
    assert items(browser, [2])[2]["truth"] == "bee"


def test_a_picture_is_opened_by_the_browser_and_by_python(make: Make) -> None:
    """Opening reads the picture and shows its top class; `image_index` and `compute(image=…)` open pictures too."""
    images = pictures()
    widget, browser = of_many(make, images)
    browser.wait("done", rid=browser.request("open", image=7))
    assert (widget.image_index, widget.gallery) == (7, False)
    assert widget.spec["images"][7] == {"name": "p7", "size": [24, 20]}
    assert browser.of("welcome")[-1].fields["image"] == 7

    found = widget.compute("gradient", wait=True)
    expected = saliency.explain(small_net(), images["p7"], "gradient", labels=LABELS, progress=False)
    np.testing.assert_allclose(found.mask, expected.mask, atol=1e-6)

    widget.gallery = True
    widget.image_index = 9
    assert not widget.gallery
    widget.compute("gradient", image="p12", wait=True)
    assert set(widget.spec["images"]) == {0, 7, 9, 12}
    assert widget.image_index == 9
    assert "images['p9']" in widget.code()
    with pytest.raises(saliency.SaliencyError, match="below 14"):
        widget.image_index = 14


def test_a_bounded_number_of_pictures_is_open(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture that was opened first is closed for a new one, but not one that is shown; it opens again."""
    monkeypatch.setattr(explainers, "MOST_OPENED", 3)
    widget, _ = of_many(make)
    for i in (0, 1, 2, 3, 4):
        widget.image_index = i
    assert list(widget.spec["images"]) == [2, 3, 4]
    widget.grid = {"images": [2, 3]}
    widget.compute("gradient", image=5, wait=True)
    assert {2, 3, 4, 5} <= set(widget.spec["images"])
    widget.grid = {}
    widget.image_index = 0
    assert widget.compute("gradient", wait=True).mask.shape[:2] == (24, 20)


def test_an_unreadable_picture_is_a_cell_with_a_sentence(make: Make, tmp_path: Path) -> None:
    """A damaged file has an error in the gallery, is found by its filter, and does not open; all others stay."""
    for i in range(10):
        Image.fromarray(picture(seed=i)).save(tmp_path / f"{i}.png")
    (tmp_path / "0.png").write_bytes(b"no picture")
    widget, browser = of_many(make, str(tmp_path))
    assert widget.image_index == 1  # the first that can be read
    found = items(browser, [0, 1, 2])
    assert "0.png" in found[0]["error"]
    assert found[2]["label"]
    predict_all(browser)
    assert order(browser, show="error") == [0]
    assert browser.wait("error", rid=browser.request("open", image=0)).fields["message"].count("0.png")
    with pytest.raises(BadTrait, match="image 0 cannot be opened"):
        widget.image_index = 0
    assert widget.image_index == 1
    widget.image_index = 3
    assert "saliency.collection(images).at(3)[0]" in widget.code()


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([0] * 3, "one class for each of the 14 pictures, got 3"),
        (["fish"] * COUNT, "fish"),
        ([-2] * COUNT, "at least 0"),
        (5, "truth"),
    ],
)
def test_classes_that_do_not_fit_are_refused(make: Make, truth: Any, message: str) -> None:
    """`truth` of another length, an unknown label and a negative index are errors that name what was expected."""
    with pytest.raises(saliency.SaliencyError, match=message):
        of_many(make, truth=truth)


def test_true_classes_need_many_pictures(make: Make) -> None:
    """`truth` with one picture is an error with the way out."""
    with pytest.raises(saliency.BadArgument, match="pass a list"):
        make(truth=[1])


def test_predictions_are_cancelled_and_stay(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled prediction of all pictures ends between two batches; what is there is kept."""
    monkeypatch.setattr(gallery, "TOGETHER", 2)
    widget, browser = of_many(make)
    rid: list[str] = []
    predict_each = saliency.predict_each

    def stopping(*arguments: Any, **options: Any) -> Any:
        if len(browser.of("items")) == 2:
            browser.request("cancel", rid=rid[0])
        return predict_each(*arguments, **options)

    monkeypatch.setattr(saliency, "predict_each", stopping)
    rid.append("all")
    browser.request("predict", rid="all", model=0)
    browser.wait("cancelled", rid="all")
    assert widget.wait()
    found = [each for message in browser.of("items") for each in message.fields["items"]]
    assert [each["image"] for each in found] == [0, 1, 2, 3]
    order(browser)
    assert browser.of("order")[-1].fields["predicted"] == 4


def test_changed_weights_are_predicted_again(make: Make) -> None:
    """After a cell that changed the weights the predictions are dropped, and the browser requests them again."""
    net = small_net()
    widget = make(net, pictures(), ["gradient"], labels=LABELS)
    browser = Browser(widget)
    before = items(browser, [0, 1])
    with torch.no_grad():
        net.head.bias[:] = torch.tensor([9.0, 0, 0, 0])
    widget._check_weights()
    assert widget.wait()
    assert browser.of("items")[-1].fields["items"] == []
    after = items(browser, [0, 1])
    assert {each["label"] for each in after.values()} == {LABELS[0]}
    assert before[0]["score"] != after[0]["score"]


def test_a_picture_that_is_added_joins_the_gallery(make: Make) -> None:
    """`add` opens its picture; it is the last of the gallery, with a thumbnail and a prediction."""
    widget, browser = of_many(make)
    at = widget.add(picture(seed=99), "mine")
    assert (at, widget.image_index, widget.gallery) == (COUNT, COUNT, False)
    assert widget.spec["gallery"]["count"] == COUNT + 1
    assert items(browser, [COUNT])[COUNT]["name"] == "mine"
    assert order(browser, "name", query="mine") == [COUNT]


def test_a_saved_page_has_the_first_pictures(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page holds a bounded number of thumbnails with their captions, and a still of them for other readers."""
    monkeypatch.setattr(gallery, "STILL", 10)
    widget, browser = of_many(make)
    items(browser, [0, 1])
    page = widget.to_html()
    stored = [each for each in unpack(packet_of(page)) if each.op == "items"]
    assert [each["image"] for each in stored[0].fields["items"]] == list(range(10))
    assert [bool(each["label"]) for each in stored[0].fields["items"]][:3] == [True, True, False]
    assert "14 pictures, the first of them" in page
    data, _ = widget._repr_mimebundle_() or ({}, {})
    assert "14 pictures" in data["text/html"]


def test_settings_are_restored_with_their_picture(make: Make) -> None:
    """`from_state` opens the picture that was shown, and `compare` without names compares the open pictures."""
    widget, _ = of_many(make)
    widget.image_index = 6
    again = SaliencyWidget.from_state(widget.link(), small_net(), pictures(), labels=LABELS)
    assert (again.image_index, again.gallery) == (6, False)
    again.close()
    widget.compare()
    assert widget.grid == {"images": [0, 6]}


@pytest.mark.parametrize(
    "content",
    [
        {"op": "items", "images": [0, 14], "model": 0, "method": ""},
        {"op": "items", "images": 3, "model": 0, "method": ""},
        {"op": "items", "images": list(range(401)), "model": 0, "method": ""},
        {"op": "items", "images": [0], "model": 1, "method": ""},
        {"op": "items", "images": [0], "model": 0, "method": "none"},
        {"op": "open", "image": -1},
        {"op": "predict", "model": "0"},
        {"op": "order", "sort": "image", "show": "all", "descending": 1, "query": "", "near": None, "model": 0},
        {"op": "order", "sort": 3, "show": "all", "descending": True, "query": "", "near": None, "model": 0},
        {"op": "order", "sort": "image", "show": "all", "descending": True, "query": "", "near": 99, "model": 0},
    ],
)
def test_malformed_requests_are_refused(content: dict[str, Any]) -> None:
    """A request about other pictures, models or methods, or of other types, is no request."""
    with pytest.raises(InvalidRequest):
        parse({"rid": "a", **content}, [], ["gradient"], 1, COUNT)
