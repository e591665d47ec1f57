from __future__ import annotations

import gc
import itertools
import logging
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import traitlets

import saliency
from saliency_widget import SaliencyWidget, __version__
from saliency_widget.front_end import built
from saliency_widget.work.jobs import worker_for
from tests.nets import LABELS, black_box, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE, Browser, Gate

OCCLUSION = saliency.Occlusion(size=12, stride=12)


def test_the_constructor_does_not_call_the_model(make: Make) -> None:
    """The constructor returns at once: a model that would block is not called."""
    gate = Gate()

    widget = make(gate, methods=[OCCLUSION])

    assert gate.calls == 0
    assert widget.explanations == {}
    assert widget.predictions == []
    assert widget.explanation is None


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"img": np.zeros(3)}, saliency.BadImage),
        ({"img": picture(), "preprocess": repr}, saliency.BadImage),
        ({"model": 3}, saliency.Unsupported),
        ({"methods": ["nonesuch"]}, saliency.UnknownName),
        ({"methods": []}, saliency.BadField),
        ({"methods": ["gradient"], "layer": "block"}, saliency.BadField),
        ({"layer": "nonesuch"}, saliency.UnknownName),
        ({"target": "wolf", "labels": LABELS}, saliency.UnknownName),
        ({"target": "cat"}, saliency.BadTarget),
        ({"target": -3}, saliency.BadTarget),
        ({"target": len}, saliency.BadTarget),
        ({"keep": 130}, traitlets.TraitError),
        ({"method": "nonesuch"}, traitlets.TraitError),
        ({"nonesuch": 1}, TypeError),
        ({"_snapshot": b""}, TypeError),
    ],
    ids=str,
)
def test_bad_input_raises_at_once(given: dict[str, Any], error: type[Exception]) -> None:
    """Errors that need no model call are raised by the constructor."""
    with pytest.raises(error):
        SaliencyWidget(**{"model": small_net(), "img": picture(), **given})


def test_the_methods_are_sent_to_the_browser(make: Make) -> None:
    """`spec` has the name, cost and paper of each method, and the engine's reason for an unsupported one."""
    widget = make(black_box(small_net()))
    rows = {each["id"]: each for each in widget.spec["methods"]}

    assert list(rows)[:6] == ["xrai", "integrated_gradients", "smooth_grad", "grad_cam", "gradient", "occlusion"]
    assert set(rows) == {each.id for each in saliency.methods() if not each.cls.over_layer}
    families = [each["family"] for each in rows.values()]
    assert families[:6] == [""] * 6
    # each family stands together
    assert len([a for a, b in itertools.pairwise(families) if a != b]) == len(set(families)) - 1
    assert rows["occlusion"]["lacks"] == [""]
    assert rows["occlusion"]["cost"] == saliency.Occlusion().cost((1, 24, 20, 3))
    assert rows["xrai"]["name"] == "XRAI"
    assert rows["xrai"]["paper"] == saliency.XRAI.paper
    best = [each.id for each in saliency.methods().automatic() if rows[each.id]["lacks"] == [""]]
    assert widget.method == best[0]
    assert rows["rise"]["standing"] == saliency.core.evidence.evidence()["rise"].standing
    with pytest.raises(saliency.Unsupported) as refused:
        saliency.explain(black_box(small_net()), picture(), "grad_cam")
    assert rows["grad_cam"]["lacks"] == [str(refused.value)]


def test_the_first_map_is_that_of_auto(make: Make) -> None:
    """The method shown first is the one that `method="auto"` stands for, also where it reads a layer."""
    widget = make(small_net())
    auto = saliency.explain(small_net(), picture(), "auto", 1)

    assert widget.method == "hires_cam"
    np.testing.assert_array_equal(widget.compute(target=1, wait=True).mask, auto.mask)


def test_a_model_without_the_layers_gets_the_next_method(make: Make) -> None:
    """Where no layer has a spatial grid, the widget shows the next method of "auto"; one the user chose is refused."""
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24 * 20 * 3, 3)).eval()
    widget = make(flat)
    first = widget.method

    exp = widget.compute(target=1, wait=True)

    assert first == "hires_cam"
    assert widget.method == "feature_ablation"
    assert isinstance(exp.instance, saliency.FeatureAblation)
    with pytest.raises(saliency.UnknownName):
        widget.compute("grad_cam", 1, wait=True)
    assert widget.method == "feature_ablation"
    chosen = make(flat, method="grad_cam")
    with pytest.raises(saliency.UnknownName):
        chosen.compute(target=1, wait=True)
    assert chosen.method == "grad_cam"


