"""Scenes of objects cut from photographs and pasted onto other photographs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saliency.demo.studio import Composition, Layer
from saliency.testbed.scene import BACKGROUND, Scene


def named(composition: Composition) -> dict[str, Layer]:
    """Return the layers by name: the label, or "distractor" with a number from the second on."""
    found: dict[str, Layer] = {}
    for layer in composition.layers:
        name = str(layer.label or "distractor")
        number = sum(each.rstrip(" 0123456789") == name for each in found)
        found[f"{name} {number + 1}" if number else name] = layer
    return found


def scene_of(
    composition: Composition,
    layers: Mapping[str, Layer],
    other: Image.Image,
    target: int,
    reasons: Iterable[str],
    contrast: int | None = None,
) -> Scene:
    """Return a scene whose parts are the layers of a composition, and the background.

    Args:
        composition: the picture in parts.
        layers: its layers by name.
        other: the background that stands there when the part :data:`BACKGROUND` is removed.
        target: index of the class to explain.
        reasons: names of the parts on which the score of the target depends.
        contrast: see :class:`Scene`.
    """

    def render(without: frozenset[str]) -> NDArray[np.float32]:
        drawn = replace(composition, background=other) if BACKGROUND in without else composition
        picture = drawn.render(*(layer for name, layer in layers.items() if name in without))
        return picture.astype(np.float32) / np.float32(255)

    parts = {name: composition.mask(layer) for name, layer in layers.items()}
    parts[BACKGROUND] = ~np.logical_or.reduce(list(parts.values()))
    truth = np.logical_or.reduce([parts[name] for name in reasons])
    return Scene(render(frozenset()), target, truth, parts, render, contrast)
