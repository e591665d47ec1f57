from __future__ import annotations

import logging
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import saliency
from saliency_widget import SaliencyWidget
from saliency_widget.front_end import built
from saliency_widget.pictures.selection import checked
from saliency_widget.protocol.values import FILLS
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, Gate

OCCLUSION = saliency.Occlusion(size=6, stride=6)
"""Evaluates 20 windows of the small picture, and the picture itself."""


WHAT_IF = {
    "op": "what_if", "rid": "r", "method": "gradient", "target": 0,
    "sign": "auto", "keep": 30, "region": 0, "picked": {}, "fill": "blur",
}  # fmt: skip


def test_a_whole_session(make: Make) -> None:
    """`hello` returns the picture and the prediction; then a method sends its progress and its result."""
    widget = make(target=1)
    browser = Browser(widget)

    hello = browser.request("hello")
    rid = browser.request("compute", method="integrated_gradients", target=1)
    result = browser.wait("result", rid=rid)

    assert [m.op for m in browser.messages][:2] == ["accepted", "welcome"]
    welcome = browser.wait("welcome", rid=hello)
    assert welcome.fields["format"] == "image/png"
    assert welcome.buffers["picture"].startswith(b"\x89PNG")
    assert len(browser.of("accepted")) == 2
    rows = browser.wait("prediction").fields["classes"]
    assert [row["probability"] for row in rows] == sorted((row["probability"] for row in rows), reverse=True)
    assert {row["label"] for row in rows} == set(LABELS)
    assert browser.of("progress", rid)
    explanation = widget.explanations["integrated_gradients", 1]
    fields = result.fields["result"]
    assert fields["shape"] == [24, 20]
    assert fields["label"] == "bee"
    assert fields["gap"] == pytest.approx(explanation.gap)
    assert fields["calls"] == explanation.calls
    np.testing.assert_allclose(result.array("values"), explanation.mask.sum(2), atol=1e-6)
    np.testing.assert_allclose(result.array("magnitude"), np.abs(explanation.mask).sum(2), atol=1e-6)
    assert fields["range"] == pytest.approx([result.array("values").min(), result.array("values").max()])


def test_regions_come_with_their_ranks(make: Make) -> None:
    """XRAI's result has a row per region, and for each pixel the index of its region's row."""
    widget = make(target=1)
    browser = Browser(widget)

    result = browser.wait("result", rid=browser.request("compute", method="xrai", target=1))

    regions, step = result.fields["result"]["regions"], result.array("step")
    assert result.fields["result"]["quality"] == f"{len(regions)} regions"
    assert [row["gain"] for row in regions] == sorted((row["gain"] for row in regions), reverse=True)
    assert regions[-1]["cumulative"] == pytest.approx(1)
    for rank, row in enumerate(regions):
        top, left, bottom, right = row["bbox"]
        rows, columns = np.nonzero(step == rank)
        assert (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) == (top, left, bottom, right)
        assert row["area"] == pytest.approx((step == rank).mean())


def test_messages_are_numbered_in_the_order_they_are_sent(make: Make) -> None:
    """Every message except `accepted` has a number, one larger than the last."""
    widget = make()
    browser = Browser(widget)
    browser.request("hello")
    browser.request("compute", method="smooth_grad", target=0)
    browser.request("compute", method="xrai", target=-1)
    widget.wait(PATIENCE)

    numbers = [content["seq"] for content, _ in browser.raw if content["op"] != "accepted"]

    assert numbers == list(range(1, len(numbers) + 1))