def test_a_bare_function_of_torch_is_a_model(make: Make) -> None:
    """A plain function is evaluated with the widget's picture to find whose arrays it takes, and gives gradients."""
    net = small_net()
    widget = make(lambda x: net(x) * 1)
    rows = {each["id"]: each["lacks"] for each in widget.spec["methods"]}

    assert rows["gradient"] == [""]
    assert "exposes no layers" in rows["grad_cam"][0]
    exp = widget.compute("gradient", 1, wait=True)
    np.testing.assert_allclose(exp.mask, saliency.explain(net, picture(), "gradient", 1).mask, atol=1e-6)


def test_two_values_of_one_class_have_two_names(make: Make) -> None:
    """Repeated methods have numbered ids and distinct names; equal ones are offered once."""
    short, long = saliency.IntegratedGradients(steps=3), saliency.IntegratedGradients(steps=9, baseline="white")

    widget = make(methods=[short, long, "gradient", saliency.GradientSaliency, saliency.IntegratedGradients(steps=3)])

    assert [(each["id"], each["name"]) for each in widget.spec["methods"]] == [
        ("integrated_gradients", "Integrated Gradients (steps=3)"),
        ("integrated_gradients-2", "Integrated Gradients (steps=9, baseline='white')"),
        ("gradient", "Gradient"),
    ]
    assert "steps=9" in widget.compute("integrated_gradients-2", wait=True).caption


def test_layer_and_baseline_reach_the_methods_that_have_them(make: Make) -> None:
    """`layer` sets Grad-CAM's, `baseline` that of every path method; other methods are unchanged."""
    widget = make(layer="stem", baseline="white")

    assert widget.compute("grad_cam", 0, wait=True).layer == "stem"
    assert "white" in widget.compute("integrated_gradients", 0, wait=True).caption
    assert widget.compute("gradient", 0, wait=True).caption == "GradientSaliency()"


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("keep", [0, 12.5, 100], [-1, 100.1, float("nan"), "30", None, True]),
        ("threshold", [0, 99.9], [101, [], {}]),
        ("opacity", [0, 0.5, 1], [-0.1, 1.1, float("inf")]),
        ("mode", ["heat", "area"], ["", "both", 1, None]),
        ("sign", ["auto", "signed"], ["negative", 0]),
        ("colormap", ["viridis", "gray"], ["jet", None]),
        ("region", [0, 7], [-1, 1.5, "2", 2**40]),
        ("method", ["gradient", "xrai"], ["nonesuch", None, 1]),
        ("target", [-1, 0, 3], [-2, 0.5, "wolf", None]),
    ],
)
def test_traits_say_what_they_may_be(
    make: Make, caplog: pytest.LogCaptureFixture, name: str, good: list[Any], bad: list[Any]
) -> None:
    """An invalid value raises in Python; from the browser it is logged, and the browser is sent the valid one."""
    widget = make()
    browser = Browser(widget)
    for value in good:
        setattr(widget, name, value)
        assert getattr(widget, name) == value
    kept = getattr(widget, name)
    for value in bad:
        with pytest.raises(traitlets.TraitError, match=name):
            setattr(widget, name, value)
        caplog.clear()
        browser.updates.clear()
        browser.write(**{name: value})
        assert "Ignored a value that the browser set" in caplog.text
        assert browser.updates[-1]["state"] == {name: kept}
        assert getattr(widget, name) == kept


