"""Copies of models with other weights: names and order of the layers, values, ties, memory, and what is refused."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import saliency
from saliency.adapters.multi_input import adapt_several
from saliency.adapters.weights import last_uses, layer_of
from saliency.errors import BadField, UnknownName, Unsupported
from saliency.metrics.shuffling import shuffled
from saliency.model.inputs import Inputs
from saliency.model.protocols import Reweightable, lacking
from tests.adapters import same_net, two_inputs
from tests.adapters.reweighted import check, facts, values
from tests.frameworks import lazy
from tests.nets import SmallNet, picture, small_net

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

jax, tf, onnx, onnxruntime = lazy("jax"), lazy("tensorflow"), lazy("onnx"), lazy("onnxruntime")

LAYERS = ["head", "block", "norm", "stem"]
IMAGE = picture(24, 20)[None]


def long(*kinds: str) -> list[Any]:
    """Return parameters of long tests."""
    return [pytest.param(kind, marks=pytest.mark.long) for kind in kinds]


def score(net: nn.Module) -> float:
    """Return the score of class 1 of the image, by torch alone."""
    with torch.no_grad():
        return float(copy.deepcopy(net).eval()(torch.tensor(IMAGE).movedim(-1, 1).float())[0, 1])


EXPECTED = score(small_net())

OF_TORCH: dict[str, Callable[[], Any]] = {
    "module": small_net,
    "training": lambda: small_net().train(),
    "scripted": lambda: torch.jit.script(small_net()),
    "traced": lambda: torch.jit.trace(small_net(), torch.zeros(1, 3, 24, 20)),
    "compiled": lambda: torch.compile(small_net(), backend="eager"),
    "exported": lambda: torch.export.export(small_net(), (torch.zeros(1, 3, 24, 20),)).module(),
    "parallel": lambda: nn.DataParallel(small_net()),
    "frozen": lambda: small_net().requires_grad_(False),
}


QUICK = [kind for kind in OF_TORCH if kind not in ("traced", "parallel")]


@pytest.mark.parametrize("kind", [*long("traced", "parallel"), *QUICK])
def test_modules_of_torch(kind: str) -> None:
    """Layers come from the output back, values are permuted, and the user's module keeps every bit."""
    net = OF_TORCH[kind]()
    before, training = {name: each.clone() for name, each in net.state_dict().items()}, net.training

    check(facts(net, IMAGE), LAYERS, EXPECTED)
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert net.training == training


@pytest.mark.needs("jax")
@pytest.mark.parametrize("kind", ["linen", *long("nnx", "equinox", "jitted"), "pure", "closure", "jitted closure"])
def test_models_of_jax(kind: str) -> None:
    """Parameters are named by their path in the tree; Flax's running statistics are none."""
    weights = same_net.weights()
    if kind in ("pure", "jitted"):
        function = jax.jit(same_net.pure_jax) if kind == "jitted" else same_net.pure_jax
        model: Any = (function, {name: jax.numpy.asarray(each) for name, each in weights.items()})
    elif "closure" in kind:
        held = {"params": {name: jax.numpy.asarray(each) for name, each in weights.items()}}

        def closed(images: Any) -> Any:
            return same_net.pure_jax(held["params"], images)

        model = saliency.adapt(jax.jit(closed) if "jitted" in kind else closed, framework="jax")
    else:
        model = getattr(same_net, kind)(weights)

    found = facts(model, IMAGE)

    expected = ["head.layers.1", *LAYERS[1:]] if kind == "equinox" else LAYERS
    check(found, [f"held.params.{each}" for each in LAYERS] if "closure" in kind else expected, EXPECTED)
    if kind in ("linen", "nnx"):
        assert sorted(name for name in found["names"] if "norm" in name) == ["norm.bias", "norm.scale"]


@pytest.mark.needs("tensorflow")
@pytest.mark.parametrize("saved", [False, True])
def test_modules_of_tensorflow(saved: bool, tmp_path: Path) -> None:
    """A tf.Module and its SavedModel: variables are replaced in the traced graph, and the user's keep their values."""
    module = same_net.tf_module(same_net.weights())
    if saved:
        tf.saved_model.save(module, str(tmp_path))
        found = facts(tf.saved_model.load(str(tmp_path)), IMAGE)
        # without attributes, variables have only their names, in the order of the file
        assert len(found["layers"]) == 10
        check(found, found["layers"], EXPECTED)
    else:
        check(facts(module, IMAGE), [f"w/{layer}" for layer in LAYERS], EXPECTED)


