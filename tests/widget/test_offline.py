from __future__ import annotations

import ast
import base64
import io
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saliency
from saliency_widget import SaliencyWidget, export
from saliency_widget.front_end import built
from saliency_widget.pictures import drawing
from saliency_widget.pictures.selection import of_mask
from tests.nets import LABELS, black_box, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, unpack

NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xhtml", "http://www.w3.org/1999/xlink"}
"""Names that look like addresses."""


CODE, MORE = "const t = 1; export { t as default };", "export default (shared) => ({});"
"""The forms of the two modules."""


class Page(HTMLParser):
    """The text of a page's elements by their id or tag, and all attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.attributes: list[tuple[str, str, str]] = []
        self._open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = dict(attrs).get("id") or tag
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._open] = self.texts.get(self._open, "") + data


def told_in(packet: bytes, op: str) -> list[dict[str, Any]]:
    """Return the stored messages of a kind."""
    return [message.fields for message in unpack(packet) if message.op == op]


NOTHING = export.Part({}, b"", "")


def packet_of(text: str) -> bytes:
    """Return the packet that a page holds."""
    return base64.b64decode(Page(text).texts["packet"])


def test_the_page_holds_every_result_in_full(make: Make) -> None:
    """The page's packet has the picture, the prediction and each explanation exactly, the shown one first."""
    widget = make(target=1, method="gradient", keep=12)
    for method in ("xrai", "gradient", "integrated_gradients"):
        widget.compute(method, wait=True)

    page = Page(widget.to_html())

    traits = json.loads(page.texts["traits"])
    assert traits["spec"] == widget.spec
    assert (traits["method"], traits["target"], traits["keep"]) == ("gradient", 1, 12)
    messages = unpack(base64.b64decode(page.texts["packet"]))
    assert [m.op for m in messages] == ["welcome", "prediction", *["result"] * 3, *["described"] * 3]
    assert messages[0].buffers["picture"].startswith(b"\x89PNG")
    assert messages[2].fields["result"]["method"] == "gradient"
    for message in messages[2:5]:
        explanation = widget.explanations[message.fields["result"]["method"], 1]
        mask = explanation.mask
        np.testing.assert_array_equal(message.array("values"), mask.sum(2) if mask.ndim == 3 else mask)
        if explanation.regions is not None:
            np.testing.assert_array_equal(message.array("step"), explanation.regions.ranks)


def test_the_page_needs_nobody(make: Make, checkout: Path) -> None:
    """The page names no network address, loads nothing, forbids loading, and holds no path of this machine."""
    widget = make(target=1)
    widget.compute("gradient", wait=True)

    text = widget.to_html()

    page = Page(text)
    addresses = set(re.findall(r"""https?://[^\s"'`)<>\\]+""", text))
    # and where a paper is, opened by nothing but a click
    assert {each for each in addresses if not each.startswith("https://arxiv.org/abs/")} <= NAMESPACES
    packet = unpack(packet_of(text))
    for source in (text, *(json.dumps(message.fields) for message in packet)):
        assert str(checkout) not in source
        assert str(Path.home()) + "/" not in source
    assert not [found for found in page.attributes if found[1] in {"src", "href"} and not found[2].startswith("data:")]
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'; script-src 'unsafe-inline';")
    assert "http" not in policy


def test_an_invalid_front_end_is_not_exported(make: Make) -> None:
    """A bundle that does not end in a default export is refused, as the page would be empty."""
    with pytest.raises(ValueError, match="default export"):
        export.page("title", "console.log(1)", MORE, "", [NOTHING])
    with pytest.raises(ValueError, match="npm run build"):
        export.page("title", CODE, "nothing", "", [NOTHING])


def test_scripts_within_the_script_end_nothing(make: Make) -> None:
    """Tags and comments in the front end's own strings do not end its element."""
    code = CODE.replace("1", '"</script><!--<script>"')

    page = Page(export.page("title", code, MORE, "", [NOTHING]))

    assert r'const t = "<\/script><\!--<\script>";' in page.texts["script"]
    assert page.texts["script"].rstrip().endswith("}")
    assert "const saliencyWidget = t;" in page.texts["script"]


