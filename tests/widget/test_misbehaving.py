"""Models, labels and names that misbehave: each error is shown in its place, and everything else works."""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import saliency
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, Gate, unpack
from tests.widget.test_offline import Page

GRID = saliency.Occlusion(size=6, stride=6)
"""Evaluates 20 windows of the small picture, and the picture itself."""

WHAT_IF = {"sign": "auto", "keep": 30, "region": 0, "picked": {}, "fill": "white"}


def by_mean(images: np.ndarray) -> np.ndarray:
    """Return scores without misbehaving."""
    return np.asarray(images.mean((1, 2)))


class Once:
    """A model that misbehaves at one of its calls."""

    def __init__(self, call: int, instead: Callable[[np.ndarray], np.ndarray]) -> None:
        self.call, self.instead, self.calls = call, instead, 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.calls += 1
        return self.instead(images) if self.calls == self.call else by_mean(images)


def raising(error: BaseException) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that raises an error."""

    def instead(images: np.ndarray) -> np.ndarray:
        raise error

    return instead


class Mute(Exception):
    """An error whose `str` raises."""

    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ZeroDivisionError("in the middle"), "ZeroDivisionError"),
        (KeyboardInterrupt(), "RuntimeError"),
        (SystemExit(3), "RuntimeError"),
        (GeneratorExit(), "RuntimeError"),
        (Mute(), "Mute"),
        (ValueError("half a character: \ud800"), "ValueError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
def test_an_error_of_the_model_is_shown_in_its_cell(make: Make, error: BaseException, kind: str) -> None:
    """The cell of any error shows it, another model's shows its map, and the next request is answered."""
    widget = make([Once(5, raising(error)), by_mean], methods=[GRID], target=0, batch_size=1)
    browser = Browser(widget)

    broken = browser.request("compute", method="occlusion", target=0, model=0)
    well = browser.request("compute", method="occlusion", target=0, model=1)

    fields = browser.wait("error", rid=broken).fields
    assert fields["kind"] == kind
    assert "in instead" in fields["details"]
    browser.wait("result", rid=well)
    again = browser.request("compute", method="occlusion", target=0, model=0)
    browser.wait("result", rid=again)
    assert widget.wait(PATIENCE)
    np.testing.assert_allclose(widget.explanations["occlusion", 0].mask, widget.compute(wait=True, model=1).mask)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_a_model_cannot_end_its_user_s_cell(make: Make, error: BaseException) -> None:
    """compute(wait=True) raises an error that names what the model raised, and the program goes on."""
    widget = make(Once(3, raising(error)), methods=[GRID], target=0, batch_size=1)

    with pytest.raises(RuntimeError, match=f"The model raised {type(error).__name__}") as raised:
        widget.compute(wait=True)

    assert raised.value.__cause__ is error
    assert widget.compute(wait=True).target == 0


@pytest.mark.parametrize("op", ["what_if", "curve", "classes", "hello"])
def test_every_request_survives_an_exit(make: Make, op: str) -> None:
    """A model that raises SystemExit in any call is reported, and called again."""
    model = Once(0, raising(SystemExit()))
    widget = make(model, methods=[GRID], target=0)
    browser = Browser(widget)
    if op in ("what_if", "curve"):
        widget.compute(wait=True)
    fields: dict[str, Any] = {
        "what_if": {"method": "occlusion", "target": 0, **WHAT_IF},
        "curve": {"method": "occlusion", "target": 0, "fill": "white"},
        "classes": {"query": ""},
        "hello": {},
    }
    model.call = model.calls + 1

    browser.wait("error", rid=browser.request(op, **fields[op]))

    answer = "prediction" if op == "hello" else op
    browser.request(op, **fields[op])
    browser.wait(answer)
    assert widget.wait(PATIENCE)


