"""Widgets side by side: what is linked in Python, how they are unlinked, and the page of several."""

from __future__ import annotations

import gc
import json
import weakref
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import saliency
from saliency_widget import Composition, SaliencyWidget, compose
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE

LABELLED = {"labels": LABELS, "methods": ["gradient"], "prefetch": False}


def two(make: Make, **options: Any) -> tuple[SaliencyWidget, SaliencyWidget]:
    """Return two widgets of one picture, with the class 1 explained."""
    one = make(small_net(), **LABELLED, target=1, **options)
    return one, make(small_net(), **{**LABELLED, "methods": ["integrated_gradients"]}, target=1)


def test_class_mode_and_percentile_are_linked(make: Make) -> None:
    """What is set in one is set in all, and nothing else; the first gives what all begin with."""
    one, other = two(make, keep=33, mode="heat")
    third = make(small_net(), **LABELLED, target=0, opacity=0.2)
    box = compose(one, other, third)

    assert [(each.target, each.keep, each.mode) for each in box.widgets] == [(1, 33, "heat")] * 3
    other.target = LABELS[2]
    third.keep = 8
    one.threshold = 60
    other.mode = "area"
    one.gamma = 2
    assert [(each.target, each.keep, each.threshold, each.mode) for each in box.widgets] == [(2, 8, 60, "area")] * 3
    assert (one.opacity, third.opacity, other.gamma) == (0.7, 0.2, 1)
    assert other.method == "integrated_gradients"


def test_a_class_is_found_by_its_label(make: Make) -> None:
    """Models with other classes are linked by label; a class that a model lacks leaves it as it is."""
    mixed = [LABELS[3], "only here", *LABELS[1:3], *(f"other {i}" for i in range(len(LABELS) - 4))]
    one = make(small_net(), **LABELLED, target=1)
    other = make(small_net(), **{**LABELLED, "labels": mixed}, target=0)
    compose(one, other)

    assert mixed[other.target] == LABELS[1]
    one.target = 3
    assert other.target == 0
    other.target = 1
    assert one.target == 3
    one.target = 2
    assert mixed[other.target] == LABELS[2]


def test_a_label_that_two_classes_have_is_the_same_class(make: Make) -> None:
    """With equal lists of labels the index counts, even where a label occurs twice."""
    twice = [LABELS[0], *LABELS[:-1]]
    one, other = (make(small_net(), **{**LABELLED, "labels": twice}, target=2) for _ in range(2))
    compose(one, other)
    one.target = 1
    assert (one.target, other.target) == (1, 1)


def test_classes_without_labels_are_linked_by_index(make: Make) -> None:
    """Where neither model has labels the index counts; one with labels and one without are not linked by class."""
    one, other = (make(small_net(), picture(), ["gradient"], target=2) for _ in range(2))
    named = make(small_net(), **LABELLED, target=0)
    compose(one, other, named)
    one.target = 1
    assert (other.target, named.target) == (1, 0)


def test_the_top_class_of_the_first_counts(make: Make) -> None:
    """Top classes that become known one after another leave all with that of the first."""
    one = make(small_net(), **LABELLED)
    other = make(small_net(), picture()[::-1].copy(), **LABELLED)
    compose(one, other)
    for each in (other, one):
        each.compute(wait=True)
        each.wait(PATIENCE)

    assert one.target == one.predictions[0].index == other.target


def test_closing_unlinks(make: Make) -> None:
    """A closed widget leaves; one alone is linked to nothing; a closed composition leaves all open and unlinked."""
    one, other = two(make)
    third = make(small_net(), **LABELLED, target=1)
    box = compose(one, other, third)
    groups = {each.spec["group"] for each in box.widgets}
    assert len(groups) == 1
    third.close()
    assert box.widgets == (one, other)
    one.keep = 5
    assert other.keep == 5
    box.close()
    box.close()
    one.keep = 44
    assert other.keep == 5
    assert "group" not in one.spec
    again = compose(other, one)
    assert one.keep == 5
    assert {each.spec["group"] for each in again.widgets} & groups == set()
    other.close()
    assert again.widgets == (one,)
    assert "group" not in one.spec


def test_a_composition_that_is_gone_holds_no_widget(make: Make) -> None:
    """A closed composition and its closed widgets are freed."""
    one, other = (SaliencyWidget(small_net(), picture(), ["gradient"], labels=LABELS) for _ in range(2))
    box = compose(one, other)
    gone = [weakref.ref(each) for each in (box, one, other)]
    for each in (box, one, other):
        each.close()
    del box, one, other, each
    gc.collect()
    assert [each() for each in gone] == [None] * 3


def test_what_cannot_be_composed_is_refused(make: Make) -> None:
    """Too few, the same twice, no widget, a closed one and one that is composed already: each with the way out."""
    one, other = two(make)
    wrong: list[tuple[tuple[Any, ...], str]] = [
        ((), r"two or more different widgets, got 0: compose\(one, other"),
        ((one,), "got 1"),
        ((one, one), "got 1"),
        ((one, "w2"), r"takes widgets, got 'w2': write compose\(SaliencyWidget"),
        (([one, other],), r"write compose\(\*widgets\)"),
    ]
    for given, message in wrong:
        with pytest.raises(saliency.BadArgument, match=message):
            compose(*given)
    closed = make(small_net(), **LABELLED)
    closed.close()
    with pytest.raises(saliency.BadArgument, match="one is closed"):
        compose(one, closed)
    box = compose(one, other)
    with pytest.raises(saliency.BadArgument, match="another composition already"):
        compose(one, make(small_net(), **LABELLED))
    one.close()
    other.close()
    with pytest.raises(saliency.BadField, match="closed"):
        box.to_html()


class Scripts(HTMLParser):
    """The texts of a page's scripts, by their ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self.ids: list[str] = []
        self._at = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = dict(attrs).get("id") or ""
        self.ids.append(name)
        self._at = name if tag == "script" else ""

    def handle_data(self, data: str) -> None:
        if self._at:
            self.texts[self._at] = self.texts.get(self._at, "") + data


def test_one_page_holds_all_widgets(make: Make, tmp_path: Any) -> None:
    """`to_html` writes both with their own traits and packets and one group, after the same checks as a widget's."""
    one, other = two(make)
    for each in (one, other):
        each.compute(wait=True)
    box = compose(one, other)
    file = box.to_html(tmp_path / "both.html", "Two <methods>")
    assert file == tmp_path / "both.html"
    page = Scripts(file.read_text(encoding="utf-8"))
    traits = [json.loads(page.texts[name]) for name in ("traits", "traits2")]

    assert [each["method"] for each in traits] == ["gradient", "integrated_gradients"]
    assert len({each["spec"]["group"] for each in traits}) == 1
    assert page.texts["packet"] != page.texts["packet2"]
    assert {"widget", "widget2", "still", "still2"} <= set(page.ids)
    assert "Two &lt;methods&gt;" in file.read_text(encoding="utf-8")
    with pytest.raises(saliency.BadField, match="path"):
        box.to_html(1)  # type: ignore[call-overload]


def test_a_notebook_has_their_pictures(make: Make) -> None:
    """Hosts that show no widgets get one picture of each, with its caption."""
    one, other = two(make)
    box = compose(one, other)
    bundle = box._repr_mimebundle_()
    assert isinstance(box, Composition)
    assert bundle["text/html"].count("<figure>") == 2
    assert "application/vnd.jupyter.widget-view+json" in bundle
    np.testing.assert_equal(len(box.children), 2)
