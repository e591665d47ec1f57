"""Scores of the bound targets, from a torch model's outputs."""

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
    """Return the scores (k, N), in the model's own type.

    Args:
        raw: the model's outputs.
        targets: k of them.
        count: of the images, N.
        arrays: the functions that read torch's tensors.
        choice: selects the output to explain.
        spy: has recorded the model's last activation, if targets read the logits before it.
        unit: returns the values (N,) of a unit of a layer.
    """
    rows = []
    for target in targets:
        if isinstance(target, Unit):
            row = unit(target)
        elif isinstance(target, OfScores):
            scores = choice.rows(raw, count)
            logits = spy.logits(scores)
            row = target(scores if logits is None else logits)
        else:
            row = target(choice.given(raw))
        rows.append(one_number_each(row, target, arrays, count))
    return torch.stack(rows)