def test_nan_for_one_class_is_that_class_s_trouble(make: Make) -> None:
    """A model that returns NaN for one class next to patches fails for these requests alone."""

    def fragile(images: np.ndarray) -> np.ndarray:
        scores = by_mean(images)
        scores[(images == 0).all(3).any((1, 2)), 2] = np.nan
        return scores

    widget = make(fragile, methods=[GRID], target=0)
    browser = Browser(widget)

    rids = [browser.request("compute", method="occlusion", target=target) for target in (2, 0, 1)]

    assert browser.wait("error", rid=rids[0]).fields["kind"] == "BadOutput"
    for rid in rids[1:]:
        browser.wait("result", rid=rid)


def test_nan_everywhere_is_one_model_s_trouble(make: Make) -> None:
    """Of two models, the one that returns only NaN has errors, the other a prediction and a map."""
    widget = make([lambda images: by_mean(images) * np.nan, by_mean], methods=[GRID], target=0)
    browser = Browser(widget)
    browser.request("hello")

    rids = [browser.request("compute", method="occlusion", target=0, model=model) for model in (0, 1)]

    assert "NaN" in browser.wait("error", rid=rids[0]).fields["message"]
    browser.wait("result", rid=rids[1])
    assert widget.wait(PATIENCE)
    assert {m.fields["model"] for m in browser.of("prediction")} == {1}


@pytest.mark.parametrize("answer", [(2,), (5,), (), (3, 2)], ids=str)
def test_a_model_that_changes_its_number_of_outputs(make: Make, answer: tuple[int, ...]) -> None:
    """Outputs that change in number or shape during a run give a result or an error, and the next request succeeds."""
    widget = make(Once(4, lambda images: np.ones((len(images), *answer))), methods=[GRID], target=2, batch_size=1)
    browser = Browser(widget)

    ended = browser.wait("error", "result", rid=browser.request("compute", method="occlusion", target=2))

    assert ended.op == ("result" if answer == (5,) else "error")
    browser.wait("result", rid=browser.request("compute", method="occlusion", target=1))
    assert widget.wait(PATIENCE)


def test_a_class_that_no_longer_exists_is_reported(make: Make) -> None:
    """A network whose head lost outputs in training has fewer classes; the shown target stays."""
    net = small_net()
    widget = make(net, labels=LABELS, methods=["gradient"], target=3)
    widget.compute(wait=True)

    net.head = torch.nn.Linear(6, 2)

    with pytest.raises(saliency.BadTarget, match="2 classes"):
        widget.compute(wait=True)
    assert widget.compute(target=1, wait=True).target == 1
    assert len(widget.predictions) == 2


def test_a_network_that_is_taken_apart(make: Make) -> None:
    """A model without one of its layers gives an error, and a result once it has the layer again."""
    net = small_net()
    widget = make(net, methods=["gradient"], target=1)
    first = widget.compute(wait=True)
    block = net.block
    del net.block
    widget.cancel()
    with torch.no_grad():
        net.head.weight.mul_(2)

    with pytest.raises(AttributeError, match="block"):
        widget.compute(wait=True)

    net.block = block
    np.testing.assert_allclose(widget.compute(wait=True).mask, 2 * first.mask, rtol=1e-4)


def test_a_model_that_hangs_holds_up_no_handler(make: Make) -> None:
    """While a model hangs, every op is accepted, waiting requests can be cancelled, and another model answers."""
    stuck = Gate()
    widget = make([stuck, by_mean], methods=[GRID], target=0)
    browser = Browser(widget)
    hanging = browser.request("compute", method="occlusion", target=0)
    stuck.await_call()

    waiting = browser.request("compute", method="occlusion", target=1)
    rids = [browser.request(op, query="") for op in ("hello", "classes", "poll")]
    rids.append(browser.request("code", method="occlusion", target=0))
    browser.request("cancel", rid=waiting)

    browser.wait("cancelled", rid=waiting)
    browser.wait("result", rid=browser.request("compute", method="occlusion", target=0, model=1))
    assert set(rids) <= {m.rid for m in browser.of("accepted")}
    assert browser.of("result", hanging) == []
    stuck.free()
    browser.wait("result", rid=hanging)
    assert widget.wait(PATIENCE)


