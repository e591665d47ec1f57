"""Scores of the bound targets, from what a torch model returned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from saliency.adapters.answers import Arrays, one_number_each
from saliency.adapters.outputs import Choice
from saliency.adapters.torch.trace import LastActivation
from saliency.model.protocols import Target
from saliency.targets import OfScores, Unit


def scores_of(
    raw: Any,
    targets: Sequence[Target],
    count: int,
    *,
    arrays: Arrays,
    choice: Choice,
    spy: LastActivation,
    unit: Callable[[Unit], Tensor],
) -> Tensor:
    """Return the scores (k, N), in whatever type they came.

    Args:
        raw: what the model returned.
        targets: k of them.
        count: of the images, N.
        arrays: how torch's are read.
        choice: which of several outputs is explained.
        spy: has seen the activation that the model ends in, where targets read the logits before it.
        unit: gives (N,) of a unit of a layer.
    """
    rows = []
    for target in targets:
        if isinstance(target, Unit):
            row = unit(target)
        elif isinstance(target, OfScores):
            said = choice.rows(raw, count)
            logits = spy.logits(said)
            row = target(said if logits is None else logits)
        else:
            row = target(choice.given(raw))
        rows.append(one_number_each(row, target, arrays, count))
    return torch.stack(rows)