def test_text_stays_text(make: Make) -> None:
    """Labels, titles and class names with markup create no HTML element."""
    evil = "</script><script>alert(1)</script><!--"
    widget = make(small_net(), labels=[evil, "b", "c", "d"], target=0)
    widget.compute("gradient", wait=True)

    page = Page(widget.to_html(title=f"{evil}&amp;"))

    assert page.texts["title"] == f"{evil}&amp;"
    assert sum(tag == "script" for tag, *_ in {a[:1] for a in page.attributes}) == 1
    (prediction,) = (m for m in unpack(base64.b64decode(page.texts["packet"])) if m.op == "prediction")
    assert evil in [row["label"] for row in prediction.fields["classes"]]
    assert evil not in widget.to_html()
    assert evil not in str(widget._repr_mimebundle_())


def test_half_characters_and_markup_are_text_everywhere(make: Make, tmp_path: Path) -> None:
    """Names, labels and titles with unpaired surrogates are valid in pages, code, captions, stills and files."""
    evil = "</script><script>alert(1)</script>\ud800\"'\n\\{x}$_"
    widget = make({evil: small_net()}, {evil: picture(), "b": picture()}, labels=[evil, "b", "c", "d"], target=0)
    widget.compute("gradient", wait=True)

    for grid in ({}, {"images": [0, 1]}):
        widget.grid = grid
        text = widget.to_html(tmp_path / "page.html", title=evil).read_text(encoding="utf-8")
        assert "<script>alert" not in text
        ast.parse(widget.code().encode().decode())
        shown = widget._stills.bundle()["text/html"]
        assert "<script" not in shown.encode().decode()
        assert widget.snapshot_png().startswith(b"\x89PNG")
    (exp,) = widget.explanations.values()
    exp.save(tmp_path / "exp.npz")
    exp.save(tmp_path / "exp.png")
    assert saliency.Explanation.load(tmp_path / "exp.npz").label == exp.label
    assert json.loads(json.dumps(widget.state())) == widget.state()


def test_the_page_is_written_to_the_given_path(make: Make, tmp_path: Path) -> None:
    """With a path the page is written in UTF-8 and the path returned; a page without results is valid."""
    widget = make()

    written = widget.to_html(tmp_path / "page.html", title="Größe")

    assert written == tmp_path / "page.html"
    page = Page(written.read_text(encoding="utf-8"))
    assert page.texts["title"] == "Größe"
    assert [m.op for m in unpack(base64.b64decode(page.texts["packet"]))] == ["welcome", "prediction"]


def test_a_dead_notebook_keeps_what_was_shown(make: Make) -> None:
    """`_snapshot` replays the picture, the prediction, and the shown result to one step of a byte."""
    widget = make(target=1, method="integrated_gradients")
    assert widget._snapshot == b""
    browser = Browser(widget)
    explanation = widget.compute(wait=True)
    widget.wait(PATIENCE)

    messages = unpack(widget._snapshot)

    assert widget._snapshot.startswith(b"SLWZ")
    assert [m.op for m in messages] == ["welcome", "prediction", "result", "described"]
    assert messages[0].fields["format"] == "image/jpeg"
    values = explanation.mask.sum(2)
    np.testing.assert_allclose(messages[2].array("values"), values, atol=0.51 * np.ptp(values) / 254)
    pushed = [update for update in browser.updates if ["_snapshot"] in update["buffer_paths"]]
    assert len(pushed) == 1


def test_a_notebook_keeps_the_second_module_once(make: Make) -> None:
    """`_more` is empty until the first result, so that a new widget does not send it, and is sent once."""
    widget = make(target=1, method="gradient")
    assert widget._more == b""
    browser = Browser(widget)
    for target in (1, 0):
        widget.compute(target=target, wait=True)
    widget.wait(PATIENCE)

    assert zlib.decompress(widget._more).decode() == built("more.js")
    assert len([update for update in browser.updates if ["_more"] in update["buffer_paths"]]) == 1


def test_a_page_holds_the_second_module(make: Make) -> None:
    """The page's script has both modules, without their exports."""
    script = Page(make(target=1).to_html()).texts["script"]

    assert built("more.js")[len("export default ") :][:2000].replace("</", r"<\/") in script
    assert re.search(r"\bexport\s*(default|\{)", script) is None


