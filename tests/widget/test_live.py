"""Live pages: what `live_html()` writes, and what `exchange` does with the texts that it posts."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import saliency
from saliency_widget import SaliencyWidget, exchange, live
from tests.nets import LABELS, picture, small_net


@pytest.fixture
def widget() -> Iterator[SaliencyWidget]:
    """Return a widget of two methods."""
    made = SaliencyWidget(small_net(), picture(24, 24), ["gradient", "grad_cam"], labels=LABELS)
    yield made
    made.close()


class Page:
    """The page in a browser, as far as Python knows it."""

    def __init__(self, widget: SaliencyWidget) -> None:
        self.html = widget.live_html()
        found = re.search(r'const live = ("[\w-]+");', self.html)
        assert found is not None
        self.name, self.turn = json.loads(found[1]), 0

    def post(self, *messages: object) -> list[dict[str, Any]]:
        """Post messages, and return those of the answer."""
        self.turn += 1
        answer = json.loads(exchange(json.dumps({"page": self.name, "turn": self.turn, "messages": messages})))
        assert answer["turn"] == self.turn
        return list(answer["messages"])

    def request(self, op: str, **fields: object) -> list[dict[str, Any]]:
        """Post one request."""
        return self.post({"content": {"op": op, "rid": f"r{self.turn}", **fields}, "buffers": []})

    def until(self, op: str) -> dict[str, Any]:
        """Poll until a message comes."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for each in self.request("poll"):
                if each.get("content", {}).get("op") == op:
                    return each
            time.sleep(0.02)
        raise AssertionError(f"no {op} came")


def ops(messages: list[dict[str, Any]]) -> list[str]:
    """Return what the messages are."""
    return [each["content"]["op"] for each in messages if "content" in each]


def test_a_map_is_computed_for_a_page(widget: SaliencyWidget) -> None:
    """A page says hello, requests a map, and polls for it; the values are those of the explanation."""
    page = Page(widget)
    assert "accepted" in ops(page.request("hello"))
    page.request("compute", method="grad_cam", target=1)
    found = page.until("result")

    values = np.frombuffer(base64.b64decode(found["buffers"][0]), np.float32).reshape(24, 24)
    assert found["content"]["result"]["method"] == "grad_cam"
    np.testing.assert_array_equal(values, widget.explanations["grad_cam", 1].mask)


def test_traits_follow_both_ways(widget: SaliencyWidget) -> None:
    """A trait that the page sets is set in Python and not sent back; one that Python sets is sent to every page."""
    page, other = Page(widget), Page(widget)
    answer = page.post({"state": {"keep": 40.0}})
    assert widget.keep == 40
    assert {"state": {"keep": 40.0}} not in answer
    assert {"state": {"keep": 40.0}} in other.post()

    widget.method = "gradient" if widget.method != "gradient" else "grad_cam"
    for each in (page, other):
        assert {"state": {"method": widget.method}} in each.post()


def test_a_refused_value_is_corrected(widget: SaliencyWidget) -> None:
    """An invalid value, or a name that the browser may not set, changes nothing; the page is sent the value."""
    page = Page(widget)
    assert {"state": {"keep": widget.keep}} in page.post({"state": {"keep": "half", "_esm": "alert(1)"}})
    assert "alert(1)" not in widget._esm


def test_a_repeated_text_is_handled_once(widget: SaliencyWidget) -> None:
    """A page that has got no answer repeats its text, and gets the answer to the first."""
    page = Page(widget)
    page.post({"state": {"keep": 40.0}})
    text = json.dumps({"page": page.name, "turn": 2, "messages": [{"state": {"keep": 50.0}}]})
    answer = exchange(text)
    widget.keep = 60

    assert exchange(text) == answer
    assert widget.keep == 60


def test_only_the_named_page_is_served(widget: SaliencyWidget) -> None:
    """Two pages have two names that cannot be guessed; after close() neither is served."""
    page, other = Page(widget), Page(widget)
    assert page.name != other.name
    assert len(page.name) >= 20
    widget.close()
    for each in (page, other):
        with pytest.raises(saliency.BadArgument, match="load the page again"):
            each.post()


@pytest.mark.parametrize("text", ["", "nothing", "[]", '{"page": 1}', '{"page": "a", "turn": 1, "messages": {}}'])
def test_other_texts_are_refused(text: str) -> None:
    """A text that no live page posted raises an error that shows it."""
    with pytest.raises(saliency.BadArgument, match="a text that a live page posted"):
        exchange(text)


@pytest.mark.parametrize("message", [1, {}, {"state": 1}, {"content": {"op": "hello"}, "buffers": ["§"]}])
def test_other_messages_are_refused(widget: SaliencyWidget, message: object) -> None:
    """A message without content or state, or with a buffer that is none, raises an error."""
    with pytest.raises(saliency.BadArgument, match="Expected"):
        Page(widget).post(message)


def test_a_page_without_an_app_shows_what_was_computed(widget: SaliencyWidget) -> None:
    """A live page has the maps that were computed before, as a page of to_html() has; its own is not live."""
    widget.compute("grad_cam", "cat", wait=True)
    packets = [re.search(r'id="packet">([^<]+)<', each) for each in (widget.live_html(), widget.to_html())]

    assert all(packets)
    assert "const live = null;" in widget.to_html()


def test_a_page_that_is_gone_is_forgotten(widget: SaliencyWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages do not wait forever for a page that posts nothing; other pages are still served."""
    monkeypatch.setattr(live, "MOST_WAITING", 30_000)
    gone, page = Page(widget), Page(widget)
    for method in ("gradient", "grad_cam"):
        for target in range(3):
            widget.compute(method, target, wait=True)
            page.post()

    page.post()
    with pytest.raises(saliency.BadArgument, match="load the page again"):
        gone.post()
