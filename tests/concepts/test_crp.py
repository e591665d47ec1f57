"""Concept relevance propagation: conditional maps sum to LRP's, and each channel's images are the ones that show it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import saliency
from saliency.concepts import conditional, relevance_maximization
from tests.nets import picture, small_net

IMAGE = picture(seed=2)


def sum_of(maps: list[Any]) -> np.ndarray:
    """Return the sum of maps, float64."""
    return np.sum([each.mask.astype(np.float64) for each in maps], axis=0)


@pytest.mark.parametrize("composite", ["auto", "epsilon", "gamma", "epsilon_gamma_box", "epsilon_alpha2_beta1_flat"])
def test_conditional_maps_sum_to_lrp(composite: str) -> None:
    """The maps of all channels sum to the map of LRP within 1e-6 of its largest value, for every composite."""
    method = saliency.LRP(composite=composite)
    whole = saliency.explain(small_net(), IMAGE, method, 1, progress=False).mask

    maps = conditional(small_net(), IMAGE, range(6), "relu", 1, method)
    together = conditional(small_net(), IMAGE, [[0, 1, 2], [3, 4, 5]], "relu", 1, method)

    np.testing.assert_allclose(sum_of(maps), whole, atol=1e-6 * np.abs(whole).max())
    np.testing.assert_allclose(sum_of(together), whole, atol=1e-6 * np.abs(whole).max())
    np.testing.assert_allclose(together[0].mask, sum_of(maps[:3]), atol=1e-6 * np.abs(whole).max())


def test_the_demo_network_and_its_sum() -> None:
    """In a trained network with residual blocks and batch norms, two halves of the channels sum to LRP's map."""
    model, image = saliency.demo.model(), saliency.demo.image()[:64, :64]
    whole = saliency.explain(model, image, "lrp", 1, progress=False)

    halves = conditional(model, image, [range(56), range(56, 112)], "features", 1)

    np.testing.assert_allclose(sum_of(halves), whole.mask, atol=1e-6 * np.abs(whole.mask).max())
    at = saliency.explain(model, image, saliency.LRP("epsilon_plus"), 1, at="features", progress=False)
    assert halves[0].score == pytest.approx(at.mask[..., :56].sum(), rel=1e-4)
    assert "relevance through channels of features alone" in halves[0].notes


@pytest.mark.parametrize("name", ["jax", "keras"])
def test_frameworks_agree(name: str) -> None:
    """Conditional maps are torch's within 1e-4 of the largest value."""
    from tests.concepts.test_tcav import of_framework

    image = np.random.default_rng(0).random((5, 4, 3)).astype(np.float32)
    found = []
    for each in ("torch", name):
        model, options = of_framework(each)
        adapted = saliency.adapt(model, **options)
        layer = [row.name for row in saliency.layers(adapted, image) if 6 in row.shape][-1]
        found.append(conditional(adapted, image, [2, [0, 1]], layer, 0, saliency.LRP("epsilon")))

    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other.mask, one.mask, atol=1e-4 * max(np.abs(one.mask).max(), 1e-6))


class Colours(nn.Module):
    """Channels for red and green in cells of 4×4 pixels; only red counts for the first class."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.relu, self.head = nn.Conv2d(3, 3, 4, 4, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False)
        with torch.no_grad():
            self.cells.weight.copy_(torch.eye(3)[:, :, None, None].expand(3, 3, 4, 4) / 16)
            self.head.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 0.1, 0]]))

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.relu(self.cells(x)).mean((2, 3)))


def squares() -> np.ndarray:
    """Return pictures (6, 16, 16, 3): in the i-th, a red cell of growing strength; green is strong everywhere."""
    pictures = np.zeros((6, 16, 16, 3), np.float32)
    for i, each in enumerate(pictures):
        each[..., 1] = 0.9
        each[4:8, 8:12] = (0.1 + 0.15 * i, 0, 0)
    return pictures


def test_images_of_a_channel_are_those_that_use_it() -> None:
    """RelMax ranks the images by red, finds its place, and crops the receptive field; green excites, and is unused."""
    pictures = squares()

    by_relevance = relevance_maximization(Colours().eval(), pictures, "relu", 0, keep=3)
    by_activation = relevance_maximization(Colours().eval(), pictures, "relu", 0, keep=3, by="activation")

    assert [each.image for each in by_relevance[0]] == [5, 4, 3]
    assert by_relevance[0][0].place == (1, 2)
    assert by_relevance.shares[0] == pytest.approx(1)
    assert by_activation.shares[1] > 0.5
    (crop, *_) = by_relevance.crops(0, 2)
    assert crop.shape == (4, 4, 3)
    assert crop[..., 0].min() > 200
    assert "channels of 'relu' by relevance" in repr(by_relevance)


@pytest.mark.parametrize(
    ("given", "error", "sentence"),
    [
        ({"channels": 6}, saliency.BadField, "channel"),
        ({"channels": []}, saliency.BadField, "empty"),
        ({"layer": "block"}, saliency.Unsupported, "does not cut"),
        ({"layer": "nowhere"}, saliency.UnknownName, "nowhere"),
        ({"layer": "head"}, saliency.BadImage, "is no map"),
        ({"method": "lrp"}, saliency.BadField, "must be LRP"),
        ({"model": lambda x: x.mean((1, 2))}, saliency.Unsupported, "rules"),
    ],
)
def test_bad_input_is_refused(given: dict[str, Any], error: type[Exception], sentence: str) -> None:
    """Channels and layers that do not exist, other methods and models without rules are refused, with the reason."""
    good: dict[str, Any] = {"model": small_net(), "image": IMAGE, "channels": 0, "layer": "relu", "target": 1}
    with pytest.raises(error, match=sentence):
        conditional(**{**good, **given})


def test_relevance_at_values_of_zero_is_refused() -> None:
    """A rule by weights alone gives relevance to values of zero, which no weighted sum of the values gives back."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    with pytest.raises(saliency.Unsupported, match="values of zero"):
        conditional(nn.Sequential(*layers).eval(), IMAGE, 0, "1", 1, saliency.LRP("w_square"))


def test_streams_are_refused() -> None:
    """Pictures that can be read only once cannot be shown again."""
    with pytest.raises(saliency.BadImage, match="any order"):
        relevance_maximization(Colours().eval(), iter(squares()), "relu", 0)
