"""The meaning of a model's outputs: logits, probabilities or values, one output or several, in every framework."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import saliency
from saliency.model.head import Ending, decide
from tests.adapters import headed
from tests.adapters.headed import BLACK_BOXES, IMAGE, WITH_GRADIENTS, gradient, logits_of, model

ALL = (*WITH_GRADIENTS, *BLACK_BOXES)
NO_YES = ["no", "yes"]
WHOLE = np.ones(IMAGE.shape[:2], bool)
ORDER = np.arange(WHOLE.size, dtype=np.float64).reshape(WHOLE.shape)
SIZE = {"size": 3, "stride": 3}


def explain(net: Any, target: Any = None, method: str = "gradient", **options: Any) -> Any:
    """An explanation, without a bar."""
    return saliency.explain(net, IMAGE, method, target, progress=False, **options)


def says(exp: Any, text: str) -> bool:
    """Whether a note holds a text."""
    return any(text in note for note in exp.notes)


def sigmoid(z: float) -> float:
    """1 / (1 + exp(-z))."""
    return float(1 / (1 + np.exp(-z)))


def check_shown(net: Any, expected: dict[str, float], **options: Any) -> None:
    """`predict`, `what_if` of the whole picture, and the end of the insertion curve give the same numbers."""
    found = saliency.predict(net, IMAGE, **options)
    assert [row.label for row in found] == sorted(expected, key=lambda label: -expected[label])
    for rows in (found, saliency.what_if(net, IMAGE, WHOLE, **options).only):
        assert {row.label: row.shown for row in rows} == pytest.approx(expected, abs=2e-4)
    for row in found:
        curves = saliency.perturbation_curves(net, IMAGE, ORDER, row.index, points=3, **options)
        assert curves.insertion[-1] == pytest.approx(expected[row.label], abs=2e-4)
        assert curves.deletion[0] == pytest.approx(expected[row.label], abs=2e-4)
        assert curves.measure == ("value" if row.probability is None else "probability")


@pytest.mark.parametrize("ending", ["sigmoid", "written", "squeezed"])
@pytest.mark.parametrize("framework", WITH_GRADIENTS)
class TestOneProbability:
    """A model that ends in one sigmoid: two classes, whose logits z and −z are explained."""

    def test_the_logit_of_either_class_is_explained(self, framework: str, ending: str) -> None:
        """By hand: the score is z or −z, the gradient that of z or −z; without a target the class with p > .5."""
        z = -3.0 if ending == "squeezed" else 3.0
        net = model(framework, (z,), ending)
        yes, no, top = (explain(net, target, labels=NO_YES) for target in ("yes", "no", None))

        assert (yes.score, no.score) == pytest.approx((z, -z), abs=1e-4)
        np.testing.assert_allclose(yes.mask, gradient((z,), 0), atol=1e-5)
        np.testing.assert_allclose(no.mask, -gradient((z,), 0), atol=1e-5)
        assert top.label == ("yes" if z > 0 else "no")
        assert says(top, "the model ends in a sigmoid")
        assert says(top, "explained the logit")

    def test_the_probability_is_shown_once(self, framework: str, ending: str) -> None:
        """.953 for class 1, .047 for class 0: never through a second sigmoid, whatever `activation` says."""
        net = model(framework, (3.0,), ending)
        expected = {"yes": 0.9526, "no": 0.0474}

        check_shown(net, expected, labels=NO_YES)
        for activation in ("sigmoid", "none"):
            found = saliency.predict(net, IMAGE, labels=NO_YES, activation=activation)
            assert {row.label: row.shown for row in found} == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("framework", WITH_GRADIENTS)
@pytest.mark.parametrize("options", [{"labels": NO_YES}, {"activation": "sigmoid"}], ids=str)
def test_one_logit_of_two_classes(framework: str, options: dict[str, Any]) -> None:
    """Two labels, or activation="sigmoid": z > 0 is class 1, shown as sigmoid(z) and 1 − sigmoid(z)."""
    net = model(framework, (3.0,))
    one, zero, top = (explain(net, target, **options) for target in (1, 0, None))

    assert (one.score, zero.score, top.target) == pytest.approx((3, -3, 1), abs=1e-4)
    np.testing.assert_allclose(zero.mask, -gradient((3.0,), 0), atol=1e-5)
    names = options.get("labels", ["0", "1"])
    check_shown(net, {names[1]: 0.9526, names[0]: 0.0474}, **options)
    assert explain(model(framework, (-0.4,)), **options).target == 0


@pytest.mark.parametrize("framework", ALL)
def test_one_number_is_a_value(framework: str) -> None:
    """A regression's 58 is 58 everywhere, with target 0 and without a target; there is no class 1."""
    net = model(framework, (58.0,))
    found = saliency.predict(net, IMAGE)

    assert [(row.index, row.probability) for row in found] == [(0, None)]
    check_shown(net, {"value": 58.0})
    for target in (None, 0, saliency.targets.output()):
        exp = explain(net, target, "occlusion", **SIZE)
        assert exp.score == pytest.approx(58, rel=1e-5)
    assert says(explain(net, None, "occlusion", **SIZE), "explained as a value")
    with pytest.raises(saliency.BadTarget, match="its target is 0, got 1"):
        explain(net, 1, "occlusion", **SIZE)