def test_the_browser_writes_what_is_its_own(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Valid values are set although invalid ones come with them; traits that only Python sets stay."""
    widget = make()
    spec = widget.spec

    Browser(widget).write(keep=12, opacity=3, spec={}, _esm="", _snapshot=b"no", nonesuch=1)

    assert widget.keep == 12
    assert widget.opacity == 0.7
    assert widget.spec is spec
    assert widget._snapshot == b""
    assert len(str(widget._esm)) > 1000


def test_a_class_there_is_not_is_refused_once_they_are_known(make: Make) -> None:
    """After the prediction, a target has an upper bound."""
    widget = make()
    widget.compute("gradient", wait=True)

    with pytest.raises(traitlets.TraitError, match="0 to 3"):
        widget.target = 4


def test_the_top_class_gets_its_index(make: Make) -> None:
    """Without a target it is -1 until the prediction, and then the top class."""
    net = small_net()
    best = saliency.predict(net, picture(), labels=LABELS)[0]
    widget = make(net, labels=LABELS)
    assert widget.target == -1

    explanation = widget.compute("gradient", wait=True)

    assert widget.target == explanation.target == best.index
    assert widget.predictions[0].index == best.index
    assert len(widget.predictions) == len(LABELS)


def test_explanations_are_the_engines(make: Make) -> None:
    """The widget computes the result of saliency.explain; labels are valid targets."""
    net = small_net()
    widget = make(net, labels=LABELS, target="cat")
    assert widget.target == 2
    widget.target = LABELS[0]
    assert widget.target == 0
    with pytest.raises(saliency.BadField, match="target: There is no label 'wolf'"):
        widget.target = "wolf"
    widget.target = "cat"

    for method in ("gradient", "integrated_gradients", "xrai", "grad_cam", "occlusion"):
        mine = widget.compute(method, "dog", wait=True)
        theirs = saliency.explain(net, picture(), method, "dog", labels=LABELS, progress=False)
        np.testing.assert_allclose(mine.mask, theirs.mask, rtol=1e-3, atol=1e-6)
        assert mine.label == "dog"
    assert set(widget.explanations) >= {("xrai", 3), ("gradient", 3)}


def test_a_script_waits_without_a_kernel(make: Make) -> None:
    """After several requests wait() returns when all are computed, or False after its timeout."""
    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0)
    widget.compute()
    widget.compute(target=1)
    assert not widget.wait(timeout=0.01)

    gate.free()

    assert widget.wait(timeout=PATIENCE)
    assert set(widget.explanations) == {("occlusion", 0), ("occlusion", 1)}
    assert widget.explanation is widget.explanations["occlusion", 0]


def test_errors_reach_whoever_waits(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """compute(wait=True) raises the engine's error; without wait it is logged."""
    widget = make(methods=["gradient"])

    with pytest.raises(saliency.BadTarget, match="4 classes"):
        widget.compute(target=9, wait=True)
    with pytest.raises(saliency.UnknownName, match="gradient"):
        widget.compute("nonesuch")
    with caplog.at_level(logging.WARNING):
        widget.compute(target=9)
        widget.wait(PATIENCE)
    assert "4 classes" in caplog.text


def test_an_interrupt_cancels(make: Make) -> None:
    """An interrupt of compute(wait=True) cancels the computation."""

    def interrupting(images: np.ndarray) -> np.ndarray:
        if not seen.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert seen.wait(PATIENCE)
        return np.asarray(images.mean((1, 2)))

    seen = threading.Event()
    widget = make(interrupting, methods=[OCCLUSION], target=0)

    # whoever started the tests in the background has the signal ignored; an interrupt is what is tested, not the shell
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            widget.compute(wait=True)
    finally:
        signal.signal(signal.SIGINT, before)
    seen.set()

    assert widget.wait(PATIENCE)
    assert widget.explanations == {}


def test_switching_back_is_free(make: Make) -> None:
    """The same method, class and weights are never computed twice."""
    gate = Gate()
    gate.free()
    widget = make(gate, methods=[OCCLUSION], target=0)
    first = widget.compute(wait=True)
    calls = gate.calls

    assert widget.compute(wait=True) is first
    assert gate.calls == calls


def test_new_weights_are_new_answers(make: Make) -> None:
    """After a training step a method is computed again, and the prediction with it."""
    import torch

    net = small_net()
    widget = make(net, labels=LABELS)
    first = widget.compute("gradient", 1, wait=True)
    probabilities = [row.probability for row in widget.predictions]

    with torch.no_grad():
        net.head.weight.mul_(3)

    second = widget.compute("gradient", 1, wait=True)
    np.testing.assert_allclose(second.mask, 3 * first.mask, rtol=1e-4)
    assert widget.explanations["gradient", 1] is second
    assert [row.probability for row in widget.predictions] != probabilities


def test_a_new_layer_in_the_model_is_seen(make: Make) -> None:
    """A model that was changed in place, not only trained, is explained in its present state."""
    from torch import nn

    net = small_net()
    widget = make(net)
    widget.compute("gradient", 1, wait=True)

    net.head = nn.Linear(6, 7)

    widget.compute("gradient", 5, wait=True)
    assert len(widget.predictions) == 7


def test_two_widgets_share_a_models_thread(make: Make) -> None:
    """One thread calls a model, for any number of widgets."""
    gate = Gate()
    gate.free()
    one, two = (make(gate, methods=[OCCLUSION], target=0) for _ in range(2))

    one.compute()
    two.compute(target=1)

    assert one.wait(PATIENCE)
    assert two.wait(PATIENCE)
    assert len(gate.threads) == 1
    assert threading.main_thread() not in gate.threads


def test_closing_frees_model_and_thread(make: Make) -> None:
    """After close() nothing holds the model, its thread ends, and explanations can still be read."""
    net = small_net()
    widget = make(net, labels=LABELS)
    widget.compute("gradient", wait=True)
    (thread,) = (each for each in threading.enumerate() if each is worker_for(net)._thread)
    reference = weakref.ref(net)

    widget.close()
    del net
    thread.join(PATIENCE)
    gc.collect()

    assert not thread.is_alive()
    assert reference() is None
    assert len(widget.explanations) == 1
    with pytest.raises(saliency.Cancelled, match="closed"):
        widget.compute("gradient")
    widget.close()


def test_closing_stops_what_runs(make: Make) -> None:
    """On close, a running computation ends at its next model call, and waiting ones never begin."""
    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0, batch_size=1)
    widget.compute()
    widget.compute(target=1)
    gate.await_call()

    widget.close()
    gate.free()

    assert widget.wait(PATIENCE)
    assert widget.explanations == {}


