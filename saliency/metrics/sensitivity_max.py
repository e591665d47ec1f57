"""Sensitivity of a map to small changes of the image (Yeh et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.metrics.case import Case
from saliency.metrics.metric import Attribution, Curve, Measurement, Metric, parameter, undefined


@dataclass(eq=False, repr=False)
class SensitivityMax(Metric):
    """max_j ‖a(x + δ_j) - a(x)‖ / ‖a(x)‖, for uniform noise δ_j (arXiv:1901.09392, section 4).

    Norms are over all values of the mask. The curve has the value of each draw.
    """

    draws: int = parameter(10, "Number of noisy images", low=1)
    radius: float = parameter(0.02, "Greatest noise of a value as a share of the image's range", low=0)

    id: ClassVar[str] = "sensitivity_max"
    title: ClassVar[str] = "Sensitivity to noise"
    paper: ClassVar[str] = "1901.09392"
    family: ClassVar[str] = "robustness"
    needs_method: ClassVar[bool] = True
    needs_values: ClassVar[bool] = False
    pairs: ClassVar[int] = 0
    higher_is_better: ClassVar[bool | None] = False
    advice: ClassVar[str] = (
        "Low: a change of the image that nobody sees does not change the map. That alone is not good: a map that "
        "ignores the image has 0."
    )

    def measure(self, case: Case[Any], mask: Attribution) -> Measurement:
        assert case.runner is not None
        norm = float(np.linalg.norm(mask.values.astype(np.float64)))
        if norm == 0:
            return undefined("the mask is zero: there is nothing to compare a change with")
        masks = case.runner(self.noisy(case))[0].astype(np.float64)
        changes = np.array([float(np.linalg.norm(each - mask.values)) for each in masks]) / norm
        return Measurement(
            float(changes.max()),
            curves={"change": Curve(np.arange(self.draws), changes)},
            details={"mean": float(changes.mean())},
        )

    def runs(self) -> int:
        return self.draws

    def noisy(self, case: Case[Any]) -> Any:
        """Return the noisy images, (draws, H, W, C), in the model's own array type."""
        host = case.host
        reach = self.radius * float(np.ptp(host))
        noise = np.random.default_rng([case.seed, self.draws]).uniform(-reach, reach, (self.draws, *host.shape))
        return case.ops.asarray(host + noise)
