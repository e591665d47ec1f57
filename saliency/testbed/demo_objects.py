"""The bed of the demo network: objects on photographs, with exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from saliency import demo
from saliency.testbed.bed import Bed, Gate
from saliency.testbed.scene import BACKGROUND, Scene

SIDE = 160
"""Height and width of the pictures: the network was trained on 112 to 224."""


class DemoObjects(Bed):
    """The bundled network on two objects and a distractor, pasted on photographs that it never saw.

    The target is the object with the highest score, the other object is its contrast. A distractor is a piece of a
    photograph in the outline of an object. Training pictures had any number of objects and distractors, so pictures
    without one of them stay in the training distribution.
    """

    id = "demo_objects"
    group = "demo"
    title = "Objects on photographs"
    known = (
        "The network decides by the pasted objects, whose masks are exact: removing the target's object lowers its "
        "score more than removing any other part. Distractors and other backgrounds change it little."
    )

    @cached_property
    def model(self) -> Any:
        """The demo network, a torch module of (N, 3, H, W) in 0–1."""
        return demo.model()

    @property
    def labels(self) -> Sequence[str]:
        """Names of the objects."""
        return demo.labels

    @cached_property
    def studio(self) -> Any:
        """The cut objects, and the photographs that were not used in training."""
        from saliency.demo.outlines import TEST_BACKGROUNDS
        from saliency.demo.studio import Studio

        return Studio(TEST_BACKGROUNDS)

    def scenes(self, count: int, seed: int = 0) -> Sequence[Scene]:
        found: list[Scene] = []
        attempt = 0
        while len(found) < count:
            scene = self._scene(np.random.default_rng([seed, 15, attempt]))
            found += [] if scene is None else [scene]
            attempt += 1
        return found

    def gates(self) -> Sequence[Gate]:
        """The network finds the objects, and depends on them."""
        from saliency.testbed.networks import removals

        scenes = self.scenes(48, seed=1)
        found = list(zip(scenes, removals(self.model, scenes), strict=True))
        drops = [{name: each.drop(name, scene.target) for name in scene.parts} for scene, each in found]
        own = [self.labels[scene.target] for scene in scenes]
        effect = float(np.mean([each[name] for name, each in zip(own, drops, strict=True)]))

        def present(part: str = "") -> float:
            top = [self.labels[int((each.without[part] if part else each.full).argmax())] for _, each in found]
            return float(np.mean([label in scene.parts for label, scene in zip(top, scenes, strict=True)]))

        def size(part: str) -> float:
            return float(np.mean([abs(each[part]) for each in drops])) / effect

        return [
            Gate("The top class is an object of the picture in at least 90 % of scenes", present(), 0.9),
            Gate(
                "Of all parts, removing the target's object lowers its score most in at least 95 % of scenes",
                float(
                    np.mean([max(each, key=each.__getitem__) == name for name, each in zip(own, drops, strict=True)])
                ),
                0.95,
            ),
            Gate(
                "With another background, the top class is an object of the picture in at least 90 % of scenes",
                present(BACKGROUND),
                0.9,
            ),
            Gate(
                "Another background changes the score by at most 0.25 of the object's effect",
                size(BACKGROUND),
                0.25,
                False,
            ),
            Gate(
                "The distractor changes the score by at most 0.25 of the object's effect",
                size("distractor"),
                0.25,
                False,
            ),
        ]

    def _scene(self, random: np.random.Generator) -> Scene | None:
        """Return a scene, or None where its objects do not fit into the picture."""
        from saliency.testbed.composed import named, scene_of
        from saliency.testbed.networks import logits

        composition = self.studio.compose(random, SIDE, 2, 1)
        layers = named(composition)
        if len(layers) < 3:
            return None
        image = composition.render().astype(np.float32) / 255
        objects = sorted(
            (self.labels.index(each) for each in composition.labels), key=lambda k: -logits(self.model, [image])[0, k]
        )
        other = self.studio.background(random, SIDE)
        return scene_of(composition, layers, other, objects[0], [self.labels[objects[0]]], objects[1])
