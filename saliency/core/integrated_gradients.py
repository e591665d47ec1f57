"""Gradients along the straight line from a baseline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, ClassVar

import numpy as np

from saliency.called import CallModelFunction
from saliency.core.base import INPUT_OUTPUT_GRADIENTS, CoreSaliency, floating
from saliency.core.paths import NEAREST, PORTION, Line, Path, Trail, walked
from saliency.core.quadrature import RULES, nodes, trapezoid
from saliency.errors import BadField
from saliency.method import Baseline, baseline_count, parameter
from saliency.model import Differentiable
from saliency.samples import StraightPath, own
from saliency.session import Session

FIRST, GROWTH, MOST = 3, 8, 16
"""With a tolerance: nodes to begin with, into how many parts they grow by one, and the most of them by `steps`."""

EPSILON = float(np.finfo(np.float32).eps)


@dataclass(eq=False, repr=False)
class IntegratedGradients(CoreSaliency):
    """Mean gradient along the line from the baseline, times the way travelled (arXiv:1703.01365, eq. 3).

    Sums to f(image) - f(baseline) as the steps grow. `steps` forward and backward passes a baseline; with a
    `tolerance` as many as that takes, at most 16 times `steps`.
    """

    id = "integrated_gradients"
    title = "Integrated Gradients"
    paper = "arXiv:1703.01365"
    family = "paths"
    formula = r"M = (x - x') \int_0^1 \nabla f\bigl(x' + \alpha (x - x')\bigr)\, d\alpha"
    advice = (
        "The standard where the parts must add up to the whole. What looks like the baseline gets nothing: "
        "explain black things with a white, blurred or averaged baseline."
    )
    needs = Differentiable
    images_only = False
    complete = True
    expected_keys: ClassVar[list[str]] = [INPUT_OUTPUT_GRADIENTS]

    steps: int = parameter(25, "nodes of the path", low=1, high=10_000)
    baseline: Baseline = parameter("black", "where the path begins; several are averaged")
    quadrature: str = parameter("pair", "rule by which the nodes are placed and weighed", choices=RULES)
    tolerance: float | None = parameter(
        None, "add nodes until the gap is this share of f(image) - f(baseline), in place of a fixed number"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance is None:
            return
        if isinstance(self.tolerance, bool) or not isinstance(self.tolerance, int | float | np.number):
            raise BadField(f"IntegratedGradients.tolerance must be a number or None, got {self.tolerance!r}.")
        if not 0 < self.tolerance < np.inf:
            raise BadField(f"IntegratedGradients.tolerance must be above 0, as 0.01 is, got {self.tolerance!r}.")
        if self.quadrature not in ("pair", "trapezoid"):
            raise BadField(
                f"tolerance adds nodes to those it has, which the trapezoid rule can and {self.quadrature!r} cannot: "
                "leave quadrature out, or tolerance."
            )

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        masks_from = self._ruled if self.tolerance is None else self._refined
        done: Any = 0.0
        for i, baseline in enumerate(session.baselines(self.baseline, images)):
            for mask in masks_from(baseline, images, session):
                # an earlier baseline has reached all the images; fair means over those that this one has reached
                yield mask if i == 0 else (done[:, : mask.shape[1]] + mask) / (i + 1)
            done = done + mask

    def _ruled(self, baseline: Any, images: Any, session: Session[Any]) -> Iterator[Any]:
        """Masks from one baseline by a rule with a fixed number of nodes."""
        alphas, weights = nodes(self.steps, self.quadrature)
        order = session.order(self.steps)
        path = StraightPath(session.ops, baseline, images, alphas[order])
        for total, seen in session.summed_gradients(path, weights[order]):
            yield total / seen * path.difference[: total.shape[1]]

    def _refined(self, baseline: Any, images: Any, session: Session[Any]) -> Iterator[Any]:
        """Masks from one baseline by the trapezoid rule, with more nodes until the gap is within the tolerance."""
        ops, settled, masks = session.ops, list[Any](), list[Any]()
        refinement = Refinement(float(self.tolerance or 0), MOST * self.steps, session)
        for first in range(0, len(images), PORTION):
            those = range(first, min(first + PORTION, len(images)))
            paths: list[Path[Any]] = [Line(ops, own(baseline, i), images, i) for i in those]
            for trails in walked(session, paths, FIRST, refinement):
                reached = list(takewhile(lambda each: each and all(len(t.met) > 1 for t in each.values()), trails))
                if reached:
                    masks = [ops.concat([integrated(t)[None] for _, t in sorted(e.items())]) for e in reached]
                    yield ops.concat([*settled, *masks], 1)
            settled += masks

    def paths(self, images: Any, session: Session[Any], steps: int) -> list[Path[Any]]:
        """See :class:`~saliency.core.paths.Walkable`."""
        baselines = session.baselines(self.baseline, images)
        return [Line(session.ops, own(each, i), images, i) for each in baselines for i in range(len(images))]

    def cost(self, shape: tuple[int, ...]) -> int:
        """With a tolerance: the most that may be asked, of one target."""
        each = self.steps if self.tolerance is None else MOST * self.steps
        return shape[0] * each * baseline_count(self.baseline, shape)

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        x_baseline: Any = None,
        x_steps: int = 25,
        batch_size: int = 1,
    ) -> Any:
        """PAIR's Integrated Gradients: nodes k / (x_steps - 1), each weighing 1 / x_steps.

        Args:
            x_value: (H, W, C), or any shape.
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: handed through.
            x_baseline: where the path begins, shape of `x_value`; zeros by default.
            x_steps: nodes of the path, both ends among them.
            batch_size: nodes a call; 0 for all in one.

        Returns:
            shape of `x_value`.
        """
        image = np.asarray(x_value)
        baseline = np.zeros_like(image) if x_baseline is None else np.asarray(x_baseline)
        assert baseline.shape == image.shape, f"x_baseline must have the shape {image.shape}, got {baseline.shape}"
        many = batch_size or max(x_steps, 1)
        mask = self._called(image, call_model_function, call_model_args, many, steps=x_steps, baseline=baseline)
        return mask.astype(np.result_type(floating(image), floating(baseline)), copy=False)


class Refinement:
    """Where a straight path needs more nodes.

    The score comes with every gradient, so the gap between any two neighbouring nodes is known: what the trapezoid
    makes of their slopes, less the rise of the score. The widest gaps are halved, until all of them together are
    within the tolerance.

    Args:
        tolerance: as a share of f(image) - f(baseline).
        most: nodes.
        session: gives the array functions, and is told where `most` was not enough.
    """

    def __init__(self, tolerance: float, most: int, session: Session[Any]) -> None:
        self.tolerance, self.most, self.session = tolerance, most, session

    def __call__(self, trail: Trail[Any]) -> list[float]:
        """The middles between neighbours whose gaps are the widest."""
        ops, whole = self.session.ops, trail.path.ways(np.array([0.0, 1.0]))
        for met in trail.met:
            if met.slope is None:
                met.slope = float(ops.tohost(ops.sum(met.gradient * whole)))
        along = sorted(trail.met, key=lambda each: each.alpha)
        alphas, scores, slopes = (np.array([getattr(m, n) for m in along]) for n in ("alpha", "score", "slope"))
        widths = np.diff(alphas)
        gaps = widths * (slopes[1:] + slopes[:-1]) / 2 - np.diff(scores)
        gap, rise = abs(gaps.sum()), abs(scores[-1] - scores[0])
        # no nearer than the scores themselves are known
        if gap <= self.tolerance * rise + EPSILON * (abs(scores[0]) + abs(scores[-1])):
            return []
        # between nodes this close together it is a jump, which no node mends
        worth = [i for i in np.argsort(-np.abs(gaps)) if widths[i] > NEAREST and gaps[i] != 0]
        room = self.most - len(alphas)
        if room <= 0 or not worth:
            share = f"{gap / rise:.2g} of the difference" if rise else f"{gap:.2g}"
            note = f"tolerance {self.tolerance:g} not reached: a gap of {share} at {len(alphas)} nodes"
            if note not in self.session.notes:
                self.session.notes.append(note)
            return []
        chosen = worth[: min(max(1, len(alphas) // GROWTH), room)]
        return [float(alphas[i] + alphas[i + 1]) / 2 for i in chosen]


def integrated(trail: Trail[Any]) -> Any:
    """Integrated Gradients of what was met on a straight path, by the trapezoid rule, (1, H, W, C)."""
    alphas, _, gradients = trail.sorted()
    total: Any = 0.0
    for weight, gradient in zip(trapezoid(alphas), gradients, strict=True):
        total = total + float(weight) * gradient
    return total * trail.path.ways(np.array([0.0, 1.0]))
