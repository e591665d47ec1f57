from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn

import saliency
from tests.nets import LABELS, SmallNet, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import PATIENCE


def train(net: SmallNet, steps: int) -> list[bool]:
    """Run some steps of plain training; return the training mode of each part at each step."""
    torch.manual_seed(1)
    images, classes = torch.rand(8, 3, 24, 20), torch.arange(8) % 4
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    modes = []
    net.train()
    for _ in range(steps):
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(images), classes).backward()
        modes.append(all(part.training for part in net.modules()))
        optimiser.step()
    return modes


AFFORDABLE = 500
"""Maximum number of images that a method evaluates here."""


def test_the_model_is_left_as_it_was(make: Make) -> None:
    """Mode, hooks, gradients and weights are unchanged by a method of every family."""
    net = small_net().train()
    before = copy.deepcopy(net.state_dict())
    widget = make(net, labels=LABELS)

    offered = {each["id"]: each for each in widget.spec["methods"]}
    possible = [
        each
        for each in saliency.methods()
        if each.id in offered and offered[each.id]["lacks"] == [""] and offered[each.id]["cost"] < AFFORDABLE
    ]
    families = {each.family: each.id for each in reversed(possible)}

    for method in families.values():
        widget.compute(method, 1, wait=True)

    assert len(families) >= 7

    assert all(part.training for part in net.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())
    assert not any(part._forward_hooks or part._backward_hooks or part._forward_pre_hooks for part in net.modules())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_training_goes_on_undisturbed(make: Make) -> None:
    """A training loop next to a widget takes the same steps as alone."""
    alone, beside = small_net(), small_net()
    train(alone, 60)
    widget = make(beside, labels=LABELS)
    for method in ("smooth_grad", "integrated_gradients", "occlusion", "grad_cam"):
        widget.compute(method, 1)

    modes = train(beside, 60)

    assert widget.wait(PATIENCE)
    assert all(modes)
    assert len(widget.explanations) == 4
    for name, value in beside.state_dict().items():
        torch.testing.assert_close(value, alone.state_dict()[name])


def test_results_computed_meanwhile_are_recomputed(make: Make) -> None:
    """After training, a result is that of the trained model."""
    net = small_net()
    widget = make(net, labels=LABELS)
    widget.compute("gradient", 1)
    train(net, 5)
    widget.wait(PATIENCE)
    net.eval()

    again = widget.compute("gradient", 1, wait=True)

    fresh = make(net, labels=LABELS).compute("gradient", 1, wait=True)
    np.testing.assert_allclose(again.mask, fresh.mask, atol=1e-7)
    assert picture().shape == again.picture.shape
