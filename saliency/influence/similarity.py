"""The part of one image that resembles another, as maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.api.prepare import Prepared
from saliency.core.cam import stretch
from saliency.datasets.features import layer_of
from saliency.errors import Unsupported
from saliency.influence.nearest_neighbours import unit_rows
from saliency.results.explanation import Explanation


def shared_parts(one: Prepared, other: Prepared, name: str) -> tuple[Explanation, Explanation]:
    """Return for each of two images the map of its resemblance to the other.

    Args:
        one: the model with a picture.
        other: the same model with the other image.
        name: of the other image.

    Raises:
        UnknownName: the model has no layer with a spatial grid.
    """
    adapted: Any = one.adapted
    layer = layer_of(adapted, None, one.images)
    bound = adapted.at((), [layer])
    values = []
    for each in (one, other):
        with adapted.lock:
            (found,) = bound.activations(each.images)
        values.append(np.asarray(adapted.ops.tohost(found))[0])
    if any(each.ndim != 3 for each in values):
        raise Unsupported(f"The values of {layer!r} have no grid on these images.")
    means = [each.mean((0, 1)) for each in values]
    maps = [unit_rows(mine) @ unit_rows(theirs) for mine, theirs in zip(values, means[::-1], strict=True)]
    titles = f"resembles training image {name}", "resembles the picture"
    return _explanation(one, maps[0], layer, titles[0]), _explanation(other, maps[1], layer, titles[1])


def _explanation(prepared: Prepared, cosines: np.ndarray, layer: str, title: str) -> Explanation:
    """Return a map (h, w) on an image."""
    picture: Any = prepared.picture
    height, width = picture.fed.shape[1:3]
    mask = stretch(cosines.shape[0], height) @ cosines @ stretch(cosines.shape[1], width).T
    return Explanation(
        mask=mask.astype(np.float32),
        method="similarity",
        caption="cosine of features",
        target=title,
        label=title,
        layer=layer,
        score=float(cosines.mean()),
        sign="positive",
        picture=picture.shown,
        placement=picture.placement,
        notes=(f"cosine of the features at each place of {layer} with the other image's mean features",),
    )