def test_cancelling_everything(make: Make) -> None:
    """cancel() ends the running job and drops the waiting ones; then the widget works on."""
    gate = Gate()
    widget = make(gate, methods=[OCCLUSION], target=0, batch_size=1)
    widget.compute()
    widget.compute(target=1)
    gate.await_call()

    widget.cancel()
    gate.free()

    assert widget.wait(PATIENCE)
    assert widget.explanations == {}
    assert widget.compute(wait=True).target == 0


def test_nobody_waits_for_themselves(make: Make) -> None:
    """wait() on the model's own thread, as in an observer, raises an error instead of waiting forever."""
    widget = make()
    errors: list[str] = []

    def observer(_change: object) -> None:
        for wait in (widget.wait, lambda: widget.compute("gradient", 0, wait=True)):
            try:
                wait()
            except RuntimeError as error:
                errors.append(str(error))

    widget.observe(observer, "target")
    widget.compute("gradient", wait=True)

    assert len(errors) == 2
    assert all("own thread" in each for each in errors)


@pytest.mark.parametrize("sign", ["auto", "absolute", "positive", "signed"])
def test_the_selection_is_what_the_area_view_keeps(make: Make, sign: str) -> None:
    """`selection` by `keep` has the pixels at or above NumPy's percentile of the shown values."""
    widget = make(target=1, method="integrated_gradients", sign=sign, keep=12.5)
    with pytest.raises(ValueError, match="compute"):
        _ = widget.selection
    mask = widget.compute(wait=True).mask
    values = np.abs(mask).sum(2) if sign in ("auto", "absolute") else mask.sum(2)

    np.testing.assert_array_equal(widget.selection, values >= np.float32(np.percentile(values, 87.5)))


def test_regions_are_selected_whole(make: Make) -> None:
    """XRAI's `selection` has `region` regions, or those nearest to `keep`."""
    widget = make(target=1, method="xrai", region=2)
    regions = widget.compute(wait=True).regions
    assert regions is not None

    np.testing.assert_array_equal(widget.selection, regions.ranks < 2)
    widget.region, widget.keep = 0, 50
    nearest = min(range(len(regions.table)), key=lambda i: abs(regions.table[i].cumulative - 0.5))
    np.testing.assert_array_equal(widget.selection, regions.ranks <= nearest)
    widget.keep = 0
    assert not widget.selection.any()


