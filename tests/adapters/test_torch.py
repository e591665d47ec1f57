import copy
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from skimage.transform import resize
from torch import Tensor, nn
from torch.nn import functional

import saliency
from saliency.adapters.torch import TorchModel
from tests.nets import LABELS, SmallNet, picture, small_net

IMAGE = picture()


def explain(net: Any, method: Any = "gradient", target: Any = 1, **options: Any) -> Any:
    """Explain class 1 of the picture, without a bar."""
    return saliency.explain(net, IMAGE, method, target, **{"progress": False, **options})


class Wrapped(nn.Module):
    """SmallNet with something done to its scores, or around it."""

    def __init__(self, after: Callable[[Tensor], Any], **kept: Any) -> None:
        super().__init__()
        self.net, self.after = small_net(), after
        for name, value in kept.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Any:
        return self.after(self.net(x))


def everything(net: nn.Module) -> dict[str, Any]:
    """All that an explanation must not change."""
    return {
        "state": {name: (t.clone(), t.data_ptr(), t.device, t.stride()) for name, t in net.state_dict().items()},
        "modes": [part.training for part in net.modules()],
        "hooks": [
            len(part._forward_hooks) + len(part._forward_pre_hooks) + len(part._backward_hooks)
            for part in net.modules()
        ],
        "grads": [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in net.parameters()],
        "attributes": [sorted(vars(part)) for part in net.modules()],
        "random": torch.get_rng_state(),
        "grad mode": torch.is_grad_enabled(),
    }


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, tensor by tensor."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