def test_the_snapshot_follows_what_is_shown(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several results the shown one is first; others follow if they fit."""
    widget = make(target=1, method="gradient")
    for method in ("gradient", "integrated_gradients"):
        widget.compute(method, wait=True)
    widget.wait(PATIENCE)
    assert [each["result"]["method"] for each in told_in(widget._snapshot, "result")] == [
        "gradient",
        "integrated_gradients",
    ]

    monkeypatch.setattr("saliency_widget.work.picture.SNAPSHOT_BYTES", 10)
    widget.method = "integrated_gradients"
    widget.wait(PATIENCE)

    assert [each["result"]["method"] for each in told_in(widget._snapshot, "result")] == ["integrated_gradients"]


def test_a_widget_that_cannot_be_shown_leaves_a_picture(make: Make) -> None:
    """A cell's output also has a PNG, self-contained HTML and a line of text; nothing is computed for it."""
    widget = make()
    before = widget._repr_mimebundle_()
    assert before is not None
    assert widget.explanations == {}
    widget.compute("gradient", wait=True)
    widget.method = "gradient"

    bundle = widget._repr_mimebundle_()

    assert bundle is not None
    data, _ = bundle
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/html", "text/plain"}
    assert data["text/plain"] == repr(widget)
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).size == (320, 384)
    assert data["image/png"] != before[0]["image/png"]
    page = Page(data["text/html"])
    label = widget.predictions[0].label
    assert page.texts["figcaption"] == f"Gradient for {label}: 1 image evaluated"
    assert ("img", "alt", page.texts["figcaption"]) in page.attributes


def image_of(png: bytes) -> np.ndarray:
    """Return the pixels of a PNG file."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


def test_without_a_result_the_picture_is_drawn(make: Make) -> None:
    """Nothing is computed for a PNG: without a result it is the picture."""
    img = picture()

    drawn = image_of(make(img=img).snapshot_png(width=20))

    np.testing.assert_array_equal(drawn, img)


@pytest.mark.parametrize("sign", ["absolute", "positive", "signed"])
def test_a_heat_map_is_drawn_as_the_browser_draws_it(make: Make, sign: str) -> None:
    """The heat view has matplotlib's colours over the grey picture, and only grey below the threshold."""
    from matplotlib import colormaps

    img = picture()
    widget = make(img=img, target=1, method="integrated_gradients", mode="heat", sign=sign, opacity=0.6, threshold=50)
    mask = widget.compute(wait=True).mask
    values, strength = mask.sum(2), np.abs(mask).sum(2)
    top = np.percentile(values if sign == "positive" else strength, 99)
    if sign == "signed":
        colours = colormaps["RdBu_r"](0.5 + 0.5 * np.clip(values / top, -1, 1))
    else:
        shown = values if sign == "positive" else strength
        low = max(0.0, float(shown.min()))
        colours = colormaps["inferno"](np.clip((shown - low) / (top - low), 0, 1))
    compared = values if sign == "positive" else strength
    grey = np.repeat((img @ [0.2126, 0.7152, 0.0722])[..., None], 3, -1)
    wanted = np.where((compared >= np.percentile(compared, 50))[..., None], 0.4 * grey + 153 * colours[..., :3], grey)

    drawn = image_of(widget.snapshot_png(width=20))

    np.testing.assert_allclose(drawn, wanted, atol=5)  # one step of the table


def test_the_kept_area_keeps_its_colours(make: Make) -> None:
    """In the area view the selection keeps its colours, but for the outline; the rest is shaded by the opacity."""
    img = picture(48, 40)
    widget = make(img=img, target=1, method="grad_cam", mode="area", keep=30, opacity=0.5)
    widget.compute(wait=True)
    kept = widget.selection

    drawn = image_of(widget.snapshot_png(width=40))

    np.testing.assert_allclose(drawn[~kept], img[~kept] * 0.5 + 0.5 * np.array(drawing.SHADE), atol=1)
    same = (drawn == img).all(-1)
    white = (drawn == 255).all(-1)
    assert (same | white)[kept].all()
    assert same[kept].any()
    assert white[kept].any()


def test_a_crop_is_drawn_at_its_placement(make: Make) -> None:
    """Pixels outside the model's view are shaded, and grey next to a heat map."""
    img = picture(48, 40)
    widget = make(
        img=img, preprocess=lambda x: x[12:36, 10:30] / np.float32(255), target=1, method="gradient", keep=100
    )
    widget.compute(wait=True)
    outside = np.ones((48, 40), bool)
    outside[12:36, 10:30] = False

    area = image_of(widget.snapshot_png(width=40))
    widget.mode = "heat"
    heat = image_of(widget.snapshot_png(width=40))

    np.testing.assert_allclose(area[outside], img[outside] * 0.3 + 0.7 * np.array(drawing.SHADE), atol=1)
    grey = np.repeat((img @ [0.2126, 0.7152, 0.0722])[..., None], 3, -1)
    np.testing.assert_allclose(heat[outside], grey[outside] * 0.3 + 0.7 * np.array(drawing.SHADE), atol=1)
    assert (np.ptp(heat[~outside], axis=-1) > 10).mean() > 0.5