def test_repr_describes_the_widget(make: Make) -> None:
    """Its repr is one short line."""
    widget = make(methods=["gradient"])
    assert repr(widget) == "<SaliencyWidget of SmallNet: gradient for the top class, 0 computed>"

    widget.compute(wait=True)

    assert repr(widget) == f"<SaliencyWidget of SmallNet: gradient for {widget.predictions[0].label!r}, 1 computed>"
    assert __version__ == saliency.__version__


def test_a_picture_that_was_read_already_is_taken(make: Make) -> None:
    """`img` may be a result of saliency.read, and `model` a result of saliency.adapt."""
    model, img = saliency.adapt(small_net(), labels=LABELS), saliency.read(picture())

    widget = make(model, img)

    assert widget.compute("gradient", "bee", wait=True).label == "bee"


def test_layers_may_be_given_as_modules(make: Make) -> None:
    """A module as layer=, of one of several models or in a method, is replaced by its name, in code() too."""
    net, other = small_net(), small_net(seed=1)
    given = make([net, other], layer=other.stem, methods=["grad_cam", saliency.SmoothGrad(saliency.GradCam())])
    held = make(net, methods=[saliency.GradCam(layer=net.block), saliency.RefineCam(layer=[net.stem, net.block])])

    assert given.compute(wait=True).layer == "stem"
    assert held.compute("refine_cam", wait=True).layer == "stem, block"
    assert held.compute("grad_cam", wait=True).layer == "block"
    assert "layer='block'" in held.code().replace('"', "'")
    with pytest.raises(saliency.UnknownName, match="Conv2d given as layer= is not part of"):
        make(net, layer=torch.nn.Conv2d(3, 3, 1))


def test_a_large_picture_is_shown_smaller(make: Make) -> None:
    """The browser gets at most 1024 pixels a side; the mask keeps the model's resolution."""
    widget = make(img=picture(30, 1500), preprocess=lambda x: x[:, :60] / np.float32(255), methods=["gradient"])

    assert widget.compute(wait=True).mask.shape == (30, 60, 3)
    assert widget.spec["images"] == [{"name": "image 1", "size": [20, 1024], "full": [30, 1500]}]
    browser = Browser(widget)
    browser.request("hello")
    result = browser.wait("result").fields["result"]
    assert result["place"] == pytest.approx([0, 0, 60 * 1024 / 1500, 20], abs=0.1)


def test_a_process_ends_while_its_model_computes(checkout: Path) -> None:
    """The end of a script cancels running jobs without delay."""
    script = """
        import time, numpy as np, saliency
        from saliency_widget import SaliencyWidget
        def model(images):
            time.sleep(0.01)
            return images.mean((1, 2))
        picture = np.zeros((200, 200, 3), np.uint8)
        widget = SaliencyWidget(model, picture, [saliency.Occlusion(stride=1)], batch_size=1)
        widget.compute()
    """
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=checkout, check=False, capture_output=True, text=True
    )

    # the whole run would take minutes
    assert time.monotonic() - began < 30
    assert (done.returncode, done.stderr) == (0, "")


def test_a_missing_front_end_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout without a built front end raises an error with the command that builds it."""
    monkeypatch.setattr("saliency_widget.front_end.STATIC", tmp_path)

    with pytest.raises(FileNotFoundError, match="npm run build"):
        built("widget.js")


def test_methods_share_passes_until_the_weights_change(make: Make) -> None:
    """VarGrad takes its copies from SmoothGrad, for the same class and weights; its map is that of the method alone."""
    net = small_net()
    methods = [saliency.SmoothGrad(samples=5), saliency.VarGrad(samples=5)]
    widget = make(net, methods=methods, labels=LABELS, prefetch=False)

    def images(target: int) -> list[int]:
        found = [widget.compute(each.id, target, wait=True) for each in methods]
        alone = saliency.explain(net, picture(), methods[1], target, progress=False)
        np.testing.assert_allclose(found[1].mask, alone.mask, rtol=1e-5, atol=1e-12)
        return [each.images for each in found]

    assert images(1) == [5, 0]
    assert images(0) == [5, 0]
    with torch.no_grad():
        for each in net.parameters():
            each.mul_(1.2)
    assert images(0) == [5, 0]