@pytest.mark.needs("onnx", "onnxruntime")
@pytest.mark.parametrize("external", [False, True])
def test_sessions_of_onnx(external: bool, tmp_path: Path) -> None:
    """Initializers are replaced in a new session; nodes are the layers, running statistics no weights."""
    session = same_net.onnx(same_net.weights())
    if external:
        model = onnx.load_from_string(session._model_bytes)
        path = tmp_path / "net.onnx"
        onnx.save_model(model, str(path), save_as_external_data=True, location="net.data", size_threshold=0)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    found = facts(session, IMAGE)

    check(found, ["scores", "block", "norm", "stem"], EXPECTED)
    assert sorted(name for name in found["names"] if "norm" in name) == ["norm.bias", "norm.weight"]


@pytest.mark.needs("onnx", "onnxruntime")
@pytest.mark.parametrize("kind", ["FLOAT", "FLOAT16", "DOUBLE"])
@pytest.mark.parametrize("raw", [False, True])
def test_initializers_in_every_form(kind: str, raw: bool) -> None:
    """Weights of three types, stored raw or as numbers, are read as the onnx package reads them."""
    from onnx import TensorProto, helper

    number = getattr(TensorProto, kind)
    wanted = np.arange(12).reshape(3, 4).astype(helper.tensor_dtype_to_np_dtype(number)) / 4
    stored = wanted.tobytes() if raw else wanted.ravel().tolist()
    held = helper.make_tensor("weights", number, wanted.shape, stored, raw)
    nodes = [helper.make_node("Flatten", ["x"], ["rows"]), helper.make_node("MatMul", ["rows", "weights"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", number, ["N", 3, 1, 1])]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", number, ["N", 4])], [held])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    adapted: Any = saliency.adapt(session).at([1])
    images = np.ones((1, 1, 1, 3), np.float32)

    (found,) = values(adapted).values()
    doubled = adapted.reweighted(lambda _, each: 2 * each)

    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(doubled.scores(images), 2 * adapted.scores(images))


class Tied(nn.Module):
    """A convolution called twice, a head tied to another, a class token, an unused layer, and a frozen encoder."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.rand(1, 4, 1, 1))
        self.encoder = nn.Conv2d(3, 4, 3, padding=1)
        self.twice = parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
        self.unused = nn.Linear(4, 4)
        self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
        self.head.weight = self.first.weight
        self.register_buffer("scale", torch.rand(4))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.encoder(x).half().float()
        x = self.twice(torch.relu(x) + self.token)
        x = self.twice(x * self.scale[:, None, None]).mean((2, 3))
        self.unused(x)
        out: Tensor = self.head(self.first(x).tanh())
        return out


def test_layers_in_the_order_of_their_last_use() -> None:
    """A layer called twice counts once; what is behind no_grad counts, a layer whose result is dropped does not."""
    torch.manual_seed(0)
    adapted: Any = saliency.adapt(Tied().eval()).at([1])

    assert adapted.weighted_layers(adapted.ops.asarray(IMAGE)) == ["head", "first", "twice", "token", "encoder"]


def test_tied_weights_stay_tied() -> None:
    """A tensor with two names is changed once, whichever of its layers is named; buffers keep their values."""
    torch.manual_seed(0)
    net: Any = Tied().eval()
    changed: list[str] = []

    def zero(name: str, each: np.ndarray) -> np.ndarray:
        changed.append(name)
        return each * 0

    adapted: Any = saliency.adapt(net)
    copied = adapted.at([1]).reweighted(zero, ["head"])

    assert changed == ["first.weight", "head.bias"]
    assert copied.module.head.weight is copied.module.first.weight
    assert not copied.module.first.weight.any()
    assert torch.equal(copied.module.first.bias, net.first.bias)
    assert torch.equal(copied.module.scale, net.scale)
    shared = {each.data_ptr() for each in net.state_dict().values()}
    assert shared.isdisjoint(each.data_ptr() for each in copied.module.state_dict().values())


@pytest.mark.needs("jax")
def test_variables_that_are_no_trees() -> None:
    """A function of JAX that refers to a dict whose keys cannot be sorted is adapted; its other arrays are weights."""
    names, scale = {1: "one", "two": 2}, jax.numpy.arange(3.0)
    adapted: Any = saliency.adapt(lambda x: x.mean((1, 2)) * scale * len(names), framework="jax").at([1])
    images = adapted.ops.asarray(IMAGE)

    assert adapted.weighted_layers(images) == ["scale"]
    doubled = adapted.reweighted(lambda _, each: 2 * each)
    np.testing.assert_allclose(doubled.scores(images), 2 * adapted.scores(images), rtol=1e-5)


def test_a_unit_depends_on_the_layers_before_it() -> None:
    """With an inner unit as the target, layers after it have no weights that count."""
    adapted: Any = saliency.adapt(small_net()).at([saliency.targets.unit("norm", 0)])

    assert adapted.weighted_layers(adapted.ops.asarray(IMAGE)) == ["norm", "stem"]


def test_a_copy_keeps_targets_and_layers() -> None:
    """Maps of a copy are those of a user's module with the same weights."""
    net = small_net()
    other = copy.deepcopy(net)
    with torch.no_grad():
        for name, each in other.named_parameters():
            each.mul_(0.5 if name.startswith("block") else 1)
    adapted: Any = saliency.adapt(net).at([1, 2], ["block"])
    images = adapted.ops.asarray(IMAGE)
    copied = adapted.reweighted(lambda _, each: each / 2, ["block"])

    expected: Any = saliency.adapt(other).at([1, 2], ["block"])
    for mine, theirs in zip(copied.layers(images), expected.layers(images), strict=True):
        torch.testing.assert_close(mine.activations, theirs.activations)
        torch.testing.assert_close(mine.gradients, theirs.gradients)


