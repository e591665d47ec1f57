"""Assemble explanations: masks with their scores, completeness error and notes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from saliency.core.method import run as masks_of
from saliency.errors import BadOutput
from saliency.model.inputs import Inputs
from saliency.model.resolve import Resolved
from saliency.results.explanation import Explanation
from saliency.results.layer_explanation import LayerExplanation
from saliency.results.run import Run
from saliency.session.consistency import batches
from saliency.session.progress import ProgressBar
from saliency.session.session import Progress, Session

EMPTY = "the mask is zero everywhere", "the mask is zero everywhere: all attributions are negative"
"""Notes on an empty mask; the second where only positive attributions are shown."""


LOSS = 0.1
"""Share of the scores' difference above which a completeness error is noted."""

ROUNDING = 1e-5
"""Share of the sum of the mask's absolute values that float32 may lose."""


TOGETHER = 8
"""Maximum number of images whose scores are computed in one call."""

SHOWINGS = 20
"""Maximum number of partial results per run."""


def explained(
    run: Run,
    started: float,
    *,
    progress: bool | Progress = False,
    partial: Callable[[list[Any]], None] | None = None,
    **options: Any,
) -> list[Any]:
    """Run a method; return for each picture its explanation, or one per target if a list of targets was given.

    Args:
        run: the method, with targets and layers bound.
        started: time of the start, by :func:`time.perf_counter`.
        progress: True for a progress bar, False for none, or a callable (images evaluated, images in total).
        partial: called with intermediate results, of the pictures that the method has reached.
        options: of the session, see :class:`~saliency.session.session.Session`.
    """
    with ProgressBar(progress, run.total, run.method.title, bool(run.method.beyond)) as report:
        session = run.session(progress=report, streaming=partial is not None, **options)
        assemble, shown = Assembly(run, session, started), 0
        for mask in masks_of(run.method, session, run.images):
            share = session.images / max(session.total, 1)
            if partial is not None and shown < share * SHOWINGS < SHOWINGS:
                shown = int(share * SHOWINGS) + 1
                partial(assemble(mask))
        assemble.measure()
        return assemble(mask)


