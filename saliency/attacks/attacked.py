"""A picture that is attacked: the model, what its answer is to become, and its evaluation on changed inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from saliency.api.cases import target_of
from saliency.api.counterfactual import value_of
from saliency.api.prepare import Prepared, only
from saliency.counterfactuals.goal import goal_of
from saliency.errors import BadImage, BadShape
from saliency.model.protocols import Ops
from saliency.pictures.picture import Picture
from saliency.session.consistency import size_for
from saliency.session.samples import PerImage
from saliency.session.session import Session


class Attacked:
    """A picture with the goal of changing the answer to it.

    Args:
        prepared: the model with one picture.
        target: see :func:`saliency.counterfactual`.
        to: see :func:`saliency.counterfactual`.
        options: of :class:`Session`.

    Raises:
        BadShape: the model takes several inputs.
    """

    def __init__(self, prepared: Prepared, target: Any, to: Any, **options: Any) -> None:
        picture = prepared.picture
        if not isinstance(picture, Picture):
            raise BadShape("Attacks and corruptions change a picture, and were given a list of inputs.")
        if picture.fed.ndim != 4:
            raise BadImage(f"Attacks and corruptions need an image (H, W, C), got {picture.fed.shape[1:]}.")
        adapted = prepared.adapted
        one = target_of(prepared, target)
        names = prepared.head.names(adapted.labels, only(prepared.outputs).shape[0])
        self.picture, self.before = picture, value_of(adapted, one, prepared)
        self.goal = goal_of(one, to, prepared.head, names, self.before)
        self.ascent, self.sign = self.goal.ascent(adapted.ops)
        options["batch_size"] = size_for(adapted, picture.fed, options.get("batch_size", "auto"))
        self.session = Session(adapted.at([one.explained]), **options)
        self.climbing = self.session
        if self.ascent is not None:
            self.climbing = Session(adapted.at([self.ascent]), **options)
        self.notes = tuple(dict.fromkeys([*picture.notes, *adapted.notes]))

    def outputs(self, each: int, build: Callable[[int], np.ndarray]) -> np.ndarray:
        """Return the outputs, (n, K), for changed inputs of the model; of a function as target its values, (n, 1).

        Args:
            each: the number n of inputs.
            build: from an index to the input, (1, h, w, C).
        """
        samples: Any = _Changed(self.session.ops, self.picture.fed, build, each)
        if self.goal.head is not None:
            return np.concatenate([outputs for _, outputs in self.session.outputs(samples)])
        ops = self.session.ops
        found = [ops.tohost(scores).astype(np.float64)[0] for _, scores in self.session.scores(samples)]
        return np.concatenate(found)[:, None]

    def gradient(self, fed: np.ndarray) -> np.ndarray:
        """Return the gradient that leads to the goal, (1, h, w, C) float64, with respect to the model's input."""
        samples: Any = _Changed(self.session.ops, self.picture.fed, lambda _: fed, 1)
        ((_, answer),) = self.climbing.gradients(samples)
        return self.sign * self.session.ops.tohost(answer.gradients).astype(np.float64)[0]

    @property
    def calls(self) -> int:
        """Number of images evaluated, the picture itself included."""
        return 1 + self.session.images + (self.climbing.images if self.climbing is not self.session else 0)


class _Changed(PerImage[Any]):
    """Inputs that a function builds on the host."""

    def __init__(self, ops: Ops[Any], fed: np.ndarray, build: Callable[[int], np.ndarray], each: int) -> None:
        super().__init__(ops, fed, each)
        self.build = build

    def copies(self, image: int, which: slice) -> Any:
        inputs: Sequence[np.ndarray] = [self.build(i) for i in range(which.start, which.stop)]
        return self.ops.asarray(np.concatenate(inputs))
