"""The `concepts` message, see docs/widget-protocol.md."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

import saliency
from saliency_widget.pictures.placement import Placement, Size
from saliency_widget.protocol.channels import levels_of
from saliency_widget.protocol.messages import Message, finite, message, readable


def concepts_message(
    found: saliency.concepts.ConceptScores,
    maps: Sequence[saliency.concepts.ConceptMap],
    layers: Sequence[str],
    placement: Placement,
    fed: Size,
    known: Collection[str] = (),
) -> Message:
    """Return the `concepts` that were tested at one layer for one picture, with their maps.

    Args:
        found: the scores.
        maps: the maps, in the order of the scores; none for a layer without a grid.
        layers: names of the layers that can be chosen.
        placement: placement of the model's input in the shown picture.
        fed: height and width of the model's input.
        known: notes that are shown elsewhere.
    """
    order = sorted(range(len(found)), key=lambda i: -found.rows[i].sensitivity)
    levels = levels_of([maps[i].presence for i in order] if maps else [], placement, fed)
    rows = [found.rows[i] for i in order]
    fields = message(
        "concepts",
        layer=rows[0].layer,
        layers=list(layers),
        label=readable(found.label),
        sets=found.sets,
        alpha=found.alpha,
        notes=[readable(each) for each in found.notes if each not in known],
        place=list(placement.rectangle),
        shape=list(levels[0].shape) if levels else None,
        concepts=[
            {
                "name": readable(each.concept),
                "sensitivity": finite(each.sensitivity),
                "low": finite(each.band[0]),
                "high": finite(each.band[1]),
                "p": finite(each.p),
                "significant": bool(each.significant),
                "accuracy": finite(each.accuracy),
            }
            for each in rows
        ],
    )
    return Message(fields.fields, {"maps": np.stack(levels)} if levels else {})
