"""Any requests in any order: no handler raises, no trait becomes invalid, and all are answered."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.pictures import drawing
from saliency_widget.protocol.values import AXES, FILLS, KINDS
from saliency_widget.traits.settings import SETTINGS
from saliency_widget.work import picture as shown_picture
from tests.nets import picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser

METHODS = ["occlusion", "gradient"]
"""What the fuzzed widget offers; its model can answer the first."""

ANSWERS: dict[str, tuple[str, ...]] = {
    "hello": ("welcome",),
    "compute": ("result", "error", "cancelled"),
    "classes": ("classes", "error"),
    "what_if": ("what_if", "error"),
    "curve": ("curve", "error", "cancelled"),
    "check": ("verdict", "error", "cancelled"),
    "change": ("change", "error", "cancelled"),
    "channels": ("channels", "error", "cancelled"),
    "concepts": ("concepts", "error", "cancelled"),
    "examples": ("examples", "error", "cancelled"),
    "code": ("code", "error"),
    "describe": ("described",),
    "configure": ("configured", "error"),
    "picture": ("taken", "error"),
    "cancel": (),
    "poll": (),
}
"""What each op ends with."""


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


HUGE = st.sampled_from([2**31, -(2**63), 10**400, 1e308, float("inf"), float("nan"), -0.0, "9" * 5000, "\ud800", "\0"])
DEEP = st.sampled_from([3, 200]).map(nested)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | HUGE | DEEP,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PICKED = st.sampled_from(
    [
        {},
        {"regions": [0, 1]},
        {"shape": [8, 8], "runs": [10, 54]},
        {"shape": [8, 8], "runs": [64, 0]},
        {"shape": [8, 8]},
    ]
)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "rid": st.sampled_from(["a", "b", "c"]),
    "method": st.sampled_from([*METHODS, "xrai"]),
    "target": st.integers(-1, 4),
    "model": st.integers(0, 1),
    "image": st.integers(0, 1),
    "query": st.text(max_size=3),
    "name": st.text(max_size=3),
    "sign": st.sampled_from(["auto", "positive", "signed"]),
    "keep": st.floats(0, 100),
    "region": st.integers(0, 3),
    "picked": PICKED,
    "fill": st.sampled_from(FILLS),
    "kind": st.sampled_from(KINDS),
    "fields": st.fixed_dictionaries({}, optional={"size": st.integers(-1, 9), "layer": JSON, "reduce": JSON}),
}
"""Valid values of fields, so that requests pass the first check."""


@st.composite
def request(draw: st.DrawFn) -> Any:
    """A message with all fields of its op, one or more of them of a wrong kind or missing."""
    content: dict[str, Any] = {"op": draw(st.sampled_from([*ANSWERS]))}
    wrong = draw(st.sets(st.sampled_from([*GOOD]), max_size=2)) if draw(st.booleans()) else set()
    for name, good in GOOD.items():
        if name not in wrong:
            content[name] = draw(good)
        elif draw(st.booleans()):
            content[name] = draw(JSON)
    return content


BUFFERS = st.lists(st.binary(max_size=4) | st.just(memoryview(b"ab")) | st.integers() | st.none(), max_size=2)
SENT = st.tuples(request() | JSON, st.just([]) | st.just([]) | BUFFERS | st.none())
WRITTEN = st.dictionaries(
    st.sampled_from([*SETTINGS, "spec", "parameters", "_esm", "_snapshot", "nonesuch"]),
    JSON | PICKED | st.dictionaries(st.sampled_from(AXES), st.lists(st.integers(-2, 3) | JSON, max_size=3), max_size=3),
    max_size=3,
)


@pytest.fixture
def fuzzed(make: Make, caplog: pytest.LogCaptureFixture) -> SaliencyWidget:
    """Provide one widget for all examples, of a fast model."""
    caplog.set_level(logging.CRITICAL, "saliency_widget")
    methods = [saliency.Occlusion(size=8, stride=8), "gradient"]
    return make(lambda images: images.mean((1, 2)), picture(8, 8), methods)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(conversation=st.lists(SENT | WRITTEN, min_size=1, max_size=6))
def test_all_that_is_accepted_is_answered(fuzzed: SaliencyWidget, conversation: list[Any]) -> None:
    """Requests with rids used twice, cancels before computes, polls before hellos, fields of any kind."""
    browser = Browser(fuzzed)
    spec, esm = fuzzed.spec["methods"], fuzzed._esm

    for each in conversation:
        if isinstance(each, dict):
            fuzzed.set_state(each)
        else:
            fuzzed._handle_custom_msg(*each)
    assert fuzzed.wait(PATIENCE)

    accepted = {m.rid for m in browser.of("accepted")}
    sent = [each[0] for each in conversation if not isinstance(each, dict) and isinstance(each[0], dict)]
    for rid in accepted:
        ops = {content["op"] for content in sent if content.get("rid") == rid}
        answered = {m.op for m in browser.messages if m.rid == rid}
        # of several requests with one rid one at least was accepted
        assert any(not ANSWERS[op] or answered & set(ANSWERS[op]) for op in ops if op in ANSWERS), (rid, ops, answered)
    assert fuzzed._esm is esm
    assert [each["id"] for each in fuzzed.spec["methods"]] == [each["id"] for each in spec]
    for name in SETTINGS:
        trait = fuzzed.traits()[name]
        assert trait._validate(fuzzed, getattr(fuzzed, name)) == getattr(fuzzed, name)
    assert set(fuzzed.parameters) <= set(METHODS)


@pytest.mark.parametrize(
    "value",
    [nested(100_000), "9" * 1_000_000, 10**5000, {"methods": nested(50_000)}, [None] * 100_000],
    ids=["deep", "long", "huge", "deep within", "many"],
)
def test_no_trait_takes_or_repeats_what_is_monstrous(make: Make, caplog: pytest.LogCaptureFixture, value: Any) -> None:
    """An invalid trait value changes nothing, is logged in one line, and the page is sent the current value."""
    widget = make(methods=["gradient"])
    before = {each: getattr(widget, each) for each in SETTINGS}

    for name in (*SETTINGS, "parameters", "spec", "_snapshot", "nonesuch"):
        caplog.clear()
        widget.set_state({name: value})

        assert {each: getattr(widget, each) for each in SETTINGS} == before
        assert len(caplog.messages) == 1
        assert len(caplog.messages[0]) < 1000


@pytest.mark.parametrize("op", ["describe", "configure"])
def test_no_field_takes_what_is_monstrous(make: Make, op: str) -> None:
    """A very deep or long value is answered with a short problem text."""
    widget = make(methods=["integrated_gradients"])
    browser = Browser(widget)

    for value in (nested(100_000), "9" * 1_000_000, 10**5000, [None] * 100_000):
        rid = browser.request(op, method="integrated_gradients", fields={"steps": value})
        fields = browser.wait("described", "error", rid=rid).fields
        assert 0 < len(fields["problem"] if op == "describe" else fields["message"]) < 1000
    assert widget.parameters == {}


def test_no_oversized_buffer_is_copied(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A file of invalid size is refused by its size alone; a number is not taken as a buffer of zeros."""
    widget = make(methods=["gradient"])

    class Claims:
        def __bytes__(self) -> bytes:
            raise AssertionError("it was copied")

    for buffers in ([10**12], [Claims()], [memoryview(bytes(9 << 20))], "ab", {"a": 1}, [[1, 2]]):
        caplog.clear()
        widget._handle_custom_msg({"op": "picture", "rid": "r", "name": ""}, buffers)
        assert "Ignored a message" in caplog.text
    assert len(widget.spec["images"]) == 1


