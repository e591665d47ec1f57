"""XRAI is computed while the model is idle: never before a request, and never shown by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.work import tasks as tasks_module
from tests.nets import LABELS, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser

METHODS = ["gradient", saliency.XRAI(steps=30), saliency.Occlusion(size=12, stride=12)]


class Slow(torch.nn.Module):
    """The small network with calls of 20 ms, which are counted."""

    calls: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        type(self).calls += 1
        time.sleep(0.02)
        scores: torch.Tensor = self.net(images)
        return scores


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it take as long as a loaded machine needs."""
    monkeypatch.setattr(tasks_module, "PREFETCH_TIME", float("inf"))


def slow(make: Make) -> tuple[SaliencyWidget, Browser]:
    """Return a widget of the slow network whose gradient a browser has requested, while XRAI is being computed."""
    widget = make(Slow(), methods=METHODS, labels=LABELS, target=1)
    browser = Browser(widget)
    browser.wait("result", rid=browser.request("compute", method="gradient", target=1))
    before = Slow.calls
    until(lambda: Slow.calls > before + 2 and ("xrai", 1) in tasks(widget))
    return widget, browser


def tasks(widget: SaliencyWidget) -> Mapping[tuple[str, int], object]:
    """Return the tasks of the shown model and picture."""
    assert widget._explainers is not None
    return widget._explainers.shown._tasks


def until(condition: object) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def settle(widget: SaliencyWidget) -> None:
    """Wait until all requested jobs have ended."""
    done = threading.Event()
    assert widget._explainers is not None
    widget._explainers.shown.run_when_idle(done.set)
    assert done.wait(PATIENCE)


def test_it_is_offered_when_it_is_there(make: Make) -> None:
    """After the first requested map comes XRAI's result, without progress, and `ready`; nothing is switched."""
    widget = make(methods=METHODS, target=1)
    browser = Browser(widget)
    browser.wait("result", rid=browser.request("compute", method="gradient", target=1))

    ready = browser.wait("ready").fields
    assert {name: ready[name] for name in ("method", "target", "model", "image")} == {
        "method": "xrai", "target": 1, "model": 0, "image": 0,
    }  # fmt: skip
    result = browser.of("result")[-1]
    assert (result.rid, result.fields["result"]["method"]) == ("", "xrai")
    assert browser.of("progress", "") == browser.of("partial", "") == []
    assert widget.method == "gradient"
    assert widget.explanations["xrai", 1].regions is not None


def test_requests_come_first(make: Make) -> None:
    """A method that is requested while XRAI is being computed has its result before."""
    widget, browser = slow(make)
    browser.wait("result", rid=browser.request("compute", method="occlusion", target=1))
    assert browser.of("ready") == []
    assert ("xrai", 1) in tasks(widget)
    assert widget.wait(PATIENCE), "nobody waits for what nobody requested"
    assert browser.of("ready") == []

    browser.wait("ready")


def test_a_request_takes_it_over(make: Make) -> None:
    """XRAI that is requested while it is being computed reports its progress, and is not offered."""
    widget, browser = slow(make)
    rid = browser.request("compute", method="xrai", target=1)

    browser.wait("result", rid=rid)
    assert browser.of("progress", rid)
    settle(widget)
    assert browser.of("ready") == []


def test_it_ends_when_another_class_is_shown(make: Make) -> None:
    """What is computed for a class that is no longer shown ends without a message; the next class has it instead."""
    widget, browser = slow(make)
    widget.target = 0
    until(lambda: ("xrai", 1) not in tasks(widget))
    assert browser.of("ready") == browser.of("cancelled") == browser.of("error") == []

    browser.wait("result", rid=browser.request("compute", method="gradient", target=0))
    assert browser.wait("ready").fields["target"] == 0


def test_its_failure_is_not_reported(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of what nobody requested is not shown; the request has it."""

    def broken(*_: object) -> None:
        raise ValueError("no segments")

    monkeypatch.setattr(saliency.XRAI, "_segments", broken)
    widget = make(methods=METHODS, target=1)
    browser = Browser(widget)
    browser.wait("result", rid=browser.request("compute", method="gradient", target=1))
    until(lambda: ("xrai", 1) not in tasks(widget))
    settle(widget)
    assert browser.of("error") == browser.of("ready") == []

    assert browser.wait("error", rid=browser.request("compute", method="xrai", target=1)).fields["kind"] == "ValueError"


@pytest.mark.parametrize("reason", ["prefetch=False", "slow", "two models", "no browser", "not offered", "shown"])
def test_it_is_not_computed(make: Make, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed ahead on request, where it takes long, of several models, in scripts, or without XRAI."""
    if reason == "slow":
        monkeypatch.setattr(tasks_module, "PREFETCH_TIME", 0.0)
    widget = make(
        [small_net(), small_net()] if reason == "two models" else small_net(),
        methods=METHODS[::2] if reason == "not offered" else METHODS,
        labels=LABELS,
        target=1,
        prefetch=reason != "prefetch=False",
    )
    if reason == "no browser":
        widget.compute("gradient", wait=True)
    else:
        method = "xrai" if reason == "shown" else "gradient"
        browser = Browser(widget)
        widget.method = method
        browser.wait("result", rid=browser.request("compute", method=method, target=1))
    settle(widget)
    if reason == "slow":
        until(lambda: not tasks(widget))
        browser.wait("result", rid=browser.request("compute", method="gradient", target=1), after=len(browser.messages))
        settle(widget)
        assert browser.of("ready") == []

    assert tasks(widget) == {}
    assert ("xrai", 1) not in widget.explanations or reason == "shown"


def test_a_widget_that_is_closed_as_its_map_arrives_computes_no_more(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """XRAI is not begun for a widget that was closed by whoever saw the first map, and nothing is logged."""
    widget = make(methods=METHODS, target=1)
    closed = threading.Event()

    def close(_: object) -> None:
        widget.close()
        closed.set()

    widget.observe(close, "_snapshot")
    Browser(widget).request("compute", method="gradient", target=1)
    assert closed.wait(PATIENCE)
    settled = time.monotonic() + PATIENCE
    while any(each.name == "saliency-widget" for each in threading.enumerate()) and time.monotonic() < settled:
        time.sleep(0.01)
    assert caplog.records == []
