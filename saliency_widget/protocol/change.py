"""The `change` message, see docs/widget-protocol.md."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

import saliency
from saliency_widget.pictures.placement import Placement
from saliency_widget.pictures.selection import of_mask
from saliency_widget.protocol.messages import Message, finite, message, readable

MOST_SETS = 8
"""Maximum number of sets of segments in a message."""


def change_message(change: saliency.Counterfactual, placement: Placement, known: Collection[str] = ()) -> Message:
    """Return the `change` of a counterfactual, with its sets of segments as selections of the shown picture.

    Args:
        change: the counterfactual.
        placement: placement of the model's input in the shown picture.
        known: notes that are shown elsewhere.
    """
    masks = [change.mask_of(each) for each in (change.segments, *change.others)[:MOST_SETS]]
    return message(
        "change",
        sentence=readable(change.sentence),
        label=readable(change.label),
        percent=change.percent,
        before=finite(change.before),
        after=finite(change.after),
        minimal=change.minimal,
        smallest=change.smallest,
        images=change.calls,
        notes=[readable(each) for each in change.notes if each not in known],
        sets=[of_mask(_upright(each, placement)) for each in masks],
    )


def _upright(mask: np.ndarray, placement: Placement) -> np.ndarray:
    """Return a mask of the model's input in the orientation of the shown picture."""
    return mask if placement.turn is None else placement.turn(mask, 0)
