"""Where no script runs: nbconvert without widget state, Markdown, and pages that show a stored notebook (GitHub)."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from typing import Any

import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter, MarkdownExporter
from PIL import Image

from tests.nets import LABELS
from tests.widget.conftest import Make


class Elements(HTMLParser):
    """The elements of a page, and their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def images(self) -> list[np.ndarray]:
        """Return the pictures that the page holds itself."""
        sources = [attributes.get("src") or "" for tag, attributes in self.found if tag == "img"]
        inside = [each.partition("base64,")[2] for each in sources if each.startswith("data:image/")]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in inside]


@pytest.fixture
def bundle(make: Make) -> dict[str, Any]:
    """Return a cell's output of a widget with one map, whose class has a dangerous name."""
    widget = make(methods=["gradient"], labels=["<script>boom()</script>", *LABELS[1:]], target=0)
    widget.compute(wait=True)
    bundle = widget._repr_mimebundle_()
    assert bundle is not None
    return bundle[0]


def notebook(data: dict[str, Any]) -> nbformat.NotebookNode:
    """Return a stored notebook with one output."""
    output = nbformat.v4.new_output("display_data", data)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("w", outputs=[output])])


def test_nbconvert_shows_the_picture(bundle: dict[str, Any]) -> None:
    """A page made of a notebook without widget state shows the map, and runs nothing of ours."""
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook(bundle))  # type: ignore[no-untyped-call]

    (shown,) = Elements(page).images()
    assert max(shown.shape[:2]) >= 200
    assert shown[..., :3].std() > 10
    assert "<script>boom" not in page


def test_markdown_shows_the_picture(bundle: dict[str, Any]) -> None:
    """Markdown, which has no scripts, shows the picture."""
    page, resources = MarkdownExporter().from_notebook_node(notebook(bundle))  # type: ignore[no-untyped-call]

    assert Elements(page).images() or any(name.endswith(".png") for name in resources["outputs"])


def test_the_stored_html_needs_no_script(bundle: dict[str, Any]) -> None:
    """A page like GitHub's shows a picture and text: no script, style sheet, frame or address."""
    elements = Elements(bundle["text/html"])

    assert {tag for tag, _ in elements.found}.isdisjoint({"script", "link", "iframe", "object", "form"})
    assert len(elements.images()) == 1
    for _, attributes in elements.found:
        assert not any(name.startswith("on") for name in attributes)
        assert not any((attributes.get(name) or "").startswith("http") for name in ("src", "href"))
