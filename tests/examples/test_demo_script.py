"""The page of `make demo` shows the computed results."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saliency
from saliency_widget import SaliencyWidget
from scripts import demo
from tests.nets import LABELS, picture, small_net
from tests.widget.front_end import unpack
from tests.widget.test_offline import Page

QUICK: list[Any] = ["gradient", "grad_cam", saliency.Occlusion(size=12, stride=12)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Return the names that the hidden cell defines, run on a small model with few methods."""
    folder = tmp_path_factory.mktemp("demo")
    net, img = small_net(), picture(48, 40)
    widget = SaliencyWidget(net, img, QUICK, labels=LABELS)
    maps = saliency.explain(net, img, "gradient", LABELS[:3], labels=LABELS, progress=False)
    names = {"img": img, "maps": maps, "widget": widget}
    ids = [each["id"] for each in widget.spec["methods"]]
    try:
        exec(compile(demo.keeping(folder / "page.html", folder / "picture.png", ids), "kept.py", "exec"), names)
        yield {**names, "page": folder / "page.html", "picture": folder / "picture.png"}
    finally:
        widget.close()


def test_each_panel_has_a_map_of_its_own(kept: dict[str, Any]) -> None:
    """Three panels side by side under their labels, each other than the plain picture, and other than the next."""
    plain = np.asarray(Image.fromarray(kept["img"]).resize((448, 538)), int)
    labelled = np.split(np.asarray(Image.open(kept["picture"]).convert("RGB"), int), 3, axis=1)
    captions, panels = [each[:-538] for each in labelled], [each[-538:] for each in labelled]

    assert all((each < 100).any() for each in captions)
    assert not np.array_equal(captions[0], captions[1])
    assert [each.shape for each in panels] == [plain.shape] * 3
    for each, other in zip(panels, [*panels[1:], panels[0]], strict=True):
        assert np.abs(each - plain).mean() > 10
        assert np.abs(each - other).mean() > 1


def test_the_page_has_every_method_for_each_class(kept: dict[str, Any]) -> None:
    """A result for each of the methods, for each of the classes."""
    page = Page(kept["page"].read_text(encoding="utf-8"))
    results = [m.fields["result"] for m in unpack(base64.b64decode(page.texts["packet"])) if m.op == "result"]

    seen = [each.target for each in kept["maps"]]
    ids = [each["id"] for each in json.loads(page.texts["traits"])["spec"]["methods"]]
    assert {(each["method"], each["target"]) for each in results} == {(i, target) for i in ids for target in seen}


def test_the_notebook_leaves_what_the_cell_needs(checkout: Path) -> None:
    """The quickstart defines the names that the added cells read."""
    cells = json.loads((checkout / "examples" / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    names = set(compile(code, "quickstart", "exec").co_names)

    assert {"seen", "maps", "widget"} <= names