@pytest.mark.parametrize("framework", WITH_GRADIENTS)
def test_the_range_never_makes_a_value_a_probability(framework: str) -> None:
    """A regression of .3 without labels is a value, although it is within 0–1; its gradient is its own."""
    exp = explain(model(framework, (0.3,)))

    assert exp.score == pytest.approx(0.3, abs=1e-5)
    np.testing.assert_allclose(exp.mask, gradient((0.3,), 0), atol=1e-6)
    assert saliency.predict(model(framework, (0.3,)), IMAGE)[0].probability is None


LOGITS = (1.3127, 0.1, -0.5)


@pytest.mark.parametrize("ending", ["sigmoid", "written", "softmax", "log_softmax"])
@pytest.mark.parametrize("framework", WITH_GRADIENTS)
def test_several_outputs_are_shown_as_they_are_and_explained_by_their_logits(framework: str, ending: str) -> None:
    """Sigmoids (.788, …), a softmax, a log-softmax: p as the model gives it, and the gradient of the logit."""
    net = model(framework, LOGITS, ending)
    shown = headed.after("softmax" if "softmax" in ending else ending, np.array(LOGITS))
    for index in (0, 2):
        exp = explain(net, index)
        assert exp.score == pytest.approx(LOGITS[index], abs=1e-4)
        np.testing.assert_allclose(exp.mask, gradient(LOGITS, index), atol=1e-5)
        assert says(exp, "explained the logit")
    check_shown(net, {str(i): float(p) for i, p in enumerate(shown)})


@pytest.mark.parametrize("framework", ALL)
def test_logits_are_classes_unless_declared_as_labels(framework: str) -> None:
    """(N, 3) logits go through a softmax; by `activation` each through a sigmoid, or through nothing."""
    net = model(framework, LOGITS)
    for activation, shown in (
        ("auto", headed.after("softmax", np.array(LOGITS))),
        ("softmax", headed.after("softmax", np.array(LOGITS))),
        ("sigmoid", headed.after("sigmoid", np.array(LOGITS))),
        ("none", np.array(LOGITS)),
    ):
        check_shown(net, {str(i): float(p) for i, p in enumerate(shown)}, activation=activation)
    assert all(row.probability is None for row in saliency.predict(net, IMAGE, activation="none"))


@pytest.mark.parametrize("framework", WITH_GRADIENTS)
def test_the_class_explained_is_a_finite_difference(framework: str) -> None:
    """The mask at one pixel is how far z and −z move with it, measured on the model without its sigmoid."""
    step = np.zeros_like(IMAGE)
    step[2, 3, 1] = 1e-2
    z = [logits_of((IMAGE + sign * step)[None], (2.0,))[0, 0] for sign in (1, -1)]
    slope = (z[0] - z[1]) / 2e-2
    for target, sign in ((1, 1), (0, -1)):
        mask = explain(model(framework, (2.0,), "sigmoid"), target).mask
        assert mask[2, 3, 1] == pytest.approx(sign * slope, rel=1e-2)


