"""What is made of a path in place of the integral: each step's rise of the score, given to those that caused it."""

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
    """What a method's paths are read by, in place of that method's own integral."""

    needs = Differentiable
    family = "paths"

    path: Method = parameter(
        lambda: IntegratedGradients(steps=STEPS), "Integrated Gradients, Blur IG or Guided IG: whose paths are walked"
    )
    adaptive: bool = parameter(False, "half of the nodes evenly, the others where the score changes most")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not hasattr(self.path, "paths"):
            raise BadField(
                f"{type(self).__name__} reads the paths of IntegratedGradients, BlurIG or GuidedIG, and "
                f"{type(self.path).__name__} has none."
            )
        weighed = [name for name in ("quadrature", "tolerance") if name in self.path.changed()]
        if weighed:
            raise BadField(
                f"{type(self).__name__} weighs the places of a path in its own way: leave {' and '.join(weighed)} of "
                f"{type(self.path).__name__} out, or use that method itself."
            )

    @property
    def images_only(self) -> bool:  # as the method inside
        only: bool = self.path.images_only
        return only

    def read(self, trail: Trail[Any], session: Session[Any]) -> Any:
        """The mask (1, H, W, C) of what was met on one path."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """Nodes of each path, both ends among them."""
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
        """The mean over the baselines, for each target, (k, 1, H, W, C)."""
        parts = []
        for _, several in sorted(trails.items()):
            total = sum((self.read(each, session) for each in several[1:]), self.read(several[0], session))
            parts.append((total / len(several))[None])
        return session.ops.concat(parts)

    def beginnings(self, images: Any, session: Session[Any]) -> list[Any]:
        return self.path.beginnings(images, session)

    def cost(self, shape: tuple[int, ...]) -> int:
        """Of one target, where paths or nodes are sought for each."""
        return self.path.but(steps=self.steps).cost(shape)


@dataclass(eq=False, repr=False)
class IDGI(PathReading):
    """Each step's rise of the score, shared by the squares of the gradient at its beginning (arXiv:2303.14242).

    What moves along the path without mattering to the score gets nothing of it, so noise does not gather. Sums to
    f(image) - f(baseline) exactly, with any number of steps, unless a gradient is zero at both ends of a step. As many
    forward and backward passes as the path has nodes.
    """

    id = "idgi"
    title = "IDGI"
    paper = "arXiv:2303.14242"
    formula = (
        r"M = \sum_j \frac{g_j \odot g_j}{\lVert g_j \rVert^2} \bigl(f(x_{j+1}) - f(x_j)\bigr), \quad "
        r"g_j = \nabla f(x_j)"
    )
    advice = (
        "A cleaner Integrated Gradients (Blur IG, Guided IG) at the same cost, and complete with few steps. All values "
        "of a step have the sign of its rise, so evidence for and against the class are not told apart. On trained "
        "networks the score may rise in the first step from black, whose gradient is largest at the border of the "
        "image: if the map is a frame, set adaptive=True or another baseline."
    )
    complete = True

    def read(self, trail: Trail[Any], session: Session[Any]) -> Any:
        ops, along = session.ops, sorted(trail.met, key=lambda each: each.alpha)
        for met in along:
            if met.square is None:
                met.square = float(ops.tohost(ops.sum(met.gradient * met.gradient)))
        total: Any = 0.0 * along[0].gradient
        for here, there in pairwise(along):
            # where all is flat at the beginning of a step, its end tells who raised the score
            told = here if here.square else there
            if told.square:
                total = total + told.gradient * told.gradient * ((there.score - here.score) / told.square)
        return total
