"""XRAI: regions of the image, ranked by their mean attribution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.integrated_gradients import IntegratedGradients
from saliency.core.method import Method, parameter
from saliency.core.pair import xrai as pair
from saliency.core.pair.xrai import *  # noqa: F403  # PAIR's private names, which public code imports from here
from saliency.core.pair.xrai import PairXRAI, strongest_channel
from saliency.errors import BadShape
from saliency.pictures.regions import Grown, Regions, felzenszwalb_segments, grow_regions, region_table
from saliency.pictures.segments import SEGMENTERS, Segments, masks_of, split
from saliency.session.baselines import Baseline
from saliency.session.session import Session

__all__ = ["XRAI"]
__all__ += pair.__all__

STEPS, RULE = 15, "gauss_legendre"
"""Default number of steps and quadrature: docs/benchmarks.md says why."""

NAMED = 150
"""Number of segments of a named segmentation for XRAI."""

SHOWINGS = 8
"""Maximum number of partial results of a run of XRAI: each grows all regions again."""


@dataclass(eq=False, repr=False)
class XRAI(PairXRAI):
    """Regions of the image, grown from segments by their mean attribution (arXiv:1906.02825, algorithm 1).

    Each pixel has the mean attribution of its region. The attribution is by default Integrated Gradients from black and
    from white, averaged. The segments are by default Felzenszwalb's at six scales; pass others as in
    ``segments=lambda picture: skimage.segmentation.slic(picture)``. Cost: 30 forward and backward passes by default,
    2 * `steps` with `steps`, and a fifth of a second of segmentation. ``steps=100`` places them as PAIR's default.
    """

    id = "xrai"
    title = "XRAI"
    paper = "arXiv:1906.02825"
    family = "regions"
    formula = r"S \leftarrow S \cup \operatorname*{arg\,max}_s\, \operatorname{mean}_{p \in s \setminus S} A_p"
    advice = (
        "The easiest to read: whole regions, ranked, to be stepped through. Takes seconds, and its resolution is "
        "limited by the segments."
    )
    sign = "positive"

    steps: int | None = parameter(
        None,
        "Number of steps of each path of Integrated Gradients, placed as in PAIR, whose default is 100; by default 15, "
        "placed by the Gauss-Legendre rule",
        low=1,
        high=10_000,
    )
    baseline: Baseline = parameter(("black", "white"), "Start of the paths; several are averaged")
    base_attribution: Method | None = parameter(None, "Method used instead of Integrated Gradients")
    segments: Segments | None = parameter(
        None,
        "Segments, Felzenszwalb's at six scales by default: 'slic', 'felzenszwalb', 'quickshift' or 'grid' with 150 "
        "segments, bool masks (H, W), a label map (H, W), or a function picture -> one of these",
        choices=SEGMENTERS,
    )
    algorithm: str = parameter(
        "full", "'fast' ranks whole segments once, 'full' after every choice", choices=("full", "fast")
    )
    area_threshold: float = parameter(1.0, "Share of the image at which the search for regions stops", low=0, high=1)
    min_pixel_diff: int = parameter(50, "Minimum number of new pixels of a region", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        # used by GetMask; PAIR's users replace it, or its class
        self._integrated_gradients = IntegratedGradients()

    @property
    def base(self) -> Method:
        """Return the method whose attribution is used."""
        if self.base_attribution is not None:
            return self.base_attribution
        if self.steps is None:
            return IntegratedGradients(steps=STEPS, baseline=self.baseline, quadrature=RULE)
        return IntegratedGradients(steps=self.steps, baseline=self.baseline)

    @property
    def needs(self) -> type:  # depends on the method inside
        needs: type = self.base.needs
        return needs

    @property
    def complete(self) -> bool:  # as the method inside
        complete: bool = self.base.complete
        return complete

    @property
    def layers(self) -> tuple[str | int | None, ...]:
        return self.base.layers

    def beginnings(self, images: Any, session: Session[Any]) -> list[Any]:
        return self.base.beginnings(images, session)

    def remedy(self) -> str:
        if self.base_attribution is not None:
            return self.base_attribution.remedy()
        return f"try steps={4 * (self.steps or STEPS)}"

    def cost(self, shape: tuple[int, ...]) -> int:
        return self.base.cost(shape)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        pictures = session.ops.tohost(images)
        segments = [self._segments(each, session) for each in pictures]
        shown = 0
        attribution: Any = None
        for attribution in self.base(images, session):
            share = session.images / max(session.total, 1)
            if session.streaming and shown < share * SHOWINGS < SHOWINGS:
                shown += 1
                quick = self._grow(session.ops.tohost(attribution), segments, session, "fast")
                yield session.ops.asarray(_stacked([[each.mask for each in row] for row in quick]))
        host = session.ops.tohost(attribution)
        if self.base.complete:
            # a method of segments has stored the sum of its own attribution
            session.details.setdefault("attributed", host.sum(tuple(range(2, host.ndim)), np.float64))
        grown = self._grow(host, segments, session, self.algorithm)
        session.details["regions"] = [[_regions(each) for each in row] for row in grown]
        yield session.ops.asarray(_stacked([[each.mask for each in row] for row in grown]))

    def _segments(self, picture: np.ndarray, session: Session[Any]) -> Sequence[Any]:
        """Return the segments of one picture (H, W, C), the model's input."""
        if self.segments is None:
            return felzenszwalb_segments(picture, check=session.check)
        masks = masks_of(split(picture, self.segments, NAMED))
        if not masks:
            raise BadShape("segments is empty: XRAI needs at least one; omit it for Felzenszwalb's.")
        return masks

    def _grow(
        self, attributions: np.ndarray, segments: list[Sequence[Any]], session: Session[Any], algorithm: str
    ) -> list[list[Grown]]:
        """Return the regions, per target and image."""
        return [
            [
                grow_regions(
                    strongest_channel(np.asarray(attribution, np.float64)),
                    own,
                    algorithm=algorithm,  # type: ignore[arg-type]  # one of `choices`
                    area_threshold=self.area_threshold,
                    min_pixel_diff=self.min_pixel_diff,
                    check=session.check,
                )
                for attribution, own in zip(row, segments, strict=False)
            ]
            for row in attributions
        ]


def _regions(grown: Grown) -> Regions:
    return region_table(grown.ranks, [gain for _, gain in grown.regions])


def _stacked(masks: list[list[np.ndarray]]) -> np.ndarray:
    return np.stack([np.stack(row) for row in masks])
