"""Layers of a batch are read without intercepting operators, where they are plain maps of modules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import saliency
from saliency.adapters.torch.layers import Captured
from saliency.adapters.torch.model import TorchModel
from tests.nets import near, picture, small_net


class Twice(nn.Module):
    """A net whose activation is called twice, and is added in place afterwards."""

    def __init__(self, detached: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 1, 1)
        self.act, self.last, self.detached = nn.Softplus(), nn.Linear(6, 4), detached
        self.eval()

    def forward(self, x: Tensor) -> Any:
        x = self.act(self.first(x))
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detached):
            y = self.act(self.second(x))
        y += x
        y *= 2
        return self.last(y.mean((2, 3)).tanh())


IMAGES = torch.tensor(np.random.default_rng(0).random((3, 12, 10, 3), np.float32))


@pytest.mark.parametrize("layers", [["act"], ["first"], ["first", "act"], ["second", "first"]], ids="-".join)
def test_layers_of_a_batch_are_those_of_each_image(layers: list[str]) -> None:
    """Activations, gradients and scores equal those that intercepted operators give for each image alone."""
    bound: Any = saliency.adapt(Twice()).at([1, 2], layers)
    assert isinstance(bound, TorchModel)
    together = bound.layers(IMAGES)
    # each by a model of its own, about which nothing is known yet
    others: list[Any] = [saliency.adapt(Twice()).at([1, 2], layers) for _ in IMAGES]
    alone = [other.layers(IMAGES[i : i + 1]) for i, other in enumerate(others)]

    np.testing.assert_allclose(together.scores, torch.cat([each.scores for each in alone], 1), atol=1e-6)
    for i in range(len(layers)):
        for name, axis in (("activations", 0), ("gradients", 1)):
            expected = torch.cat([getattr(each[i], name) for each in alone], axis)
            assert expected.any()
            np.testing.assert_allclose(getattr(together[i], name), expected, atol=1e-6)


def test_a_layer_without_gradient_is_refused_in_a_batch_too() -> None:
    """Where the score does not depend on the layer, the error is the same for one image and for several."""
    bound: Any = saliency.adapt(Twice(detached=True)).at([1], ["second"])
    for images in (IMAGES[:1], IMAGES):
        with pytest.raises(saliency.NoGradient):
            bound.layers(images)


@pytest.mark.parametrize("method", ["grad_cam", "layer_cam", "eigen_cam"])
def test_the_second_pass_over_one_image_intercepts_no_operators(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first explanation records which call of the layer counts; later ones take a hook, with the same map."""
    entered = []
    watch = Captured.__enter__

    def counted(self: Captured) -> Any:
        entered.append(self)
        return watch(self)

    monkeypatch.setattr(Captured, "__enter__", counted)
    adapted = saliency.adapt(small_net())
    first, second = (saliency.explain(adapted, picture(), method, 1, progress=False).mask for _ in range(2))
    before = len(entered)
    third = saliency.explain(adapted, picture(), method, 1, progress=False).mask

    assert before > 0
    assert len(entered) == before
    near(second, first)
    near(third, first)


class Attending(nn.Module):
    """Attention over the pixels of a picture, and a linear layer."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout, self.head = dropout, nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)[:, None]
        mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=self.dropout)
        return self.head(mixed[:, 0].mean(1))


@pytest.mark.parametrize(("dropout", "draws"), [(0.0, False), (0.5, True)])
def test_attention_without_dropout_draws_nothing(dropout: float, draws: bool) -> None:
    """Only attention with dropout draws random numbers, which are then intercepted in every pass."""
    adapted = saliency.adapt(Attending(dropout).eval())
    found = [saliency.explain(adapted, picture(), "gradient", 1, progress=False) for _ in range(2)]

    assert any("random" in note for note in found[0].notes) == draws
