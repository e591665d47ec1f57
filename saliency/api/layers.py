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
    """The layers of a model with a spatial grid, in the order they are called: what ``layer=`` may name.

    Args:
        model: see :func:`saliency.adapt`.
        image: to ask the model with; without one, grey of the size the model says it was made for, or 224×224.
        preprocess: from the image to what the model is fed.
        output: which of several outputs the layers must lead to, see :func:`saliency.adapt`.
    """
    adapted = adapt(model, output=output)
    if (why := lacking(adapted, Layered)) is not None:
        raise Unsupported(f"The layers cannot be listed: {why}.")
    height, width = adapted.size or (224, 224)
    picture = picture_for(np.full((height, width), 0.5) if image is None else image, preprocess, adapted)
    with adapted.lock:
        return LayerTable(LayerInfo(*row) for row in adapted.layer_table(adapted.ops.asarray(picture.fed)))
