"""Several models, several images, and what is laid side by side."""

from __future__ import annotations

import gc
import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.host import after_each_cell
from saliency_widget.protocol import cells as cells_module
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, Gate, unpack

METHODS: list[Any] = ["gradient", saliency.IntegratedGradients(steps=3)]


def other_net() -> torch.nn.Module:
    """Return a net of the same shape with other weights."""
    net = small_net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(-0.7)
    return net


def two_pictures() -> list[np.ndarray]:
    """Return a picture and its narrower mirror image."""
    return [picture(), np.ascontiguousarray(picture()[:, 4::-1])]


def by_mean(images: np.ndarray) -> np.ndarray:
    """Return plain scores."""
    return np.asarray(images.mean((1, 2)))


def test_each_model_answers_for_each_image(make: Make) -> None:
    """A cell shows the result of saliency.explain for its model and image."""
    nets, images = [small_net(), other_net()], two_pictures()
    widget = make(nets, images, METHODS, labels=LABELS)

    for m, net in enumerate(nets):
        for i, image in enumerate(images):
            exp = widget.compute("integrated_gradients", "bee", wait=True, model=m, image=i)
            alone = saliency.explain(net, image, METHODS[1], "bee", labels=LABELS)
            np.testing.assert_allclose(exp.mask, alone.mask, atol=1e-6)


def test_the_browser_receives_every_model_and_image(make: Make) -> None:
    """`hello` returns names, sizes, a picture per image, a prediction per pair, and results with their pair."""
    widget = make({"before": small_net(), "after": other_net()}, {"a": picture(), "b": two_pictures()[1]}, METHODS)
    browser = Browser(widget)
    hello = browser.request("hello")
    answer = browser.wait("result", rid=browser.request("compute", method="gradient", target=2, model=1, image=1))
    assert widget.wait(PATIENCE)

    height, width = picture().shape[:2]
    assert widget.spec["models"] == ["before", "after"]
    assert widget.spec["images"] == [{"name": "a", "size": [height, width]}, {"name": "b", "size": [height, 5]}]
    assert {(m.fields["image"], m.rid) for m in browser.of("welcome")} == {(0, hello), (1, "")}
    pairs = {(m.fields["model"], m.fields["image"]) for m in browser.of("prediction")}
    assert pairs == {(0, 0), (0, 1), (1, 0), (1, 1)}
    result = answer.fields["result"]
    assert (result["model"], result["image"], result["target"]) == (1, 1, 2)
    expected = saliency.explain(other_net(), two_pictures()[1], "gradient", 2).mask.sum(2)
    np.testing.assert_allclose(answer.array("values"), expected, atol=1e-6)


def test_two_models_compute_at_once(make: Make) -> None:
    """Each model has its own thread: one that hangs delays no other."""
    slow, quick = Gate(), Gate()
    quick.free()
    widget = make([slow, quick], methods=[saliency.Occlusion(size=8, stride=8)])
    browser = Browser(widget)
    stuck = browser.request("compute", method="occlusion", target=0, model=0)
    slow.await_call()
    browser.wait("result", rid=browser.request("compute", method="occlusion", target=0, model=1))

    assert browser.of("result", rid=stuck) == []
    slow.free()
    browser.wait("result", rid=stuck)


def test_properties_of_the_widget_describe_the_shown_cell(make: Make) -> None:
    """Predictions, explanations and the still picture follow `model_index` and `image_index`."""
    widget = make([small_net(), other_net()], two_pictures(), METHODS, labels=LABELS, method="gradient", target=1)
    first = widget.compute(wait=True)
    widget.compute(wait=True, model=1, image=1)

    assert widget.explanation is first
    tops = []
    for widget.model_index, widget.image_index in ((0, 0), (1, 1)):
        widget.compute(wait=True)
        tops.append(widget.predictions[0].index)
        assert list(widget.explanations) == [("gradient", 1)]
    assert tops == [
        saliency.predict(small_net(), picture())[0].index,
        saliency.predict(other_net(), two_pictures()[1])[0].index,
    ]
    shown = widget.explanation
    assert shown is not None
    assert shown is not first
    with Image.open(io.BytesIO(widget.snapshot_png(width=50))) as still:
        assert still.size == (50, round(50 * picture().shape[0] / 5))


