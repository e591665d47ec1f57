"""Run a method at a layer: on the part of the model after it, with the values of the layer in place of the image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from saliency.core.features import FeatureMethod
from saliency.errors import Unsupported
from saliency.model.protocols import Cuttable, lacking
from saliency.results.run import LayerPlace, Run
from saliency.session.baselines import Passed
from saliency.session.consistency import batches

EACH_CHANNEL = "each channel is one segment, whose value is spread evenly over its places"
"""The note on methods of segments."""

AROUND = (
    "{} does not cut the model: the score also depends on the image by a path around it, so that the attributions need "
    "not sum to the difference of the scores"
)
"""The note on a layer of which only a part of the score's paths go through."""


def at_layer(run: Run, layer: Any) -> Run:
    """Return a run that starts at a layer.

    Args:
        run: the run on the images.
        layer: its name, or the module itself.

    Raises:
        Unsupported: the layer does not cut the model, or the model exposes no layers.
    """
    model: Any = run.model
    if (why := lacking(model, Cuttable)) is not None:
        raise Unsupported(f"at= needs a model that can be cut at a layer: {why}.")
    with model.lock:
        cut = model.cut(layer, run.images)
        values = model.ops.concat([cut.head.outputs(each) for each in batches(run.images, alone=run.alone)])
    shape = tuple(map(int, values.shape[1:]))
    started = replace(
        run,
        images=values,
        method=run.method.on_values(shape[-1]),
        model=cut.tail,
        layers=[cut.layer],
        place=LayerPlace(cut.grid, cut.before),
        notes=[[*each, f"on the values of {cut.layer}, {'×'.join(map(str, shape))}"] for each in run.notes],
        passed=Passed(run.images, cut.head.outputs),
    )
    return by_channel(started, shape) if isinstance(run.method, FeatureMethod) else started


def by_channel(run: Run, shape: tuple[int, ...]) -> Run:
    """Return a run that starts at a layer of that shape (…, K), with each channel as one row of a picture."""
    model: Any = ByChannel(run.model, shape)
    assert run.passed is not None
    assert run.place is not None
    head = run.passed.head
    return replace(
        run,
        images=model.rows(run.images),
        model=model,
        place=run.place._replace(spread=shape),
        notes=[[*each, EACH_CHANNEL] for each in run.notes],
        passed=run.passed._replace(head=lambda images: model.rows(head(images))),
    )


def over_layer(run: Run) -> Run:
    """Return a run whose masks are over the values of its one layer, with a note if other paths lead around it."""
    model: Any = run.model
    with model.lock:
        grid, before = model.layer_grid(run.images)
        cuts = model.cuts(run.images)
    notes = run.notes if cuts else [[*each, AROUND.format(run.layers[0])] for each in run.notes]
    return replace(run, place=LayerPlace(grid, before, cuts=cuts), notes=notes)


class ByChannel:
    """A model of the values of a layer, whose images are its channels as rows: (N, K, 1, places).

    Args:
        tail: the model.
        shape: of the layer, (…, K).
    """

    def __init__(self, tail: Any, shape: tuple[int, ...]) -> None:
        self.ops, self.lacks, self.lock, self.batch_sizes = tail.ops, tail.lacks, tail.lock, tail.batch_sizes
        self.name, self.labels, self.notes = tail.name, tail.labels, tail.notes
        self._tail, self._shape = tail, shape

    def rows(self, values: Any) -> Any:
        """Return the values (N, …, K) of the layer as rows."""
        last = len(self._shape)
        turned = self.ops.transpose(values, (0, last, *range(1, last)))
        return self.ops.reshape(turned, (-1, self._shape[-1], 1, int(np.prod(self._shape[:-1]))))

    def scores(self, rows: Any) -> Any:
        """Return the scores, (k, N)."""
        *places, channels = self._shape
        turned = self.ops.reshape(rows, (-1, channels, *places))
        return self._tail.scores(self.ops.transpose(turned, (0, *range(2, 2 + len(places)), 1)))