def test_pictures_have_the_given_width(make: Make) -> None:
    """A PNG is at least 448 pixels wide by default; its height follows the picture."""
    widget = make(img=picture(30, 20), methods=[saliency.XRAI(steps=2)], target=1)
    widget.compute(wait=True)

    assert image_of(widget.snapshot_png()).shape == (672, 448, 3)
    assert image_of(widget.snapshot_png(width=100)).shape == (150, 100, 3)


def test_labels_reach_the_page(make: Make) -> None:
    """The summary names the class by its label."""
    widget = make(target="cat", method="gradient")
    widget.compute(wait=True)
    bundle: Any = widget._repr_mimebundle_()

    assert "for cat" in bundle[0]["text/html"]
    assert "cat" in LABELS


def growth(widget: SaliencyWidget) -> int:
    """A notebook grows by a limited number of bytes, next to the script, the styles and one PNG."""
    bundle, _ = widget._repr_mimebundle_()  # type: ignore[misc]  # it is shown
    state = {name: value for name, value in widget.get_state().items() if name not in ("_esm", "_more", "_css")}
    assert state["_snapshot"]
    snapshot = base64.b64encode(state.pop("_snapshot"))
    html = json.dumps({kind: text for kind, text in bundle.items() if kind != "image/png"})
    return len(snapshot) + len(json.dumps(state, default=str)) + len(html)


def test_a_notebook_grows_by_little(make: Make) -> None:
    """A noisy gradient, which hardly compresses, with its what-if answers adds at most 75 kB, 12 kB of them advice."""
    demo = saliency.demo
    widget = make(demo.model(), demo.image(), labels=demo.labels, target="cat", method="gradient")
    widget.compute(wait=True)
    widget.compute("integrated_gradients", wait=True)
    browser = Browser(widget)
    cell = {"method": "gradient", "target": 1}
    for keep in range(40, 48):
        view = {"sign": "auto", "keep": keep, "region": 0, "picked": {}, "fill": "blur"}
        browser.wait("what_if", rid=browser.request("what_if", **cell, **view))
    browser.wait("curve", rid=browser.request("curve", **cell, fill="blur"))
    assert widget.wait(60)

    assert growth(widget) <= 75_000
    assert len(told_in(widget._snapshot, "curve")) == 1
    # the last ones
    answers = told_in(widget._snapshot, "what_if")
    assert [each["asked"]["keep"] for each in answers] == list(range(47, 47 - len(answers), -1))
    assert answers


def test_a_grid_makes_a_notebook_grow_by_little(make: Make) -> None:
    """Noisy maps of two models and two images add at most 75 kB, of which 12 kB are the texts on methods."""
    demo = saliency.demo
    images = [demo.image(), demo.image()[:, ::-1]]
    widget = make([demo.model()] * 2, images, labels=demo.labels, target="cat", method="gradient")
    for m in (0, 1):
        for i in (0, 1):
            widget.compute(wait=True, model=m, image=i)
    widget.compare(models=[0, 1], images=[0, 1])
    assert widget.wait(60)

    assert growth(widget) <= 75_000


def test_computed_what_ifs_are_in_the_page(make: Make) -> None:
    """What-if answers and curves are stored with their requests; none is computed for the page."""
    calls: list[int] = []
    function = black_box(small_net())

    def counted(images: np.ndarray) -> Any:
        calls.append(len(images))
        return function(images)

    widget = make(counted, methods=[saliency.Occlusion(size=4, stride=4)], target=1)
    shown = widget.compute(wait=True)
    browser = Browser(widget)
    view = {"sign": "auto", "keep": 40.0, "region": 0, "picked": {}}
    cell = {"method": "occlusion", "target": 1, "model": 0, "image": 0}
    fields = browser.wait("what_if", rid=browser.request("what_if", **cell, **view, fill="mean")).fields
    drawn = browser.wait("curve", rid=browser.request("curve", **cell, fill="blur")).fields
    assert widget.wait(PATIENCE)
    before = len(calls)

    packet = packet_of(widget.to_html())

    assert len(calls) == before
    (answer,) = told_in(packet, "what_if")
    assert answer["asked"] == {"op": "what_if", **cell, **view, "fill": "mean"}
    assert (answer["only"], answer["without"]) == (fields["only"], fields["without"])
    assert answer["area"] == pytest.approx(shown.top(40).mean())
    (curve,) = told_in(packet, "curve")
    assert curve["asked"] == {"op": "curve", **cell, "fill": "blur"}
    assert curve["insertion"] == drawn["insertion"]
    assert told_in(widget._snapshot, "curve") == [curve]


