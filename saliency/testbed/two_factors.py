"""Two beds of the same pictures: one network reads the object, the other the background.

After BAM (Yang & Kim 2019, arXiv:1907.09701).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np

from saliency.testbed.bed import Bed, Gate
from saliency.testbed.scene import BACKGROUND, Scene

SIDE = 80
"""Height and width of the pictures."""

OBJECTS = "astronaut", "cat", "coffee cup", "motorcycle", "space shuttle"
TEXTURES = "brick", "grass", "gravel", "print", "stars", "tissue"

GROUNDS = {
    "brick": ("brick.png", (0, 0, 290, 512), "brick.png", (300, 0, 512, 512)),
    "grass": ("grass.png", (0, 0, 290, 512), "grass.png", (300, 0, 512, 512)),
    "gravel": ("gravel.png", (0, 0, 290, 512), "gravel.png", (300, 0, 512, 512)),
    "print": ("page.png", (0, 0, 384, 191), "text.png", (0, 0, 448, 172)),
    "stars": ("hubble_deep_field.jpg", (0, 0, 560, 872), "hubble_deep_field.jpg", (580, 0, 1000, 872)),
    "tissue": ("ihc.png", (0, 0, 290, 512), "ihc.png", (300, 0, 512, 512)),
}
"""By texture, the photograph and its region (left, top, right, bottom) for training, and those for scenes."""


class Studios(NamedTuple):
    """Where the pictures come from."""

    grounds: Any
    """Holds one background for each of :data:`TEXTURES`."""
    pieces: Any
    """Holds the objects, and photographs of which distractors are cut: none of the textures."""


@cache
def studios(training: bool) -> Studios:
    """Return the studios of training pictures, or of scenes."""
    from saliency.demo.studio import Studio

    crops = tuple((each[0], each[1]) if training else (each[2], each[3]) for each in map(GROUNDS.__getitem__, TEXTURES))
    pieces = (("rocket.jpg", (0, 0, 300, 427)), ("rocket.jpg", (345, 0, 640, 427)), ("moon.png", (0, 0, 512, 512)))
    return Studios(Studio(crops, scale=0.5), Studio(pieces, scale=0.5))


class TwoFactors(Bed):
    """A network that reads one of two factors: the object, or the texture of the background.

    Each scene has one object and one distractor, a piece of another photograph in the outline of an object. In
    training, all pairs of an object and a background were equally frequent, and a fifth of the pictures had no object.

    Args:
        factor: "object" or "background".
    """

    group = "two factors"

    def __init__(self, factor: str) -> None:
        self.factor = factor
        self.id, self.title = f"{factor}_network", f"{factor.capitalize()} network"
        other = BACKGROUND if factor == "object" else "object"
        self.known = (
            f"Trained to name the {factor}, whatever the {other}: exchanging the {factor} changes the decision, and "
            f"exchanging the {other} does not. The pictures of both networks are the same."
        )

    @cached_property
    def model(self) -> Any:
        """A torch module of (N, 3, 80, 80)."""
        from saliency.testbed.networks import WEIGHTS, load

        return load(WEIGHTS / f"{self.id}.npz")

    @property
    def labels(self) -> Sequence[str]:
        return OBJECTS if self.factor == "object" else TEXTURES

    def scenes(self, count: int, seed: int = 0) -> Sequence[Scene]:
        found: list[Scene] = []
        attempt = 0
        while len(found) < count:
            scene = self._scene(np.random.default_rng([seed, 2, attempt]))
            found += [] if scene is None else [scene]
            attempt += 1
        return found

    def gates(self) -> Sequence[Gate]:
        """The network names its factor, and depends on it alone."""
        from saliency.testbed.networks import removals

        scenes = self.scenes(96, seed=1)
        own, other = ("object", BACKGROUND) if self.factor == "object" else (BACKGROUND, "object")
        found = list(zip(scenes, removals(self.model, scenes), strict=True))
        drops = {part: np.array([each.drop(part, scene.target) for scene, each in found]) for part in scenes[0].parts}

        def decided(part: str = "") -> float:
            return float(np.mean([each.decides(scene.target, part) for scene, each in found]))

        def same(part: str) -> float:
            return float(np.mean([each.full.argmax() == each.without[part].argmax() for _, each in found]))

        most = np.argmax(list(drops.values()), 0) == list(drops).index(own)
        return [
            Gate(f"The network names the {self.factor} in at least 90 % of scenes", decided(), 0.9),
            Gate(f"Exchanging or removing the {other} keeps at least 90 % of decisions", same(other), 0.9),
            Gate("Removing the distractor keeps at least 90 % of decisions", same("distractor"), 0.9),
            Gate(f"Without the {self.factor}, at most 25 % of decisions stay", decided(own), 0.25, at_least=False),
            Gate(
                f"Of all parts, the {self.factor} has the largest effect on the score in at least 95 % of scenes",
                float(most.mean()),
                0.95,
            ),
        ]

    def _scene(self, random: np.random.Generator) -> Scene | None:
        """Return a scene; None where its pieces do not fit into the picture."""
        from saliency.testbed.composed import scene_of

        label, (texture, another) = OBJECTS[random.integers(len(OBJECTS))], random.permutation(len(TEXTURES))[:2]
        grounds, pieces = studios(training=False)
        background, other = (grounds.background(random, SIDE, each) for each in (texture, another))
        composition = pieces.arrange(random, background, [label, None])
        if len(composition.layers) < 2:
            return None
        layers = dict(zip(("object", "distractor"), composition.layers, strict=True))
        if self.factor == "object":
            return scene_of(composition, layers, other, OBJECTS.index(label), ["object"])
        return scene_of(composition, layers, other, int(texture), [BACKGROUND])
