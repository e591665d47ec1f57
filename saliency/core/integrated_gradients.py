"""Integrated Gradients: gradients along the straight line from a baseline."""

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
"""Number of steps where it is fixed but not given."""

FIRST, MOST, LIMIT = 17, 16, 100
"""Where steps are added: initial number; maximum as a multiple of `steps`; maximum by default."""

WITHIN = 0.1
"""The default tolerance, for the sum of the absolute gaps between neighbouring steps."""

REST = 0.75
"""Share of the tolerance left to the gaps that are not halved next, which balances rounds against extra steps."""

EPSILON = float(np.finfo(np.float32).eps)


@dataclass(eq=False, repr=False)
class IntegratedGradients(CoreSaliency):
    """The mean gradient along the line from the baseline, times the total change (arXiv:1703.01365, eq. 3).

    The mask converges to a sum of f(image) - f(baseline) with more steps. By default, steps are added where the score
    is curved until the completeness error is small: 17 to 100 forward and backward passes per baseline, about 35 on
    photographs. With `steps` or `quadrature` the number is fixed (25 by default); with a `tolerance` it is at most 16
    times that. Inside another method it is fixed too.
    """

    id = "integrated_gradients"
    title = "Integrated Gradients"
    paper = "arXiv:1703.01365"
    family = "paths"
    formula = r"M = (x - x') \int_0^1 \nabla f\bigl(x' + \alpha (x - x')\bigr)\, d\alpha"
    advice = (
        "The standard where the attributions must sum to the difference of the scores. Pixels equal to the baseline "
        "get nothing: explain black objects with a white, blurred or averaged baseline."
    )
    needs = Differentiable
    images_only = False
    complete = True
    expected_keys: ClassVar[list[str]] = [INPUT_OUTPUT_GRADIENTS]

    steps: int | None = parameter(None, "Number of steps; by default as many as the path needs", low=1, high=10_000)
    baseline: Baseline = parameter("black", "Start of the path; several are averaged")
    quadrature: str | None = parameter(
        None, "Numerical integration rule for a fixed number of steps; 'pair' if only steps are given", choices=RULES
    )
    tolerance: float | None = parameter(
        None,
        "Add steps until the completeness error is below this share of f(image) - f(baseline); errors along the path "
        "are summed as absolute values",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tolerance is None:
            return
        if not self.tolerance > 0:
            raise BadField(f"IntegratedGradients.tolerance must be above 0, such as 0.01, got {self.tolerance!r}.")
        if self.quadrature not in (None, "trapezoid"):
            raise BadField(
                f"tolerance adds steps to existing ones, which the trapezoid rule allows and {self.quadrature!r} "
                "does not: omit quadrature or tolerance."
            )

    @property
    def adaptive(self) -> bool:
        """Whether steps are added where the score is curved; otherwise their number is fixed."""
        return self.tolerance is not None or (self.steps is None and self.quadrature is None)

    @property
    def beyond(self) -> str:  # type: ignore[override]  # depends on the fields
        return "steps added where the score is curved" if self.adaptive else ""

    def inside(self) -> IntegratedGradients:
        return self.but(steps=STEPS) if self.adaptive and self.tolerance is None else self

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        done: Any = 0.0
        baselines = session.baselines(self.baseline, images)
        given = self.baseline if isinstance(self.baseline, list | tuple) else [self.baseline]
        if len(given) != len(baselines):  # one for each of several inputs
            given = [None] * len(baselines)
        for i, baseline in enumerate(baselines):
            ends = baseline, images, session
            for mask in self._refined(*ends) if self.adaptive else self._ruled(given[i], *ends):
                # an earlier baseline has reached all the images; average over the images that this one has reached
                yield mask if i == 0 else (done[:, : mask.shape[1]] + mask) / (i + 1)
            done = done + mask

    def _ruled(self, given: Any, baseline: Any, images: Any, session: Session[Any]) -> Iterator[Any]:
        """Yield masks from one baseline by a rule with a fixed number of steps; `given` is how the user names it."""
        steps, rule = self.steps or STEPS, self.quadrature or "pair"
        # as one path of XRAI, or of another Integrated Gradients; arrays are not compared, as they may be on a device
        key = ("line", steps, rule, given) if isinstance(given, str | float | int) else None
        if key is not None and (known := session.kept(key, images)) is not None:
            yield known
            return
        alphas, weights = nodes(steps, rule)
        order = session.order(len(alphas))
        path = StraightPath(session.ops, baseline, images, alphas[order])
        for total, seen in session.summed_gradients(path, weights[order]):
            mask = total / seen * path.difference[: total.shape[1]]
            yield mask
        if key is not None:
            session.keep(key, images, mask)

    def _refined(self, baseline: Any, images: Any, session: Session[Any]) -> Iterator[Any]:
        """Yield masks from one baseline by the trapezoid rule, adding steps until the gaps are within the tolerance."""
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
            return "omit steps and quadrature, so that steps are added where the score is curved"
        if self.tolerance is None:
            return f"try tolerance={WITHIN:g}, which allows {MOST * STEPS} steps"
        more = 4 * (self.steps or STEPS)
        return f"try steps={more}, which allows {MOST * more}"

    def paths(self, images: Any, session: Session[Any], steps: int) -> list[Path[Any]]:
        """See :class:`~saliency.core.paths.Walkable`."""
        baselines = session.baselines(self.baseline, images)
        return [Line(session.ops, own(each, i), images, i) for each in baselines for i in range(len(images))]

    def cost(self, shape: tuple[int, ...]) -> int:
        """Return the initial number of steps where steps are added."""
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
        """Return PAIR's Integrated Gradients: steps at k / (x_steps - 1), each with weight 1 / x_steps.

        Args:
            x_value: (H, W, C), or any shape.
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: passed on.
            x_baseline: start of the path, shape of `x_value`; zeros by default.
            x_steps: number of steps, including both ends.
            batch_size: steps per call; 0 for all in one.

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
    """Chooses where a straight path needs more steps.

    The score comes with every gradient, so that the gap between any two neighbouring steps is known: the trapezoid
    rule's integral of their slopes minus the rise of the score. The widest gaps are halved until the sum of all
    absolute gaps is within the tolerance: where signed gaps cancel, the mask has the right sum and wrong values.

    Args:
        tolerance: as a share of f(image) - f(baseline).
        most: maximum number of steps.
        session: provides array functions; receives the number of additional steps, and a note if `most` is too small.
    """

    def __init__(self, tolerance: float, most: int, session: Session[Any]) -> None:
        self.tolerance, self.most, self.session = tolerance, most, session

    def __call__(self, trail: Trail[Any]) -> list[float]:
        """Return the midpoints of the widest gaps: as many as leave the others within `REST`."""
        ops, whole = self.session.ops, trail.path.ways(np.array([0.0, 1.0]))
        for met in trail.met:
            if met.slope is None:
                met.slope = float(ops.tohost(ops.sum(met.gradient * whole)))
        along = sorted(trail.met, key=lambda each: each.alpha)
        alphas, scores, slopes = (np.array([getattr(m, n) for m in along]) for n in ("alpha", "score", "slope"))
        widths = np.diff(alphas)
        gaps = np.abs(widths * (slopes[1:] + slopes[:-1]) / 2 - np.diff(scores))
        gap, rise = gaps.sum(), abs(scores[-1] - scores[0])
        # not more accurate than the scores themselves
        allowed = self.tolerance * rise + EPSILON * np.abs(scores).sum()
        if gap <= allowed:
            return []
        widest = np.argsort(-gaps, kind="stable")
        count = 1 + int(np.argmax(gap - np.cumsum(gaps[widest]) <= REST * allowed))
        # a gap between steps this close is a jump, which more steps do not resolve
        worth = [i for i in widest[:count] if widths[i] > NEAREST][: max(0, self.most - len(alphas))]
        if not worth:
            share = f"{gap / rise:.2g} of the difference of the scores" if rise else f"{gap:.2g}"
            note = f"the gaps along the path sum to {share} at {len(alphas)} steps: the score jumps or oscillates"
            if note not in self.session.notes:
                self.session.notes.append(note)
        self.session.expect(len(worth))
        return [float(alphas[i] + alphas[i + 1]) / 2 for i in worth]


def integrated(trail: Trail[Any]) -> Any:
    """Return Integrated Gradients from the evaluations on a straight path, by the trapezoid rule, (1, H, W, C)."""
    alphas, _, gradients = trail.sorted()
    total: Any = 0.0
    for weight, gradient in zip(trapezoid(alphas), gradients, strict=True):
        total = total + float(weight) * gradient
    return total * trail.path.ways(np.array([0.0, 1.0]))
