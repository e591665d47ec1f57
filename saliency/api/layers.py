"""List the layers of a model."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.adapters import adapt
from saliency.api.feeding import picture_for
from saliency.errors import Unsupported
from saliency.model.protocols import Layered, lacking
from saliency.pictures.presets import Preprocess
from saliency.results.tables import LayerInfo, LayerTable


def layers(model: Any, image: Any = None, *, preprocess: Preprocess | None = None, output: Any = None) -> LayerTable:
    """Return the layers of a model that have a spatial grid, in calling order: the possible values of ``layer=``.

    Args:
        model: see :func:`saliency.adapt`.
        image: input of the trial call; by default grey, of the size the model declares, or 224×224.
        preprocess: from the image to the model's input.
        output: which of several outputs the layers must contribute to, see :func:`saliency.adapt`.
    """
    adapted = adapt(model, output=output)
    if (why := lacking(adapted, Layered)) is not None:
        raise Unsupported(f"The layers cannot be listed: {why}.")
    height, width = adapted.size or (224, 224)
    picture = picture_for(np.full((height, width), 0.5) if image is None else image, preprocess, adapted)
    with adapted.lock:
        return LayerTable(LayerInfo(*row) for row in adapted.layer_table(adapted.ops.asarray(picture.fed)))
