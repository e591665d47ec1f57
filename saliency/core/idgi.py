"""IDGI: each step's rise of the score, attributed by squared gradients; and the base of such readings of paths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

from saliency.core.integrated_gradients import STEPS, IntegratedGradients
from saliency.core.method import Method, parameter
from saliency.core.paths import PORTION, Trail, Walkable, rising, walked
from saliency.errors import BadField
from saliency.model.protocols import Differentiable
from saliency.session.session import Session


@dataclass(eq=False, repr=False)
class PathReading(Method):
    """A method that evaluates the paths of another method and replaces its integral."""

    needs = Differentiable
    family = "paths"

    path: Method = parameter(
        lambda: IntegratedGradients(steps=STEPS), "Method of the paths: Integrated Gradients, Blur IG or Guided IG"
    )
    adaptive: bool = parameter(False, "Place half of the steps evenly, the others where the score changes most")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not hasattr(self.path, "paths"):
            raise BadField(
                f"{type(self).__name__} uses the paths of IntegratedGradients, BlurIG or GuidedIG, but "
                f"{type(self.path).__name__} has none."
            )
        weighed = [name for name in ("quadrature", "tolerance") if name in self.path.changed()]
        if weighed:
            raise BadField(
                f"{type(self).__name__} weights the steps of a path itself: omit {' and '.join(weighed)} of "
                f"{type(self.path).__name__}, or use that method directly."
            )

    @property
    def images_only(self) -> bool:  # as the method inside
        only: bool = self.path.images_only
        return only

    def read(self, trail: Trail[Any], session: Session[Any]) -> Any:
        """Return the mask (1, H, W, C) from the evaluations on one path."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """Number of steps of each path, including both ends."""
        return max(2, cast(Walkable, self.path).steps)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops, settled, masks = session.ops, list[Any](), list[Any]()
        first = max(2, (self.steps + 1) // 2) if self.adaptive else self.steps
        choose = rising(self.steps) if self.adaptive else None
        for begin in range(0, len(images), PORTION):
            portion = images[begin : begin + PORTION]
            paths = cast(Walkable, self.path).paths(portion, session, first)
            for trails in walked(session, paths, first, choose):
                reached: list[dict[int, list[Any]] | None] = [{} for _ in range(len(portion))]
                for path, each in zip(paths, trails, strict=True):
                    rows = reached[path.image]
                    if rows is None or not each or any(len(trail.met) < 2 for trail in each.values()):
                        reached[path.image] = None
                        continue
                    for target, trail in each.items():
                        rows.setdefault(target, []).append(trail)
                count = reached.index(None) if None in reached else len(reached)
                masks = [self._mean(rows, session) for rows in reached[:count] if rows is not None]
                if masks:
                    yield ops.concat([*settled, *masks], 1)
            settled += masks

    def _mean(self, trails: dict[int, list[Trail[Any]]], session: Session[Any]) -> Any:
        """Return the mean over the baselines, for each target, (k, 1, H, W, C)."""
        parts = []
        for _, several in sorted(trails.items()):
            total = sum((self.read(each, session) for each in several[1:]), self.read(several[0], session))
            parts.append((total / len(several))[None])
        return session.ops.concat(parts)

    def beginnings(self, images: Any, session: Session[Any]) -> list[Any]:
        return self.path.beginnings(images, session)

    def cost(self, shape: tuple[int, ...]) -> int:
        """Return the cost of one target, where each target has its own path or steps."""
        return self.path.but(steps=self.steps).cost(shape)


@dataclass(eq=False, repr=False)
class IDGI(PathReading):
    """Each step's rise of the score, attributed by the squared gradient at its start (arXiv:2303.14242).

    Changes along the path that do not affect the score get nothing, so that noise does not accumulate. The mask sums to
    f(image) - f(baseline) exactly for any number of steps, unless a gradient is zero at both ends of a step. Cost: one
    forward and backward pass per step of the path.
    """

    id = "idgi"
    title = "IDGI"
    paper = "arXiv:2303.14242"
    formula = (
        r"M = \sum_j \frac{g_j \odot g_j}{\lVert g_j \rVert^2} \bigl(f(x_{j+1}) - f(x_j)\bigr), \quad "
        r"g_j = \nabla f(x_j)"
    )
    advice = (
        "A less noisy Integrated Gradients (Blur IG, Guided IG) at the same cost, complete even with few steps. All "
        "values of a step have the sign of its rise, so that evidence for and against the class is not separated. On "
        "trained networks the score may rise in the first step from black, where the gradient is largest at the "
        "border of the image: if the map is a frame, set adaptive=True or another baseline."
    )
    complete = True

    def read(self, trail: Trail[Any], session: Session[Any]) -> Any:
        ops, along = session.ops, sorted(trail.met, key=lambda each: each.alpha)
        for met in along:
            if met.square is None:
                met.square = float(ops.tohost(ops.sum(met.gradient * met.gradient)))
        total: Any = 0.0 * along[0].gradient
        for here, there in pairwise(along):
            # where the gradient is zero at the start of a step, the one at its end is used
            used = here if here.square else there
            if used.square:
                total = total + used.gradient * used.gradient * ((there.score - here.score) / used.square)
        return total