def test_large_buffers_come_in_parts(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """No part exceeds the limit, and the assembled parts are the mask."""
    monkeypatch.setattr("saliency_widget.protocol.messages.PART", 1000)
    monkeypatch.setattr("saliency_widget.protocol.outbox.parts", limited(1000))
    widget = make(target=1)
    browser = Browser(widget)

    result = browser.wait("result", rid=browser.request("compute", method="gradient", target=1))

    sizes = [sum(map(len, buffers)) for _, buffers in browser.raw]
    assert max(sizes) == 1000
    assert result.fields["part"][1] > 5
    np.testing.assert_allclose(result.array("values"), widget.explanations["gradient", 1].mask.sum(2), atol=1e-6)


def limited(limit: int) -> Any:
    """Return `parts` with a limit."""
    from saliency_widget.protocol.messages import parts

    return lambda message: parts(message, limit)


def test_a_late_browser_gets_what_there_is(make: Make) -> None:
    """`hello` returns every result, the shown one first, whether Python or a browser requested it."""
    widget = make(target=1, method="gradient")
    for method in ("integrated_gradients", "grad_cam", "gradient"):
        widget.compute(method, wait=True)
    browser = Browser(widget)

    browser.request("hello")
    widget.wait(PATIENCE)

    assert [m.op for m in browser.messages[:3]] == ["accepted", "welcome", "prediction"]
    shown = [m.fields["result"]["method"] for m in browser.of("result")]
    assert shown[0] == "gradient"
    assert set(shown) == {"gradient", "integrated_gradients", "grad_cam"}


def test_answers_of_old_weights_are_not_shown_again(make: Make) -> None:
    """A browser that connects after a training step gets no earlier result."""
    import torch

    net = small_net()
    widget = make(net, labels=LABELS, target=1)
    widget.compute("gradient", wait=True)
    with torch.no_grad():
        net.head.weight.mul_(2)
    browser = Browser(widget)

    browser.request("hello")
    widget.wait(PATIENCE)

    assert browser.of("result") == []
    assert len(browser.of("prediction")) == 1


def test_partial_results_come_on_the_way(make: Make) -> None:
    """A long run sends partial masks with the share that is done."""
    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0, batch_size=1)
    browser = Browser(widget)
    rid = browser.request("compute", method="occlusion", target=0)
    gate.release(8)
    first = browser.wait("partial", rid=rid)
    gate.free()
    result = browser.wait("result", rid=rid)

    assert 0 < first.fields["share"] < 1
    assert first.array("values").shape == (24, 20)
    assert len(first.array("values_table")) == 1001
    assert first.fields["result"]["score"] is None
    assert browser.messages.index(first) < browser.messages.index(result)
    shares = [m.fields["share"] for m in browser.of("partial", rid)]
    assert shares == sorted(shares)


def test_progress_is_not_reported_too_often(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress is sent at most ten times a second, partial results at most eight times, at any speed of the model."""
    clock = iter(np.arange(100000) / 1000)
    monkeypatch.setattr("saliency_widget.work.tasks.time.monotonic", lambda: float(next(clock)))
    widget = make(target=1)
    browser = Browser(widget)

    browser.wait("result", rid=browser.request("compute", method="smooth_grad", target=1))

    elapsed = next(clock)
    assert len(browser.of("progress")) <= elapsed * 10 + 1
    assert len(browser.of("partial")) <= elapsed * 8 + 1


def test_a_running_computation_is_cancelled(make: Make) -> None:
    """A cancelled run ends at its next model call, replies `cancelled`, and can be requested again."""
    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0, batch_size=1)
    browser = Browser(widget)
    rid = browser.request("compute", method="occlusion", target=0)
    gate.release(3)
    gate.await_call(4)
    calls = gate.calls

    browser.request("cancel", rid=rid)
    gate.free()
    browser.wait("cancelled", rid=rid)

    assert gate.calls == calls
    assert widget.wait(PATIENCE)
    assert browser.of("result") == []
    browser.wait("result", rid=browser.request("compute", method="occlusion", target=0))


def test_a_waiting_computation_is_cancelled_at_once(make: Make) -> None:
    """A waiting request replies `cancelled` although the model is busy."""
    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0)
    browser = Browser(widget)
    browser.request("compute", method="occlusion", target=0)
    gate.await_call()
    waiting = browser.request("compute", method="occlusion", target=1)

    browser.request("cancel", rid=waiting)

    browser.wait("cancelled", rid=waiting)
    gate.free()
    assert widget.wait(PATIENCE)
    assert set(widget.explanations) == {("occlusion", 0)}


def test_the_newer_request_is_answered(make: Make) -> None:
    """A second request for a running explanation takes it over: the first is cancelled, the model runs once."""
    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0)
    browser = Browser(widget)
    older = browser.request("compute", method="occlusion", target=0)
    gate.await_call()
    newer = browser.request("compute", method="occlusion", target=0)
    browser.wait("cancelled", rid=older)
    gate.free()

    browser.wait("result", rid=newer)

    assert widget.wait(PATIENCE)
    assert len(browser.of("result")) == 1


def test_python_takes_nothing_over_from_the_browser(make: Make) -> None:
    """compute() of an explanation that the browser requested waits for the same run, and the browser gets it."""
    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0)
    browser = Browser(widget)
    rid = browser.request("compute", method="occlusion", target=0)
    gate.await_call()

    widget.compute()
    gate.free()

    browser.wait("result", rid=rid)
    assert widget.wait(PATIENCE)
    assert len(browser.of("result")) == 1
    assert browser.of("cancelled") == []


def test_what_is_on_the_screen_goes_first(make: Make) -> None:
    """The shown method runs first, and interrupts another between two model calls."""
    gate = Gate()
    slow, quick = saliency.Occlusion(size=6, stride=6), saliency.Occlusion(size=24, stride=24)
    widget = make(gate, methods=[slow, quick], target=0, batch_size=1)
    browser = Browser(widget)
    first = browser.request("compute", method="occlusion", target=0)
    gate.release(4)
    gate.await_call(5)

    other = browser.request("compute", method="occlusion", target=1)
    browser.write(method="occlusion-2")
    shown = browser.request("compute", method="occlusion-2", target=0)
    gate.free()
    for rid in (first, other, shown):
        browser.wait("result", rid=rid)

    assert [m.rid for m in browser.of("result")] == [shown, first, other]


def test_a_prediction_does_not_wait_for_a_long_run(make: Make) -> None:
    """`hello` during a computation is answered between two of its model calls."""
    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0, batch_size=1)
    widget.compute()
    gate.release(4)
    gate.await_call(5)
    browser = Browser(widget)

    browser.request("hello")
    gate.release(2)
    browser.wait("prediction")

    assert widget.explanations == {}
    gate.free()
    assert widget.wait(PATIENCE)


def test_handlers_leave_the_model_to_its_thread(make: Make) -> None:
    """While the model hangs, every request is accepted at once, and no handler's thread calls the model."""
    import threading

    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0)
    browser = Browser(widget)

    rids = [browser.request("hello"), browser.request("poll"), browser.request("classes", query="")]
    rids += [browser.request("compute", method="occlusion", target=target) for target in (-1, 0, 1, 2)]
    gate.await_call()

    assert [m.rid for m in browser.of("accepted")] == rids
    assert threading.current_thread() not in gate.threads
    gate.free()
    assert widget.wait(PATIENCE)
    assert len(gate.threads) == 1