class Uncopyable(SmallNet):
    """Keeps something that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = threading.Lock()


METHODS = [
    "gradient",
    "integrated_gradients",
    "grad_cam",
    "occlusion",
    "smooth_grad",
    "lrp",
    "deep_lift",
    "ablation_cam",
]
FEW = {"integrated_gradients": {"steps": 4}, "occlusion": {"size": 8, "stride": 8}, "smooth_grad": {"samples": 3}}


class TestTheModelIsLeftAsItWas:
    """Parameters, buffers, where they lie and how, modes, hooks, random state: after success, error and cancel."""

    @pytest.fixture(params=["copied", "uncopyable"])
    def net(self, request: pytest.FixtureRequest) -> nn.Module:
        torch.manual_seed(0)
        net = Uncopyable() if request.param == "uncopyable" else small_net()
        net.train()
        net.head.eval()
        net.stem.weight.requires_grad_(False)
        net.block.weight.grad = torch.ones_like(net.block.weight)
        net.block.weight.data = net.block.weight.data.to(memory_format=torch.channels_last)
        return net

    @pytest.mark.parametrize("method", METHODS)
    def test_after_success(self, net: nn.Module, method: str) -> None:
        """Every method leaves the model as it was."""
        before = everything(net)
        explain(net, method, **FEW.get(method, {}))

        assert same(everything(net), before)

    @pytest.mark.parametrize("method", METHODS)
    def test_after_an_error_inside_the_model(self, net: nn.Module, method: str) -> None:
        """An exception in the middle of a forward pass undoes everything on its way out."""

        def explode(*_: Any) -> None:
            raise ZeroDivisionError("boom")

        handle = net.head.register_forward_pre_hook(explode)  # type: ignore[union-attr]
        before = everything(net)
        with pytest.raises(ZeroDivisionError, match="boom"):
            explain(net, method, **FEW.get(method, {}))

        assert same(everything(net), before)
        handle.remove()

    def test_after_a_cancel(self, net: nn.Module) -> None:
        """A cancelled run leaves the model as it was."""
        before = everything(net)
        asked: list[int] = []
        with pytest.raises(saliency.Cancelled):
            explain(
                net,
                "smooth_grad",
                batch_size=2,
                progress=lambda done, _: asked.append(done),
                cancelled=lambda: len(asked) > 1,
            )

        assert same(everything(net), before)

    def test_it_is_explained_in_eval_mode(self, net: nn.Module) -> None:
        """A model in training mode gives the mask of the same model in eval mode, and a note says so."""
        exp = explain(net)

        assert any("training mode" in note for note in exp.notes)
        still = copy.deepcopy(net) if not isinstance(net, Uncopyable) else net
        np.testing.assert_allclose(explain(still.eval()).mask, exp.mask, atol=1e-7)


def test_a_model_that_cannot_be_copied_says_so() -> None:
    """It is switched and switched back, and the notes say it."""
    assert any("cannot be copied" in note for note in explain(Uncopyable().eval()).notes)


def test_a_training_cell_beside_is_not_disturbed() -> None:
    """While explanations run in a thread, a training loop stays in training mode and takes its steps."""
    net = small_net().train()
    optimiser = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9)
    stop, errors, made = threading.Event(), [], []

    def work() -> None:
        try:
            while not stop.is_set():
                made.append(explain(net, "grad_cam"))
                made.append(explain(net, "integrated_gradients", steps=4))
        except Exception as error:  # noqa: BLE001  # told below, in the test's own thread
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    modes = set()
    images = torch.rand(4, 3, 16, 16)
    try:
        for _ in range(4000):
            optimiser.zero_grad()
            scores = net(images)
            modes |= {part.training for part in net.modules()}
            scores.square().sum().backward()
            optimiser.step()
            if len(made) >= 6 or errors:
                break
    finally:
        stop.set()
        worker.join()

    assert errors == []
    assert modes == {True}
    assert len(made) >= 6
    assert int(net.norm.num_batches_tracked or 0) > 0


def test_the_copy_follows_the_weights() -> None:
    """Weights written after adapting are the weights that are asked; the version changes with them."""
    net = small_net()
    model = saliency.adapt(net)
    version, before = model.version, explain(model).mask
    with torch.no_grad():
        net.head.weight.mul_(2)

    assert model.version != version
    np.testing.assert_allclose(explain(model).mask, 2 * before, rtol=1e-5)


def test_an_explained_model_can_be_collected() -> None:
    """Nothing holds a model after its explanation."""
    net = small_net()
    explain(net, "grad_cam")
    seen = weakref.ref(net)
    del net
    gc.collect()

    assert seen() is None


def test_only_the_mask_crosses_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Integrated Gradients with 50 steps one image-sized array leaves the device: the mask."""
    model = saliency.adapt(small_net())
    moved: list[tuple[int, ...]] = []
    tohost = model.ops.tohost

    def counted(array: Tensor) -> np.ndarray:
        moved.append(tuple(array.shape))
        return tohost(array)

    monkeypatch.setattr(model.ops, "tohost", counted)
    explain(model, "integrated_gradients", steps=50, baseline=0.0)

    assert [shape for shape in moved if len(shape) > 2] == [(1, 1, *IMAGE.shape)]


