"""The two test-beds of birds: the same pictures, a convolutional network and a vision transformer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency.metrics.metric import Metric
from saliency.testbed.bed import Bed, Gate
from saliency.testbed.birds.backgrounds import Background
from saliency.testbed.birds.pictures import CLASSES, PARTS, Picture, random_picture
from saliency.testbed.measures import measures_of
from saliency.testbed.scene import BACKGROUND, Scene

LABELS = tuple(f"bird {chr(ord('A') + i)}" for i in range(len(CLASSES)))
"""Names of the classes."""

_GATED = 32  # number of scenes on which the gates are measured
_HELD_OUT = 20231  # of the seeds of scenes, which differ from those of training


class Birds(Bed):
    """A network that tells sixteen classes of birds apart, each a combination of five exchangeable parts.

    Args:
        kind: "cnn" or "vit".
    """

    group = "birds"
    known = (
        "Each class is a combination of a beak, an eye, a foot, a tail and a wing; all else is random. Pictures with "
        "parts removed were trained on, so the effect of each part is measured by drawing the bird without it."
    )

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.id = f"birds_{kind}"
        self.title = f"Birds of exchangeable parts, {kind.upper().replace('VIT', 'ViT')}"

    @cached_property
    def model(self) -> Any:
        from saliency.testbed.birds.networks import load

        return load(self.kind)

    @property
    def labels(self) -> Sequence[str]:
        return LABELS

    def scenes(self, count: int, seed: int = 0) -> Sequence[Scene]:
        return [scene_of(picture(i, seed), i % len(CLASSES)) for i in range(count)]

    def measures(self, scene: Scene) -> Mapping[str, Metric]:
        """Return the metrics that exact removal of parts allows, by id.

        As in FunnyBirds, only those on what is irrelevant consider the objects and the background.
        """
        of_birds = replace(scene, parts={name: pixels for name, pixels in scene.parts.items() if name in PARTS})
        return measures_of(of_birds) | {
            name: measure for name, measure in measures_of(scene).items() if name in _OF_ALL_PARTS
        }

    def gates(self) -> Sequence[Gate]:
        from saliency.testbed.networks import logits

        pictures = [picture(i, _HELD_OUT) for i in range(_GATED)]
        targets = np.arange(_GATED) % len(CLASSES)
        rng = np.random.default_rng(_HELD_OUT)
        elsewhere = [Picture(each.bird, Background.random(rng, each.size)) for each in pictures]

        def scores(drawn: Sequence[Picture], without: Collection[str] = ()) -> NDArray[np.float32]:
            return logits(self.model, [each.draw(without) for each in drawn])

        of_target = np.arange(_GATED), targets
        full, moved, bare = scores(pictures), scores(elsewhere), scores(pictures, PARTS)
        right = full.argmax(1) == targets
        total = (full - bare)[of_target]
        effects = {}
        for name in PARTS:
            last = (full - scores(pictures, [name]))[of_target]
            first = (scores(pictures, set(PARTS) - {name}) - bare)[of_target]
            effects[name] = (first + last) / 2
        often = {name: float((effect > 0).mean()) for name, effect in effects.items()}
        share = {name: float(effect.mean() / total.mean()) for name, effect in effects.items()}
        rarest, weakest = (min(found, key=lambda name: found[name]) for found in (often, share))
        accuracy, changed = (0.95, 0.05) if self.kind == "cnn" else (0.9, 0.1)
        return [
            Gate(f"The network recognises at least {100 * accuracy:.0f} % of birds.", float(right.mean()), accuracy),
            Gate(
                "It recognises at most 15 % of birds without their five parts (chance: 6 %).",
                float((bare.argmax(1) == targets).mean()),
                0.15,
                at_least=False,
            ),
            Gate(
                f"Another background changes the decision for at most {100 * changed:.0f} % of birds.",
                float((moved.argmax(1) != full.argmax(1)).mean()),
                changed,
                at_least=False,
            ),
            # mean of the effects as the first part of the bird, and as the last: some parts make others redundant
            Gate(
                f"A part of any kind raises the score of at least 80 % of birds (the least often: {rarest}).",
                often[rarest],
                0.8,
            ),
            Gate(
                f"The weakest kind has at least 5 % of the effect of all parts (the weakest: {weakest}).",
                share[weakest],
                0.05,
            ),
        ]


_LEAST = 32  # pixels of an object
_OF_ALL_PARTS = ("distractibility", "background_share")


def picture(index: int, seed: int) -> Picture:
    """Return a picture of a test-bed; classes take turns."""
    rng = np.random.default_rng((_HELD_OUT, seed, index))
    return random_picture(rng, index % len(CLASSES))


def scene_of(drawn: Picture, target: int) -> Scene:
    """Return a picture with its parts: those of the bird, the objects, and the ground as the background.

    Its contrast is a class that shares exactly two parts with the target.
    """
    image, masks = drawn.drawn()
    # objects that the bird hides, or of which little is in the picture, are no parts of it
    seen = [name for name in drawn.things if masks[name].sum() >= _LEAST]
    parts = {name: masks[name] for name in (*PARTS, *seen, BACKGROUND)}
    truth = np.logical_or.reduce([masks[name] for name in PARTS])
    return Scene(image, target, truth, parts, drawn.draw, rivals(target)[0])


def shared(one: int, other: int) -> frozenset[str]:
    """Return the kinds of parts in which two classes are equal."""
    return frozenset(name for name, a, b in zip(PARTS, CLASSES[one], CLASSES[other], strict=True) if a == b)


def rivals(target: int) -> tuple[int, int]:
    """Return two classes that share exactly two parts with a class, but not the same."""
    of_two = [i for i in range(len(CLASSES)) if len(shared(i, target)) == 2]
    return next((a, b) for a, b in combinations(of_two, 2) if not shared(a, target) & shared(b, target))


@cache
def minimal_sets(target: int) -> tuple[tuple[str, ...], ...]:
    """Return the smallest sets of parts that no other class has: without any of its parts, a set is not enough."""
    others = [shared(target, i) for i in range(len(CLASSES)) if i != target]
    found: list[tuple[str, ...]] = []
    for size in range(1, len(PARTS) + 1):
        for names in combinations(PARTS, size):
            if not any(each.issuperset(names) for each in others) and not any(
                set(each) <= set(names) for each in found
            ):
                found.append(names)
    return tuple(found)