@pytest.mark.parametrize(
    ("query", "labels"),
    [("", list(LABELS)), ("A", ["ape", "cat"]), (" do", ["dog"]), ("1", ["bee"]), ("wolf", [])],
)
def test_classes_are_found_by_label_or_index(make: Make, query: str, labels: list[str]) -> None:
    """Classes are found in any case, best first, with their probabilities."""
    widget = make()
    browser = Browser(widget)

    found = browser.wait("classes", rid=browser.request("classes", query=query))
    again = browser.wait("classes", rid=browser.request("classes", query=query))

    rows = found.fields["classes"]
    assert sorted(row["label"] for row in rows) == labels
    assert [row["probability"] for row in rows] == sorted((row["probability"] for row in rows), reverse=True)
    assert again.fields["classes"] == rows


def test_at_most_fifty_classes_are_found(make: Make) -> None:
    """A short query among many classes returns the top fifty; the prediction has five, and the shown one."""
    weights = np.random.default_rng(0).normal(size=(3, 80))
    widget = make(lambda images: images.mean((1, 2)) @ weights, methods=[OCCLUSION])
    widget.target = 79
    browser = Browser(widget)
    browser.request("hello")
    rows = browser.wait("prediction").fields["classes"]
    assert len(rows) in (5, 6)
    assert 79 in [row["index"] for row in rows]

    assert len(browser.wait("classes", rid=browser.request("classes", query="")).fields["classes"]) == 50


def test_polling_brings_what_was_sent_meanwhile(make: Make) -> None:
    """A poll is answered within its handler, with the messages since the last poll; of progress only the latest."""
    widget = make(target=1)
    browser = Browser(widget)
    browser.request("hello")
    rid = browser.request("compute", method="smooth_grad", target=1)
    widget.wait(PATIENCE)
    pushed = {m.fields["seq"]: m for m in browser.messages if "seq" in m.fields}
    before = len(browser.messages)

    browser.request("poll")

    polled = browser.messages[before + 1 :]
    assert [m.op for m in polled] == ["pace", "prediction", "pace", "result"]
    assert all(pushed[m.fields["seq"]].buffers == m.buffers for m in polled)
    assert polled[-1].rid == rid
    before = len(browser.messages)
    browser.request("poll")
    assert [m.op for m in browser.messages[before:]] == ["accepted"]