@pytest.mark.parametrize("method", ["grad_cam", "lrp", "deep_lift", "integrated_gradients", "occlusion"])
def test_methods_of_every_kind_read_the_logit(method: str) -> None:
    """Layers, rules, paths and black boxes: class 0 of a sigmoid has the mask of −z."""

    class Net(nn.Module):
        def __init__(self, last: nn.Module, sign: int) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 1)
            self.last, self.sign = last, sign

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.sign * self.head(self.conv(x).relu().mean((2, 3))))

    options = SIZE if method == "occlusion" else {}
    exp = explain(Net(nn.Sigmoid(), 1), 0, method, **options)
    twin = explain(Net(nn.Identity(), -1), 0, method, **options)

    np.testing.assert_allclose(exp.mask, twin.mask, atol=1e-6)
    assert exp.score == pytest.approx(twin.score, abs=1e-6)


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "jax", "keras"])
def test_relevance_is_shared_among_the_outputs_of_a_target(framework: str) -> None:
    """LRP is linear in the outputs: of −z it is the negative of z's, of a margin the difference of both classes'."""
    yes, no = (explain(model(framework, (3.0,), "sigmoid"), target, "lrp") for target in (1, 0))
    np.testing.assert_allclose(no.mask, -yes.mask, atol=1e-6)
    assert yes.mask.any()

    net = model(framework, LOGITS, "softmax")
    a, b, margin = (explain(net, target, "lrp").mask for target in (0, 2, saliency.targets.margin(0, 2)))
    np.testing.assert_allclose(margin, a - b, atol=1e-5)


class TestBlackBoxes:
    """Black boxes are decided by labels, shape and, with a note, the range of several numbers."""

    def test_one_probability_with_two_labels(self) -> None:
        """.953 within 0–1 is p of class 1; the note gives the line for a logit."""
        net = model("function", (3.0,), "sigmoid")
        exp = explain(net, "no", "occlusion", labels=NO_YES, **SIZE)

        assert exp.score == pytest.approx(0.0474, abs=1e-4)
        assert says(exp, "if it is a logit, pass activation='sigmoid'")
        check_shown(net, {"yes": 0.9526, "no": 0.0474}, labels=NO_YES)
        check_shown(model("function", (3.0,)), {"yes": 0.9526, "no": 0.0474}, labels=NO_YES)

    def test_what_one_image_refuted_holds_for_the_next(self) -> None:
        """A logit of 3 and then one of .4: both of them logits."""

        def net(images: np.ndarray) -> np.ndarray:
            return images.mean((1, 2)).sum(1, keepdims=True)

        first, second = (
            saliency.predict(net, np.full((4, 4, 3), value, np.float32), labels=NO_YES)[0] for value in (1.0, 0.1)
        )

        assert first.probability == pytest.approx(sigmoid(3))
        assert second.probability == pytest.approx(sigmoid(0.3), abs=1e-5)

    def test_a_guess_is_given_up_where_numbers_refute_it(self) -> None:
        """Within 0–1 at first and 3 later, of one adapted model: logits from then on, and the note follows."""
        adapted = saliency.adapt(lambda images: images.mean((1, 2)).sum(1, keepdims=True), labels=NO_YES)
        first, second = (
            saliency.predict(adapted, np.full((4, 4, 3), value, np.float32))[0].probability for value in (0.1, 1.0)
        )

        assert first == pytest.approx(0.7)
        assert second == pytest.approx(sigmoid(3))
        assert [note for note in adapted.notes if "one output" in note] == [adapted.head.note]

    @pytest.mark.parametrize("framework", BLACK_BOXES)
    @pytest.mark.parametrize("ending", ["sigmoid", "softmax"])
    def test_several_probabilities_are_shown_as_they_are(self, framework: str, ending: str) -> None:
        """Rows within 0–1 are no logits, whether they sum to 1 or not: what is explained is the probability."""
        net = model(framework, LOGITS, ending)
        shown = headed.after(ending, np.array(LOGITS))

        check_shown(net, {str(i): float(p) for i, p in enumerate(shown)})
        exp = explain(net, 0, "occlusion", **SIZE)
        assert exp.score == pytest.approx(shown[0], abs=1e-5)
        assert says(exp, "probabilit")

    @pytest.mark.parametrize("ending", ["sigmoid", "squeezed"])
    def test_the_last_node_of_an_onnx_graph_is_read(self, ending: str) -> None:
        """Without labels: one sigmoid is p of two classes, one number otherwise a value."""
        net = model("onnx", (3.0,), ending)

        check_shown(net, {"1": 0.9526, "0": 0.0474})
        assert says(explain(net, 0, "occlusion", **SIZE), "the model ends in a sigmoid")
        assert saliency.predict(model("onnx", (0.3,)), IMAGE)[0].probability is None

    def test_onnx_log_probabilities(self) -> None:
        """Their softmax is what they are the logarithms of."""
        shown = headed.after("softmax", np.array(LOGITS))
        check_shown(model("onnx", LOGITS, "log_softmax"), {str(i): float(p) for i, p in enumerate(shown)})