def test_the_top_class_is_that_of_the_image_that_is_shown(make: Make) -> None:
    """Without a named class, another image has its own top class explained."""
    images = [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)]
    images[0][..., 1], images[1][..., 2] = 200, 200
    widget = make(by_mean, images, ["occlusion"])
    browser = Browser(widget)
    browser.request("hello")
    assert widget.wait(PATIENCE)
    assert widget.target == 1

    browser.write(image_index=1, target=-1)
    assert widget.target == 2


def test_unsupported_methods_are_listed_for_each_model(make: Make) -> None:
    """A method that one of two models supports is offered, with the reason of the other."""
    widget = make([small_net(), by_mean], methods=["occlusion", "gradient"])
    lacks = {each["id"]: each["lacks"] for each in widget.spec["methods"]}

    assert lacks["occlusion"] == ["", ""]
    assert lacks["gradient"][0] == ""
    assert "needs gradients" in lacks["gradient"][1]


def test_models_are_fed_each_in_its_own_way(make: Make) -> None:
    """`preprocess` may differ for each model; a result has the placement of its map."""
    crop = lambda x: x[:, :10] / np.float32(255)  # noqa: E731
    widget = make([by_mean, by_mean], methods=["occlusion"], preprocess=[None, crop])
    browser = Browser(widget)
    places = [
        browser.wait("result", rid=browser.request("compute", method="occlusion", target=0, model=m)).fields["result"][
            "place"
        ]
        for m in (0, 1)
    ]
    height, width = picture().shape[:2]

    assert places[0] == pytest.approx([0, 0, width, height], abs=0.1)
    assert places[1] == pytest.approx([0, 0, 10, height], abs=0.1)
    with pytest.raises(saliency.BadField, match="each of 2 models, got 1"):
        SaliencyWidget([by_mean, by_mean], picture(), preprocess=[None])


def test_names_come_from_files_and_are_never_twice_the_same(make: Make, tmp_path: Path) -> None:
    """An image is named after its file without the folder; a repeated name gets a number."""
    Image.fromarray(picture()).save(tmp_path / "dog.png")
    widget = make([small_net(), other_net()], [tmp_path / "dog.png", picture()], ["gradient"])

    assert widget.spec["images"][0]["name"] == "dog"
    assert widget.spec["images"][1]["name"] == "image 2"
    assert widget.spec["models"] == ["SmallNet 1", "SmallNet 2"]
    assert str(tmp_path) not in widget.to_html()


def test_notes_name_the_pairs_that_they_apply_to(make: Make) -> None:
    """A note that holds for all is given once, and one for some with their names."""
    same, other = picture(), picture().astype(np.float32) / 255
    widget = make(by_mean, {"bytes": same, "floats": other}, ["occlusion"])

    assert any(note.startswith("bytes: ") for note in widget.spec["notes"])
    assert any(note.startswith("floats: ") for note in widget.spec["notes"])
    assert len(set(widget.spec["notes"])) == len(widget.spec["notes"])


