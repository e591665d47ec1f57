from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import saliency
from saliency.core.cam import stretch
from saliency.core.eigen_cam import first_component
from saliency.core.method import run
from saliency.core.score_cam import clustered
from saliency.model.ops import NumpyOps
from saliency.session.session import Session
from tests.nets import bilinear, black_box, picture, small_net

IMAGES = np.stack([picture(seed=seed) for seed in (0, 1, 2)]).astype(np.float32) / 255
TARGETS = [1, 3]


def bound(net: nn.Module, layer: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """Return the adapted model and one layer's (N, h, w, K) activations and (k, N, h, w, K) gradients."""
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
    """For three images and two targets at once, signed and rectified, each map equals the formula computed by loops."""
    model, a, g = bound(small_net(), layer)
    expected = np.array([[LITERAL[cls](a[n], g[k, n]) for n in range(len(a))] for k in range(len(g))])

    np.testing.assert_allclose(cams(cls(relu=False), model), expected, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(cams(cls(relu=True), model), expected.clip(0), atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("cls", LITERAL, ids=lambda cls: cls.id)
def test_one_forward_pass_serves_all_targets_and_images(cls: Any) -> None:
    """Counted where the model is called; the mask is the map resized, and does not depend on the size of batches."""
    net = small_net()
    model, _, _ = bound(net, "block")
    session: Session[Any] = Session(model, batch_size=8)
    *_, mask = run(cls(layer="block"), session, model.ops.asarray(IMAGES))
    *_, alone = run(cls(layer="block"), Session(model, batch_size=1), model.ops.asarray(IMAGES))
    small = cams(cls(layer="block"), model)

    assert (session.calls, session.images) == (1, 3)
    np.testing.assert_allclose(mask, alone, atol=1e-6)
    np.testing.assert_allclose(mask[1, 2], bilinear(small[1, 2], (24, 20)), atol=1e-6)


def test_hires_cam_is_grad_cam_where_the_gradient_is_the_same_everywhere() -> None:
    """With a mean and a linear layer after the last ReLU, Grad-CAM, HiResCAM and XGrad-CAM give the same map."""
    model, _, g = bound(small_net(), "relu")
    assert np.ptp(g, axis=(2, 3)).max() < 1e-7
    same = cams(saliency.GradCam(relu=False), model)

    for cls in (saliency.HiResCam, saliency.XGradCam):
        np.testing.assert_allclose(cams(cls(relu=False), model), same, atol=1e-6 * np.abs(same).max())


def test_hires_cam_is_complete_before_a_linear_head() -> None:
    """There its map sums to the score less the bias, by default, signs and all."""
    net = small_net()
    model, _, _ = bound(net, "relu")
    scores = model.scores(model.ops.asarray(IMAGES)).numpy()
    bias = net.head.bias.detach().numpy()[TARGETS]

    np.testing.assert_allclose(cams(saliency.HiResCam(), model).sum((2, 3)), scores - bias[:, None], atol=1e-5)


def test_layer_cam_is_never_negative_after_a_relu() -> None:
    """Activations and remaining gradients are not negative, so that the CAM's own ReLU changes nothing."""
    model, a, _ = bound(small_net(), "relu")

    assert (a >= 0).all()
    assert (cams(saliency.LayerCam(relu=False), model) >= 0).all()


def test_a_channel_without_activation_counts_nothing() -> None:
    """XGrad-CAM and Grad-CAM++ of a net with dead channels are finite."""
    net: Any = small_net()
    with torch.no_grad():
        net.norm.weight[:3], net.norm.bias[:3] = 0, -1
        net.block.weight[:3], net.block.bias[:3] = 0, -1
    model, a, _ = bound(net, "relu")
    assert not a[..., :3].any()

    for cls in (saliency.XGradCam, saliency.GradCamPlusPlus):
        found = cams(cls(relu=False), model)
        assert np.isfinite(found).all()
        assert found.any()


def test_signed_maps_say_so() -> None:
    """Without rectification, the explanation is shown with both signs."""
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


def test_layers_that_cannot_be_fused_are_refused() -> None:
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


def eigen_cam(a: np.ndarray) -> np.ndarray:
    """The first principal component by NumPy's own decomposition, turned so that it sums to no less than zero."""
    flat = a.reshape(-1, a.shape[-1])
    component = (flat @ np.linalg.svd(flat, full_matrices=False)[2][0]).reshape(a.shape[:2])
    return np.asarray(component * (1 if component.sum() >= 0 else -1))


@pytest.mark.parametrize("layer", ["stem", "relu"])
def test_eigen_cam_is_the_first_component(layer: str) -> None:
    """As the singular value decomposition of each image's activations has it; the same for every target."""
    model, a, _ = bound(small_net(), layer)
    expected = np.array([eigen_cam(each) for each in a])
    found = cams(saliency.EigenCam(relu=False), model)

    assert found.shape[0] == 1
    np.testing.assert_allclose(found[0], expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 2, 2, 9)], ids=["more places", "more channels"])
def test_either_way_of_finding_the_component_is_the_same(shape: tuple[int, ...]) -> None:
    """By the product of places or of channels, whichever is smaller."""
    a = np.random.default_rng(0).normal(size=shape)

    np.testing.assert_allclose(first_component(a, NumpyOps(np.float64)), [eigen_cam(each) for each in a], atol=1e-10)


def test_eigen_cam_needs_no_gradients() -> None:
    """A model cut off from its image, of which Grad-CAM can say nothing, has a map; both targets get it."""
    net = small_net()

    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).round().detach()

    with pytest.raises(saliency.NoGradient):
        saliency.explain(Cut().eval(), picture(), "grad_cam", 1, layer="net.relu", progress=False)
    one, other = saliency.explain(Cut().eval(), picture(), "eigen_cam", [1, 2], layer="net.relu", progress=False)

    assert one.images == 1
    np.testing.assert_allclose(one.mask, other.mask)
    np.testing.assert_allclose(one.mask, saliency.explain(net, picture(), "eigen_cam", layer="relu").mask, atol=1e-6)


