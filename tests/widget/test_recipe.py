"""Code that is copied from the widget gives what the widget shows, without it."""

from __future__ import annotations

import builtins
import io
import re
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.pictures.selection import of_mask
from saliency_widget.script import expression
from tests.nets import LABELS, black_box, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import Browser

METHODS = ["gradient", saliency.XRAI(steps=4), saliency.SmoothGrad(saliency.IntegratedGradients(steps=3), samples=2)]


def run(code: str, monkeypatch: pytest.MonkeyPatch, **given: Any) -> dict[str, Any]:
    """Run a script without a widget and without a screen."""
    import matplotlib as mpl

    mpl.use("agg")
    real = builtins.__import__

    def without_widget(name: str, *args: Any, **options: Any) -> Any:
        assert not name.startswith("saliency_widget")
        return real(name, *args, **options)

    names: dict[str, Any] = dict(given)
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without_widget)
        exec(compile(code, "copied.py", "exec"), names)
    sys.modules["matplotlib.pyplot"].close("all")
    return names


def picture_of(widget: SaliencyWidget, width: int) -> np.ndarray:
    """Return what the widget draws, float (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(widget.snapshot_png(width))).convert("RGB"), float)


@pytest.mark.parametrize(
    ("method", "look"),
    [
        ("gradient", {"mode": "area", "keep": 20}),
        ("gradient", {"mode": "area", "picked": of_mask(np.tri(24, 20) > 0)}),
        ("gradient", {"mode": "heat", "sign": "signed", "threshold": 60, "gamma": 0.5}),
        ("smooth_grad", {"mode": "area", "keep": 45, "sign": "positive", "opacity": 0.4}),
        ("smooth_grad", {"mode": "heat"}),
        ("xrai", {"mode": "area", "region": 2}),
        ("xrai", {"mode": "area", "picked": {"regions": [0, 2]}}),
        ("xrai", {"mode": "heat", "sign": "positive", "colormap": "viridis", "opacity": 1.0, "gamma": 2.0}),
    ],
    ids=str,
)
def test_the_script_gives_what_is_shown(
    make: Make, monkeypatch: pytest.MonkeyPatch, method: str, look: dict[str, Any]
) -> None:
    """The script gives the mask, its selection, and the picture except for the outlines."""
    net = small_net()
    widget = make(net, labels=LABELS, target=1, methods=METHODS, method=method, **look)
    shown = widget.compute(wait=True)

    found = run(widget.code(), monkeypatch, model=net, img=picture(), labels=LABELS)

    np.testing.assert_allclose(found["found"].mask, shown.mask, atol=1e-6)
    assert found["found"].label == "bee"
    if look["mode"] == "area":
        np.testing.assert_array_equal(found["kept"], widget.selection)
    else:
        height, width = picture().shape[:2]
        # scaled by one: nothing but colours and opacity
        drawn = picture_of(widget, width)
        assert np.abs(np.rint(found["shown"]) - drawn).mean() < 1.5
        assert found["shown"].shape == (height, width, 3)


def test_light_is_where_the_selection_is(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a cropped and enlarged view, the script's picture is the widget's."""
    net = small_net()

    def preprocess(image: np.ndarray) -> np.ndarray:
        return np.repeat(np.repeat(image[2:22, 1:19], 2, 0), 2, 1).astype(np.float32) / 255

    widget = make(net, preprocess=preprocess, target=1, methods=["grad_cam"], mode="area", keep=40, opacity=1.0)
    widget.compute(wait=True)

    code = widget.code()
    found = run(code, monkeypatch, model=net, img=picture(), preprocess=preprocess)

    assert "# model, img, preprocess: as they were" in code
    # the script draws no line round it
    monkeypatch.setattr("saliency_widget.pictures.drawing._outlined", lambda drawn, *_: drawn)
    drawn = picture_of(widget, picture().shape[1])
    differs = np.abs(found["shown"] - drawn).max(2) > 2
    assert differs.mean() < 0.05
    np.testing.assert_array_equal(found["kept"], widget.selection)


@pytest.mark.parametrize(
    "method",
    [
        saliency.IntegratedGradients(steps=3, baseline=np.array([0.5, 0.25, 1.0])),
        saliency.IntegratedGradients(baseline=("black", 0.5)),
        saliency.SmoothGrad(saliency.BlurIG(steps=2, sqrt=True), spread=0.2),
        saliency.XRAI(base_attribution=saliency.GradientSaliency()),
        saliency.Occlusion(size=(3, 5)),
    ],
    ids=repr,
)
def test_methods_are_written_as_they_are(method: saliency.Method) -> None:
    """The written expression is the same method, with its arrays and inner methods."""
    written = expression(method)

    assert written is not None
    assert eval(written, {"saliency": saliency, "np": np}).key() == method.key()


def test_what_cannot_be_written_is_left_to_its_owner() -> None:
    """A method with a large array, or of a user's class, is `method`, as it was given to the widget."""

    class Mine(saliency.GradientSaliency):
        pass

    assert expression(Mine()) is None
    assert expression(saliency.IntegratedGradients(baseline=np.zeros((24, 20, 3)))) is None


