from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from skimage.transform import resize
from torch import Tensor, nn

import saliency
from saliency.session import Session
from tests.nets import picture, small_net

IMAGES = np.stack([picture(seed=seed) for seed in (0, 1, 2)]).astype(np.float32) / 255
TARGETS = [1, 3]


def asked(net: nn.Module, layer: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """The adapted model, and what one layer says: (N, h, w, K) activations and (k, N, h, w, K) gradients."""
    model: Any = saliency.adapt(net).at(TARGETS, [layer])
    (found,) = model.layers(model.ops.asarray(IMAGES))
    return model, found.activations.numpy().astype(np.float64), found.gradients.numpy().astype(np.float64)


def cams(method: Any, model: Any) -> np.ndarray:
    """The method's maps at the layer's own size, (k, N, h, w)."""
    *_, last = method.cams(model.ops.asarray(IMAGES), Session(model, batch_size=8))
    return np.asarray(last.numpy())


def grad_cam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Eq. 1 and 2 of arXiv:1610.02391 for one image, (h, w, K) both, before the ReLU."""
    total = np.zeros(a.shape[:2])
    for k in range(a.shape[2]):
        total += g[:, :, k].mean() * a[:, :, k]
    return total


def grad_cam_plus_plus(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The paper's alphas with powers of the score's derivatives, channel by channel and place by place."""
    total = np.zeros(a.shape[:2])
    for k in range(a.shape[2]):
        weight = 0.0
        for i in range(a.shape[0]):
            for j in range(a.shape[1]):
                below = 2 * g[i, j, k] ** 2 + a[:, :, k].sum() * g[i, j, k] ** 3
                if g[i, j, k] > 0:
                    weight += g[i, j, k] ** 2 / below * g[i, j, k]
        total += weight * a[:, :, k]
    return total


def hires_cam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Gradient times activation, place by place."""
    return np.array([[float(a[i, j] @ g[i, j]) for j in range(a.shape[1])] for i in range(a.shape[0])])


def layer_cam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    """The same with what is negative in the gradient left out."""
    return hires_cam(a, np.where(g > 0, g, 0))


def xgrad_cam(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Each channel weighed by the mean of its gradient, places counted by their share of its activation."""
    total = np.zeros(a.shape[:2])
    for k in range(a.shape[2]):
        if not a[:, :, k].any():
            continue
        shares = a[:, :, k] / a[:, :, k].sum()
        total += (shares * g[:, :, k]).sum() * a[:, :, k]
    return total


LITERAL: dict[type[saliency.Method], Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    saliency.GradCam: grad_cam,
    saliency.GradCamPlusPlus: grad_cam_plus_plus,
    saliency.HiResCam: hires_cam,
    saliency.LayerCam: layer_cam,
    saliency.XGradCam: xgrad_cam,
}


@pytest.mark.parametrize("layer", ["stem", "norm", "block", "relu"])
@pytest.mark.parametrize("cls", LITERAL, ids=lambda cls: cls.id)
def test_the_maps_are_the_papers(cls: Any, layer: str) -> None:
    """Of three images and two targets at once, signed and rectified, each is what the formula says by loops."""
    model, a, g = asked(small_net(), layer)
    expected = np.array([[LITERAL[cls](a[n], g[k, n]) for n in range(len(a))] for k in range(len(g))])

    np.testing.assert_allclose(cams(cls(relu=False), model), expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(cams(cls(relu=True), model), expected.clip(0), atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("cls", LITERAL, ids=lambda cls: cls.id)
def test_one_forward_pass_serves_all_targets_and_images(cls: Any) -> None:
    """Counted where the model is called; the mask is the map resized, and does not depend on the size of batches."""
    net = small_net()
    model, _, _ = asked(net, "block")
    session: Session[Any] = Session(model, batch_size=8)
    *_, mask = session.run(cls(layer="block"), model.ops.asarray(IMAGES))
    *_, alone = Session(model, batch_size=1).run(cls(layer="block"), model.ops.asarray(IMAGES))
    small = cams(cls(layer="block"), model)

    assert (session.calls, session.images) == (1, 3)
    np.testing.assert_allclose(mask, alone, atol=1e-6)
    np.testing.assert_allclose(mask[1, 2], resize(small[1, 2], (24, 20), order=1), atol=1e-6)


def test_hires_cam_is_grad_cam_where_the_gradient_is_the_same_everywhere() -> None:
    """Behind the last ReLU come a mean and a linear layer: Grad-CAM, HiResCAM and XGrad-CAM are one map there."""
    model, _, g = asked(small_net(), "relu")
    assert np.ptp(g, axis=(2, 3)).max() < 1e-7
    same = cams(saliency.GradCam(relu=False), model)

    for cls in (saliency.HiResCam, saliency.XGradCam):
        np.testing.assert_allclose(cams(cls(relu=False), model), same, atol=1e-6 * np.abs(same).max())


def test_hires_cam_is_complete_before_a_linear_head() -> None:
    """There its map sums to the score less the bias, by default, signs and all."""
    net = small_net()
    model, _, _ = asked(net, "relu")
    scores = model.scores(model.ops.asarray(IMAGES)).numpy()
    bias = net.head.bias.detach().numpy()[TARGETS]

    np.testing.assert_allclose(cams(saliency.HiResCam(), model).sum((2, 3)), scores - bias[:, None], atol=1e-5)


def test_layer_cam_is_never_negative_behind_a_relu() -> None:
    """Neither activations nor what is left of the gradients are, so that its own ReLU cuts off nothing."""
    model, a, _ = asked(small_net(), "relu")

    assert (a >= 0).all()
    assert (cams(saliency.LayerCam(relu=False), model) >= 0).all()


def test_a_channel_without_activation_counts_nothing() -> None:
    """XGrad-CAM and Grad-CAM++ of a net with dead channels are finite."""
    net: Any = small_net()
    with torch.no_grad():
        net.norm.weight[:3], net.norm.bias[:3] = 0, -1
        net.block.weight[:3], net.block.bias[:3] = 0, -1
    model, a, _ = asked(net, "relu")
    assert not a[..., :3].any()

    for cls in (saliency.XGradCam, saliency.GradCamPlusPlus):
        found = cams(cls(relu=False), model)
        assert np.isfinite(found).all()
        assert found.any()


def test_signed_maps_say_so() -> None:
    """Where nothing is cut off, the explanation is shown with both signs."""
    exp = saliency.explain(small_net(), picture(), saliency.GradCam(relu=False), 1, layer="stem", progress=False)

    assert exp.sign == "signed"
    assert exp.mask.min() < 0
    assert saliency.explain(small_net(), picture(), "grad_cam", 1, progress=False).sign == "positive"


class Stages(nn.Module):
    """Three stages at halving sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 2, 1)
        self.act1, self.act2, self.act3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.one(x))
        x = self.act2(self.two(x))
        return self.head(self.act3(self.three(x)).mean((2, 3)))


def stages() -> Stages:
    """With random weights."""
    torch.manual_seed(3)
    return Stages().eval()


@pytest.mark.parametrize("base", [saliency.GradCamPlusPlus, saliency.LayerCam, saliency.HiResCam])
def test_fusion_is_the_product_of_scaled_maps(base: Any) -> None:
    """Each layer's rectified map resized, scaled to 0–1 by its own extremes, multiplied; from one forward pass."""
    net = stages()
    exp = saliency.explain(net, picture(), saliency.RefineCam(base()), TARGETS, progress=False)
    product: Any = 1.0
    for layer in ("act1", "act2", "act3"):
        alone = saliency.explain(net, picture(), base(relu=True), TARGETS, layer=layer, progress=False)
        masks = np.stack([each.mask for each in alone])
        low, high = (part(masks, (1, 2))[:, None, None] for part in (np.amin, np.amax))
        product = product * (masks - low) / np.where(high > low, high - low, 1)

    assert exp[0].layer == "act1, act2, act3"
    assert (exp[0].calls, exp[0].images) == (1, 1)
    np.testing.assert_allclose(np.stack([each.mask for each in exp]), product, atol=1e-5)


def test_fusion_of_named_layers() -> None:
    """`layer` takes a name or a list of them; one layer's fusion is its own map, scaled."""
    net = stages()
    both = saliency.explain(net, picture(), "refine_cam", 1, layer=["act2", "act3"], progress=False)
    one = saliency.explain(net, picture(), "refine_cam", 1, layer="act3", progress=False)
    alone = saliency.explain(net, picture(), "grad_cam_plus_plus", 1, layer="act3", progress=False).mask

    assert both.layer == "act2, act3"
    np.testing.assert_allclose(one.mask, (alone - alone.min()) / np.ptp(alone), atol=1e-5)
    assert not np.allclose(both.mask, one.mask)


def test_a_model_with_fewer_grid_sizes_has_fewer_layers_fused() -> None:
    """The little CNN has two; of a ReLU that is called twice the name stands for the last call."""
    exp = saliency.explain(small_net(), picture(), "refine_cam", 1, progress=False)

    assert exp.layer == "norm, relu"
    assert "layer: norm, the last at its grid size" in exp.notes


def test_what_cannot_be_fused_is_told() -> None:
    """Several layers for a CAM that reads one, none at all, and a method that is no CAM."""
    with pytest.raises(saliency.BadField, match=r"LayerCam reads one layer.*RefineCam\(LayerCam\(\), layer="):
        saliency.explain(small_net(), picture(), "layer_cam", 1, layer=["stem", "block"], progress=False)
    with pytest.raises(saliency.BadField, match="at least one layer"):
        saliency.RefineCam(layer=[])
    with pytest.raises(saliency.BadField, match="multiplies maps of CAMs"):
        saliency.RefineCam(saliency.GradientSaliency())


def test_a_fusion_can_be_smoothed() -> None:
    """The layers are those of the method inside."""
    exp = saliency.explain(stages(), picture(), saliency.SmoothGrad(saliency.RefineCam(), samples=3), 1, progress=False)

    assert exp.layer == "act1, act2, act3"
    assert exp.images == 3