MOST_CALLS = 20_000
"""Function calls of one handler: about two milliseconds of CPU; a drawing or a model would take far more."""


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[SaliencyWidget, list[int]]]:
    """A widget with all methods and some results, and a record of the threads that call, draw, pack or read."""
    done: list[int] = []
    with pytest.MonkeyPatch.context() as patch:

        def recorded(module: Any, name: str) -> None:
            real = getattr(module, name)

            def call(*args: Any, **options: Any) -> Any:
                done.append(threading.get_ident())
                return real(*args, **options)

            patch.setattr(module, name, call)

        for module, names in {
            drawing: ("draw", "encoded"),
            shown_picture: ("pack",),
            saliency: ("explain", "predict", "what_if", "perturbation_curves", "check", "layers", "read"),
        }.items():
            for name in names:
                recorded(module, name)
        widget = SaliencyWidget(small_net(), picture(), target=1, method="gradient")
        try:
            for method in ("gradient", "integrated_gradients", "grad_cam"):
                widget.compute(method, wait=True)
            widget.compare(["gradient", "integrated_gradients", "grad_cam"])
            assert widget.wait(PATIENCE)
            yield widget, done
        finally:
            widget.close()


CELL = {"method": "grad_cam", "target": 1}

REQUESTS: dict[str, dict[str, Any]] = {
    "hello": {},
    "compute": {"method": "grad_cam", "target": 0},
    "cancel": {},
    "classes": {"query": "a"},
    "what_if": {
        "method": "grad_cam",
        "target": 1,
        "sign": "auto",
        "keep": 20,
        "region": 0,
        "picked": {},
        "fill": "blur",
    },
    "curve": {"method": "gradient", "target": 1, "fill": "mean"},
    "check": {"method": "gradient", "target": 1},
    "change": {"method": "gradient", "target": 1, "kind": "remove", "fill": "mean"},
    "channels": {"method": "gradient", "target": 1, "layer": "", "by": "input_x_gradient"},
    "concepts": {
        "method": "gradient",
        "target": 1,
        "layer": "",
        "brushed": [{"name": "a", "image": 0, "shape": [24, 20], "runs": [1] * 480}],
    },
    "examples": {"method": "gradient", "target": 1},
    "code": {"method": "gradient", "target": 1},
    "describe": {"method": "smooth_grad", "fields": {}},
    "configure": {"method": "integrated_gradients", "fields": {"steps": 3}},
    "poll": {},
}


@pytest.mark.parametrize("op", [*REQUESTS, "picture", "update"])
def test_a_handler_leaves_the_work_to_others(busy: Any, op: str) -> None:
    """No op calls the model, draws or packs on the handler's thread, or runs long there."""
    widget, done = busy
    Browser(widget)
    done.clear()
    picked = {"shape": [24, 20], "runs": [1] * 480}
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        if op == "picture":
            data = np.random.default_rng(0).integers(0, 256, 4 << 20, np.uint8).tobytes()
            widget._handle_custom_msg({"op": op, "rid": "r", "name": "x"}, [data])
        elif op == "update":
            widget.set_state({"keep": 12, "mode": "heat", "picked": picked, "method": "grad_cam", "grid": {}})
        else:
            widget._handle_custom_msg({"op": op, "rid": "r", **REQUESTS[op]}, [])
    finally:
        sys.setprofile(before)
    assert widget.wait(PATIENCE)

    assert threading.get_ident() not in done
    assert 0 < calls < MOST_CALLS