def test_results_about_removed_maps_are_not_exported(make: Make) -> None:
    """Answers about a map with other fields, and about brushed masks that are no longer shown, are not stored."""
    widget = make(target=1, methods=[saliency.IntegratedGradients(steps=3)])
    widget.compute(wait=True)
    browser = Browser(widget)
    cell = {"method": "integrated_gradients", "target": 1, "sign": "auto", "keep": 30.0, "region": 0, "fill": "mean"}
    strokes = [of_mask(np.arange(320).reshape(20, 16) < end) for end in (5, 9)]
    for picked in ({}, *strokes):
        browser.wait("what_if", rid=browser.request("what_if", **cell, picked=picked))
    widget.picked = strokes[1]

    kept = told_in(packet_of(widget.to_html()), "what_if")
    assert [each["asked"]["picked"] for each in kept] == [{}, strokes[1]]

    widget.parameters = {"integrated_gradients": {"steps": 5}}
    widget.compute(wait=True)
    assert told_in(packet_of(widget.to_html()), "what_if") == []


def test_exported_pages_contain_what_ifs_computed_in_advance(make: Make) -> None:
    """With `what_if` each map has its curves, and the engine's predictions for its top 5, 10, … 95 %."""
    nets = [small_net(), small_net()]
    widget = make(nets, methods=["gradient"], labels=LABELS, fill="mean")
    maps = [widget.compute("gradient", "bee", wait=True, model=model) for model in range(2)]

    packet = packet_of(widget.to_html(what_if=True))

    curves, answers = told_in(packet, "curve"), told_in(packet, "what_if")
    assert [each["asked"]["model"] for each in curves] == [0, 1]
    assert len(answers) == 2 * 19
    for each in curves:
        wanted = saliency.perturbation_curves(nets[0], picture(), maps[each["asked"]["model"]], fill="mean", points=24)
        np.testing.assert_allclose(each["deletion"], wanted.deletion, atol=1e-6)
    for each in answers[::6]:
        mask = maps[each["asked"]["model"]].top(each["asked"]["keep"])
        expected = saliency.what_if(nets[0], picture(), mask, "mean", labels=LABELS)
        assert each["only"][0]["label"] == expected.only[0].label
        assert each["only"][0]["probability"] == pytest.approx(expected.only[0].probability, abs=1e-6)


def test_a_failure_of_a_what_if_computed_in_advance_is_reported(make: Make) -> None:
    """`to_html` raises the model's own error, and the widget goes on."""
    asleep: list[bool] = []
    function = black_box(small_net())

    def tired(images: np.ndarray) -> Any:
        if asleep:
            raise ValueError("tired")
        return function(images)

    widget = make(tired, methods=[saliency.Occlusion(size=4, stride=4)], target=1)
    widget.compute(wait=True)
    asleep.append(True)

    with pytest.raises(ValueError, match="tired"):
        widget.to_html(what_if=True)

    assert told_in(packet_of(widget.to_html()), "curve") == []


def test_the_page_knows_the_fields_of_its_maps(make: Make) -> None:
    """The page has the `described` of each method with a map, with the fields of that map."""
    widget = make(target=1, methods=["gradient", saliency.IntegratedGradients(steps=3), "occlusion"])
    widget.parameters = {"integrated_gradients": {"steps": 7}}
    for method in ("gradient", "integrated_gradients"):
        widget.compute(method, wait=True)

    text = widget.to_html()

    described = {each["asked"]["method"]: each for each in told_in(packet_of(text), "described")}
    assert set(described) == {"gradient", "integrated_gradients"}
    assert json.loads(Page(text).texts["traits"])["parameters"] == {"integrated_gradients": {"steps": 7}}
    assert described["integrated_gradients"]["asked"]["fields"] == {"steps": 7}
    steps = next(each for each in described["integrated_gradients"]["fields"] if each["name"] == "steps")
    assert (steps["value"], steps["default"]) == (7, 3)