class TestLayers:
    """Which layer is read, and what is read there."""

    @pytest.mark.parametrize("layer", ["stem", "norm", "relu", "block"])
    def test_a_layer_is_named_by_its_module(self, layer: str) -> None:
        """Grad-CAM at a named module is that of PAIR's formula on a plain hook, in-place operators after it or not."""
        net = small_net()
        exp = explain(net, "grad_cam", layer=layer)
        kept: list[Tensor] = []

        def keep(_module: nn.Module, _args: Any, out: Tensor) -> Tensor:
            kept.append(out)
            return out.clone()  # what follows may write into it

        handle = net.get_submodule(layer).register_forward_hook(keep)
        images = torch.tensor(IMAGE / 255, dtype=torch.float32).permute(2, 0, 1)[None]
        score = net(images)[0, 1]
        handle.remove()
        (gradient,) = torch.autograd.grad(score, kept[-1])
        cam = functional.relu((gradient.mean((2, 3), keepdim=True) * kept[-1]).sum(1))[0].detach().numpy()

        assert exp.layer == layer
        np.testing.assert_allclose(exp.mask, resize(cam, IMAGE.shape[:2]), atol=1e-6)

    def test_the_automatic_layer_is_the_last_grid_after_its_activation(self) -> None:
        """In a residual net with a reused ReLU it is that ReLU's last output, half the image's size."""
        model = saliency.adapt(small_net())
        exp = explain(model, "grad_cam")

        assert exp.layer == "relu"
        assert "layer: relu, the last with a spatial grid" in exp.notes
        (layer,) = model.at([1], ["relu"]).layers(model.ops.asarray(IMAGE[None]))  # type: ignore[attr-defined]
        assert layer.activations.shape == (1, 12, 10, 6)
        assert layer.gradients.shape == (1, 1, 12, 10, 6)
        assert (layer.activations >= 0).all()

    def test_functional_operators_are_layers_too(self) -> None:
        """Where no module stands for the last grid, the operator itself is read, by a name that can be given back."""

        class Functional(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)])
                self.head = nn.Linear(5, 3)

            def forward(self, x: Tensor) -> Tensor:
                for conv in self.body:
                    x = functional.relu(conv(x))
                return self.head(x.flatten(2).mean(2))

        net = Functional()
        exp = explain(net, "grad_cam")

        assert exp.layer == ":relu:1"
        np.testing.assert_allclose(explain(net, "grad_cam", layer=":relu:1").mask, exp.mask)

    def test_a_net_without_a_grid_is_told(self) -> None:
        """The error says what was looked for, and to name a layer."""
        net = nn.Sequential(nn.Flatten(), nn.Linear(IMAGE.size, 3))
        with pytest.raises(saliency.UnknownName, match=r"No layer with a spatial grid.*layer="):
            explain(net, "grad_cam")

    def test_a_layer_without_a_grid_is_told(self) -> None:
        """Grad-CAM at a vector says what shape came."""
        with pytest.raises(saliency.BadOutput, match=r"spatial grid.*\(1, 4\) from 'head'"):
            explain(small_net(), "grad_cam", layer="head")

    def test_a_layer_that_was_not_called_is_told(self) -> None:
        """A module that exists but takes no part is no layer of this image."""
        net = small_net()
        net.spare = nn.Conv2d(3, 3, 1)
        with pytest.raises(saliency.UnknownName, match="'spare' was not called"):
            explain(net, "grad_cam", layer="spare")


@dataclass
class Output:
    """As Hugging Face returns it."""

    logits: Tensor
    hidden: None = None


class Pair(NamedTuple):
    """As Inception returns it."""

    logits: Tensor
    aux: Tensor


@pytest.mark.parametrize(
    "after",
    [
        lambda s: (s, s * 0),
        lambda s: [None, s],
        lambda s: {"logits": s, "features": s[:, :1]},
        lambda s: {"anything": s},
        Output,
        lambda s: Pair(s, s * 0),
        lambda s: s[:, :, None, None],
    ],
    ids=["tuple", "list", "dict", "dict of one", "dataclass", "named tuple", "1×1 map"],
)
def test_the_scores_are_found_in_what_a_model_returns(after: Callable[[Tensor], Any]) -> None:
    """Tuples, mappings, dataclasses and 1×1 maps give the mask of the bare scores."""
    np.testing.assert_allclose(explain(Wrapped(after)).mask, explain(small_net()).mask, atol=1e-7)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (lambda s: {"boxes": s, "kind": s}, r"mapping with 'boxes': a tensor of shape \(1, 4\)"),
        (lambda s: s[:, :, None, None].expand(-1, -1, 3, 3), r"a tensor of shape \(1, 4, 3, 3\)"),
        (lambda s: "cat", "a str"),
    ],
    ids=["dict", "map", "text"],
)
def test_outputs_without_scores_say_how_to_name_them(after: Callable[[Tensor], Any], told: str) -> None:
    """The error describes the output and offers target=lambda; such a target then works."""
    with pytest.raises(saliency.BadOutput, match=rf"{told}.*target=lambda"):
        explain(Wrapped(after))


def test_a_target_reads_any_output() -> None:
    """A callable is handed the model's own output, whatever it is."""
    net = Wrapped(lambda s: {"boxes": s, "kind": s * 2})

    np.testing.assert_allclose(
        explain(net, target=lambda out: out["kind"][:, 1]).mask, 2 * explain(small_net()).mask, rtol=1e-5
    )


