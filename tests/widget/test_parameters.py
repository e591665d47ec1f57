"""The fields of methods as controls: described, proposed, set and reset."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import saliency
from saliency_widget.traits.parameters import changed, described, presets
from saliency_widget.traits.timing import TimeEstimator
from tests.nets import LABELS, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, Gate

SHAPE = (1, 64, 64, 3)


@pytest.mark.parametrize("info", saliency.methods(), ids=lambda info: info.id)
def test_every_method_tells_its_controls(info: saliency.MethodInfo) -> None:
    """Each field has a kind, a help and JSON values; setting every field to what it is changes nothing."""
    method = info.cls()

    fields = json.loads(json.dumps(described(method, method), allow_nan=False))

    for each in fields:
        assert each["kind"] in {"whole", "number", "flag", "choice", "names", "text", "fixed"}
        assert each["value"] == each["default"]
        assert each["help"]
    same = {each["name"]: each["value"] for each in fields if each["kind"] != "fixed"}
    assert changed(method, same).key() == method.key()


@pytest.mark.parametrize("info", saliency.methods(), ids=lambda info: info.id)
def test_presets_are_cheaper_and_dearer(info: saliency.MethodInfo) -> None:
    """The quick preset costs at most half, the thorough one at least twice as much."""
    method = info.cls()
    found = {each["name"]: each for each in presets(method, SHAPE)}

    for each in found.values():
        assert changed(method, each["fields"]).cost(SHAPE) == each["cost"]
    if "quick" in found:
        assert 0 < found["quick"]["cost"] <= method.cost(SHAPE) / 2
    if "thorough" in found:
        assert found["thorough"]["cost"] >= 2 * method.cost(SHAPE)


def test_methods_inside_methods_have_dotted_names() -> None:
    """The fields of the method that SmoothGrad smooths come after its own, and are set through it."""
    method = saliency.SmoothGrad(saliency.IntegratedGradients())

    names = [each["name"] for each in described(method, method)]
    dearer = changed(method, {"method.steps": 7, "samples": 3})

    own = [each["name"] for each in saliency.described(method) if each["name"] != "method"]
    assert names == [*own, *(f"method.{each['name']}" for each in saliency.described(method.method))]
    assert dearer.key() == saliency.SmoothGrad(saliency.IntegratedGradients(steps=7), samples=3).key()


@pytest.mark.parametrize(
    ("name", "value", "method"),
    [
        ("steps", 12.0, saliency.IntegratedGradients(steps=12)),
        ("steps", None, saliency.IntegratedGradients()),
        ("baseline", ["white"], saliency.IntegratedGradients(baseline="white")),
        ("baseline", ["black", "white"], saliency.IntegratedGradients(baseline=("black", "white"))),
    ],
)
def test_json_becomes_what_the_field_wants(name: str, value: Any, method: saliency.Method) -> None:
    """A whole number may be a float, as JavaScript sends it, and a baseline one name or several."""
    assert changed(saliency.IntegratedGradients(), {name: value}).key() == method.key()


def test_a_choice_may_be_left_to_the_method() -> None:
    """A field with named values is chosen among them, also while it has none; a value of one's own is only shown."""
    own = np.zeros((4, 4), int)

    def segments_of(method: saliency.Method) -> dict[str, Any]:
        return next(each for each in described(method, saliency.XRAI()) if each["name"] == "segments")

    assert (segments_of(saliency.XRAI())["kind"], segments_of(saliency.XRAI())["value"]) == ("choice", None)
    assert segments_of(changed(saliency.XRAI(), {"segments": "grid"}))["value"] == "grid"
    assert changed(saliency.XRAI(segments="grid"), {"segments": None}).key() == saliency.XRAI().key()
    assert segments_of(saliency.XRAI(segments=own))["kind"] == "fixed"


