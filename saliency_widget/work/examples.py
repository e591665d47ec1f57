"""The training images for and against an answer, from the index that was given to the widget."""

from __future__ import annotations

import sys
from typing import Any

import saliency

COUNT = 5
"""Maximum number of images for, and of images against."""

SAME = 0.005
"""Maximum difference of two values of one probability."""


def checked_index(index: Any, models: int) -> list[saliency.influence.Index | None]:
    """Return the index of training images of each model.

    Args:
        index: an Index, or a list with one for each model, or None.
        models: number of models.

    Raises:
        BadField: it is neither.
    """
    given = list(index) if isinstance(index, list | tuple) else [index] * (models if index is None else 1)
    if len(given) != models:
        raise saliency.BadField(
            f"index must be a list with an Index, or None, for each of the {models} models, got {len(given)}."
        )
    for each in given:
        if each is not None and not isinstance(each, saliency.influence.Index):
            raise saliency.BadField(
                "index must be an index of the model's training images, saliency.influence.Index(model, dataset), got "
                f"{type(each).__name__}."
            )
    return given


def influence_of(
    index: saliency.influence.Index | None, image: Any, prepared: saliency.Prepared, target: int | str
) -> saliency.influence.Influence:
    """Return the influence of the training images on the answer to a picture.

    Args:
        index: the training images.
        image: the picture, as it was given to the widget.
        prepared: the widget's model with the picture.
        target: index of the class.

    Raises:
        BadField: there is no index, or it is of another model.
    """
    if index is None:
        raise saliency.BadField(
            "The training images of this model are not known: SaliencyWidget(model, img, "
            "index=saliency.influence.Index(model, dataset))."
        )
    rows = saliency.predict(prepared.adapted, prepared.picture, top=sys.maxsize)
    if len(rows) != index.head.classes:
        raise _other_model(f"it has {index.head.classes} classes, the model {len(rows)}")
    found: saliency.influence.Influence = index.explain(image, target, COUNT)
    (own,) = (row for row in rows if row.index == found.target)
    if own.probability is not None and abs(own.probability - found.probability) > SAME:
        numbers = f"{100 * found.probability:.1f} % for {found.label}, the model {100 * own.probability:.1f} %"
        raise _other_model(f"it gives {numbers}")
    return found


def _other_model(difference: str) -> saliency.BadField:
    return saliency.BadField(
        f"The index is of another model, or was made with another preprocess: {difference}. Make it with this model: "
        "saliency.influence.Index(model, dataset, preprocess=…)."
    )
