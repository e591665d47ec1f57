"""Gradients along the straight line from a baseline."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, ClassVar

import numpy as np

from saliency.core.base import INPUT_OUTPUT_GRADIENTS, CoreSaliency, floating
from saliency.core.called import CallModelFunction
from saliency.core.method import parameter
from saliency.core.paths import NEAREST, PORTION, Line, Path, Trail, walked
from saliency.core.quadrature import RULES, nodes, trapezoid
from saliency.errors import BadField
from saliency.model.protocols import Differentiable
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.samples import StraightPath, own
from saliency.session.session import Session

STEPS = 25
"""How many steps there are where their number is fixed but not given."""

FIRST, MOST, LIMIT = 17, 16, 100
"""Where steps are added: how many there are to begin with; at most, as a multiple of `steps`; at most by default."""

WITHIN = 0.1
"""The tolerance where none is given: what the gaps between neighbouring steps sum to, however they cancel."""

REST = 0.75
"""Share of the tolerance that may be left in the gaps that are not halved next: few rounds, and few steps too many."""

EPSILON = float(np.finfo(np.float32).eps)


@dataclass(eq=False, repr=False)
class IntegratedGradients(CoreSaliency):
    """Mean gradient along the line from the baseline, times the way travelled (arXiv:1703.01365, eq. 3).

    Sums to f(image) - f(baseline) as the steps grow. By default steps are added where the score bends, until the
    completeness error is small: 17 to 100 forward and backward passes a baseline, on photographs about 35. With
    `steps` or `quadrature` their number is fixed (25 unless given); with a `tolerance` it is at most 16 times that.
    Inside another method it is fixed too.
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

    steps: int | None = parameter(None, "number of steps; by default as many as the path needs", low=1, high=10_000)
    baseline: Baseline = parameter("black", "where the path begins; several are averaged")
    quadrature: str | None = parameter(
        None, "numerical integration rule of a fixed number of steps; 'pair' where only steps are given", choices=RULES
    )
    tolerance: float | None = parameter(
        None,
        "add steps until the completeness error, summed over the path without cancelling, is below this share of "
        "f(image) - f(baseline)",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance is None:
            return
        if not self.tolerance > 0:
            raise BadField(f"IntegratedGradients.tolerance must be above 0, as 0.01 is, got {self.tolerance!r}.")
        if self.quadrature not in (None, "trapezoid"):
            raise BadField(
                f"tolerance adds steps to those there are, which the trapezoid rule can and {self.quadrature!r} "
                "cannot: leave quadrature out, or tolerance."
            )

    @property
    def adaptive(self) -> bool:
        """Whether steps are added where the score bends; else their number is fixed."""
        return self.tolerance is not None or (self.steps is None and self.quadrature is None)

    @property
    def beyond(self) -> str:  # type: ignore[override]  # depends on the fields
        return "steps added where the score bends" if self.adaptive else ""

    def inside(self) -> IntegratedGradients:
        return self.but(steps=STEPS) if self.adaptive and self.tolerance is None else self

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        masks_from = self._refined if self.adaptive else self._ruled
        done: Any = 0.0
        for i, baseline in enumerate(session.baselines(self.baseline, images)):
            for mask in masks_from(baseline, images, session):
                # an earlier baseline has reached all the images; fair means over those that this one has reached
                yield mask if i == 0 else (done[:, : mask.shape[1]] + mask) / (i + 1)
            done = done + mask

    def _ruled(self, baseline: Any, images: Any, session: Session[Any]) -> Iterator[Any]:
        """Masks from one baseline by a rule with a fixed number of nodes."""
        alphas, weights = nodes(self.steps or STEPS, self.quadrature or "pair")
        order = session.order(len(alphas))
        path = StraightPath(session.ops, baseline, images, alphas[order])
        for total, seen in session.summed_gradients(path, weights[order]):
            yield total / seen * path.difference[: total.shape[1]]

    def _refined(self, baseline: Any, images: Any, session: Session[Any]) -> Iterator[Any]:
        """Masks from one baseline by the trapezoid rule, with more nodes until the gaps are within the tolerance."""
        ops, settled, masks = session.ops, list[Any](), list[Any]()
        most = LIMIT if self.tolerance is None else MOST * (self.steps or STEPS)
        refinement = Refinement(self.tolerance or WITHIN, most, session)
        for first in range(0, len(images), PORTION):
            those = range(first, min(first + PORTION, len(images)))
            paths: list[Path[Any]] = [Line(ops, own(baseline, i), images, i) for i in those]
            for trails in walked(session, paths, min(FIRST, most), refinement):
                reached = list(takewhile(lambda each: each and all(len(t.met) > 1 for t in each.values()), trails))
                if reached:
                    masks = [ops.concat([integrated(t)[None] for _, t in sorted(e.items())]) for e in reached]
                    yield ops.concat([*settled, *masks], 1)
            settled += masks

    def remedy(self) -> str:
        if not self.adaptive:
            return "leave steps and quadrature out, which adds steps where the score bends"
        if self.tolerance is None:
            return f"try tolerance={WITHIN:g}, which allows {MOST * STEPS} steps"
        more = 4 * (self.steps or STEPS)
        return f"try steps={more}, which allows {MOST * more}"

    def paths(self, images: Any, session: Session[Any], steps: int) -> list[Path[Any]]:
        """See :class:`~saliency.core.paths.Walkable`."""
        baselines = session.baselines(self.baseline, images)
        return [Line(session.ops, own(each, i), images, i) for each in baselines for i in range(len(images))]

    def cost(self, shape: tuple[int, ...]) -> int:
        """Where steps are added: those to begin with."""
        each = min(FIRST, MOST * (self.steps or STEPS)) if self.adaptive else self.steps or STEPS
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
    makes of their slopes, less the rise of the score. The widest gaps are halved, until all of them together, taken
    positive, are within the tolerance: where they cancel, the sum of the mask is right and its parts are not.

    Args:
        tolerance: as a share of f(image) - f(baseline).
        most: nodes.
        session: gives the array functions, and is told how many nodes are to come and where `most` was not enough.
    """

    def __init__(self, tolerance: float, most: int, session: Session[Any]) -> None:
        self.tolerance, self.most, self.session = tolerance, most, session

    def __call__(self, trail: Trail[Any]) -> list[float]:
        """The middles between neighbours whose gaps are the widest: as many as leave the others within `REST`."""
        ops, whole = self.session.ops, trail.path.ways(np.array([0.0, 1.0]))
        for met in trail.met:
            if met.slope is None:
                met.slope = float(ops.tohost(ops.sum(met.gradient * whole)))
        along = sorted(trail.met, key=lambda each: each.alpha)
        alphas, scores, slopes = (np.array([getattr(m, n) for m in along]) for n in ("alpha", "score", "slope"))
        widths = np.diff(alphas)
        gaps = np.abs(widths * (slopes[1:] + slopes[:-1]) / 2 - np.diff(scores))
        gap, rise = gaps.sum(), abs(scores[-1] - scores[0])
        # no nearer than the scores themselves are known
        allowed = self.tolerance * rise + EPSILON * np.abs(scores).sum()
        if gap <= allowed:
            return []
        widest = np.argsort(-gaps, kind="stable")
        count = 1 + int(np.argmax(gap - np.cumsum(gaps[widest]) <= REST * allowed))
        # between nodes this close together it is a jump, which no node mends
        worth = [i for i in widest[:count] if widths[i] > NEAREST][: max(0, self.most - len(alphas))]
        if not worth:
            share = f"{gap / rise:.2g} of the difference of the scores" if rise else f"{gap:.2g}"
            note = f"the gaps along the path sum to {share} at {len(alphas)} steps: the score jumps, or bends too often"
            if note not in self.session.notes:
                self.session.notes.append(note)
        self.session.expect(len(worth))
        return [float(alphas[i] + alphas[i + 1]) / 2 for i in worth]


def integrated(trail: Trail[Any]) -> Any:
    """Integrated Gradients of what was met on a straight path, by the trapezoid rule, (1, H, W, C)."""
    alphas, _, gradients = trail.sorted()
    total: Any = 0.0
    for weight, gradient in zip(trapezoid(alphas), gradients, strict=True):
        total = total + float(weight) * gradient
    return total * trail.path.ways(np.array([0.0, 1.0]))