def test_a_target_that_gives_no_number_per_image_is_told() -> None:
    """The shape that is needed and the one that came are named."""
    with pytest.raises(saliency.BadTarget, match=r"shape \(1,\), got a tensor of shape \(1, 4\)"):
        explain(small_net(), target=lambda out: out)


class TestSoftmax:
    """Heads that end in a softmax."""

    @pytest.mark.parametrize(
        "after",
        [nn.Softmax(-1), lambda s: s.softmax(1), lambda s: functional.softmax(s, dim=1)],
        ids=["module", "method", "function"],
    )
    def test_the_logit_is_explained_where_it_can_be_reached(self, after: Callable[[Tensor], Tensor]) -> None:
        """A softmax at the end is looked through, and the notes say so."""
        exp = explain(Wrapped(after))

        np.testing.assert_allclose(exp.mask, explain(small_net()).mask, atol=1e-7)
        assert "the model ends in a softmax: explained the logit" in exp.notes
        assert exp.score == pytest.approx(explain(small_net()).score, rel=1e-5)

    def test_predictions_are_the_model_s_own_probabilities(self) -> None:
        """predict() does not squash probabilities again."""
        found = saliency.predict(Wrapped(nn.Softmax(-1)), IMAGE)

        assert sum(each.probability for each in found) == pytest.approx(1, abs=1e-5)
        assert found[0].probability == pytest.approx(found[0].score)

    def test_an_unreachable_logit_is_said(self) -> None:
        """Probabilities made by hand are explained as they are, and the notes say so."""
        exp = explain(Wrapped(lambda s: s.exp() / s.exp().sum(1, keepdim=True)))

        assert any("explained the probability" in note for note in exp.notes)


class Cut(nn.Module):
    """SmallNet whose way from image to score is cut in some way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.net, self.how = small_net(), how

    def forward(self, x: Tensor) -> Tensor:
        match self.how:
            case "no_grad":
                with torch.no_grad():
                    return self.net(x)
            case "detach":
                return self.net(x.detach() * 1)
            case "numpy":
                return self.net(torch.tensor(x.detach().numpy()))
            case "integer":
                return self.net(x.round().long().float())
            case _:
                return self.net(torch.zeros_like(x))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("no_grad", "gradients are switched off"),
        ("detach", r"at detach\(\).*cut off from the graph"),
        ("numpy", "cut off|does not depend"),
        ("integer", "whole numbers that have no gradient"),
        ("constant", "does not depend"),
    ],
)
def test_a_missing_gradient_says_why(how: str, told: str) -> None:
    """The error names where in the model, and how, the way from the image to the score is cut."""
    with pytest.raises(saliency.NoGradient, match=told):
        explain(Cut(how))


def test_a_missing_gradient_at_a_layer_says_why() -> None:
    """A model that switches gradients off has none at its layers either."""
    with pytest.raises(saliency.NoGradient, match="gradients are switched off"):
        explain(Cut("no_grad"), "grad_cam", layer="net.block")


@contextmanager
def nothing() -> Iterator[None]:
    """No surroundings at all."""
    yield


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, nothing])
def test_the_caller_s_surroundings_do_not_matter(around: Any) -> None:
    """Inside the user's no_grad or inference_mode the mask is the same."""
    expected = explain(small_net()).mask
    net = small_net()
    with around():
        masks = [explain(net).mask, saliency.explain(net, torch.tensor(IMAGE), "gradient", 1, progress=False).mask]

    for mask in masks:
        np.testing.assert_array_equal(mask, expected)


def test_frozen_parameters_do_not_matter() -> None:
    """A model whose parameters need no gradients has the same mask."""
    net = small_net()
    for parameter in net.parameters():
        parameter.requires_grad_(False)

    np.testing.assert_array_equal(explain(net).mask, explain(small_net()).mask)


