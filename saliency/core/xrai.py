"""Regions of the image, ranked by the attribution they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency.core.integrated_gradients import IntegratedGradients
from saliency.core.method import Method, parameter
from saliency.core.pair.xrai import (
    _FELZENSZWALB_IM_RESIZE,
    _FELZENSZWALB_IM_VALUE_RANGE,
    _FELZENSZWALB_MIN_SEGMENT_SIZE,
    _FELZENSZWALB_SCALE_VALUES,
    _FELZENSZWALB_SIGMA_VALUES,
    PairXRAI,
    XRAIOutput,
    XRAIParameters,
    _attr_aggregation_max,
    _gain_density,
    _get_diff_cnt,
    _get_diff_mask,
    _get_segments_felzenszwalb,
    _normalize_image,
    _unpack_segs_to_masks,
    strongest_channel,
)
from saliency.errors import BadShape
from saliency.pictures.regions import Grown, Regions, felzenszwalb_segments, grow_regions, region_table
from saliency.pictures.segments import SEGMENTERS, Segments, masks_of, split
from saliency.session.baselines import Baseline
from saliency.session.session import Session

__all__ = [  # with PAIR's private names, which public code imports from here
    "XRAI",
    "_FELZENSZWALB_IM_RESIZE",
    "_FELZENSZWALB_IM_VALUE_RANGE",
    "_FELZENSZWALB_MIN_SEGMENT_SIZE",
    "_FELZENSZWALB_SCALE_VALUES",
    "_FELZENSZWALB_SIGMA_VALUES",
    "XRAIOutput",
    "XRAIParameters",
    "_attr_aggregation_max",
    "_gain_density",
    "_get_diff_cnt",
    "_get_diff_mask",
    "_get_segments_felzenszwalb",
    "_normalize_image",
    "_unpack_segs_to_masks",
]

NAMED = 150
"""How many segments a named segmentation gives to XRAI."""

SHOWINGS = 8
"""How many partial results a run of XRAI shows at most: each grows all regions anew."""


@dataclass(eq=False, repr=False)
class XRAI(PairXRAI):
    """Regions of the image, grown from segments by the attribution they hold (arXiv:1906.02825, algorithm 1).

    Each pixel has the mean attribution of its region. The attribution is Integrated Gradients from black and from
    white, averaged, unless another method is given. The segments are Felzenszwalb's at six scales, unless there are
    others, as in ``segments=lambda picture: skimage.segmentation.slic(picture)``. 2 * `steps`
    forward and backward passes by default, and a fifth of a second of segmentation.
    """

    id = "xrai"
    title = "XRAI"
    paper = "arXiv:1906.02825"
    family = "regions"
    formula = r"S \leftarrow S \cup \operatorname*{arg\,max}_s\, \operatorname{mean}_{p \in s \setminus S} A_p"
    advice = (
        "The easiest to read: whole regions, ranked, to be stepped through. Takes seconds, and cannot be finer "
        "than its segments."
    )
    sign = "positive"

    steps: int = parameter(100, "nodes of each path of Integrated Gradients", low=1, high=10_000)
    baseline: Baseline = parameter(("black", "white"), "where the paths begin; several are averaged")
    base_attribution: Method | None = parameter(None, "a method in place of Integrated Gradients")
    segments: Segments | None = parameter(
        None,
        "in place of Felzenszwalb's at six scales: 'slic', 'felzenszwalb', 'quickshift' or 'grid' with 150 segments, "
        "bool masks (H, W), a label map (H, W), or a function picture -> one of these",
        choices=SEGMENTERS,
    )
    algorithm: str = parameter(
        "full", "'fast' ranks whole segments once, 'full' after every choice", choices=("full", "fast")
    )
    area_threshold: float = parameter(1.0, "share of the image after which no more regions are sought", low=0, high=1)
    min_pixel_diff: int = parameter(50, "smallest number of new pixels a region may have", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        # PAIR's door asks this one; people replace it, or the class it is made of
        self._integrated_gradients = IntegratedGradients()

    @property
    def base(self) -> Method:
        """The method whose attribution is gathered into regions."""
        if self.base_attribution is not None:
            return self.base_attribution
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
        return f"try steps={4 * self.steps}" if self.base_attribution is None else self.base_attribution.remedy()

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
            # a method of features has left the sum of its own
            session.details.setdefault("attributed", host.sum(tuple(range(2, host.ndim)), np.float64))
        grown = self._grow(host, segments, session, self.algorithm)
        session.details["regions"] = [[_regions(each) for each in row] for row in grown]
        yield session.ops.asarray(_stacked([[each.mask for each in row] for row in grown]))

    def _segments(self, picture: np.ndarray, session: Session[Any]) -> Sequence[Any]:
        """The segments of one picture (H, W, C), as the model is fed it."""
        if self.segments is None:
            return felzenszwalb_segments(picture, check=session.check)
        masks = masks_of(split(picture, self.segments, NAMED))
        if not masks:
            raise BadShape("segments is empty: XRAI ranks at least one; leave it out for Felzenszwalb's.")
        return masks

    def _grow(
        self, attributions: np.ndarray, segments: list[Sequence[Any]], session: Session[Any], algorithm: str
    ) -> list[list[Grown]]:
        """Per target, per image."""
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
