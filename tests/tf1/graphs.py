"""Graphs of TensorFlow 1 for the tests of `saliency.tf1`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.pair import model as by_hand
from tests.pair.cases import crop, scaled

TARGET = 1


@dataclass(frozen=True)
class Bound:
    """A graph, a session of it, and its tensors; `gain` multiplies the score, and is 1 unless it is fed."""

    graph: Any
    session: Any
    y: Any
    x: Any
    layer: Any
    gain: Any

    def make(self, name: str, session: Any = None) -> Any:
        """A class of `saliency.tf1`, bound to this graph."""
        tf1 = importlib.import_module("saliency.tf1")
        last = (self.layer,) if name == "GradCam" else ()
        return getattr(tf1, name)(self.graph, session or self.session, self.y, self.x, *last)


def image(dtype: str = "float64") -> Any:
    """(16, 18, 3) in [0, 1]."""
    return scaled(crop()[4:20, 6:24], dtype)


def pair_model(dtype: str = "float64", batch: int | None = None, *, scalar: bool = False) -> Bound:
    """`tests.pair.model.Model` as a graph, with a score for each image of the batch or a single one.

    Args:
        dtype: of all tensors.
        batch: a fixed size of it.
        scalar: y is the score of the first image, without axes.
    """
    import tensorflow as tf

    numbers = by_hand.Model()
    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(dtype, (batch, *image().shape), "x")
        gain = tf.compat.v1.placeholder_with_default(np.ones((), dtype), (), "gain")
        taken = tf.nn.conv2d(x, numbers.kernel.astype(dtype), by_hand.STRIDE, "VALID")
        layer = tf.nn.softplus(taken + numbers.bias.astype(dtype))
        window = by_hand.smooth_window(tuple(layer.shape.as_list()[1:3])).astype(dtype)[None, :, :, None]
        pooled = tf.reduce_sum(layer * window, (1, 2))
        hidden = tf.nn.softplus(pooled @ numbers.hidden.astype(dtype) + numbers.offset.astype(dtype))
        y = gain * (hidden @ numbers.readout.astype(dtype))[:, TARGET]
        y = y[0] if scalar else y
        session = tf.compat.v1.Session(graph=graph)
    return Bound(graph, session, y, x, layer, gain)