def score_cam(net: nn.Module, image: np.ndarray, a: np.ndarray, target: int, hidden: float) -> np.ndarray:
    """Algorithm 1 of arXiv:1910.01279 for one image, channel by channel."""
    scores = []
    for k in range(a.shape[-1]):
        mask = bilinear(a[..., k], image.shape[:2])
        mask = (mask - mask.min()) / np.ptp(mask) if np.ptp(mask) > 0 else 0 * mask
        seen = torch.tensor(hidden + mask[..., None] * (image - hidden), dtype=torch.float32)
        with torch.no_grad():
            scores.append(float(net(seen.permute(2, 0, 1)[None])[0, target]))
    weights = np.exp(scores) / np.exp(scores).sum()
    return np.asarray(sum(weight * a[..., k] for k, weight in enumerate(weights)))


def ablation_cam(net: Any, image: np.ndarray, a: np.ndarray, target: int) -> np.ndarray:
    """The drops of the score without each channel, at the layer before the last ReLU of the little CNN."""

    def score(without: int | None) -> float:
        def hook(_module: nn.Module, _args: Any, out: Tensor) -> Tensor:
            out = out.clone()
            if without is not None:
                out[:, without] = 0
            return out

        handle = net.block.register_forward_hook(hook)
        try:
            with torch.no_grad():
                return float(net(torch.tensor(image).permute(2, 0, 1)[None])[0, target])
        finally:
            handle.remove()

    return np.asarray(sum((score(None) - score(k)) * a[..., k] for k in range(a.shape[-1])))


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_channels_are_weighed_by_asking(batch_size: int) -> None:
    """Score-CAM and Ablation-CAM by loops, for three images and two targets, whatever the size of batches."""
    net = small_net()
    model, a, _ = bound(net, "block")
    for method in (saliency.ScoreCam(relu=False, baseline=0.3), saliency.AblationCam(relu=False)):
        session: Session[Any] = Session(model, batch_size=batch_size)
        *_, found = method.cams(model.ops.asarray(IMAGES), session)
        expected = [
            [
                ablation_cam(net, image, each, target)
                if isinstance(method, saliency.AblationCam)
                else score_cam(net, image, each, target, 0.3)
                for image, each in zip(IMAGES, a, strict=True)
            ]
            for target in TARGETS
        ]
        np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())
        assert session.images == 3 + 3 * (6 + method.extra) == session.total + 3


