"""The results of attacks and corruptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from saliency.errors import BadField, brief
from saliency.metrics.metric import in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Adversarial:
    """A picture that was changed a little to change the model's answer."""

    method: str
    """The name of the attack with its radius."""
    label: str
    """The name of the target."""
    success: bool
    """Whether the answer has changed, or is the one that was looked for."""
    before: float
    """The target's probability for the picture, 0–1; the value where there is none."""
    after: float
    """The same for the changed picture."""
    answers: tuple[str, str]
    """The model's answer to the picture and to the changed picture, in words."""
    picture: np.ndarray
    """The model's input in units of the picture, (h, w, C) float64: 0 is black, 1 is white."""
    perturbation: np.ndarray
    """What was added to it, (h, w, C)."""
    fed: np.ndarray
    """The changed input of the model, (1, h, w, C) float32, after its preprocessing."""
    percent: bool
    """Whether the target has a probability."""
    calls: int
    """Number of images evaluated; a gradient counts as one."""
    notes: tuple[str, ...] = ()
    """The settings used, in sentences."""

    @property
    def changed(self) -> np.ndarray:
        """The changed picture, (h, w, C), in 0–1."""
        return self.picture + self.perturbation

    @property
    def linf(self) -> float:
        """The largest change of a value, in units of the picture."""
        return float(np.abs(self.perturbation).max())

    @property
    def l2(self) -> float:
        """The root of the sum of squares of the change, in units of the picture."""
        return float(np.sqrt((self.perturbation**2).sum()))

    def __str__(self) -> str:
        before, after = self.answers
        number, ended = (in_words(each, percent=self.percent) for each in (self.before, self.after))
        effect = (
            f"changes the answer from {before} to {after}" if self.success else f"is not enough: {before} to {after}"
        )
        named = "" if repr(self.label) in after else f", with {self.label!r} from {number} to {ended}"
        return (
            f"{self.method} {effect}{named}. Largest change of a value: {self.linf:.4f} of 0–1; L2 norm {self.l2:.3g}."
        )

    def __repr__(self) -> str:
        return "\n".join([str(self), f"{self.calls} images evaluated.", *self.notes])

    def plot(self, axes: Any = None) -> Figure:
        """Draw the picture, the perturbation scaled to its largest value, and the changed picture.

        Args:
            axes: a sequence of three matplotlib axes; new ones by default.

        Returns:
            their figure.
        """
        import matplotlib.pyplot as plt

        if axes is None:
            _, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
        several = list(np.ravel(np.asarray(axes, object)))
        if len(several) != 3 or not all(hasattr(each, "imshow") for each in several):
            raise BadField(f"axes must be three matplotlib axes, as from plt.subplots(1, 3), got {brief(axes)}.")
        enlarged = 0.5 + self.perturbation / (2 * self.linf or 1)
        titles = (f"before: {self.answers[0]}", f"change, {0.5 / (self.linf or 1):.3g} ×", f"after: {self.answers[1]}")
        for ax, shown, title in zip(several, (self.picture, enlarged, self.changed), titles, strict=True):
            colours = shown[..., :3] if shown.shape[-1] in (3, 4) else shown.mean(-1, keepdims=True).repeat(3, -1)
            ax.imshow(np.clip(colours, 0, 1))
            ax.set_title(title.encode(errors="replace").decode(), fontsize="small", parse_math=False)
            ax.set_axis_off()
        figure: Figure = several[0].figure
        return figure


@dataclass(frozen=True, eq=False, repr=False)
class StrengthCurve:
    """The model's answer against the strength of a corruption."""

    corruption: str
    """The name of the corruption."""
    unit: str
    """What a strength is measured in."""
    label: str
    """The name of the target."""
    strength: float | None
    """The smallest strength found at which the answer changes; None if it changes at none that was evaluated."""
    unchanged: float
    """The largest strength evaluated below `strength`: the answer is still the same there. Without any, the largest."""
    strengths: np.ndarray
    """(n,): the strengths that were evaluated, ascending from 0."""
    values: np.ndarray
    """(n,): the target's probability, 0–1, or its value."""
    reached: np.ndarray
    """(n,) bool: whether the answer has changed."""
    answers: tuple[str, str]
    """The model's answer to the picture, and at `strength` (at the largest one, if None), in words."""
    percent: bool
    """Whether the target has a probability."""
    calls: int
    """Number of images evaluated."""
    notes: tuple[str, ...] = ()
    """The settings used, in sentences."""

    def __str__(self) -> str:
        before, after = self.answers
        if self.strength is None:
            return (
                f"{self.corruption} up to {self.unchanged:.3g} {self.unit} does not change the answer {before}; at its "
                f"end it is {after}."
            )
        back = ""
        if not self.reached[self.strengths >= self.strength].all():
            back = " At some larger strengths it is the first answer again."
        return (
            f"{self.corruption} of {self.strength:.3g} {self.unit} changes the answer from {before} to {after}; "
            f"{self.unchanged:.3g} does not.{back}"
        )

    def __repr__(self) -> str:
        return "\n".join([str(self), f"{self.calls} images evaluated.", *self.notes])

    def plot(self, ax: Any = None) -> Axes:
        """Draw the target's probability, or value, against the strength, with the crossing marked.

        Args:
            ax: matplotlib axes; new ones by default.

        Returns:
            the axes.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
        if not hasattr(ax, "plot"):
            raise BadField(f"ax must be matplotlib axes, as from plt.subplots(), got {brief(ax)}.")
        factor = 100 if self.percent else 1
        label = self.label.encode(errors="replace").decode()
        ax.plot(self.strengths, factor * self.values, color="0.4", zorder=1)
        for changed, colour, name in ((False, "#0072b2", "same answer"), (True, "#d55e00", "other answer")):
            at = self.reached == changed
            ax.scatter(self.strengths[at], factor * self.values[at], s=14, color=colour, label=name, zorder=2)
        if self.strength is not None:
            ax.axvline(self.strength, color="#d55e00", linestyle=":", label=f"changes at {self.strength:.3g}")
        ax.set_xlabel(f"{self.corruption}: {self.unit}")
        ax.set_ylabel(f"{label}{', %' if self.percent else ''}", parse_math=False)
        ax.legend(fontsize="x-small")
        axes: Axes = ax
        return axes
