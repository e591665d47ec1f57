"""Model parameter randomisation test (Adebayo et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from saliency.metrics.randomisation import Cascade


@dataclass(eq=False, repr=False)
class MPRT(Cascade):
    """The similarity of a map to those of the model with randomised layers (arXiv:1810.03292, section 3, cascading).

    Layers are randomised one after another, from the output back to the input. The value is the mean, over stages and
    draws, of Spearman's correlation of the maps' absolute values. The curve has the mean of the draws by stage. Weights
    are shuffled instead of drawn from an initializer; running statistics are kept.
    """

    id: ClassVar[str] = "mprt"
    title: ClassVar[str] = "Randomisation of the weights"
    paper: ClassVar[str] = "1810.03292"
    advice: ClassVar[str] = (
        "Near 0: the map changes with the weights. High: it shows the image more than what the model has learned. "
        "A low value does not make a map right."
    )