def test_score_cam_of_a_linear_model_is_known_in_closed_form() -> None:
    """Of f(x) = <w, x> the masked scores are <w, m x>: the weights are their softmax."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.channels = nn.Identity()
            self.weights = nn.Parameter(torch.linspace(-1, 1, 8 * 8 * 3).reshape(3, 8, 8))

        def forward(self, x: Tensor) -> Tensor:
            return (self.channels(x) * self.weights).sum((1, 2, 3), keepdim=False)[:, None]

    net = Linear().eval()
    image = picture(8, 8).astype(np.float32) / 255
    weights = net.weights.detach().numpy().transpose(1, 2, 0)
    masks = (image - image.min((0, 1))) / np.ptp(image, axis=(0, 1))
    scores = np.array([(weights * masks[..., [k]] * image).sum() for k in range(3)])
    alphas = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    exp = saliency.explain(net, image, saliency.ScoreCam(relu=False), layer="channels", progress=False)

    np.testing.assert_allclose(exp.mask, (image * alphas).sum(-1), atol=1e-5)


def test_ablation_cam_of_a_linear_head_is_a_product() -> None:
    """With a mean and a linear layer after the layer, channel k's drop is its weight times its mean."""
    net = small_net()
    model, a, _ = bound(net, "relu")
    drops = net.head.weight.detach().numpy()[TARGETS][:, None] * a.mean((1, 2))
    expected = np.einsum("knc,nhwc->knhw", drops, a)

    np.testing.assert_allclose(cams(saliency.AblationCam(relu=False), model), expected, atol=1e-5)


def test_a_layer_s_last_call_is_replaced() -> None:
    """The CNN calls its ReLU twice: the first output stays unchanged, as do the user's module and its hooks."""
    net = small_net()
    model, a, _ = bound(net, "relu")
    images = model.ops.asarray(IMAGES)
    (activations,) = model.activations(images)
    before = {name: each.clone() for name, each in net.state_dict().items()}
    np.testing.assert_allclose(activations, a, atol=1e-6)
    np.testing.assert_allclose(model.scores_with(images, activations), model.scores(images), atol=1e-6)
    zeroed = model.scores_with(images, 0 * activations)
    with pytest.raises(saliency.BadShape, match=r"shape \(3, 12, 10, 6\), got \(3, 12, 10, 2\)"):
        model.scores_with(images, activations[..., :2])

    np.testing.assert_allclose(zeroed, net.head.bias.detach()[TARGETS][:, None].expand(-1, 3), atol=1e-6)
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    assert not any(part._forward_hooks for part in net.modules())


@pytest.mark.parametrize("method", ["score_cam", "ablation_cam"])
def test_costs_are_reported_once_they_are_known(method: str) -> None:
    """Progress ends at the total, partial maps come and converge, and a cancel on the way is heard."""
    net = small_net()
    reported: list[tuple[int, int]] = []
    partial: list[Any] = []
    options: Any = {"batch_size": 1, "progress": lambda *each: reported.append(each)}
    exp = saliency.explain(net, picture(), method, 1, **options, partial=partial.append)
    final = np.abs(exp.mask).max()

    assert reported[-1][0] == reported[-1][1] == exp.images
    assert len(partial) >= 5
    np.testing.assert_allclose(partial[-1].mask, exp.mask, atol=0.7 * final)
    assert [row.images_evaluated for row in saliency.methods() if row.id == method] == ["1 + the layer's channels"]
    reported.clear()
    with pytest.raises(saliency.Cancelled):
        saliency.explain(net, picture(), method, 1, **options, cancelled=lambda: len(reported) >= 3)
    assert len(reported) == 3


def test_what_shows_no_layers_cannot_be_patched() -> None:
    """Each CAM refuses a black box with the model's sentence."""
    for method in ("eigen_cam", "score_cam", "ablation_cam", "layer_cam"):
        with pytest.raises(saliency.Unsupported, match=r"needs .*a layer's activations.*offers only scores"):
            saliency.explain(black_box(small_net()), picture(), method, 1, progress=False)


def test_guided_grad_cam_is_the_product() -> None:
    """Of Guided Backprop and the resized map, for two targets; two passes in all; it refuses what has no layers."""
    net = small_net()
    found = saliency.explain(net, picture(), "guided_grad_cam", TARGETS, layer="block", progress=False)
    guided = saliency.explain(net, picture(), "guided_backprop", TARGETS, progress=False)
    cam = saliency.explain(net, picture(), "grad_cam", TARGETS, layer="block", progress=False)

    assert found[0].images == 2
    assert found[0].layer == "block"
    for exp, by_rules, by_layer in zip(found, guided, cam, strict=True):
        assert exp.mask.any()
        np.testing.assert_allclose(exp.mask, by_rules.mask * by_layer.mask[..., None], rtol=1e-5)
    function = saliency.adapt(net.forward, framework="torch")
    with pytest.raises(saliency.Unsupported, match="and gradients, and a backward pass that follows rules: a plain"):
        saliency.explain(function, picture(), "guided_grad_cam", 1, progress=False)