def test_the_browser_requests_the_script(make: Make) -> None:
    """`code` returns the text of `code()`, computed or not; for an unsupported method the reason."""
    widget = make([small_net(), black_box(small_net())], target=1, methods=["gradient", "grad_cam"])
    browser = Browser(widget)

    answer = browser.wait("code", rid=browser.request("code", method="gradient", target=1))
    cannot = browser.wait("error", rid=browser.request("code", method="grad_cam", target=1, model=1))

    assert answer.fields["text"] == widget.code()
    assert cannot.fields["message"] == widget.spec["methods"][1]["lacks"][1]


FAMILIES = {
    "gradients": saliency.InputXGradient(),
    "paths": saliency.IntegratedGradients(steps=3),
    "noise": saliency.SmoothGrad(samples=3),
    "backward rules": saliency.LRP(),
    "layers": saliency.GradCam(),
    "perturbation": saliency.Occlusion(size=12, stride=6),
    "regions": saliency.XRAI(steps=2),
}


def test_each_family_is_tried() -> None:
    """The test covers a method of each family except attention, which the small net does not have."""
    assert {method.family for method in FAMILIES.values()} == set(FAMILIES)
    assert set(FAMILIES) == {info.family for info in saliency.methods()} - {"attention"}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", ["area", "heat"])
def test_each_family_s_figure_is_the_widget_s(
    make: Make, monkeypatch: pytest.MonkeyPatch, family: str, mode: str
) -> None:
    """With outlines or contours, the script's figure has the pixels of the widget's own PNG."""
    net, img = small_net(), picture(48, 40)
    look = {"mode": mode, "keep": 25, "contours": True, "gamma": 0.7, "sign": "absolute"}
    widget = make(net, img, [FAMILIES[family]], labels=LABELS, target=1, **look)
    shown = widget.compute(wait=True)

    found = run(widget.code(), monkeypatch, model=net, img=img, labels=LABELS)

    np.testing.assert_allclose(found["found"].mask, shown.mask, atol=1e-6)
    drawn, figure = picture_of(widget, 400), drawn_in(found["axes"], 400)
    assert near(figure, drawn) > 0.95
    # and the lines are part of it
    bare = Image.fromarray(np.rint(found["shown"]).astype(np.uint8)).resize((400, 480))
    assert near(np.asarray(bare, float), drawn) < near(figure, drawn)