@pytest.mark.parametrize(
    ("method", "fields", "reason"),
    [
        (saliency.IntegratedGradients(), {"steps": 0}, "1 to 10000"),
        (saliency.IntegratedGradients(), {"steps": True}, "cannot be True"),
        (saliency.IntegratedGradients(), {"steps": "many"}, "cannot be 'many'"),
        (saliency.GuidedIG(), {"steps": None}, "cannot be None"),
        (saliency.IntegratedGradients(), {"steps": 1.5}, r"cannot be 1\.5"),
        (saliency.IntegratedGradients(), {"baseline": ["beige"]}, "baseline cannot be"),
        (saliency.IntegratedGradients(), {"baseline": []}, "baseline cannot be"),
        (saliency.IntegratedGradients(), {"__class__": 1}, "no field '__class__'"),
        (saliency.IntegratedGradients(baseline=np.zeros(3)), {"baseline": "black"}, "baseline cannot be"),
        (saliency.XRAI(), {"algorithm": "slow"}, "slow"),
        (saliency.XRAI(), {"segments": "all"}, "Available: slic, felzenszwalb"),
    ],
    ids=str,
)
def test_invalid_values_of_fields_are_refused(method: saliency.Method, fields: dict[str, Any], reason: str) -> None:
    """Any JSON value is accepted or refused, in the engine's words where it has some; none crashes."""
    with pytest.raises(saliency.SaliencyError, match=reason):
        changed(method, fields)


def test_a_proposal_is_priced_and_changes_nothing(make: Make) -> None:
    """`describe` returns the cost of fields in images, and in seconds for this model."""
    widget = make(target=1)
    browser = Browser(widget)
    before = browser.wait("described", rid=browser.request("describe", method="smooth_grad", fields={})).fields
    assert before["seconds"] is None
    run = widget.compute("smooth_grad", wait=True)

    fields = browser.wait(
        "described", rid=browser.request("describe", method="smooth_grad", fields={"samples": 75})
    ).fields
    wrong = browser.wait(
        "described", rid=browser.request("describe", method="smooth_grad", fields={"samples": -1})
    ).fields

    assert fields["cost"] == 75
    assert fields["seconds"] == pytest.approx(75 * run.seconds / run.images)
    assert {each["name"]: each["value"] for each in fields["fields"]}["samples"] == 75
    assert "1 to 10000" in wrong["problem"]
    assert {each["name"]: each["value"] for each in wrong["fields"]}["samples"] == 25
    assert widget.parameters == {}


def test_a_layer_is_chosen_among_the_model_s(make: Make) -> None:
    """Fields for layers have the layers as choices, with the automatic one; other names are refused."""
    net = small_net()
    widget = make(net, methods=["grad_cam", "refine_cam", saliency.SmoothGrad(saliency.GradCam(), samples=2)], target=1)
    browser = Browser(widget)
    names = list(dict.fromkeys(each.name for each in saliency.layers(net, picture())))

    def field(method: str, name: str) -> dict[str, Any]:
        fields = browser.wait("described", rid=browser.request("describe", method=method, fields={})).fields
        return next(each for each in fields["fields"] if each["name"] == name)

    one, several, inner = field("grad_cam", "layer"), field("refine_cam", "layer"), field("smooth_grad", "method.layer")

    for each in (one, several, inner):
        assert each["choices"] == names
        assert each["optional"]
        assert each["automatic"] == widget.compute("grad_cam", wait=True).layer
    assert (one["kind"], several["kind"], inner["kind"]) == ("choice", "names", "choice")
    given = [{"layer": "stem"}, {"layer": ["stem", names[-1]]}, {"method.layer": "stem"}]
    for method, fields in zip(("grad_cam", "refine_cam", "smooth_grad"), given, strict=True):
        browser.wait("configured", rid=browser.request("configure", method=method, fields=fields))
        assert "stem" in str(widget.compute(method, wait=True).layer)
    for wrong in ("nonsense", ["stem"], 3, True):
        error = browser.wait(
            "error", rid=browser.request("configure", method="grad_cam", fields={"layer": wrong})
        ).fields
        assert all(name in error["message"] for name in names)
    with pytest.raises(saliency.BadField, match="Expected one of: stem"):
        widget.parameters = {"refine_cam": {"layer": ["stem", "nonsense"]}}
    assert widget.parameters["grad_cam"] == {"layer": "stem"}