class Assembly:
    """Builds explanations from the masks of a run.

    Args:
        run: a method with targets and layers bound.
        session: the session that ran it.
        started: time of the start, by :func:`time.perf_counter`.
    """

    def __init__(self, run: Run, session: Session[Any], started: float) -> None:
        self.run, self.session, self.started = run, session, started
        self.method = run.method
        self.complete = run.method.complete and (run.place is None or run.place.cuts)
        self.scores = np.full((run.rows, len(run.pictures)), np.nan)
        self.baseline_scores: np.ndarray | None = None
        self.measured = False
        session.keep_scores(run.images, run.scores)

    def measure(self) -> None:
        """Find the scores of the images, and of the baselines where a mask should sum to their difference."""
        images = self.run.images
        beginnings = self.method.beginnings(images, self.session) if self.complete else []
        own, *others = self._scores([images, *beginnings])
        self.scores = np.asarray(np.broadcast_to(own, self.scores.shape))
        if others:
            each = [np.broadcast_to(scores, self.scores.shape) for scores in others]
            self.baseline_scores = np.asarray(np.mean(each, axis=0))
        self.measured, self.run = True, self.run.settled()

    def _scores(self, several: list[Any]) -> list[np.ndarray]:
        """Return the scores (k, B) of several batches (B, …), computed only where no pass of the run has found them.

        A batch (1, …) is one image in place of all. A few single images share a call.
        """
        found = [self._known(images) for images in several]
        missing = [images for images, scores in zip(several, found, strict=True) if scores is None]
        together = 1 < len(missing) <= TOGETHER and all(len(each) == 1 for each in missing)
        if together and not self.run.alone and len(self.run.pictures) == 1:
            left = iter(np.split(self._computed(self.session.ops.concat(missing)), len(missing), 1))
        else:
            left = iter([self._computed(images) for images in missing])
        return [np.asarray(next(left) if scores is None else scores, np.float64) for scores in found]

    def _known(self, images: Any) -> Any:
        """Return the scores of images that a pass of the run has evaluated, or None."""
        if self.run.own and len(images) != len(self.run.pictures):
            return None  # one image in place of all has a score for the target of each
        return self.session.known_scores(images)

    def _computed(self, images: Any) -> np.ndarray:
        ops, model, own = self.session.ops, self.session.model, self.run.own
        count = len(self.run.pictures)
        if own and len(images) != count:
            images = ops.repeat(images, count)
        first, parts = 0, []
        with model.lock:
            for each in batches(images, alone=self.run.alone):
                with ExitStack() as stack:
                    for target in own:
                        stack.enter_context(target.of(np.arange(first, first + len(each))))
                    parts.append(ops.tohost(model.scores(each)))
                first += len(each)
        return np.concatenate(parts, 1)

    def __call__(self, masks: Any) -> list[Any]:
        """Return for each picture its explanation, or one per target if a list of targets was given.

        Several inputs have a list of explanations in place of one.

        Args:
            masks: (k, b, H, W, C) or (k, b, H, W), for the b <= B pictures that the method has reached; k is 1 if the
                mask is the same for every target.

        Raises:
            BadOutput: the masks overflow float32.
        """
        host = self.session.ops.tohost(masks)
        if not np.isfinite(host.astype(np.float32, copy=False)).all():
            raise BadOutput(f"The mask of {self.method!r} contains NaN or infinite values: it overflowed float32.")
        each_row = np.broadcast_to(host, (self.run.rows, *host.shape[1:]))

        def of_picture(i: int) -> Any:
            found = [self._explained(i, target, each_row[target.row, i]) for target in self.run.targets[i]]
            return found if self.run.several else found[0]

        return [of_picture(i) for i in range(host.shape[1])]

    def _explained(self, i: int, target: Resolved, mask: np.ndarray) -> Any:
        """Return the explanation of a target of picture `i`; for several inputs, one each.

        Args:
            i: index of the picture.
            target: the target.
            mask: its mask, of any precision.
        """
        picture, place = self.run.pictures[i], self.run.place
        mask = mask if place is None else place.mask(mask)
        values = mask.astype(np.float32)
        common = self._common(i, target, mask, values)
        if place is not None:
            shown = {"placement": place.placement(picture), "regions": None, "standard_error": None}
            found = LayerExplanation(mask=values, **{**common, **shown}, grid=place.grid, before=place.before)
            return [found] if isinstance(picture, Inputs) else found
        if not isinstance(picture, Inputs):
            return Explanation(mask=values, **common)
        return [Explanation(mask=part, **common) for part in picture.split(values)]

    def _common(self, i: int, target: Resolved, mask: np.ndarray, values: np.ndarray) -> dict[str, Any]:
        """Return every field of the explanation of a target of picture `i`, except the mask."""
        picture, at = self.run.pictures[i], (target.row, i)
        # before the notes, to which it may add
        placement = picture.placement
        regions, errors, sums, losses, sampling = map(
            self.session.details.get, ("regions", "standard_error", "attributed", "losses", "sampling")
        )
        baseline_score = None if self.baseline_scores is None else float(self.baseline_scores[at])
        score, rise = float(self.scores[at]), float(self.scores[at]) - (baseline_score or 0.0)
        gap, loss = None, tuple[str, ...]()
        if self.measured and self.complete:
            # sums in float64 where the mask is float64
            gap = float(mask.sum(dtype=np.float64) if sums is None else sums[at]) - rise
            loss = self._loss(gap, rise, float(np.abs(values).sum(dtype=np.float64)))
        empty = () if values.any() else (EMPTY[self.method.sign == "positive"],)
        return {
            "method": self.method.id,
            "caption": self.run.caption,
            "labels": self.run.model.labels,
            "instance": self.method,
            "target": target.name,
            "label": target.label,
            "layer": ", ".join(self.run.layers) or None,
            "score": score,
            "baseline_score": baseline_score,
            "gap": gap,
            "regions": None if regions is None else regions[target.row][i],
            "standard_error": None if errors is None else errors[at].astype(np.float32),
            "notes": (
                *self._notes(i),
                *loss,
                *(() if losses is None else losses[target.row][i]),
                *(() if sampling is None else sampling[target.row][i]),
                *empty,
            ),
            "sign": self.method.sign,
            "calls": self.session.calls,
            "images": self.session.images,
            "seconds": time.perf_counter() - self.started,
            "picture": picture.shown,
            "placement": placement,
        }

    def _notes(self, i: int) -> tuple[str, ...]:
        """Return the notes on picture `i`, each once."""
        picture, run = self.run.pictures[i], self.run
        return tuple(dict.fromkeys([*picture.notes, *run.model.notes, *run.notes[i], *self.session.notes]))

    def _loss(self, gap: float, rise: float, size: float) -> tuple[str, ...]:
        """Return the note on the completeness error, if it is large enough.

        Args:
            gap: sum of the attribution minus `rise`.
            rise: difference of the scores.
            size: sum of the mask's absolute values.
        """
        if "losses" in self.session.details or abs(gap) <= max(LOSS * abs(rise), ROUNDING * size):
            return ()
        share = f" {100 * abs(gap / rise):,.0f} %" if rise else ""
        sums = f"the attribution sums to {rise + gap:.3g}, the scores differ by {rise:.3g}"
        remedy = self.method.remedy()
        return (f"completeness error{share}: {sums}{f'; {remedy}' if remedy else ''}",)