def test_compare_lays_out_a_grid(make: Make) -> None:
    """Names and labels become indices; without arguments everything of which there are several is compared."""
    widget = make({"a": small_net(), "b": other_net()}, methods=METHODS, labels=LABELS)
    widget.compare(["gradient", "integrated_gradients"], ["bee", 0], models=["b", 0])
    assert widget.grid == {
        "methods": ["gradient", "integrated_gradients"],
        "targets": [LABELS.index("bee"), 0],
        "models": [1, 0],
    }
    widget.compare()
    assert widget.grid == {"models": [0, 1]}
    alone = make(small_net(), methods=METHODS)
    alone.compare()
    assert alone.grid == {"methods": ["gradient", "integrated_gradients"]}


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        ({"method": ["gradient"]}, "must be a dict with lists for methods, targets"),
        ({"methods": "gradient"}, "must be a list of ids"),
        ({"methods": ["xrai"]}, "among gradient, integrated_gradients"),
        ({"targets": [True]}, "must be a list of indices"),
        ({"targets": [-2]}, "indices of classes or -1"),
        ({"models": [1]}, "indices below 1"),
        ({"images": [-1]}, "indices below 1"),
        ({"targets": list(range(19)), "methods": ["gradient", "integrated_gradients"]}, "38 cells; at most 36"),
        ([], "must be a dict"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(make: Make, grid: Any, reason: str) -> None:
    """An invalid index raises in Python; from the browser the trait stays, and the browser is sent its value."""
    widget = make(methods=METHODS)
    browser = Browser(widget)
    with pytest.raises(traitlets.TraitError, match=re.escape(reason)):
        widget.grid = grid
    browser.write(grid=grid)

    assert widget.grid == {}
    assert browser.updates[-1]["state"]["grid"] == {}


@pytest.mark.parametrize(
    "fields", [{"model": 1}, {"image": 1}, {"model": -1}, {"image": True}, {"model": "0"}, {"model": 0.0}]
)
def test_a_model_or_image_there_is_not_is_ignored(
    make: Make, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A request for an unknown pair is not accepted, computes nothing, and is logged with the reason."""
    widget = make(methods=METHODS)
    browser = Browser(widget)
    browser.request("compute", method="gradient", target=0, **fields)

    assert browser.of("accepted") == []
    assert "to be an index below 1" in caplog.text
    assert widget.explanations == {}


def test_names_there_are_not_say_what_there_is(make: Make) -> None:
    """A model or image with a wrong name or index raises an error that lists the names."""
    widget = make({"a": small_net(), "b": other_net()}, methods=METHODS)
    for wrong in ("c", 2, -1):
        with pytest.raises(saliency.UnknownName, match="a, b"):
            widget.compute(model=wrong)
    with pytest.raises(traitlets.TraitError, match="model_index must be below 2"):
        widget.model_index = 2
    with pytest.raises(saliency.BadField, match="empty list"):
        SaliencyWidget([], picture())


def test_after_training_results_are_marked_as_outdated(make: Make) -> None:
    """After a cell changed the weights, the browser gets one `stale` per pair; a new request gets the new result."""
    net, other = small_net(), other_net()
    widget = make([net, other], methods=METHODS)
    browser = Browser(widget)
    old = browser.wait("result", rid=browser.request("compute", method="gradient", target=0))
    browser.wait("result", rid=browser.request("compute", method="gradient", target=0, model=1))
    widget._check_weights()
    assert widget.wait(PATIENCE)
    assert browser.of("stale") == []

    with torch.no_grad():
        next(net.parameters()).add_(0.5)
    widget._check_weights()
    stale = browser.wait("stale")
    assert widget.wait(PATIENCE)
    new = browser.wait("result", rid=browser.request("compute", method="gradient", target=0))

    assert (stale.fields["model"], stale.fields["image"]) == (0, 0)
    assert len(browser.of("stale")) == 1
    assert not np.array_equal(old.array("values"), new.array("values"))


def test_the_page_has_every_model_and_image(make: Make) -> None:
    """`to_html` holds each picture once, and predictions and results with their pair; the snapshot the shown ones."""
    widget = make([small_net(), other_net()], two_pictures(), METHODS, method="gradient", target=1)
    for m in (0, 1):
        for i in (0, 1):
            widget.compute(wait=True, model=m, image=i)
    widget.image_index = 1
    assert widget.wait(PATIENCE)
    stored = unpack(widget._ready_explainers().packet([], {}))
    kept = unpack(widget._snapshot)

    assert [m.fields["image"] for m in stored if m.op == "welcome"] == [1, 0]
    results = [m.fields["result"] for m in stored if m.op == "result"]
    assert {(r["model"], r["image"]) for r in results} == {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert (results[0]["model"], results[0]["image"]) == (0, 1)
    assert [(m.op, m.fields.get("image")) for m in kept[:2]] == [("welcome", 1), ("prediction", 1)]
    assert kept[2].fields["result"]["image"] == 1


def test_a_notebook_keeps_all_cells_of_a_grid(make: Make) -> None:
    """`_snapshot` has the result of every cell that fits, the shown one first, with the messages it needs."""
    widget = make([small_net(), other_net()], two_pictures(), METHODS, method="gradient", target=1, model_index=1)
    widget.compare(["gradient", "integrated_gradients"], models=[0, 1], images=[0, 1])
    for cell in widget._screen.cells:
        widget.compute(*cell.key, model=cell.model, image=cell.image)
    widget.compute("gradient", 0)
    assert widget.wait(PATIENCE)

    kept = unpack(widget._snapshot)

    results = [m.fields["result"] for m in kept if m.op == "result"]
    cells = [(r["method"], r["target"], r["model"], r["image"]) for r in results]
    assert cells[0] == widget._screen.shown
    assert set(cells[:8]) == set(widget._screen.cells)
    assert {m.fields["image"] for m in kept if m.op == "welcome"} == {0, 1}
    assert len([m for m in kept if m.op == "prediction"]) == 4
    assert len(widget._snapshot) < 30_000


def test_of_too_many_cells_the_shown_one_is_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """If not all results fit, the shown one and the first ones are stored."""
    monkeypatch.setattr("saliency_widget.work.picture.SNAPSHOT_BYTES", 10)
    widget = make([small_net(), other_net()], methods=METHODS, method="gradient", target=1, model_index=1)
    widget.compare()
    for model in (0, 1):
        widget.compute(model=model)
    assert widget.wait(PATIENCE)

    results = [m.fields["result"] for m in unpack(widget._snapshot) if m.op == "result"]

    assert [(r["method"], r["model"]) for r in results] == [("gradient", 1)]


def test_a_still_shows_the_grid(make: Make) -> None:
    """PNG and HTML for hosts without scripts have every cell, each with its caption."""
    widget = make({"a": small_net(), "b": other_net()}, methods=METHODS, method="gradient", target=1, mode="heat")
    widget.compute(wait=True)
    alone = np.asarray(Image.open(io.BytesIO(widget.snapshot_png(width=200))).convert("RGB"), int)
    widget.compare(["gradient", "integrated_gradients"], models=["a", "b"])
    for cell in widget._screen.cells:
        widget.compute(*cell.key, wait=True, model=cell.model)

    sheet = np.asarray(Image.open(io.BytesIO(widget.snapshot_png(width=408))).convert("RGB"), int)
    bundle: Any = widget._repr_mimebundle_()

    line = sheet.shape[0] // 2 - alone.shape[0] - 4
    np.testing.assert_array_equal(sheet[line : line + alone.shape[0], :200], alone)
    for top in (0, alone.shape[0] + line + 8):
        for left in (0, 208):
            assert (sheet[top : top + line, left : left + 200] < 128).any()
            assert sheet[top + line + 1 : top + alone.shape[0], left : left + 200].std() > 5
    html = bundle[0]["text/html"]
    for name in ("Gradient · a", "Integrated Gradients · b"):
        assert html.count(name) == 2
    assert len(html) < 20_000


def test_cells_of_one_sign_share_their_colours(make: Make) -> None:
    """With a shared scale, drawings use the widest ends among the cells of a sign."""
    widget = make([small_net(), other_net()], methods=METHODS, method="gradient", target=1, mode="heat")
    widget.compare(models=[0, 1])
    for model in (0, 1):
        widget.compute(wait=True, model=model)
    cells = widget._screen.cells
    assert [widget._screen.drawn(cell).ends for cell in cells] == [None, None]  # type: ignore[union-attr]  # computed
    own = widget.snapshot_png()

    widget.scale = "shared"

    strengths = [np.abs(widget._screen.result(cell).explanation.mask).sum(2) for cell in cells]  # type: ignore[union-attr]
    wanted = min(each.min() for each in strengths), max(np.percentile(each, 99) for each in strengths)
    for cell in cells:
        assert widget._screen.drawn(cell).ends == pytest.approx(wanted)  # type: ignore[union-attr]
    assert widget.snapshot_png() != own


@pytest.mark.parametrize(
    ("grid", "expected", "columns"),
    [
        ({}, ["m0"], 1),
        ({"methods": ["m", "n"]}, ["m0", "n0"], 2),
        ({"methods": ["n"]}, ["n0", "m0"], 2),
        ({"methods": ["m", "n"], "images": [0, 1]}, ["m0", "n0", "m1", "n1"], 2),
        ({"targets": [-1, 7], "images": [0, 1]}, ["m0", "m0", "m1", "m1"], 2),
        ({"targets": [-1, 5]}, ["m0"], 1),
        ({"methods": ["a", "b", "c", "d", "e", "m"]}, ["a0", "b0", "c0", "d0", "e0", "m0"], 3),
    ],
)
def test_cells_are_laid_out_as_in_the_browser(grid: dict[str, Any], expected: list[str], columns: int) -> None:
    """Methods are side by side, images below each other; the shown cell is among them, and no cell twice."""

    def resolved(cell: cells_module.Cell) -> cells_module.Cell:
        return cell._replace(target=5) if cell.target == -1 else cell

    found = cells_module.laid_out(cells_module.Cell("m", -1, 0, 0), grid, resolved)

    assert [f"{cell.method}{cell.image}" for cell in found] == expected
    assert cells_module.columns(found) == columns


def test_a_cell_that_has_run_is_noticed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """In IPython the widget checks the weights after each cell, as long as it is open."""
    from IPython.core.events import EventManager, available_events

    shell: Any = SimpleNamespace(showtraceback=lambda: None)
    shell.events = EventManager(shell, available_events)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    net = small_net()
    widget = make(net, methods=METHODS)
    browser = Browser(widget)
    widget.compute("gradient", 0, wait=True)
    shell.events.trigger("post_run_cell", None)
    assert widget.wait(PATIENCE)
    assert browser.of("stale") == []

    with torch.no_grad():
        next(net.parameters()).mul_(2)
    for _ in range(3):
        shell.events.trigger("post_run_cell", None)
    browser.wait("stale")
    assert widget.wait(PATIENCE)
    assert len(browser.of("stale")) == 1
    widget.close()
    assert shell.events.callbacks["post_run_cell"] == []


def test_a_widget_that_is_gone_hears_of_no_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The IPython callback holds its owner weakly, unregisters once it is gone, and no failure reaches the cell."""
    from IPython.core.events import EventManager, available_events

    class Owner:
        def look(self) -> None:
            calls.append("looked")

        def fail(self) -> None:
            raise ValueError("must not reach the cell")

    calls: list[str] = []
    shell: Any = SimpleNamespace(showtraceback=lambda: calls.append("reached the cell"))
    shell.events = EventManager(shell, available_events)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    owner, failing = Owner(), Owner()
    after_each_cell(owner, "look")
    end = after_each_cell(failing, "fail")
    shell.events.trigger("post_run_cell", None)
    end()
    del owner
    gc.collect()
    shell.events.trigger("post_run_cell", None)

    assert calls == ["looked"]
    assert shell.events.callbacks["post_run_cell"] == []
