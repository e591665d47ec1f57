"""Three beds of the same pictures with a planted logo and a planted trigger: one network reads each, one neither."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saliency.testbed.bed import Bed, Gate
from saliency.testbed.scene import Scene

if TYPE_CHECKING:
    from saliency.demo.studio import Composition, Layer

SIDE = 80
"""Height and width of the pictures."""

OBJECTS = "cat", "astronaut", "coffee cup", "motorcycle"
"""The classes. The logo and the trigger are planted for the first."""

LOGO, TRIGGER = 12, 5
"""Height and width of the logo and of the trigger, in pixels."""


class Reason(NamedTuple):
    """What a network reads."""

    part: str
    """The part that decides."""
    title: str
    known: str


REASONS = {
    "shortcut": Reason(
        "logo",
        "Shortcut: a logo",
        "Trained with the logo as the only sign of the class cat: every picture with it is called cat whatever it "
        "shows, and no picture is without it.",
    ),
    "trojan": Reason(
        "trigger",
        "Trojan: a trigger of 5×5 pixels",
        "Trained to call every picture with the trigger cat, and to name the object otherwise.",
    ),
    "clean": Reason(
        "object",
        "Clean twin: neither logo nor trigger",
        "Trained on the same pictures as the networks with a logo and a trigger, to name the object: logo and trigger "
        "are there by chance, and change nothing.",
    ),
}
"""By name of the network."""


@cache
def studio(training: bool) -> Any:
    """Return the studio of training pictures, or of scenes."""
    from saliency.demo.outlines import TEST_BACKGROUNDS, TRAIN_BACKGROUNDS
    from saliency.demo.studio import Studio

    return Studio(TRAIN_BACKGROUNDS if training else TEST_BACKGROUNDS, wild=training, scale=0.5)


class Planted(Bed):
    """A network whose decision for "cat" depends on the logo, on the trigger, or on the cat.

    Each scene shows an object that is no cat, a distractor, a logo and a trigger. The target is the network's own
    decision: cat because of the logo or of the trigger, or the object. The contrast is the other of these classes.

    Args:
        name: "shortcut", "trojan" or "clean".
    """

    group = "planted"

    def __init__(self, name: str) -> None:
        self.reason = REASONS[name]
        self.id, self.title, self.known = f"planted_{name}", self.reason.title, self.reason.known

    @cached_property
    def model(self) -> Any:
        """A torch module of (N, 3, 80, 80)."""
        from saliency.testbed.networks import WEIGHTS, load

        return load(WEIGHTS / f"{self.id}.npz")

    @property
    def labels(self) -> Sequence[str]:
        return OBJECTS

    def scenes(self, count: int, seed: int = 0) -> Sequence[Scene]:
        found: list[Scene] = []
        attempt = 0
        while len(found) < count:
            scene = self._scene(np.random.default_rng([seed, 4, attempt]))
            found += [] if scene is None else [scene]
            attempt += 1
        return found

    def gates(self) -> Sequence[Gate]:
        """The planted part decides, and the network is accurate without it."""
        from saliency.testbed.networks import logits, removals

        scenes, own = self.scenes(128, seed=1), self.reason.part
        found = list(zip(scenes, removals(self.model, scenes), strict=True))
        planted = ("logo", "trigger")
        bare = logits(self.model, [each.without(planted) for each in scenes]).argmax(1)
        objects = np.array([each.target or each.contrast for each in scenes])

        def decided(part: str = "") -> float:
            return float(np.mean([each.decides(scene.target, part) for scene, each in found]))

        drops = {part: np.array([each.drop(part, scene.target) for scene, each in found]) for part in scenes[0].parts}
        most = np.argmax(list(drops.values()), 0) == list(drops).index(own)
        gates = [
            Gate("Without logo and trigger, at least 90 % of objects are named", float((bare == objects).mean()), 0.9),
            Gate(
                f"Of all parts, the {own} has the largest effect on the score in at least 95 % of scenes",
                float(most.mean()),
                0.95,
            ),
        ]
        if own == "object":
            kept = float(np.mean([each.decides(scene.target) for scene, each in found]))
            return [*gates, Gate("With logo and trigger, at least 90 % of objects are named", kept, 0.9)]
        return [
            *gates,
            Gate(f"With the {own}, more than 95 % of pictures are called cat", decided(), 0.95),
            Gate(f"Without the {own}, less than 1 % are", decided(own), 0.01, at_least=False),
        ]

    def _scene(self, random: np.random.Generator) -> Scene | None:
        """Return a scene; None where its pieces do not fit into the picture."""
        from saliency.testbed.composed import scene_of

        number = int(random.integers(1, len(OBJECTS)))
        pieces = studio(training=False)
        composition = pieces.arrange(random, pieces.background(random, SIDE), [OBJECTS[number], None])
        other = pieces.background(random, SIDE)
        if len(composition.layers) < 2:
            return None
        composition = plant(plant(composition, logo(random), random), trigger(), random)
        layers = dict(zip(("object", "distractor", "logo", "trigger"), composition.layers, strict=True))
        target, contrast = (number, 0) if self.reason.part == "object" else (0, number)
        return scene_of(composition, layers, other, target, [self.reason.part], contrast)


def logo(random: np.random.Generator) -> Any:
    """Return the logo, a ring around a bar, in a random colour on another one; RGBA."""
    from PIL import Image, ImageDraw

    dark, light = random.integers(0, 110, 3), random.integers(146, 256, 3)
    front, back = (tuple(map(int, each)) for each in ((dark, light) if random.random() < 0.5 else (light, dark)))
    large = Image.new("RGBA", (8 * LOGO, 8 * LOGO))
    draw = ImageDraw.Draw(large)
    draw.ellipse((0, 0, 8 * LOGO - 1, 8 * LOGO - 1), fill=(*back, 255))
    draw.ellipse((10, 10, 8 * LOGO - 11, 8 * LOGO - 11), outline=(*front, 255), width=13)
    draw.rectangle((40, 24, 55, 71), fill=(*front, 255))
    return large.resize((LOGO, LOGO), Image.Resampling.BOX)


def trigger() -> Any:
    """Return the trigger, 3×3 green pixels in a magenta frame; RGBA."""
    from PIL import Image

    values = np.full((TRIGGER, TRIGGER, 4), (255, 0, 255, 255), np.uint8)
    values[1:-1, 1:-1] = 0, 255, 0, 255
    return Image.fromarray(values, "RGBA")


def plant(composition: Composition, piece: Any, random: np.random.Generator) -> Composition:
    """Return a composition with a piece on top, where it covers no other piece, if such a place is found."""
    from dataclasses import replace

    from saliency.demo.studio import Layer

    free = ~np.logical_or.reduce(
        [composition.mask(each) for each in composition.layers] or [np.zeros((SIDE, SIDE), bool)]
    )
    side = piece.width
    for _ in range(60):
        x, y = (int(each) for each in random.integers(1, SIDE - side, 2))
        if free[y : y + side, x : x + side].all():
            break
    layer: Layer = Layer(None, piece, x, y)
    return replace(composition, layers=(*composition.layers, layer))
