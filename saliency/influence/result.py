"""The results of an :class:`~saliency.influence.Index`: training images for and against an answer, and suspects."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from saliency import checks
from saliency.errors import SaliencyError
from saliency.metrics.metric import in_words
from saliency.pictures import display
from saliency.results.explanation import Explanation
from saliency.results.tables import aligned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIMMED = 0.3
"""Brightness of the parts that two images do not share, in the plot."""

TOP = 0.95
"""Share of the height of the plot below the first row's titles."""


@dataclass(frozen=True, eq=False, repr=False)
class TrainingImage:
    """A training image with its influence on an answer."""

    index: int
    """Its number in the data set."""
    name: str
    """Its path in the folder, or its number."""
    score: float
    """Its influence: positive where training with it supports the answer."""
    label: str
    """The label that it was trained with."""
    loss: float
    """The model's loss on it, with this label."""
    read: Callable[[], Any] = field(repr=False)
    shown: Callable[[], np.ndarray] = field(repr=False)
    shared: Callable[[], tuple[Explanation, Explanation]] = field(repr=False)

    def __repr__(self) -> str:
        return f"<training image {self.name}: {self.label}, {self.score:+.3g}>"

    @property
    def image(self) -> Any:
        """The image as the data set gives it, read now.

        Raises:
            Unsupported: the data set can be read in order only.
        """
        return self.read()

    @property
    def picture(self) -> np.ndarray:
        """The image to show, (H, W, 3) uint8, read now."""
        return self.shown()

    def similarity(self) -> tuple[Explanation, Explanation]:
        """Return the part of the explained picture that resembles this image, and the part of this that resembles it.

        See :meth:`saliency.influence.Index.similarity`.
        """
        return self.shared()


@dataclass(frozen=True, eq=False, repr=False)
class Influence:
    """The influence of the training images on a model's answer to a picture."""

    target: int
    """Index of the explained class."""
    label: str
    """Its name."""
    probability: float
    """Its probability, 0–1."""
    scores: np.ndarray
    """The influence of each training image, (n,)."""
    proponents: tuple[TrainingImage, ...]
    """The images with the largest positive influence, the largest first."""
    opponents: tuple[TrainingImage, ...]
    """The images with the largest negative influence, the largest first."""
    method: str
    """The estimator, in words."""
    unit: str
    """What a score is, in words."""
    picture: np.ndarray
    """The explained picture, (H, W, 3) uint8."""
    notes: tuple[str, ...] = ()
    """The settings used, in sentences."""

    def __repr__(self) -> str:
        return "\n".join([self._title(), self._table(), *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p><small>{html.escape(each)}</small></p>" for each in self.notes)
        return f"<p><b>{html.escape(self._title())}</b></p><pre>{html.escape(self._table())}</pre>{notes}"

    def _title(self) -> str:
        return f"{self.label} {in_words(self.probability, percent=True)}, {self.method}: {self.unit}"

    def _table(self) -> str:
        rows = [("", "training image", "label", "score", "loss")]
        for side, several in (("for", self.proponents), ("against", self.opponents)):
            rows += [(side, each.name, each.label, f"{each.score:+.3g}", f"{each.loss:.3g}") for each in several]
        return aligned(rows)

    def plot(self, *, similarity: bool = True) -> Figure:
        """Draw the picture, the images for its answer above, and those against it below.

        Args:
            similarity: whether the part of each image that resembles the picture is lit. Models without a layer with a
                spatial grid, and data sets that are read in order, have none.

        Returns:
            the matplotlib figure.

        Raises:
            Unsupported: the data set can be read in order only.
        """
        import matplotlib.pyplot as plt

        similarity = checks.flag(similarity, "similarity")
        columns = 1 + max(len(self.proponents), len(self.opponents), 1)
        figure, axes = plt.subplots(2, columns, figsize=(2 * columns, 4.6), layout="constrained", squeeze=False)
        for ax in axes.flat:
            ax.set_axis_off()
        # the layout leaves no room for titles above axes that are off
        figure.get_layout_engine().set(rect=(0, 0, 1, TOP))  # type: ignore[union-attr, call-arg]
        axes[0, 0].imshow(self.picture)
        _title(axes[0, 0], f"{self.label} {in_words(self.probability, percent=True)}")
        for row, several in zip(axes, (self.proponents, self.opponents), strict=True):
            for ax, each in zip(row[1:], several, strict=False):
                ax.imshow(_lit(each) if similarity else each.picture)
                _title(ax, f"{each.label}\n{each.score:+.2g}")
        return figure


def _title(ax: Any, text: str) -> None:
    ax.set_title(text.encode(errors="replace").decode(), fontsize="small", parse_math=False)


def _lit(item: TrainingImage) -> np.ndarray:
    """Return a training image with the part that it shares lit, and the rest dimmed."""
    try:
        _, found = item.similarity()
    except SaliencyError:
        return item.picture
    # scaled before it is placed: what the model does not see has the value 0, which may be the smallest
    heat = replace(found, mask=display.heat(found.mask)).on_picture()
    return np.asarray(np.rint(found.picture * (DIMMED + (1 - DIMMED) * heat)[..., None]), np.uint8)


@dataclass(frozen=True)
class Suspect:
    """A training image whose label may be wrong."""

    index: int
    """Its number in the data set."""
    name: str
    """Its path in the folder, or its number."""
    label: str
    """The label that it was trained with."""
    predicted: str
    """The model's top class."""
    probability: float
    """The probability of that class, 0–1."""
    self_influence: float
    """Its influence on its own label."""
    loss: float
    """The model's loss on it."""
    loss_rank: int
    """Its rank by the loss, 1 for the largest."""


class Suspects(tuple[Suspect, ...]):
    """Training images by falling self-influence; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("rank", "training image", "label", "predicted", "self-influence", "loss", "rank by loss")]
        for i, each in enumerate(self, 1):
            predicted = f"{each.predicted} {in_words(each.probability, percent=True)}"
            numbers = f"{each.self_influence:.3g}", f"{each.loss:.3g}", str(each.loss_rank)
            rows.append((str(i), each.name, each.label, predicted, *numbers))
        return aligned(rows)