@pytest.mark.parametrize("ending", ["sigmoid", "none"])
def test_a_saved_model_is_read_by_its_definition(ending: str, tmp_path: Path) -> None:
    """A SavedModel of TensorFlow hides its logits, and not what it ends in: p, explained as p, or a value."""
    import tensorflow as tf

    model("keras", (3.0,), ending).export(str(tmp_path), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path))

    if ending == "none":
        check_shown(loaded, {"value": 3.0})
        return
    check_shown(loaded, {"1": 0.9526, "0": 0.0474})
    exp = explain(loaded, 0)
    assert exp.score == pytest.approx(0.0474, abs=1e-4)
    np.testing.assert_allclose(exp.mask, -0.9526 * 0.0474 * gradient((3.0,), 0), atol=1e-5)
    assert says(exp, "explained the probability (its logits cannot be reached)")


@pytest.mark.parametrize(("kind", "shown"), [("multi_label_classification", "sigmoid"), ("regression", "none")])
def test_a_configuration_declares_what_the_outputs_are(kind: str, shown: str) -> None:
    """Hugging Face's problem_type: labels of their own, or values; it is noted, and activation= overrules it."""
    hf = pytest.importorskip("transformers")
    torch.manual_seed(0)
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = hf.ViTConfig(image_size=8, patch_size=4, num_labels=3, problem_type=kind, **small)
    net = hf.ViTForImageClassification(config).eval()
    image = np.random.default_rng(0).random((8, 8, 3)).astype(np.float32)
    found = sorted(saliency.predict(net, image), key=lambda row: row.index)

    expected = headed.after(shown, np.array([row.score for row in found]))
    assert [row.shown for row in found] == pytest.approx(expected.tolist(), abs=1e-5)
    exp = saliency.explain(net, image, "gradient", 1, progress=False)
    assert says(exp, f"problem_type in the model's configuration: {kind}")
    assert sum(row.shown for row in saliency.predict(net, image, activation="softmax")) == pytest.approx(1, abs=1e-5)


def test_one_label_is_a_label() -> None:
    """(N, 1) with one name: that label's own probability, and no second class."""
    several: list[tuple[str, dict[str, Any]]] = [("sigmoid", {}), ("none", {"activation": "sigmoid"})]
    for ending, options in several:
        found = saliency.predict(model("torch", (3.0,), ending), IMAGE, labels=["defect"], **options)
        assert [row.label for row in found] == ["defect"]
        assert found[0].probability == pytest.approx(0.9526, abs=1e-4)
        exp = explain(model("torch", (3.0,), ending), "defect", labels=["defect"], **options)
        assert exp.score == pytest.approx(3, abs=1e-4)


