"""Pictures with some of their segments replaced, evaluated on a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from saliency.counterfactuals.goal import Goal
from saliency.counterfactuals.search import Chosen, Outcome
from saliency.errors import NoGradient
from saliency.session.samples import PerImage
from saliency.session.session import Session

A = TypeVar("A")


class Composites(Generic[A]):
    """A picture of which sets of segments are chosen: to be replaced, or to be kept while the others are replaced.

    Pixels in no segment stay as they are.

    Args:
        session: runs the model, bound to the target.
        image: (1, H, W, C).
        filled: from the name of a fill to the image without its content, (1, H, W, C).
        labels: int (H, W), the segment of each pixel, 0 to d - 1, or -1.
        keep: whether the chosen segments are kept.
        goal: what outputs are to reach.
        before: the outputs for the picture, (K,).
    """

    def __init__(
        self,
        session: Session[A],
        image: A,
        filled: Callable[[str], A],
        labels: np.ndarray,
        keep: bool,
        goal: Goal,
        before: np.ndarray,
    ) -> None:
        self.session, self.image, self.filled = session, image, filled
        self.labels, self.keep, self.goal, self.before = labels, keep, goal, before
        self.count = int(labels.max()) + 1
        self.gradients = 0
        """The number of gradients computed so far."""
        self.outputs: dict[tuple[Chosen, str], np.ndarray] = {}
        """The outputs, (K,), by set and fill."""

    @property
    def calls(self) -> int:
        """The number of images evaluated so far."""
        return self.session.images + self.gradients

    @property
    def original(self) -> Chosen:
        """The set with which the picture is unchanged."""
        return Chosen(range(self.count)) if self.keep else Chosen()

    def replaced(self, sets: Sequence[Chosen]) -> np.ndarray:
        """Return the pixels that are replaced, bool (n, H, W)."""
        chosen = np.zeros((len(sets), self.count + 1), bool)
        for row, each in zip(chosen, sets, strict=True):
            row[list(each)] = True
        # the last column is that of pixels in no segment, -1
        return (chosen[:, self.labels] ^ self.keep) & (self.labels >= 0)

    def outcomes(self, sets: Sequence[Chosen], fill: str) -> list[Outcome]:
        """Evaluate sets."""
        outputs = np.concatenate(list(self._evaluated(_Composed(self, sets, fill))))
        self.outputs.update(zip([(each, fill) for each in sets], outputs, strict=True))
        reached, margins = self.goal.reached(outputs), self.goal.margins(outputs)
        return [Outcome(bool(yes), float(margin)) for yes, margin in zip(reached, margins, strict=True)]

    def slopes(self, chosen: Chosen, fill: str, session: Session[A]) -> np.ndarray | None:
        """Return first-order estimates of what choosing each segment adds to a set's margin, (d,); None without them.

        Args:
            chosen: the set.
            fill: name of the fill.
            session: runs the model, bound to what rises or falls towards the goal.
        """
        _, sign = self.goal.ascent(session.ops)
        self.gradients += 1
        try:
            ((_, found),) = session.gradients(_Composed(self, [chosen], fill))
        except NoGradient:
            return None
        filled: Any = self.filled(fill)
        gradients: Any = found.gradients
        effects = session.ops.tohost(gradients[0] * (filled - self.image)).astype(np.float64)[0].sum(-1)
        inside = self.labels >= 0
        return np.bincount(self.labels[inside], (-sign if self.keep else sign) * effects[inside])

    def _evaluated(self, samples: Any) -> Any:
        """Yield outputs (n, K); for a function as target, its values (n, 1)."""
        if self.goal.head is not None:
            yield from (outputs for _, outputs in self.session.outputs(samples))
            return
        for _, scores in self.session.scores(samples):
            yield self.session.ops.tohost(scores).astype(np.float64)[0, :, None]


class _Composed(PerImage[A]):
    """The image of each set."""

    def __init__(self, composites: Composites[A], sets: Sequence[Chosen], fill: str) -> None:
        super().__init__(composites.session.ops, composites.image, len(sets))
        self.composites, self.sets, self.filled = composites, sets, composites.filled(fill)

    def copies(self, image: int, which: slice) -> Any:
        replaced: Any = self.ops.asarray(self.composites.replaced(self.sets[which])[..., None])
        return self.ops.where(replaced > 0.5, self.filled, self.images)
