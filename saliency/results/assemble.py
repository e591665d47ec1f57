"""What a run's masks mean: explanations, with the scores and what was noted on the way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from saliency.core.method import Method
from saliency.errors import BadOutput
from saliency.model.inputs import Inputs
from saliency.model.protocols import Adapted
from saliency.model.resolve import Asked
from saliency.pictures.picture import Picture
from saliency.results.explanation import Explanation
from saliency.session.session import Session

EMPTY = "the mask is zero everywhere", "the mask is zero everywhere: what was found speaks only against the target"
"""Said of a mask without content; the second where only what speaks for the target is shown."""


LOSS = 0.1
"""Share of the scores' difference above which a completeness error is noted."""

ROUNDING = 1e-5
"""Share of what the mask's values sum to, all taken positive, that float32 may lose."""


class Builder:
    """Makes explanations of a run's masks."""

    def __init__(
        self,
        method: Method,
        caption: str,
        targets: list[Asked],
        layers: Sequence[str],
        picture: Picture | Inputs,
        adapted: Adapted[Any],
        session: Session[Any],
        notes: list[str],
        started: float,
    ) -> None:
        self.method, self.caption, self.targets, self.layers = method, caption, targets, layers
        self.session = session
        self.picture, self.adapted, self.notes, self.started = picture, adapted, notes, started
        self.scores = np.full(len(targets), np.nan)
        self.baseline_scores: np.ndarray | None = None
        self.measured = False

    def measure(self, images: Any) -> None:
        """Compute the scores of the image, and of the baselines where the mask should sum to the difference."""
        self.scores = self._mean_scores([images])
        if self.method.complete and (beginnings := self.method.beginnings(images, self.session)):
            self.baseline_scores = self._mean_scores(beginnings)
        self.measured = True

    def _mean_scores(self, several: list[Any]) -> np.ndarray:
        ops, model = self.session.ops, self.session.model
        with model.lock:
            asked = [ops.tohost(model.scores(images)).astype(np.float64).mean(1) for images in several]
        return np.asarray(np.mean(asked, axis=0))

    def __call__(self, masks: Any) -> list[Any]:
        """One explanation per target, of masks (k, 1, H, W, C) or (k, 1, H, W); of inputs, a list of them each."""
        found = self.session.ops.tohost(masks)[:, 0]
        # what is found in float64 is summed so
        wide = np.broadcast_to(found, (len(self.targets), *found.shape[1:]))
        host = np.array(wide, np.float32)
        if not np.isfinite(host).all():
            raise BadOutput(f"The mask of {self.method!r} holds NaN or infinite values: it overflowed float32.")
        details = self.session.details
        regions, errors, sums, losses = map(details.get, ("regions", "standard_error", "attributed", "losses"))
        placement = self.picture.placement
        notes = tuple(dict.fromkeys([*self.picture.notes, *self.adapted.notes, *self.notes, *self.session.notes]))
        explanations = []
        for i, target in enumerate(self.targets):
            mine = None if self.baseline_scores is None else float(self.baseline_scores[i])
            score = float(self.scores[i])
            empty = () if host[i].any() else (EMPTY[self.method.sign == "positive"],)
            attributed = float(wide[i].sum(dtype=np.float64) if sums is None else sums[i][0])
            gap = attributed - (score - (mine or 0.0)) if self.measured and self.method.complete else None
            loss = self._loss(gap, score - (mine or 0.0), float(np.abs(host[i]).sum(dtype=np.float64)))
            own = () if losses is None else losses[i][0]
            picture = self.picture
            parts = picture.split(host[i]) if isinstance(picture, Inputs) else (host[i],)
            each = [
                Explanation(
                    mask=part,
                    method=self.method.id,
                    caption=self.caption,
                    target=target.name,
                    label=target.label,
                    layer=", ".join(self.layers) or None,
                    score=score,
                    baseline_score=mine,
                    gap=gap,
                    regions=None if regions is None else regions[i][0],
                    standard_error=None if errors is None else errors[i][0].astype(np.float32),
                    notes=(*notes, *loss, *own, *empty),
                    sign=self.method.sign,
                    calls=self.session.calls,
                    images=self.session.images,
                    seconds=time.perf_counter() - self.started,
                    picture=self.picture.shown,
                    placement=placement,
                )
                for part in parts
            ]
            explanations.append(each if isinstance(picture, Inputs) else each[0])
        return explanations

    def _loss(self, gap: float | None, rise: float, size: float) -> tuple[str, ...]:
        """Return the note on a completeness error, if it is one to be noted.

        Args:
            gap: what the attribution sums to, less `rise`.
            rise: the difference of the scores.
            size: what the mask's values sum to, all taken positive.
        """
        if gap is None or "losses" in self.session.details or abs(gap) <= max(LOSS * abs(rise), ROUNDING * size):
            return ()
        share = f" {100 * abs(gap / rise):,.0f} %" if rise else ""
        sums = f"the attribution sums to {rise + gap:.3g}, the scores differ by {rise:.3g}"
        remedy = self.method.remedy()
        return (f"completeness error{share}: {sums}{f'; {remedy}' if remedy else ''}",)