def test_a_scaled_sigmoid_is_a_value() -> None:
    """100 σ(z), an age: the sigmoid is not the last operator."""
    module = model("torch", (3.0,), "sigmoid")
    net = nn.Sequential(module, nn.Hardtanh(0, 10**9))
    scaled = saliency.predict(lambda x: 100 * module(x), IMAGE)[0]

    assert scaled.probability is None
    assert scaled.score == pytest.approx(95.26, abs=1e-2)
    assert saliency.predict(net, IMAGE)[0].probability is None


def test_numbers_that_contradict_the_activation_are_refused() -> None:
    """A softmax over one output, a "probability" of 3, an activation there is not."""
    net = model("torch", (3.0,))

    with pytest.raises(saliency.BadField, match=r"needs at least two outputs.*activation='sigmoid'"):
        explain(net, activation="softmax")
    with pytest.raises(saliency.BadOutput, match=r"is a probability, but it is 3.*activation='sigmoid'"):
        saliency.predict(net, IMAGE, labels=NO_YES, activation="none")
    with pytest.raises(saliency.UnknownName, match="activation"):
        explain(net, activation="sofmax")


def test_a_softmax_over_the_wrong_axis_is_none() -> None:
    """The program's last operator is believed only where the numbers agree."""
    assert decide(np.array([[1.0, 1.0]]), Ending("softmax", True)).to_logits is False
    assert decide(np.array([[0.2, 0.8]]), Ending("softmax", True)).to_logits is True


def test_deciding_costs_no_forward_pass() -> None:
    """Deciding evaluates one image; the method evaluates as many as for plain logits."""
    calls = {}
    for ending in ("none", "sigmoid", "softmax"):
        module = model("torch", LOGITS, ending)
        count = [0]
        forward = module.forward

        def counted(x: Any, forward: Any = forward, count: list[int] = count) -> Any:
            count[0] += 1
            return forward(x)

        explain(counted, 0, framework="torch", preprocess=lambda image: image)
        calls[ending] = count[0]

    assert len(set(calls.values())) == 1, calls


class Heads(nn.Module):
    """Features (N, 8) and logits (N, 5), in whatever container."""

    def __init__(self, put: Any, width: int = 8) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second, self.put = nn.Linear(3, width), nn.Linear(3, 5), put

    def forward(self, x: torch.Tensor) -> Any:
        x = x.mean((2, 3))
        return self.put(self.first(x), self.second(x))


class Named(NamedTuple):
    """A named tuple of two outputs."""

    embedding_map: Any
    scores: Any


@dataclass
class Held:
    """A dataclass of two outputs."""

    aux: Any
    logits: Any


def in_tuple(a: Any, b: Any) -> Any:
    """Both in a tuple."""
    return a, b


def in_dict(a: Any, b: Any) -> Any:
    """Both by name."""
    return {"a": a, "b": b}


def nested(a: Any, b: Any) -> Any:
    """Both in a list in a dictionary."""
    return {"heads": [a, b]}


FIVE = list("abcde")


def logits_only() -> Any:
    """The second head alone."""
    return Heads(lambda _, b: b)