def near(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of pixels that match another picture's, thin lines within two pixels."""
    soft = ImageFilter.BoxBlur(2)
    first, second = (np.asarray(Image.fromarray(each.astype(np.uint8)).filter(soft), float) for each in (one, other))
    return float((np.abs(first - second).max(2) < 40).mean())


def drawn_in(axes: Any, width: int) -> np.ndarray:
    """Return the pixels within a figure's axes at a given width."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    axes.figure.set_dpi(300)
    canvas: Any = FigureCanvasAgg(axes.figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    box = axes.get_window_extent()
    top, bottom = (round(pixels.shape[0] - edge) for edge in (box.y1, box.y0))
    inside = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, round(box.x0) : round(box.x1)]))
    height = round(width * inside.height / inside.width)
    return np.asarray(inside.resize((width, height)), float)


LOOKS: list[dict[str, Any]] = [
    {"mode": "heat", "scale": "shared", "gamma": 1.5, "threshold": 30},
    {"mode": "heat", "scale": "shared", "sign": "signed", "smooth": False},
    {"mode": "area", "region": 2},
    {"mode": "area", "keep": 20, "sign": "positive"},
    {"mode": "area", "picked": of_mask(np.tri(24, 20) > 0)},
    {"mode": "area", "picked": {"regions": [1, 2]}},
]


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_a_grid_is_a_figure_of_all_its_cells(make: Make, monkeypatch: pytest.MonkeyPatch, look: dict[str, Any]) -> None:
    """Of several models and images, each cell has its name and the picture that the widget draws."""
    nets = {"vgg": small_net(), "two": small_net(seed=1)}
    images = [picture(), picture(seed=5)]
    methods = ["gradient", saliency.FeatureAblation(segments="grid", features=6)]
    widget = make(nets, images, methods, labels=LABELS, target=1, method="feature_ablation", image_index=1, **look)
    widget.compare(["gradient", "feature_ablation"], models=["vgg", "two"])
    for cell in widget._screen.cells:
        widget.compute(*cell.key, wait=True, model=cell.model, image=cell.image)
    # lines are drawn otherwise; they are looked at elsewhere
    monkeypatch.setattr("saliency_widget.pictures.drawing._outlined", lambda drawn, *_: drawn)

    code = widget.code()
    found = run(code, monkeypatch, models=nets, images=images, labels=LABELS)

    cells = widget._screen.cells
    assert "saliency.explain(models['vgg'], images[1]," in code
    assert [name for name, _ in found["cells"]] == [widget._screen.name(cell, cells) for cell in cells]
    assert len(cells) == 4
    for cell, axes in zip(cells, found["grid"].flat, strict=False):
        drawn = np.asarray(widget._stills._one(cell, picture().shape[1]), float)
        assert np.abs(np.asarray(axes.images[0].get_array(), float) - drawn).mean() < 1.5


def test_a_note_in_the_script_reports_an_added_picture(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `add`, before anything is computed, the script runs, and names the picture to load."""
    net, other = small_net(), picture(20, 28, seed=3)
    widget = make(net, labels=LABELS, methods=["gradient"])
    widget.add(other, 'a "cat"')

    code = widget.code()
    found = run(code, monkeypatch, model=net, labels=LABELS, added={'a "cat"': other})

    assert "added['a \"cat\"']: the picture that was added under this name" in code
    np.testing.assert_allclose(found["found"].mask, widget.compute(wait=True).mask, atol=1e-6)
    np.testing.assert_array_equal(found["kept"], widget.selection)


def test_a_crop_is_shaded_beside_the_map(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels outside the model's view are shaded in the script's heat map too."""
    net, img = small_net(), picture(48, 40)

    def preprocess(image: np.ndarray) -> np.ndarray:
        return image[12:36, 10:30].astype(np.float32) / 255

    widget = make(net, img, ["gradient"], preprocess=[preprocess], target=1, mode="heat", smooth=False)
    widget.compute(wait=True)

    found = run(widget.code(), monkeypatch, model=net, img=img, preprocess=[preprocess])

    assert np.abs(np.rint(found["shown"]) - picture_of(widget, 40)).mean() < 1.5


def test_the_script_calls_what_if_for_the_selection(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the widget evaluates selections live, the script evaluates the same with the same fill."""
    net = small_net()
    widget = make(net, labels=LABELS, methods=["gradient"], target=1, live=True, fill="mean", keep=40)
    widget.compute(wait=True)
    browser = Browser(widget)
    rid = browser.request(
        "what_if", method="gradient", target=1, sign="auto", keep=40, region=0, picked={}, fill="mean"
    )
    answer = browser.wait("what_if", rid=rid).fields["without"][0]

    found = run(widget.code(), monkeypatch, model=net, img=picture(), labels=LABELS)

    assert found["without"][0].label == answer["label"]
    assert found["without"][0].probability == pytest.approx(answer["probability"], abs=1e-6)


def test_a_speckled_selection_stays_short(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask of thousands of runs is written in fewer characters than its runs, and is the same mask."""
    net = small_net()
    widget = make(net, picture(96, 96), methods=["gradient"], target=1)
    widget.compute(wait=True)
    speckles = np.random.default_rng(0).random((96, 96)) < 0.5
    widget.select(speckles)

    code = widget.code()
    found = run(code, monkeypatch, model=net, img=picture(96, 96))

    assert len(str(widget.picked["runs"])) > 8000
    assert max(map(len, code.splitlines())) < 2000
    np.testing.assert_array_equal(found["kept"], speckles)


def test_a_state_comes_back(make: Make) -> None:
    """A state restores a widget through JSON; a state of another version is refused."""
    import json

    net = small_net()
    first = make(net, labels=LABELS, target=1, methods=["gradient", "integrated_gradients"], keep=12, sign="signed")
    first.method = "integrated_gradients"
    first.parameters = {"integrated_gradients": {"steps": 4}}
    first.picked = of_mask(np.tri(24, 20) > 0)
    state = json.loads(json.dumps(first.state()))

    second = SaliencyWidget.from_state(state, net, picture(), labels=LABELS)

    try:
        assert second.state() == state
        np.testing.assert_array_equal(second.compute(wait=True).mask, first.compute(wait=True).mask)
        np.testing.assert_array_equal(second.selection, first.selection)
        assert second.snapshot_png() == first.snapshot_png()
    finally:
        second.close()
    for wrong in ({}, {**state, "version": 99}, None):
        with pytest.raises(saliency.BadField, match="version 1"):
            SaliencyWidget.from_state(wrong, net, picture())  # type: ignore[arg-type]  # the point


def test_a_link_holds_the_whole_state(make: Make) -> None:
    """A link is one line of text without spaces, and gives a widget with the same state."""
    net = small_net()
    first = make(net, labels=LABELS, method="gradient", target=1, mode="heat")
    first.picked = of_mask(np.tri(24, 20) > 0)
    link = first.link()

    second = SaliencyWidget.from_state(f" {link}\n", net, picture(), labels=LABELS)

    assert re.fullmatch(r"saliency:[\w-]+", link)
    assert second.state() == first.state()
    second.close()


@pytest.mark.parametrize("wrong", ["", "saliency:", "saliency:abc", "saliency:!!", "https://example.org"])
def test_a_link_that_is_cut_off_is_refused(wrong: str) -> None:
    """Text that is not a whole link raises an error that shows the text."""
    with pytest.raises(saliency.BadField, match=r"Expected the result of link\(\), got"):
        SaliencyWidget.from_state(wrong, small_net(), picture())
    with pytest.raises(saliency.BadField, match=r"copy the whole text"):
        SaliencyWidget.from_state(SaliencyWidget(small_net(), picture()).link()[:40], small_net(), picture())