def test_what_waits_for_a_poll_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without polls old messages are dropped, and the last one is stored at any size."""
    monkeypatch.setattr("saliency_widget.protocol.outbox.QUEUE_BYTES", 10)
    widget = make(target=1)
    for method in ("gradient", "grad_cam"):
        widget.compute(method, wait=True)
    browser = Browser(widget)

    browser.request("poll")

    assert [m.fields["result"]["method"] for m in browser.of("result")] == ["grad_cam"]


def test_the_second_module_is_sent_on_request(make: Make) -> None:
    """A `module` is answered within its handler, which reaches the browser in every host, with the built more.js."""
    browser = Browser(make())

    rid = browser.request("module")

    assert [m.op for m in browser.messages] == ["accepted", "module"]
    assert zlib.decompress(browser.of("module", rid)[0].buffers["code"]).decode() == built("more.js")
    browser.request("poll")
    assert len(browser.raw) == 3


def test_errors_are_replies(make: Make) -> None:
    """A model's error is sent as text with its traceback, tags included; the next request succeeds."""

    def broken(images: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("<script>alert('é')</script>")

    widget = make(broken, methods=[OCCLUSION], target=0)
    browser = Browser(widget)

    rid = browser.request("compute", method="occlusion", target=0)
    error = browser.wait("error", rid=rid)

    assert error.fields["kind"] == "ZeroDivisionError"
    assert error.fields["message"] == "<script>alert('é')</script>"
    assert "in broken" in error.fields["details"]
    hello = browser.request("hello")
    assert browser.wait("error", rid=hello).fields["kind"] == "ZeroDivisionError"
    assert browser.wait("error", rid=browser.request("classes", query="")).fields["kind"] == "ZeroDivisionError"
    assert widget.wait(PATIENCE)


def test_a_class_there_is_not_is_an_error(make: Make) -> None:
    """An invalid target and an unsupported method are reported in the engine's words."""
    widget = make(lambda images: images.mean((1, 2)), methods=[OCCLUSION, "gradient"])
    browser = Browser(widget)

    beyond = browser.wait("error", rid=browser.request("compute", method="occlusion", target=7))
    cannot = browser.wait("error", rid=browser.request("compute", method="gradient", target=0))

    assert "3 classes" in beyond.fields["message"]
    assert cannot.fields["message"] == widget.spec["methods"][1]["lacks"][0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "an object"),
        ([1], "an object"),
        ({}, "rid"),
        ({"op": "hello"}, "rid"),
        ({"op": "hello", "rid": 7}, "rid"),
        ({"op": "hello", "rid": "x" * 1000}, "rid"),
        ({"op": "explode", "rid": "r"}, "an op"),
        ({"op": ["hello"], "rid": "r"}, "an op"),
        ({"op": "compute", "rid": "r"}, "method"),
        ({"op": "compute", "rid": "r", "method": "nonesuch", "target": 0}, "method"),
        ({"op": "compute", "rid": "r", "method": "gradient", "target": "0"}, "class"),
        ({"op": "compute", "rid": "r", "method": "gradient", "target": True}, "class"),
        ({"op": "compute", "rid": "r", "method": "gradient", "target": -2}, "class"),
        ({"op": "compute", "rid": "r", "method": "gradient", "target": 1e300}, "class"),
        ({"op": "classes", "rid": "r", "query": None}, "query"),
        (WHAT_IF | {"method": 3}, "method"),
        (WHAT_IF | {"target": None}, "class"),
        (WHAT_IF | {"keep": "30"}, "keep"),
        (WHAT_IF | {"keep": float("nan")}, "keep"),
        (WHAT_IF | {"region": -1}, "region"),
        (WHAT_IF | {"sign": "loud"}, "sign"),
        (WHAT_IF | {"fill": "hole"}, "fill"),
        (WHAT_IF | {"picked": None}, "picked"),
        (WHAT_IF | {"picked": {"regions": ["1"]}}, "regions"),
        (WHAT_IF | {"picked": {"shape": [2, 2], "runs": [1, 2]}}, "cover"),
        (WHAT_IF | {"picked": {"shape": [1 << 20, 1 << 20], "runs": [1]}}, "shape"),
        (WHAT_IF | {"op": "curve", "fill": ["blur"]}, "fill"),
        ({"op": "check", "rid": "r", "method": "gradient", "target": "cat"}, "class"),
        ({"op": "describe", "rid": "r", "method": "gradient", "fields": None}, "fields"),
        ({"op": "configure", "rid": "r", "method": "gradient", "fields": [1]}, "fields"),
        ({"op": "configure", "rid": "r", "method": "nonesuch", "fields": {}}, "method"),
        ({"op": "classes", "rid": "r", "query": "q" * 10000}, "query"),
    ],
    ids=repr,
)
def test_nonsense_is_ignored_with_a_reason(
    make: Make, caplog: pytest.LogCaptureFixture, content: Any, reason: str
) -> None:
    """An invalid message changes nothing, is not accepted, and is logged with the reason."""
    widget = make()
    browser = Browser(widget)

    browser.send(content)

    assert browser.messages == []
    assert reason in caplog.text