def test_a_layer_is_checked_before_the_layers_were_listed(make: Make) -> None:
    """The first message of a page is also checked against the model's layers."""
    widget = make(methods=["grad_cam"], target=1)
    browser = Browser(widget)

    error = browser.wait("error", rid=browser.request("configure", method="grad_cam", fields={"layer": "nonsense"}))

    assert "Expected one of: stem" in error.fields["message"]
    assert widget.parameters == {}


def test_what_only_the_model_can_tell_is_no_cost(make: Make) -> None:
    """Score-CAM has no cost before its first run, but names what it depends on; then it has the measured one."""
    widget = make(methods=["score_cam", saliency.SmoothGrad(saliency.AblationCam(), samples=2)], target=1)
    browser = Browser(widget)
    assert [each["cost"] for each in widget.spec["methods"]] == [0, 0]

    before = browser.wait("described", rid=browser.request("describe", method="score_cam", fields={})).fields
    run = widget.compute("score_cam", wait=True)
    described = browser.wait("described", rid=browser.request("describe", method="score_cam", fields={})).fields
    inner = browser.wait("described", rid=browser.request("describe", method="smooth_grad", fields={})).fields
    other = browser.wait(
        "described", rid=browser.request("describe", method="score_cam", fields={"layer": "stem"})
    ).fields

    assert (before["cost"], before["beyond"], before["seconds"]) == (0, "the layer's channels", None)
    assert (described["cost"], described["beyond"]) == (run.images, "")
    assert described["seconds"] == pytest.approx(run.seconds, abs=0.01)
    assert (inner["cost"], inner["beyond"]) == (0, "the layer's channels")
    assert other["cost"] == 0


def test_each_method_s_time_is_estimated_in_advance(make: Make) -> None:
    """After a run `pace` has seconds for all methods: measured for its own, estimated by capability for others."""
    widget = make(target=1, methods=["gradient", "smooth_grad", "occlusion", saliency.IntegratedGradients(steps=10)])
    browser = Browser(widget)
    browser.request("hello")
    run = widget.compute("smooth_grad", wait=True)
    widget.wait(PATIENCE)

    seconds = browser.of("pace")[-1].fields["seconds"]

    assert set(seconds) <= {"gradient", "smooth_grad", "occlusion", "integrated_gradients"}
    estimator = TimeEstimator()
    estimator.add_forward(0.5)
    assert estimator.seconds(saliency.Occlusion(), 8) == 4
    assert estimator.seconds(saliency.SmoothGrad(), 8) == 12
    estimator.add_run(saliency.SmoothGrad(), 25, 50.0)
    assert estimator.seconds(saliency.Occlusion(), 8) == 4
    estimator.add_run(saliency.VarGrad(), 1000, 3.0)
    assert estimator.seconds(saliency.Occlusion(), 1000) == pytest.approx(28 / 1012.5 / 3 * 1000)
    estimator = TimeEstimator()
    estimator.add_run(saliency.SmoothGrad(), 25, 50.0)
    assert estimator.seconds(saliency.SmoothGrad(), 10) == estimator.seconds(saliency.IntegratedGradients(), 10) == 20
    estimator.add_run(saliency.IntegratedGradients(), 1, 9.0)
    assert estimator.seconds(saliency.IntegratedGradients(), 10) == 90
    assert estimator.seconds(saliency.SmoothGrad(), 10) == 20
    assert seconds["smooth_grad"] == pytest.approx(run.seconds, abs=0.006)


def test_errors_of_other_fields_name_the_accepted_values(make: Make) -> None:
    """A method with fields of another cost has its time updated within the handler."""
    widget = make(target=1, method="integrated_gradients")
    widget.compute(wait=True)
    browser = Browser(widget)
    explainer = widget._ready_explainers().shown
    explainer.timing.add_run(saliency.IntegratedGradients(), 100, 500.0)

    browser.request("configure", method="integrated_gradients", fields={"steps": 50})

    expected = explainer.timing.seconds(saliency.IntegratedGradients(), 50)
    assert expected is not None
    assert expected > 100
    assert browser.of("pace")[-1].fields["seconds"]["integrated_gradients"] == pytest.approx(expected, abs=0.01)


