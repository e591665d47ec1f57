"""Guided Integrated Gradients: a path that first changes values with small gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.method import parameter
from saliency.core.pair.guided_ig import (
    PairGuidedIG,
    guided_ig_impl,
    l1_distance,
    translate_alpha_to_x,
    translate_x_to_alpha,
)
from saliency.core.paths import Evaluation, Path
from saliency.core.walk import EPSILON, Walk, WalkedPath
from saliency.model.protocols import Differentiable
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.samples import Originals
from saliency.session.session import Session

__all__ = [  # with PAIR's functions
    "EPSILON",
    "GuidedIG",
    "guided_ig_impl",
    "l1_distance",
    "translate_alpha_to_x",
    "translate_x_to_alpha",
]


@dataclass(eq=False, repr=False)
class GuidedIG(PairGuidedIG):
    """Integrated Gradients along a path that changes pixels with small gradients first (arXiv:2106.09788, algorithm 1).

    It accumulates less noise from saturated parts of the path. No pixel deviates by more than `max_dist`, as a share of
    its total change, from the straight line. The mask converges to a sum of f(image) - f(baseline) with more steps.
    Cost: `steps` sequential forward and backward passes; several images run in parallel, and each target has its own
    path.
    """

    id = "guided_ig"
    title = "Guided IG"
    paper = "arXiv:2106.09788"
    family = "paths"
    formula = (
        r"M = \int_0^1 \nabla f(\gamma)\, \gamma'\, d\alpha,\quad \gamma \text{ where } |\nabla f| \text{ is small}"
    )
    advice = (
        "Less noise than Integrated Gradients on deep networks. The steps are sequential, so that batches do not help, "
        "and the path depends on the model. Moving values with small gradients first biases the sum: on trained "
        "networks most of the score's difference may be missed, and more steps do not always help."
    )
    needs = Differentiable
    images_only = False
    complete = True

    steps: int = parameter(200, "Number of steps", low=1, high=10_000)
    baseline: Baseline = parameter("black", "Start of the path; several are averaged")
    fraction: float = parameter(0.25, "Share of values changed per step, smallest gradients first", low=0, high=1)
    max_dist: float = parameter(0.02, "Maximum deviation of a value from the straight line, as a share", low=0, high=1)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        baselines = baseline_count(self.baseline, tuple(images.shape))
        for walks in self._walked(images, session, self.steps):
            if session.streaming or walks[0].done == self.steps:
                yield session.ops.asarray(_masks(walks, baselines, len(walks) // (baselines * len(images))))

    def _walked(
        self,
        images: Any,
        session: Session[Any],
        steps: int,
        note: Callable[[int, Walk, float, Any], None] | None = None,
    ) -> Iterator[list[Walk]]:
        """Yield the walks, by baseline, image and target, after each step.

        Args:
            note: called for each walk before each of its steps, with its number, the walk, the score and the gradient
                at its current point.
        """
        ops = session.ops
        ends = ops.tohost(images).astype(np.float64)
        starts = [np.broadcast_to(ops.tohost(each), ends.shape) for each in self.beginnings(images, session)]
        ways = [way for each in starts for way in zip(each, ends, strict=True)]

        def step(walk: int, answer: Any, target: int, row: int) -> None:
            gradient = answer.gradients[target, row]
            if note is not None:
                note(walk, walks[walk], float(ops.tohost(answer.scores[target, row])), gradient[None])
            walks[walk].advance(ops.tohost(gradient))

        def evaluate(points: list[np.ndarray]) -> Iterator[tuple[slice, Any]]:
            return session.gradients(Originals(ops, ops.asarray(np.stack(points))))

        # on the first step all targets are at the baseline
        walks: list[Walk] = []
        targets = 1
        for rows, answer in evaluate([start for start, _ in ways]):
            targets = int(answer.gradients.shape[0])
            for i, (start, end) in enumerate(ways[rows]):
                for target in range(targets):
                    walks.append(Walk(start, end, steps, self.fraction, self.max_dist))
                    step(len(walks) - 1, answer, target, i)
        yield walks
        for _ in range(1, steps):
            for rows, answer in evaluate([walk.point() for walk in walks]):
                for i in range(rows.stop - rows.start):
                    step(rows.start + i, answer, (rows.start + i) % targets, i)
            yield walks

    def paths(self, images: Any, session: Session[Any], steps: int) -> list[Path[Any]]:
        """See :class:`~saliency.core.paths.Walkable`; computed by walking, one for each target."""
        alphas = np.linspace(0, 1, steps)
        places: dict[int, list[np.ndarray]] = {}
        met: dict[int, list[Evaluation]] = {}

        def note(number: int, walk: Walk, score: float, gradient: Any) -> None:
            places.setdefault(number, []).append(walk.alphas.astype(np.float32))
            met.setdefault(number, []).append(Evaluation(float(alphas[walk.done]), score, gradient))

        *_, walks = self._walked(images, session, steps - 1, note)
        baselines = baseline_count(self.baseline, tuple(images.shape))
        targets = len(walks) // (baselines * len(images))
        return [
            WalkedPath(session.ops, walk, [*places[i], walk.alphas], met[i], i // targets % len(images), i % targets)
            for i, walk in enumerate(walks)
        ]

    def remedy(self) -> str:
        nearer = "try a smaller max_dist, which keeps closer to the straight line, or " if self.max_dist else "try "
        return f"{nearer}steps={4 * self.steps}"

    def cost(self, shape: tuple[int, ...]) -> int:
        """Return the cost of one target."""
        return shape[0] * self.steps * baseline_count(self.baseline, shape)


def _masks(walks: list[Walk], baselines: int, targets: int) -> np.ndarray:
    """Return the means over the baselines, (k, B, H, W, C)."""
    masks = np.stack([walk.mask() for walk in walks])
    several = masks.reshape(baselines, -1, targets, *masks.shape[1:])
    return np.asarray(np.moveaxis(several.mean(0), 1, 0))