def test_buffers_and_stale_requests_are_ignored(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A request with buffers is refused; cancelling an unknown rid has no effect."""
    widget = make()
    browser = Browser(widget)

    browser.send({"op": "hello", "rid": "r"}, [bytes(1 << 20)])
    assert "no buffers" in caplog.text
    assert browser.messages == []
    with caplog.at_level(logging.INFO):
        browser.request("cancel", rid="long gone")
    assert "not waiting or running" in caplog.text
    assert [m.op for m in browser.messages] == ["accepted"]


def test_a_host_that_cannot_send_ends_nothing(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """After the connection breaks, the computation continues and the reason is logged."""
    widget = make(target=1)

    def broken(*_: Any, **__: Any) -> None:
        raise ConnectionError("gone")

    widget.comm.send = broken
    widget._handle_custom_msg({"op": "compute", "rid": "r", "method": "gradient", "target": 1}, [])

    assert widget.wait(PATIENCE)
    assert "Could not send" in caplog.text
    assert ("gradient", 1) in widget.explanations


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
OPS = st.sampled_from(
    [
        "hello",
        "compute",
        "cancel",
        "classes",
        "poll",
        "result",
        "what_if",
        "curve",
        "check",
        "describe",
        "configure",
        "code",
        "picture",
        "",
    ]
)
TRAITS = (
    *("method", "target", "keep", "opacity", "mode", "region", "spec", "_esm", "_snapshot", "x"),
    *("picked", "fill", "live", "parameters"),
)
PICKED = JSON | st.fixed_dictionaries(
    {}, optional={name: st.lists(st.integers(-1, 100), max_size=4) for name in ("regions", "shape", "runs")}
)
REQUESTS = st.fixed_dictionaries(
    {"op": OPS | JSON},
    optional={"rid": st.text(max_size=5) | JSON, "method": JSON | st.just("gradient"), "target": JSON, "query": JSON}
    | {"sign": st.just("auto") | JSON, "keep": st.floats(-1, 101) | JSON, "region": st.just(0) | JSON}
    | {"picked": PICKED, "fill": st.just("blur") | JSON, "fields": JSON},
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=REQUESTS | JSON,
    buffers=st.lists(st.binary(max_size=4), max_size=2),
    traits=st.dictionaries(
        st.sampled_from(TRAITS),
        JSON | PICKED,
    ),
)
def test_no_message_raises_or_changes_what_it_must_not(
    fuzzed: SaliencyWidget, content: Any, buffers: list[bytes], traits: dict[str, Any]
) -> None:
    """For any message the handlers return, and every trait keeps a valid value."""
    spec, esm = fuzzed.spec, fuzzed._esm

    fuzzed._handle_custom_msg(content, buffers)
    fuzzed.set_state(traits)

    assert fuzzed.spec is spec
    assert fuzzed._esm is esm
    assert fuzzed.method in ("gradient", "grad_cam")
    assert -1 <= fuzzed.target < 2**31
    assert 0 <= fuzzed.keep <= 100
    assert 0 <= fuzzed.opacity <= 1
    assert fuzzed.mode in ("area", "heat")
    assert fuzzed.region >= 0
    assert fuzzed.picked == checked(fuzzed.picked)
    assert fuzzed.fill in FILLS
    assert isinstance(fuzzed.live, bool)
    assert fuzzed.parameters == {}


@pytest.fixture
def fuzzed(make: Make, caplog: pytest.LogCaptureFixture) -> SaliencyWidget:
    """Provide one widget for all examples."""
    caplog.set_level(logging.CRITICAL, "saliency_widget")
    return make(img=picture(8, 8), methods=["gradient", "grad_cam"])
