"""Integrated Gradients from many baselines at once, a random node of each path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.method import LARGEST_SEED, Method, parameter
from saliency.model.protocols import Differentiable
from saliency.session.baselines import Baseline
from saliency.session.samples import Draws
from saliency.session.session import Session


@dataclass(eq=False, repr=False)
class ExpectedGradients(Method):
    """Mean of Integrated Gradients over a set of baselines, by drawing baseline and node (arXiv:1906.10670, eq. 3).

    With noise on the image it is SHAP's GradientExplainer (GradientSHAP). Give it images like those the model was
    trained on as `baseline`, a list or an array (n, H, W, C). Sums to f(image) minus the mean of f over the baselines
    as the samples grow. `samples` forward and backward passes, however many baselines there are. Sample i is drawn
    from the seed and i alone.
    """

    id = "expected_gradients"
    title = "Expected Gradients"
    paper = "arXiv:1906.10670"
    family = "paths"
    formula = (
        r"M = \mathbb E_{x' \sim D,\ \alpha \sim U(0, 1)} \bigl[(x - x') \odot "
        r"\nabla f\bigl(x' + \alpha (x - x')\bigr)\bigr]"
    )
    advice = (
        "Where no single baseline means “nothing”: it asks what sets this image apart from those of a set. A few "
        "hundred samples for a smooth mask; the set is part of the question, so name it."
    )
    needs = Differentiable
    images_only = False
    complete = True

    samples: int = parameter(100, "draws of a baseline and a node of its path", low=1, high=100_000)
    baseline: Baseline = parameter(("black", "white", "blur", "noise"), "set of images from which baselines are drawn")
    spread: float = parameter(0.0, "standard deviation of noise on the image, as a share of its range", low=0, high=10)
    seed: int = parameter(0, "of the draws", low=0, high=LARGEST_SEED)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        baselines = session.baselines(self.baseline, images)
        stdevs = self.spread * session.ranges(images)
        draws = Draws(session.ops, baselines, images, stdevs, self.samples, self.seed)
        for total, seen in session.summed_gradients(draws, np.ones(self.samples), draws.ways):
            yield total / seen

    def remedy(self) -> str:
        return f"try samples={4 * self.samples}"

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.samples