def test_training_goes_on_without_the_copy() -> None:
    """A step of an optimiser changes the model, and none of its copies."""
    net = small_net()
    adapted: Any = saliency.adapt(net).at([1])
    images = adapted.ops.asarray(IMAGE)
    copied = adapted.reweighted(lambda _, each: each, ["head"])
    with torch.no_grad():
        for each in net.parameters():
            each.mul_(2)

    assert float(copied.scores(images)) == pytest.approx(EXPECTED, rel=1e-5)
    assert float(saliency.adapt(net).at([1]).scores(images)) != pytest.approx(EXPECTED, rel=0.1)


@pytest.mark.needs("jax")
def test_two_inputs() -> None:
    """Models with two inputs: torch names the weights as the user's module does, JAX by its tree."""
    params = {name: jax.numpy.asarray(each) for name, each in two_inputs.WEIGHTS.items()}
    for model in (two_inputs.TwoInputs(), (two_inputs.of_jax, params)):
        given = Inputs([two_inputs.SERIES, two_inputs.FACTS])
        adapted: Any = adapt_several(model, given.packing).at([1])
        rows = adapted.ops.asarray(given.fed)

        assert adapted.weighted_layers(rows) == ["head", "hidden"]
        doubled = adapted.reweighted(lambda _, each: 2 * each, ["head"])
        np.testing.assert_allclose(
            adapted.ops.tohost(doubled.scores(rows)), 2 * adapted.ops.tohost(adapted.scores(rows)), rtol=1e-5
        )


HELD: dict[str, Callable[[Any], list[Any]]] = {
    "torch": lambda copied: list(copied.module.parameters()),
    "scripted": lambda copied: [copied.module],
    "jax": lambda copied: jax.tree.leaves(copied.weights()),
    "tensorflow": lambda copied: list(copied._instead.values()),
    "onnx": lambda copied: [copied.session],
}
"""By kind of model: what a copy holds."""


@pytest.mark.needs("jax", "tensorflow", "onnxruntime")
@pytest.mark.parametrize("kind", ["torch", "scripted", "jax", "tensorflow", "onnx"])
def test_a_dropped_copy_is_freed(kind: str) -> None:
    """No cache holds a copy or its weights after use."""
    made: dict[str, Callable[[], Any]] = {
        "torch": small_net,
        "scripted": OF_TORCH["scripted"],
        "jax": lambda: (same_net.pure_jax, {name: jax.numpy.asarray(x) for name, x in same_net.weights().items()}),
        "tensorflow": lambda: same_net.tf_module(same_net.weights()),
        "onnx": lambda: same_net.onnx(same_net.weights()),
    }
    model = made[kind]()
    adapted: Any = saliency.adapt(model).at([1])
    images = adapted.ops.asarray(IMAGE)
    copied: Any = shuffled(adapted, 0)
    copied.scores(images)
    kept = [copied, *HELD[kind](copied)]
    references = [weakref.ref(each) for each in kept]
    del copied, kept
    gc.collect()

    assert [each() for each in references if each() is not None] == []