class TestSeveralOutputs:
    """Which of several outputs is explained: as `output=` says, or as labels and names do, or a refusal."""

    def test_two_that_can_be_scores_are_refused(self) -> None:
        """The refusal lists each output with its shape and the line that chooses it."""
        with pytest.raises(saliency.BadOutput) as refused:
            explain(Heads(lambda a, b: (a, b)), 4)
        assert "output=0: a tensor of shape (1, 8)" in str(refused.value)
        assert "output=1: a tensor of shape (1, 5)" in str(refused.value)

        with pytest.raises(saliency.BadOutput, match=r"output=lambda outputs: outputs\['heads'\]\[1\]"):
            explain(Heads(lambda a, b: {"heads": [a, b]}))

    def test_of_equal_width_they_are_refused_even_with_labels(self) -> None:
        """Logits and auxiliary logits of an Inception, in a tuple."""
        with pytest.raises(saliency.BadOutput, match=r"output=0.*\n.*output=1"):
            explain(Heads(lambda a, b: (a, b), width=5), labels=FIVE)

    def test_the_one_as_wide_as_there_are_labels(self) -> None:
        """Five labels choose the five logits, with a note."""
        exp = explain(Heads(lambda a, b: (a, b)), 4, labels=FIVE)

        np.testing.assert_allclose(exp.mask, explain(logits_only(), 4).mask, atol=1e-7)
        assert says(exp, "the model returned 2 outputs; explained outputs[1]: its width equals the number of labels, 5")

    def test_the_one_called_logits(self) -> None:
        """A mapping or a dataclass with a name that says it, with a note."""
        for put, path in ((lambda a, b: {"aux": a, "logits": b}, "['logits']"), (Held, ".logits")):
            exp = explain(Heads(put), 4)
            np.testing.assert_allclose(exp.mask, explain(logits_only(), 4).mask, atol=1e-7)
            assert says(exp, f"explained outputs{path}: by its name")

    def test_the_only_one_that_can_be_scores(self) -> None:
        """Maps, losses, class indices and embeddings cannot be."""
        for put in (
            lambda a, b: (a[:, :, None, None].expand(-1, -1, 2, 2), b),
            lambda a, b: (a.sum(), b),
            lambda a, b: (a.argmax(1), b),
            lambda a, b: {"features": a, "scores": b},
        ):
            exp = explain(Heads(put), 4)
            np.testing.assert_allclose(exp.mask, explain(logits_only(), 4).mask, atol=1e-7)
            assert says(exp, "the only one that can be class scores")

    @pytest.mark.parametrize(
        ("put", "output"),
        [
            (in_tuple, 1),
            (in_tuple, -1),
            (in_tuple, np.int64(1)),
            (in_dict, "b"),
            (Named, "scores"),
            (Named, 1),
            (Held, "logits"),
            (nested, lambda outputs: outputs["heads"][1]),
        ],
        ids=["1", "-1", "NumPy's 1", "a key", "a field", "a field's index", "an attribute", "a callable"],
    )
    def test_output_names_it(self, put: Any, output: Any) -> None:
        """An index, a key, an attribute, a callable: in explain, predict, what_if and the curves."""
        net, alone = Heads(put), logits_only()

        np.testing.assert_allclose(explain(net, 4, output=output).mask, explain(alone, 4).mask, atol=1e-7)
        assert saliency.predict(net, IMAGE, output=output) == saliency.predict(alone, IMAGE)
        halves, expected = (
            saliency.what_if(net, IMAGE, ORDER > 9, output=output),
            saliency.what_if(alone, IMAGE, ORDER > 9),
        )
        assert halves == expected
        curves = saliency.perturbation_curves(net, IMAGE, ORDER, 2, points=2, output=output)
        np.testing.assert_allclose(
            curves.insertion, saliency.perturbation_curves(alone, IMAGE, ORDER, 2, points=2).insertion
        )

    def test_the_activation_of_the_chosen_output_counts(self) -> None:
        """One head ends in a softmax, the other in sigmoids; each is read as what it is."""
        net = Heads(lambda a, b: (a.softmax(1), b.sigmoid()))

        assert says(explain(net, 0, output=0), "the model ends in a softmax: explained the logit")
        exp = explain(net, 4, output=1)
        assert says(exp, "the model ends in sigmoids")
        np.testing.assert_allclose(exp.mask, explain(logits_only(), 4).mask, atol=1e-6)

    def test_a_callable_target_receives_the_raw_outputs(self) -> None:
        """All of them; with output= that one, which need not be class scores."""
        net = Heads(lambda a, b: {"out": b[:, :, None, None].expand(-1, -1, 2, 2), "aux": a})
        expected = explain(logits_only(), 3).mask

        whole = explain(net, lambda outputs: outputs["out"][:, 3].mean((1, 2)))
        named = explain(net, lambda out: out[:, 3].mean((1, 2)), output="out")
        for exp in (whole, named):
            np.testing.assert_allclose(exp.mask, expected, atol=1e-6)
        with pytest.raises(saliency.BadOutput, match=r"output='out' selects .*\(1, 5, 2, 2\), not class scores"):
            explain(net, 3, output="out")

    def test_an_output_that_does_not_exist_is_refused(self) -> None:
        """An index or key too many, a callable that fails, and what cannot name an output."""
        net = Heads(lambda a, b: (a, b))

        with pytest.raises(saliency.BadOutput, match="returned no output 7, but a tuple of a tensor"):
            explain(net, 0, output=7)
        with pytest.raises(saliency.BadOutput, match=r"failed on the model's output.*Error"):
            explain(net, 0, output=lambda outputs: dict(outputs)["nothing"])
        with pytest.raises(saliency.BadField, match="an index, a key or attribute"):
            explain(net, 0, output=1.5)

    def test_other_frameworks(self) -> None:
        """A function of NumPy, of JAX, of TensorFlow, a Keras model: refused, chosen by labels, chosen by output=."""
        import jax.numpy as jnp
        import keras
        import tensorflow as tf

        a, b = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32), WIDE
        inputs = keras.Input(IMAGE.shape)
        mean = keras.layers.GlobalAveragePooling2D()(inputs)
        first, second = keras.layers.Dense(8), keras.layers.Dense(5, use_bias=False)
        several = keras.Model(inputs, [first(mean), second(mean)])
        second.set_weights([b])
        models = {
            "numpy": lambda x: (x.mean((1, 2)) @ a, x.mean((1, 2)) @ b),
            "jax": (
                lambda params, x: {
                    "features": x.mean((1, 2)) @ params[0],
                    "s": x.mean((1, 2)) @ params[1],
                    "t": x.mean((1, 2)) @ params[0],
                },
                [jnp.asarray(a), jnp.asarray(b)],
            ),
            "tensorflow": tf.function(lambda x: (tf.reduce_mean(x, (1, 2)) @ a, tf.reduce_mean(x, (1, 2)) @ b)),
            "keras": several,
        }
        expected = IMAGE.mean((0, 1)) @ b
        for name, net in models.items():
            output = "s" if name == "jax" else 1
            with pytest.raises(saliency.BadOutput, match="2 outputs that can be class scores"):
                saliency.predict(net, IMAGE)
            for options in ({"output": output}, {"labels": FIVE}):
                exp = explain(net, 4, "occlusion", **SIZE, **options)
                assert exp.score == pytest.approx(expected[4], abs=1e-5), name
                assert says(exp, "explained")


