"""The result of :func:`saliency.counterfactual`."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from saliency import checks
from saliency.errors import BadField, UnknownName, brief
from saliency.metrics.metric import in_words
from saliency.pictures.placement import onto

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["remove", "keep"]

DIMMED = 0.35
"""Brightness of what is not chosen, in the plot."""


@dataclass(frozen=True, eq=False, repr=False)
class Counterfactual:
    """A small set of segments whose removal changes the model's answer, or that is enough for it.

    All statements have been tested on the model, with the removed pixels replaced by `fill`.
    """

    kind: Kind
    """"remove": the segments are replaced, and the answer changes. "keep": all other segments are replaced, and the
    answer does not change, or is `to`."""
    label: str
    """The name of the target."""
    segments: tuple[int, ...]
    """The ids of the chosen segments: labels of `segmentation`."""
    segmentation: np.ndarray
    """int (H, W): the segment of each pixel of the model's input; -1 for pixels in no segment, which never change."""
    minimal: bool
    """Whether no segment can be left out: proved by testing the set without each. False where that is not proved."""
    smallest: bool
    """Whether no smaller set reaches the same: proved by testing all of them. False where that is not proved."""
    before: float
    """The target's probability for the picture, 0–1; the value where there is none."""
    after: float
    """The same for the changed picture."""
    answers: tuple[str, str]
    """The model's answer to the picture and to the changed picture, in words."""
    others: tuple[tuple[int, ...], ...]
    """Other sets of as many segments that were found to reach the same; those with fewer pixels first."""
    fill: str
    """What removed pixels are replaced by."""
    holds_under: Mapping[str, bool]
    """For each fill, whether the set reaches the same with it."""
    calls: int
    """Number of images evaluated."""
    percent: bool
    """Whether the target has a probability."""
    picture: np.ndarray
    """The picture, (h, w, 3) uint8, at its own size."""
    changed: np.ndarray
    """The picture with the replaced pixels, (h, w, 3) uint8, as the model is shown it."""
    placement: np.ndarray
    """The affine map (2, 3) from pixels of the model's input to pixels of the picture."""
    notes: tuple[str, ...] = ()
    """The settings used, in sentences."""

    @property
    def mask(self) -> np.ndarray:
        """The pixels of the chosen segments, bool (H, W), at the resolution of the model's input."""
        return self.mask_of(self.segments)

    def mask_of(self, segments: Sequence[int]) -> np.ndarray:
        """Return the pixels of a set of segments, bool (H, W), such as one of `others`.

        Args:
            segments: ids of segments, labels of `segmentation`.

        Raises:
            UnknownName: there is no such segment.
        """
        known = set(np.unique(self.segmentation).tolist()) - {-1}
        wanted = [checks.whole(each, "a segment") for each in checks.several(segments, "segments")]
        if strange := sorted(set(wanted) - known):
            raise UnknownName(f"There is no segment {strange[0]}: the ids are {min(known)} to {max(known)}.")
        return np.isin(self.segmentation, wanted)

    @property
    def share(self) -> float:
        """The share of the model's input in the chosen segments, 0–1."""
        return float(self.mask.mean())

    @property
    def sentence(self) -> str:
        """The result in words."""
        return f"{self._effect()} {self._certificate()} {self._fills()}"

    def _effect(self) -> str:
        before, after = self.answers
        named = "" if repr(self.label) in after else f", with {self.label!r} at {self._number(self.after)}"
        if not self.segments:
            return f"With everything replaced by {self.fill}, the answer is {after}: no segment is needed."
        count = len(np.unique(self.segmentation[self.segmentation >= 0]))
        what = f"{len(self.segments)} of {count} segments ({in_words(self.share, percent=True)} of the picture)"
        if self.kind == "remove":
            return f"Replacing {what} by {self.fill} changes the answer from {before} to {after}{named}."
        return (
            f"Keeping {what} and replacing the rest by {self.fill} gives the answer {after}{named}; the whole picture "
            f"gives {before}."
        )

    def _number(self, value: float) -> str:
        return in_words(value, percent=self.percent)

    def _certificate(self) -> str:
        if not self.segments:
            proved = "It is the smallest set."
        elif self.smallest:
            proved = "No smaller set of segments does this."
        elif self.minimal:
            proved = "None of these segments can be left out; a smaller set of other segments may exist."
        else:
            proved = "Whether a segment can be left out was not proved within the budget."
        count = len(self.others)
        return proved + (f" {count} other set{'s' if count > 1 else ''} of this size found." if count else "")

    def _fills(self) -> str:
        other = {name: holds for name, holds in self.holds_under.items() if name != self.fill}
        if not other:
            return "Other fills were not tested."
        holding = [name for name, holds in other.items() if holds]
        return f"It holds under {len(holding)} of {len(other)} other fills" + (
            f" ({', '.join(holding)})." if holding else "."
        )

    def __str__(self) -> str:
        return self.sentence

    def __repr__(self) -> str:
        return "\n".join([self.sentence, f"{self.calls} images evaluated.", *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p><small>{html.escape(each)}</small></p>" for each in self.notes)
        return f"<p><b>{html.escape(self.sentence)}</b></p><p><small>{self.calls} images evaluated.</small></p>{notes}"

    def plot(self, axes: Any = None) -> Figure:
        """Draw the picture with the chosen segments outlined, and the changed picture, each with the model's answer.

        Args:
            axes: a sequence of two matplotlib axes; new ones by default.

        Returns:
            their figure.

        Raises:
            BadField: `axes` is not two axes.
        """
        import matplotlib.pyplot as plt

        if axes is None:
            _, axes = plt.subplots(1, 2, figsize=(8, 4.2), layout="constrained")
        several = list(np.ravel(np.asarray(axes, object)))
        if len(several) != 2 or not all(hasattr(each, "imshow") for each in several):
            raise BadField(f"axes must be two matplotlib axes, as from plt.subplots(1, 2), got {brief(axes)}.")
        height, width = self.picture.shape[:2]
        chosen = onto(self.mask.astype(np.float32), self.placement, (height, width), smooth=False) > 0.5
        bright = np.where(chosen[..., None], 1.0, DIMMED)
        shown = (np.rint(255 - bright * (255 - self.picture)).astype(np.uint8), self.changed)
        titles = ("before", "after" if self.kind == "remove" else "after, the rest replaced")
        for ax, picture, when, answer in zip(several, shown, titles, self.answers, strict=True):
            ax.imshow(picture)
            if chosen.any() and not chosen.all():
                ax.contour(chosen, levels=[0.5], colors=["#e6007e"], linewidths=1.5)
            title = f"{when}: {answer}".encode(errors="replace").decode()
            ax.set_title(title, fontsize="small", parse_math=False)
            ax.set_axis_off()
        figure: Figure = several[0].figure
        return figure