def refused() -> dict[str, tuple[Callable[[], Any], str]]:
    """Return models whose weights cannot be changed, and what the reason says."""
    quantised: Any = torch.ao.quantization.quantize_dynamic
    frozen: Any = torch.jit.freeze(torch.jit.script(small_net()))
    return {
        "function": (lambda: lambda x: x.mean((1, 2)), "a plain function offers only scores"),
        "function of jax": (lambda: lambda x: jax.numpy.mean(x, (1, 2)), "no arrays were found"),
        "function of torch": (lambda: small_net().forward, "pass the module itself"),
        "quantised": (lambda: quantised(small_net(), {nn.Linear}), "before quantisation"),
        "no weights": (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "has no weights"),
        "constants": (lambda: frozen, "has no weights"),
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.needs("jax")
@pytest.mark.parametrize(
    "kind", ["function", "function of torch", "function of jax", "quantised", "no weights", "constants"]
)
def test_the_reason_why_weights_cannot_be_changed(kind: str) -> None:
    """The reason is given before anything runs, and both calls raise it."""
    made, why = refused()[kind]
    adapted: Any = saliency.adapt(made(), framework=kind.partition(" of ")[2] or None)

    assert why in str(lacking(adapted, Reweightable))
    if hasattr(adapted, "reweighted"):
        with pytest.raises(Unsupported, match=why):
            adapted.reweighted(lambda _, each: each)
        with pytest.raises(Unsupported, match=why):
            adapted.weighted_layers(adapted.ops.asarray(IMAGE))


def test_wrong_names_and_shapes() -> None:
    """An unknown layer, a changed shape and values that are no numbers are errors that say what was expected."""
    adapted: Any = saliency.adapt(small_net())

    with pytest.raises(UnknownName, match=r"no layer with weights 'haed'\. Did you mean 'head'"):
        adapted.reweighted(lambda _, each: each, ["haed"])
    with pytest.raises(BadField, match=r"shape \(4, 6\) for the weights 'head.weight'"):
        adapted.reweighted(lambda _, each: each.T, ["head"])
    with pytest.raises(BadField, match="must return numbers"):
        adapted.reweighted(lambda _, each: each.astype(str), ["head"])


def test_values_may_be_written_in_place() -> None:
    """What `change` receives is a copy: writing into it does not reach the model."""
    net = small_net()
    before = net.head.weight.clone()

    def fill(_: str, each: np.ndarray) -> np.ndarray:
        each[...] = 7
        return each

    adapted: Any = saliency.adapt(net)
    copied = adapted.reweighted(fill, ["head"])

    assert (copied.module.head.weight == 7).all()
    assert torch.equal(net.head.weight, before)


def test_half_precision_is_permuted_exactly() -> None:
    """Weights in bfloat16 are permuted as float32, and are the same numbers afterwards."""
    net = SmallNet().bfloat16().eval()

    adapted: Any = saliency.adapt(net)
    found = shuffled(adapted, 3)

    for mine, theirs in zip(found.module.parameters(), net.parameters(), strict=True):
        assert mine.dtype == torch.bfloat16
        assert torch.equal(mine.flatten().sort().values, theirs.flatten().sort().values)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("layer4.1.conv.weight", "layer4.1.conv"),
        ("conv.parametrizations.weight.original0", "conv"),
        ("inner/conv/kernel", "inner/conv"),
        ("w/stem.weight", "w/stem"),
        ("cls_token", "cls_token"),
    ],
)
def test_layer_of_a_tensor(name: str, layer: str) -> None:
    """A tensor belongs to what stands before its own name; one of the model itself to itself."""
    assert layer_of(name) == layer


def test_a_step_without_the_image_is_no_use() -> None:
    """A weight that is cast first counts where its cast meets the image; a branch that is dropped does not count."""
    steps = [
        ({"b"}, {"b16"}),
        ({"a"}, {"a16"}),
        ({"image", "a16"}, {"x"}),
        ({"x", "b16"}, {"y"}),
        ({"x", "c"}, {"dropped"}),
        ({"y", "a16"}, {"scores"}),
    ]

    found = last_uses(steps, {each: [each] for each in "abc"}, "image", ["scores"])

    assert found == {"a": 5, "b": 3}
