"""Every method on a trained ImageNet network: on two photographs, on pictures put together of four, and re-derived."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import saliency
from saliency.model.protocols import Attentive, EarlyExit

CAT, COFFEE = ("cat", "tiger cat"), ("coffee", "espresso")
"""Photographs, and the class on top of each."""

BUDGETS: dict[str, dict[str, Any]] = {
    "xrai": {"steps": 10},
    "expected_gradients": {"samples": 30},
    "blur_ig": {"steps": 20},
    "guided_ig": {"steps": 30},
    "occlusion": {"size": 56, "stride": 28},
    "rise": {"samples": 300},
    "lime": {"samples": 150},
    "kernel_shap": {"samples": 150},
    "shapley_sampling": {"features": 20, "samples": 6},
    "shapley": {"features": 6},
    "partition_shap": {"samples": 150},
    "sobol": {"features": 16, "samples": 8},
    "hsic": {"features": 16, "samples": 100},
}
"""Fewer images than by default for methods that evaluate hundreds."""

QUICK = 2
"""How many images a method may evaluate in `make test`; the others run in `make test-long`."""


def budgeted(method: str) -> saliency.Method:
    """The method at its defaults, or with a small budget."""
    cls: type[saliency.Method] = {each.id: each.cls for each in saliency.methods()}[method]
    return cls(**BUDGETS.get(method, {}))


def cost(method: str) -> int:
    """How many images a method evaluates, the channels of the last layer included."""
    each = budgeted(method)
    return each.cost((1, 224, 224, 3)) + (1280 if each.beyond else 0)


METHODS = [
    each.id for each in saliency.methods() if each.cls.needs not in (Attentive, EarlyExit) and not each.cls.over_layer
]
"""Every method over the image by which a network without attention can be explained."""


def by_cost(ids: list[str]) -> list[Any]:
    """Parameters for a test, marked as long where the method is."""
    # the cost of Integrated Gradients is the most it may take, here it takes about 40 images
    quick = {each for each in METHODS if cost(each) <= QUICK} | {"integrated_gradients"}
    return [pytest.param(each, marks=[] if each in quick else [pytest.mark.long]) for each in ids]


@functools.cache
def network() -> Any:
    """The trained network."""
    return saliency.demo.model("imagenet")


def explain(image: Any, method: Any, target: Any, preprocess: Any = None, **fields: Any) -> saliency.Explanation:
    """A single explanation of the trained network."""
    prepare = network().preprocess if preprocess is None else preprocess
    return saliency.explain(
        network(), image, method, target, preprocess=prepare, labels=network().labels, progress=False, **fields
    )


@pytest.mark.parametrize("photograph", [CAT, COFFEE], ids=lambda each: each[0])
@pytest.mark.parametrize("method", by_cost(METHODS))
def test_every_method_explains_a_photograph(method: str, photograph: tuple[str, str]) -> None:
    """The mask is finite, not constant, of the size of the crop, and explains the known class with its score."""
    name, label = photograph
    exp = explain(saliency.demo.image(name), budgeted(method), None)

    assert exp.label == label
    assert exp.score == pytest.approx(float(scores(saliency.demo.image(name)).max()), rel=1e-4)
    assert exp.mask.shape[:2] == (224, 224)
    assert np.isfinite(exp.mask).all()
    assert np.ptp(exp.salience()) > 0
    assert 0 < exp.top(10).mean() < 1


def scores(image: Any) -> torch.Tensor:
    """The network's own scores, (1000,)."""
    with torch.no_grad():
        found: torch.Tensor = network()(network().preprocess(image)[None])[0]
    return found


# Four photographs in one picture, of which one is the cat: the grid pointing game (arXiv:2104.00032, section 4).

CELL = 112
PLACES = (0, 3)
"""Where the cat stands: top left, bottom right."""