def test_a_change_is_computed_and_the_way_back_is_free(make: Make) -> None:
    """`configure` sets the fields in Python too, and results of earlier fields return at once."""
    widget = make(target=1, method="integrated_gradients")
    first = widget.compute(wait=True)
    browser = Browser(widget)

    done = browser.wait(
        "configured", rid=browser.request("configure", method="integrated_gradients", fields={"steps": 5})
    )
    assert done.fields["fields"] == {"steps": 5}
    assert widget.parameters == {"integrated_gradients": {"steps": 5}}
    assert widget.explanations == {}
    second = browser.wait("result", rid=browser.request("compute", method="integrated_gradients", target=1))

    alone = saliency.explain(small_net(), picture(), saliency.IntegratedGradients(steps=5), target=1, progress=False)
    np.testing.assert_allclose(second.array("values"), alone.mask.sum(2), atol=1e-6)
    assert second.fields["result"]["caption"] == "IntegratedGradients(steps=5)"
    browser.wait(
        "configured",
        rid=browser.request("configure", method="integrated_gradients", fields={}),
        after=len(browser.messages) - 1,
    )
    assert widget.parameters == {}
    assert widget.explanations["integrated_gradients", 1] is first
    assert widget.compute(wait=True) is first


def test_fields_are_set_from_python(make: Make) -> None:
    """The trait stores only the fields that differ, updates the cost in `spec`, and refuses invalid values."""
    widget = make(target=1, parameters={"smooth_grad": {"samples": 4, "spread": 0.15}})

    assert widget.parameters == {"smooth_grad": {"samples": 4}}
    assert {each["id"]: each["cost"] for each in widget.spec["methods"]}["smooth_grad"] == 4
    assert widget.compute("smooth_grad", wait=True).images == 4
    with pytest.raises(saliency.BadField):
        widget.parameters = {"smooth_grad": {"samples": 0}}
    with pytest.raises(saliency.UnknownName, match="no method 'smooth'"):
        widget.parameters = {"smooth": {}}
    assert widget.parameters == {"smooth_grad": {"samples": 4}}
    widget.parameters = {}
    assert widget.compute("smooth_grad", wait=True).images == 25


def test_what_runs_with_old_fields_ends(make: Make) -> None:
    """A method whose fields change while it runs is cancelled; no result of old fields is shown as new."""
    gate = Gate()
    widget = make(gate, methods=[saliency.Occlusion(size=4, stride=4)], target=0, batch_size=1, labels=LABELS[:3])
    browser = Browser(widget)
    old = browser.request("compute", method="occlusion", target=0)
    gate.release(2)
    gate.await_call(3)

    browser.wait("configured", rid=browser.request("configure", method="occlusion", fields={"size": 12, "stride": 12}))
    new = browser.request("compute", method="occlusion", target=0)
    gate.free()

    assert browser.wait("cancelled", rid=old)
    assert browser.wait("result", rid=new).fields["result"]["caption"] == "Occlusion(size=12, stride=12)"
    assert widget.wait(PATIENCE)
    assert [m.rid for m in browser.of("result")] == [new]


def test_a_browser_cannot_write_parameters_past_the_checks(make: Make) -> None:
    """Only `configure` sets `parameters`; a page that sets the trait is sent the current value."""
    widget = make()
    browser = Browser(widget)

    browser.write(parameters={"xrai": {"steps": 3}})

    assert widget.parameters == {}
    assert browser.updates[-1]["state"]["parameters"] == {}


def test_fields_that_fit_no_picture_are_refused_before_anything_changes(make: Make) -> None:
    """A window of one pixel with a stride of eight leaves gaps: `describe` reports it, `configure` changes nothing."""
    widget = make(methods=[saliency.Occlusion(size=8, stride=8)])
    browser = Browser(widget)

    for _ in range(2):
        rid = browser.request("describe", method="occlusion", fields={"size": 1})
        assert "gaps" in browser.wait("described", rid=rid).fields["problem"]
        rid = browser.request("configure", method="occlusion", fields={"size": 1})
        assert "gaps" in browser.wait("error", rid=rid).fields["message"]
        assert widget.parameters == {}