WIDE = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)


def test_a_margin_needs_two_outputs() -> None:
    """Both classes of a single logit share an output: a margin of them says so, in every framework."""
    for framework in WITH_GRADIENTS:
        with pytest.raises(saliency.BadTarget, match="one output"):
            explain(model(framework, (3.0,)), saliency.targets.margin("yes", "no"), labels=NO_YES)


def test_targets_of_scores_read_the_logits_in_every_framework() -> None:
    """A margin of a softmax's classes is that of their logits."""
    for framework in WITH_GRADIENTS:
        exp = explain(model(framework, LOGITS, "softmax"), saliency.targets.margin(0, 2))
        assert exp.score == pytest.approx(LOGITS[0] - LOGITS[2], abs=1e-4)
        np.testing.assert_allclose(exp.mask, gradient(LOGITS, 0) - gradient(LOGITS, 2), atol=1e-5)


def test_a_contrast_weighs_by_the_probabilities_shown() -> None:
    """Of independent labels by their sigmoids, not by a softmax of these."""
    exp = explain(model("torch", LOGITS, "sigmoid"), saliency.targets.contrast(0, k=2))
    p = headed.after("sigmoid", np.array(LOGITS))[1:]

    assert exp.score == pytest.approx(LOGITS[0] - (p @ LOGITS[1:]) / p.sum(), abs=1e-4)