def mosaic(place: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A picture (224, 224, 3) of four photographs, and where the cat is, (224, 224)."""
    names = ["coffee", "motorcycle", "flower"]
    names.insert(place, "cat")
    cells = []
    for name in names:
        photograph = saliency.demo.image(name)
        side = min(photograph.shape[:2])
        top, left = ((n - side) // 2 for n in photograph.shape[:2])
        square = Image.fromarray(photograph[top : top + side, left : left + side])
        cells.append(np.asarray(square.resize((CELL, CELL), Image.Resampling.BICUBIC)))
    picture = np.concatenate([np.concatenate(cells[:2], 1), np.concatenate(cells[2:], 1)])
    row, column = divmod(place, 2)
    where = np.zeros((2 * CELL, 2 * CELL), bool)
    where[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = True
    return picture, where


def uncropped(picture: NDArray[np.uint8]) -> torch.Tensor:
    """Return the network's input for a picture of its size."""
    return (torch.from_numpy(picture.copy()).movedim(-1, 0).float() - 127) / 128


BLIND = {
    "input_x_gradient": "the product follows the brightness of the picture",
    "deconvolution": "without max-pooling it is the same for every picture",
    "eigen_cam": "it is the same for every class",
}
"""Methods that do not show the place of the class here, and why."""


@pytest.mark.parametrize("method", by_cost([each for each in METHODS if each not in BLIND]))
def test_the_most_salient_pixels_lie_on_the_class(method: str) -> None:
    """Of the top 10 % more lie on the cat than the quarter that chance puts there, wherever the cat stands."""
    shares = []
    for place in PLACES:
        picture, where = mosaic(place)
        exp = explain(picture, budgeted(method), "Egyptian cat", uncropped)
        shares.append(where[exp.top(10)].mean())

    assert min(shares) > 0.25
    assert np.mean(shares) > 0.35


@pytest.mark.parametrize("method", sorted(BLIND))
def test_what_does_not_show_the_class(method: str) -> None:
    """In one of the places these put less than the quarter of chance on the cat."""
    shares = []
    for place in PLACES:
        picture, where = mosaic(place)
        shares.append(where[explain(picture, method, "Egyptian cat", uncropped).top(10)].mean())

    assert min(shares) < 0.25


# The same maps in plain torch: where they are hard to read, the method is, or the network, and not this package.


class Rectifier(torch.autograd.Function):
    """ReLU6 whose backward pass is that of a method."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor, method: str) -> torch.Tensor:
        """(N, ...) -> (N, ...)."""
        ctx.save_for_backward(z)
        ctx.method = method
        return z.clamp(0, 6)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The gradient, cut off or replaced."""
        (grad,), (z,) = grads, ctx.saved_tensors
        inside = ((z > 0) & (z < 6)).float()
        match ctx.method:
            case "guided_backprop":
                return grad.clamp(min=0) * inside, None
            case "deconvolution":
                return grad.clamp(min=0), None
            case "deep_lift":  # of an image and its baseline: change of the output by change of the input
                y, (image, baseline) = z.clamp(0, 6), z.chunk(2)
                change, rise = image - baseline, y[:1] - y[1:]
                slope = torch.where(change.abs() > 1e-5, rise / change, inside[:1])
                return grad * torch.cat([slope, slope]), None
        return grad * inside, None


class Activation(torch.nn.Module):
    """ReLU6 with another backward pass."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """(N, ...) -> (N, ...)."""
        found: torch.Tensor = Rectifier.apply(z, self.method)  # type: ignore[no-untyped-call]  # torch has no types for it
        return found


def rederived(method: str, name: str, label: str) -> NDArray[np.float32]:
    """The mask (224, 224, 3) of the first of the batch: the image, and for DeepLIFT black as its baseline."""
    changed = copy.deepcopy(network())
    for path, module in list(changed.named_modules()):
        if isinstance(module, torch.nn.ReLU6):
            parent, _, attribute = path.rpartition(".")
            setattr(changed.get_submodule(parent), attribute, Activation(method))
    image = network().preprocess(saliency.demo.image(name))
    black = torch.full_like(image, -127 / 128)
    batch = torch.stack([image, black] if method == "deep_lift" else [image]).requires_grad_()
    changed(batch)[0, network().labels.index(label)].backward()
    assert batch.grad is not None
    mask = batch.grad[0] * (image - black) if method == "deep_lift" else batch.grad[0]
    return mask.movedim(0, -1).detach().numpy()


@pytest.mark.parametrize("method", ["gradient", "guided_backprop", "deconvolution", "deep_lift"])
def test_rules_agree_with_plain_torch(method: str) -> None:
    """The mask is that of a network whose rectifiers have the method's backward pass, to 1e-5 of the maximum."""
    found, expected = explain(saliency.demo.image("cat"), method, "tiger cat").mask, rederived(method, *CAT)

    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_deconvolution_does_not_depend_on_the_image() -> None:
    """Without max-pooling two photographs have the same map of a class, as its advice says."""
    cat, coffee = (explain(saliency.demo.image(name), "deconvolution", "tiger cat").mask for name in ("cat", "coffee"))

    np.testing.assert_allclose(cat, coffee, atol=1e-5 * np.abs(cat).max())


def test_three_cams_are_one() -> None:
    """Grad-CAM, HiResCAM and XGrad-CAM agree: the network ends in a mean over space, as their advice says."""
    image = saliency.demo.image("cat")
    grad, hires, xgrad = (explain(image, each, "tiger cat").mask for each in ("grad_cam", "hires_cam", "xgrad_cam"))

    np.testing.assert_allclose(np.maximum(hires, 0), grad, atol=1e-4 * grad.max())
    np.testing.assert_allclose(xgrad, grad, atol=1e-4 * grad.max())


def test_the_frame_of_idgi_is_that_of_its_first_step() -> None:
    """Most of the mask is on a border of 8 pixels, but little with adaptive steps, as its advice says."""
    border = np.ones((224, 224), bool)
    border[8:-8, 8:-8] = False
    shares = {}
    for adaptive in (False, True):
        mask = explain(saliency.demo.image("cat"), saliency.IDGI(adaptive=adaptive), "tiger cat").mask.sum(-1)
        shares[adaptive] = mask[border].sum() / mask.sum()

    assert shares[False] > 0.5
    assert shares[True] < 0.15


@pytest.mark.long
@pytest.mark.parametrize("layer", ["_swish", "_blocks.10"])
def test_layers_carry_the_class_from_its_place(layer: str) -> None:
    """At two layers, conductance and IG are complete, and they and LRP are largest where the cat stands."""
    picture, where = mosaic(PLACES[1])
    options: dict[str, dict[str, Any]] = {
        "conductance": {"layer": layer},
        "integrated_gradients": {"at": layer},
        "lrp": {"at": layer},
    }
    for method, given in options.items():
        exp = explain(picture, method, "Egyptian cat", uncropped, **given)
        placed = exp.on_picture()

        assert isinstance(exp, saliency.LayerExplanation)
        assert method == "lrp" or (exp.gap_share or 0) < 0.1
        assert where[placed >= np.percentile(placed, 90)].mean() > 0.5
        assert len(exp.channels) == exp.mask.shape[2]