@pytest.mark.parametrize("method", ["gradient", "occlusion", "grad_cam"])
def test_a_model_that_writes_into_its_input_is_explained(method: str) -> None:
    """In-place normalising inside forward changes neither our images nor the mask."""

    class Normalising(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small_net()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x.sub_(0.5).div_(0.25))

    class Clean(Normalising):
        def forward(self, x: Tensor) -> Tensor:
            return self.net((x - 0.5) / 0.25)

    options = {"layer": "net.relu"} if method == "grad_cam" else {}
    np.testing.assert_allclose(
        explain(Normalising(), method, **options).mask, explain(Clean(), method, **options).mask, rtol=1e-4, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions_are_fed_their_own(dtype: torch.dtype) -> None:
    """Models in float64, bfloat16 and float16 are explained; masks are float32 and near the float32 model's."""
    exp, expected = explain(small_net().to(dtype)), explain(small_net())

    assert exp.mask.dtype == np.float32
    # on average: where two pixels of a pool are nearly equal, rounding picks the other
    assert np.abs(exp.mask - expected.mask).mean() < 0.03 * np.abs(expected.mask).mean()


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch.compile's own imports
def test_wrappers_are_looked_through() -> None:
    """DataParallel and torch.compile's wrapper give the mask of the module inside."""
    net = small_net()
    expected = explain(net, "grad_cam").mask

    for wrapped in (nn.DataParallel(net), torch.compile(net)):
        np.testing.assert_allclose(explain(wrapped, "grad_cam").mask, expected)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_not_finite_are_told(value: float) -> None:
    """NaN or infinite logits raise before any mask is made."""
    with pytest.raises(saliency.BadOutput, match="NaN or infinite"):
        explain(Wrapped(lambda s: s * value))


def test_gradients_that_are_not_finite_are_told() -> None:
    """A finite score with a NaN gradient raises."""
    with pytest.raises(saliency.BadOutput, match="gradients hold NaN"):
        explain(Wrapped(lambda s: s + (s * 0).sqrt()))


def test_wrong_channels_are_told_with_the_model_s_own_words() -> None:
    """A picture of four channels for a colour model: what was fed, what to do, what the model says."""
    with pytest.raises(saliency.BadImage, match=r"\(1, 4, 24, 20\).*4 channels at 24×20.*preprocess=.*expected input"):
        saliency.explain(small_net(), np.dstack([IMAGE, IMAGE[..., 0]]), "gradient")


def test_a_grey_picture_is_repeated_for_a_colour_model() -> None:
    """(H, W) is fed to a model of three channels as three equal ones, and the notes say so."""
    grey = np.repeat(IMAGE[..., :1], 3, -1)
    exp = saliency.explain(small_net(), IMAGE[..., 0], "gradient", 1, progress=False)

    np.testing.assert_allclose(exp.mask, saliency.explain(small_net(), grey, "gradient", 1, progress=False).mask)
    assert "grey repeated to the model's 3 channels" in exp.notes


def test_wrong_size_is_told_with_the_model_s_own_words() -> None:
    """A fixed-size head names the size that it was fed."""
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    with pytest.raises(saliency.BadImage, match=r"24×20 pixels.*cannot be multiplied"):
        explain(net)


def test_other_errors_of_the_model_are_its_own() -> None:
    """What the model raises for reasons of its own comes through unchanged."""

    def fails(_: Tensor) -> Tensor:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        explain(Wrapped(fails))


def test_labels_come_along() -> None:
    """Labels given to adapt() name targets of every later explanation."""
    model = saliency.adapt(small_net(), labels=LABELS)

    assert isinstance(model, TorchModel)
    assert explain(model, target="bee").target == 1
    assert saliency.adapt(model) is model


def test_one_lock_serves_all_adaptations_of_a_model() -> None:
    """Two adaptations of one module share its lock and its batch sizes; two modules do not."""
    net = small_net()
    one, two, other = saliency.adapt(net), saliency.adapt(net), saliency.adapt(small_net())

    assert one.lock is two.lock
    assert one.batch_sizes is two.batch_sizes
    assert other.lock is not one.lock


def test_the_mask_of_a_module_is_that_of_its_gradient() -> None:
    """The whole way, image to mask, is torch's own gradient in (H, W, C)."""
    net = small_net()
    images = torch.tensor(IMAGE / 255, dtype=torch.float32, requires_grad=True)
    (expected,) = torch.autograd.grad(net(images.permute(2, 0, 1)[None])[0, 1], images)

    np.testing.assert_allclose(explain(net).mask, expected, atol=1e-6)