@pytest.mark.parametrize("layer", ["stem", "norm", "block"])
def test_the_maps_are_captums(layer: str) -> None:
    """Grad-CAM is its LayerGradCam, HiResCAM its LayerGradientXActivation summed over channels; without a ReLU both."""
    attr = pytest.importorskip("captum.attr")
    net: Any = small_net()
    net.relu = nn.ReLU()  # the way back through an in-place ReLU is refused there
    model, _, _ = bound(net, layer)
    images = torch.tensor(IMAGES).permute(0, 3, 1, 2)
    for cls, peer in ((saliency.GradCam, attr.LayerGradCam), (saliency.HiResCam, attr.LayerGradientXActivation)):
        found = cams(cls(relu=False), model)
        for k, target in enumerate(TARGETS):
            expected = peer(net, getattr(net, layer)).attribute(images, target=target).detach().sum(1).numpy()
            np.testing.assert_allclose(found[k], expected, atol=1e-5 * np.abs(expected).max())


class Corner(nn.Module):
    """A 7×7 map that is 1 in one corner for every image, and a score that is its sum."""

    def __init__(self, row: int = 0, column: int = 0) -> None:
        super().__init__()
        self.map = nn.Conv2d(3, 1, 8, 8, bias=False)
        hot = torch.zeros(1, 1, 7, 7)
        hot[..., row, column] = 1
        self.hot: Tensor
        self.register_buffer("hot", hot)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.map(x) * 0 + self.hot).sum((2, 3)) * torch.tensor([-1.0, 1.0])


@pytest.mark.parametrize("at", [(0, 0), (0, 6), (6, 0), (6, 6), (3, 0)])
@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "eigen_cam", "layer_cam", "xgrad_cam"])
def test_the_hottest_cell_at_the_border_is_the_hottest_pixel_there(method: str, at: tuple[int, int]) -> None:
    """The image's outermost pixels have the whole value of the outermost cells: nothing is mirrored at the border."""
    exp = saliency.explain(Corner(*at).eval(), picture(56, 56), method, 1, progress=False)
    pixel = tuple({0: 0, 6: 55, 3: 28}[each] for each in at)

    assert exp.mask[pixel] == exp.mask.max() > 0
    assert exp.mask[exp.mask.shape[0] - 1 - pixel[0], 55 - pixel[1]] == 0 or at == (3, 0)


@pytest.mark.parametrize(("size", "to"), [(7, 224), (7, 7), (1, 5), (2, 9), (14, 5), (30, 14), (224, 50)])
def test_maps_are_resized_as_torch_resizes(size: int, to: int) -> None:
    """Larger by bilinear interpolation, smaller by its anti-aliased kind; a constant map stays what it is."""
    eye = torch.eye(size, dtype=torch.float64)[None, None]
    expected = functional.interpolate(eye, (size, to), mode="bilinear", antialias=to < size)[0, 0].T

    np.testing.assert_allclose(stretch(size, to), expected, atol=1e-12)
    np.testing.assert_allclose(stretch(size, to).sum(1), 1, atol=1e-12)


def test_clusters_of_equal_channels_lose_nothing() -> None:
    """Channels with the same map share one evaluation: each has the score of its cluster, whose mask is theirs."""
    base = np.random.default_rng(0).uniform(size=(5, 4, 3))
    copies = np.array([0, 2, 1, 1, 0, 2, 2])
    means, members = clustered(2.0 * base[..., copies] + 1.0, 3)
    scaled = (base - base.min((0, 1))) / np.ptp(base, axis=(0, 1))

    np.testing.assert_allclose(means[..., members], scaled[..., copies], atol=1e-12)


def test_score_cam_of_clusters() -> None:
    """One forward pass per cluster; with as many clusters as channels the map is Score-CAM's own, for all pictures."""
    net = small_net().eval()

    def found(clusters: int | None) -> Any:
        method = saliency.ScoreCam(layer="block", clusters=clusters)
        return saliency.explain(net, IMAGES[0], method, 1, progress=False, batch_size=4)

    whole = found(None)
    channels = whole.images - 1
    np.testing.assert_array_equal(found(channels).mask, whole.mask)
    assert found(2).images == 3
    model, _, _ = bound(net, "block")
    together = cams(saliency.ScoreCam(clusters=channels - 1), model)
    single = np.concatenate(
        [
            list(saliency.ScoreCam(clusters=channels - 1).cams(model.ops.asarray(IMAGES[i : i + 1]), Session(model)))[
                -1
            ]
            for i in range(len(IMAGES))
        ],
        1,
    )
    np.testing.assert_allclose(together, single, rtol=1e-4, atol=1e-6)
    assert np.corrcoef(together.ravel(), cams(saliency.ScoreCam(), model).ravel())[0, 1] > 0.8
    with pytest.raises(saliency.BadField, match="clusters"):
        saliency.ScoreCam(clusters=0)
