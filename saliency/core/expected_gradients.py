"""Expected Gradients: Integrated Gradients over many baselines, at random steps of the paths."""

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
    """Integrated Gradients averaged over a set of baselines, by random samples (arXiv:1906.10670, eq. 3).

    With noise on the image it is SHAP's GradientExplainer (GradientSHAP). As `baseline`, pass images like those the
    model was trained on, as a list or an array (n, H, W, C). The mask converges to a sum of f(image) minus the mean of
    f over the baselines with more samples. Cost: `samples` forward and backward passes, for any number of baselines.
    Sample i depends only on the seed and i.
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
        "Use it where no single baseline represents missing information: it explains how this image differs from a set "
        "of images. A smooth mask needs a few hundred samples. Report the set together with the mask."
    )
    needs = Differentiable
    images_only = False
    complete = True

    samples: int = parameter(100, "Number of random draws of baseline and step", low=1, high=100_000)
    baseline: Baseline = parameter(("black", "white", "blur", "noise"), "Images from which baselines are drawn")
    spread: float = parameter(0.0, "Standard deviation of noise on the image, as a share of its range", low=0, high=10)
    seed: int = parameter(0, "Random seed", low=0, high=LARGEST_SEED)

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
