"""Which changes of a torch module are noticed, and at what cost where there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from saliency.adapters.torch import changes
from saliency.adapters.torch.working_copy import WorkingCopy


def net() -> Any:
    """Return a network with a shared part, a buffer, an attribute and a hook."""
    torch.manual_seed(0)
    part = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5))
    part[0].register_forward_hook(lambda *call: None)
    whole: Any = nn.Sequential(part, nn.ReLU(), part, nn.Flatten(), nn.Linear(4, 2)).eval()
    whole.kept, whole.label = torch.ones(3), "1" * 5000
    return whole


def turned_half(whole: Any) -> None:
    """Replace the memory of all weights, which keep their objects."""
    whole.half()


CHANGES: dict[str, Callable[[Any], object]] = {
    "a part": lambda whole: setattr(whole, "4", nn.Linear(4, 2)),
    "one more part": lambda whole: whole.append(nn.Softmax(1)),
    "a part less": lambda whole: whole.pop(1),
    "a parameter": lambda whole: setattr(whole[0][0], "bias", nn.Parameter(torch.zeros(4))),
    "no parameter": lambda whole: setattr(whole[0][0], "bias", None),
    "memory of a parameter": lambda whole: setattr(whole[4].weight, "data", whole[4].weight.data.clone()),
    "shape of a parameter": lambda whole: setattr(whole[4].weight, "data", whole[4].weight.data.view(4, 2)),
    "a buffer": lambda whole: setattr(whole[0][1], "running_mean", torch.ones(4)),
    "one more buffer": lambda whole: whole.register_buffer("more", torch.ones(1)),
    "type of all tensors": turned_half,
    "an attribute": lambda whole: setattr(whole[0][2], "p", 0.25),
    "one more attribute": lambda whole: setattr(whole[1], "note", "new"),
    "a tensor attribute": lambda whole: setattr(whole, "kept", torch.ones(3)),
    "a mode": lambda whole: whole[0][2].train(),
    "a hook": lambda whole: whole[1].register_forward_hook(lambda *call: None),
    "a hook before": lambda whole: whole[1].register_forward_pre_hook(lambda *call: None),
    "a hook less": lambda whole: whole[0][0]._forward_hooks.popitem(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed_once(change: str) -> None:
    """The copy is renewed after any change of the tree, and only once."""
    whole = net()
    working = WorkingCopy(whole)
    assert not working.renew()
    edition = working.edition

    CHANGES[change](whole)

    assert working.renew()
    assert working.edition != edition
    assert not working.renew()


def test_an_equal_value_is_no_change() -> None:
    """An attribute that is set to an equal text or number leaves the copy as it is, and is compared once."""
    whole = net()
    working = WorkingCopy(whole)
    copied = working.module
    whole.label = "1" * 4999 + "1"

    assert not working._seen.holds()
    assert not working.renew()
    assert working.module is copied
    assert working._seen.holds()


def test_values_of_weights_are_no_change() -> None:
    """Writing to weights changes the version, not the tree: the copy shares their memory."""
    whole = net()
    working, version = WorkingCopy(whole), changes.version_of(whole)
    with torch.no_grad():
        whole[4].weight.add_(1)

    assert not working.renew()
    assert changes.version_of(whole) != version
    assert torch.equal(working.module[4].weight, whole[4].weight)  # type: ignore[index]


def test_an_unchanged_tree_is_not_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a change no fingerprint is made: only the identity of objects and the memory of tensors is compared."""
    working = WorkingCopy(net())
    made: list[object] = []
    monkeypatch.setattr(changes.Seen, "fingerprint", property(made.append))

    assert not any(working.renew() for _ in range(3))
    assert made == []