@pytest.mark.filterwarnings("ignore:loud")
def test_a_model_that_prints_and_warns(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    """The model's prints appear, and its map is computed."""
    import warnings

    def loud(images: np.ndarray) -> np.ndarray:
        sys.stdout.write("called")
        warnings.warn("loud", UserWarning, stacklevel=1)
        return by_mean(images)

    widget = make(loud, methods=[GRID], target=0)

    found = widget.compute(wait=True)

    quiet = saliency.explain(by_mean, picture(), GRID, 0, progress=False)
    np.testing.assert_allclose(found.mask, quiet.mask)
    assert "called" in capfd.readouterr().out


def test_nothing_is_left_running(make: Make) -> None:
    """After errors of every kind, the model's thread is the only one, and ends with the widget."""
    before = set(threading.enumerate())
    for error in (ValueError(), SystemExit(), KeyboardInterrupt()):
        widget = make(Once(2, raising(error)), methods=[GRID], target=0)
        with pytest.raises((ValueError, RuntimeError)):
            widget.compute(wait=True)
        assert widget.wait(PATIENCE)
        widget.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)

    assert set(threading.enumerate()) <= before


class Clinging(str):
    """A label that can be neither pickled nor copied."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("cannot be pickled")


EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
RIGHT_TO_LEFT = "\u202eחתול\u202c قطة"


@pytest.mark.parametrize(
    "label",
    [EVIL, RIGHT_TO_LEFT, "x" * 10_000, "two\nlines\0and a zero", "half \ud800", "$\\frac{1", Clinging("held"), ""],
    ids=["html", "right to left", "10 kB", "control", "surrogate", "mathtext", "unpicklable", "empty"],
)
def test_labels_are_text_and_nothing_else(make: Make, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any label is valid in messages, pages, stills, saved notebooks and scripts, and creates no HTML element."""
    net = small_net()
    labels = [label, "b", "c", "d"]
    widget = make(net, labels=labels, methods=["gradient", "grad_cam"], target=0)
    browser = Browser(widget)
    browser.request("hello")
    result = browser.wait("result", rid=browser.request("compute", method="gradient", target=0)).fields["result"]
    widget.compare(["gradient", "grad_cam"], [0, 1])
    assert widget.wait(PATIENCE)
    shown = label.encode(errors="replace").decode()

    assert result["label"] == shown
    assert shown in [row["label"] for row in browser.wait("prediction").fields["classes"]]
    page = Page(widget.to_html())
    (prediction,) = (m for m in unpack(base64.b64decode(page.texts["packet"])) if m.op == "prediction")
    assert shown in [row["label"] for row in prediction.fields["classes"]]
    bundle: Any = widget._repr_mimebundle_()
    for source in (widget.to_html(), bundle[0]["text/html"]):
        assert b"<img src=x" not in source.encode()
        assert "<script>alert" not in source
    assert len(bundle[0]["text/html"]) < 40_000
    assert widget.snapshot_png(width=300).startswith(b"\x89PNG")
    compile(widget.code(), "copied.py", "exec")


@pytest.mark.parametrize("name", [EVIL, RIGHT_TO_LEFT, "n" * 300, "half \ud800", "'] + quit() + ['"])
def test_names_are_text_and_nothing_else(make: Make, name: str) -> None:
    """The name of an image or a model, as of a dropped file, executes nothing on a page or in a script."""
    widget = make({name: small_net()}, {name: picture()}, methods=["gradient"], target=0)
    index = widget.add(picture(), name)
    widget.compute(wait=True)
    widget.compare(images=[0, index])

    bundle: Any = widget._repr_mimebundle_()

    for source in (widget.to_html(), bundle[0]["text/html"]):
        assert b"<img src=x" not in source.encode()
        assert "<script>alert" not in source
    code = compile(widget.code(), "copied.py", "exec")
    assert "quit" not in code.co_names
