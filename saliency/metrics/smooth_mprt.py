"""Smooth model parameter randomisation test (Hedström et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import Attribution, parameter
from saliency.metrics.randomisation import ORDER, ORDERS, STAGES, Cascade


@dataclass(eq=False, repr=False)
class SmoothMPRT(Cascade):
    """:class:`MPRT` of maps that are means over noisy images (arXiv:2401.06465, section 4.1).

    Noise in a map lowers its similarity to any other map, and so hides that it does not depend on the weights. The mean
    over images with Gaussian noise has less. The noise is the same for every model. The mean is taken before signs
    are pooled.
    """

    stages: int = parameter(5, STAGES, low=0)
    order: str = parameter("bottom_up", ORDER, choices=ORDERS)
    samples: int = parameter(10, "Number of noisy images for each map", low=1)
    noise: float = parameter(0.1, "Standard deviation of the noise as a share of the image's range", low=0)

    id: ClassVar[str] = "smooth_mprt"
    title: ClassVar[str] = "Randomisation of the weights, smoothed"
    paper: ClassVar[str] = "2401.06465"
    advice: ClassVar[str] = (
        "As of MPRT, without the effect of a map's own noise; maps of one method only should be compared."
    )

    def runs(self) -> int:
        return self.samples * (super().runs() + 1)

    def map_of(self, case: Case[Any], model: Any = None) -> np.ndarray:
        assert case.runner is not None
        case.session.check()
        noisy = case.cached(("noisy", self.samples, self.noise), lambda: self._noisy(case))
        return self.pooled(case.runner(noisy, model=model)[0].mean(0, np.float64))

    def original(self, case: Case[Any], mask: Attribution) -> np.ndarray:
        return self.map_of(case)

    def _noisy(self, case: Case[Any]) -> Any:
        host = case.host
        draw = np.random.default_rng([case.seed, self.samples])
        noise = draw.normal(0, self.noise * float(np.ptp(host)), (self.samples, *host.shape))
        return case.ops.asarray(host + noise)
