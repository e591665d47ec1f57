"""The verdict on one map: whether measurements on the model support it, as one sentence."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from saliency.core.method import Method
from saliency.metrics.metric import Curve, Measurement, Metric, in_words
from saliency.results.tables import aligned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAME = 0.005
"""Class contrast below which a map counts as the same for every class."""

CHANGED = 0.5
"""Rank correlation with the map of shuffled weights below which a map counts as changed."""

MOST, LEAST = "most salient first", "least salient first"
"""The curves of SRG and ROAD."""

SHARE = 0.2
"""The share of the pixels that the sentence is about, where the map differs from random maps there."""


Role = Literal["decides", "orders", "reported"]


class Measure(NamedTuple):
    """One measurement of a verdict, with its metric."""

    metric: Metric
    found: Measurement
    role: Role
    """Whether it decides `supported` and adds to `strength`, adds to the strength only, or is reported only."""

    @property
    def decides(self) -> bool:
        """Whether it decides `supported`."""
        return self.role == "decides"

    @property
    def title(self) -> str:
        """The name of the metric for display."""
        return self.metric.title if self.role != "orders" else f"{self.metric.title}, single pixels"

    @property
    def passed(self) -> bool | None:
        """Whether the value is above the band of random maps; None where it is undefined or has no band."""
        band = self.found.band
        if band is None or not np.isfinite(self.found.value):
            return None
        return self.found.value > band.high if self.metric.higher_is_better else self.found.value < band.low

    def __str__(self) -> str:
        found = self.found
        if found.reason:
            return f"not measured: {found.reason}"
        band = "" if found.band is None else f" (random: {found.band.low:.2f} to {found.band.high:.2f})"
        return f"{found.value:.2f}{band}"


class Subject(NamedTuple):
    """What the sentence names."""

    label: str
    """The explained class or value."""
    others: tuple[str, ...]
    """The classes that the contrast compares with."""
    percent: bool
    """Whether the model's values are probabilities."""

    def number(self, value: float) -> str:
        """Return a value of the model in words."""
        return in_words(value, percent=self.percent)

    def span(self, low: float, high: float) -> str:
        """Return an interval in words: "61–74 %"."""
        if not self.percent:
            return f"{low:.3g} to {high:.3g}"
        digits = 0 if high >= 0.01 else 1
        return f"{100 * low:.{digits}f}–{100 * high:.{digits}f} %"


@dataclass(frozen=True, repr=False)
class Verdict:
    """Whether a map shows what the model uses for this image and this target, measured on the model.

    The rule: the map is supported if SRG and ROAD are both above those of all random maps, and not supported if
    neither is. Another random map exceeds the 19 of SRG and their negatives in 1 of 40 cases. Where the two disagree,
    the map is undecided; what is undefined does not vote. A map that is the same for every class is not supported.
    Completeness, shuffled weights and the flipped image are reported only: a network may read fixed places.
    """

    subject: Subject
    measures: Mapping[str, Measure]
    """The measurements, by the id of the metric."""
    scale: float = 1.0
    """What `strength` is divided by: 1 for probabilities, else the change of the value when the image is blurred."""
    images: int = 0
    """Number of images evaluated for this map."""
    images_of_bands: int = 0
    """Number of images evaluated for random maps: once for each image and target."""
    images_of_reruns: int = 0
    """Number of images evaluated by running the method again."""
    notes: tuple[str, ...] = ()
    """Settings used, and what was not measured."""
    finished: bool = True
    """Whether all measurements were made; False for partial verdicts."""

    @property
    def deciding(self) -> list[Measure]:
        """The measurements that decide `supported`."""
        return [each for each in self.measures.values() if each.decides]

    @property
    def withdrawn(self) -> bool:
        """Whether the map is the same for every class."""
        contrast = self.measures.get("random_logit")
        return contrast is not None and bool(contrast.found.value < SAME)

    @property
    def supported(self) -> bool | None:
        """True, False, or None where it is undecided."""
        votes = [each.passed for each in self.deciding if each.passed is not None]
        if self.withdrawn and votes:
            return False
        return votes[0] if votes and len(set(votes)) == 1 else None

    @property
    def strength(self) -> float:
        """A number by which maps of one image and target are ordered: higher for better supported ones.

        The mean of SRG, of ROAD's difference of the two orders, and of SRG for single pixels, in -1 to 1 for
        probabilities; 0 for a random map. At most 0 for a map that is the same for every class. NaN where none of
        them is defined.
        """
        weights = {"road": 2.0}
        counted = {name: each.found.value for name, each in self.measures.items() if each.role != "reported"}
        values = [weights.get(name, 1.0) * value for name, value in counted.items() if np.isfinite(value)]
        if not values:
            return float("nan")
        strength = float(np.mean(values)) / self.scale
        return min(strength, 0.0) if self.withdrawn else strength

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        return sentence(self)

    def __repr__(self) -> str:
        rows = [(each.title, str(each), each.metric.advice) for each in self.measures.values()]
        cost = f"{self.images} images evaluated, {self.images_of_bands} for random maps"
        again = f", {self.images_of_reruns} by running the method again" if self.images_of_reruns else ""
        return "\n".join([self.sentence, aligned(rows), f"{cost}{again}.", *self.notes])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{_text(each.title)}</th>"
            f"<td style='text-align:left'>{_text(str(each))}</td>"
            f"<td style='text-align:left'>{_text(each.metric.advice)}</td></tr>"
            for each in self.measures.values()
        )
        notes = "".join(f"<p><small>{_text(each)}</small></p>" for each in self.notes)
        return f"<p><b>{_text(self.sentence)}</b></p><table>{rows}</table>{notes}"

    def plot(self, axes: Any = None) -> Figure:
        """Draw the curves of SRG and ROAD in the bands of random maps.

        Args:
            axes: a sequence of two matplotlib axes; new ones by default.

        Returns:
            their figure.
        """
        import matplotlib.pyplot as plt

        deciding = [each for each in self.deciding if each.found.curves]
        if axes is None:
            _, axes = plt.subplots(1, max(1, len(deciding)), figsize=(4.5 * max(1, len(deciding)), 3.2), squeeze=False)
        several = np.ravel(np.asarray(axes, object))
        for ax, each in zip(several, deciding, strict=False):
            draw(ax, each, self.subject)
        figure: Figure = several[0].figure
        figure.suptitle(self.sentence, fontsize="small", wrap=True, parse_math=False)
        return figure


def _text(value: str) -> str:
    return html.escape(value)


def draw(ax: Any, measure: Measure, subject: Subject) -> None:
    """Draw the curves of one measure in their bands."""
    factor = 100 if subject.percent else 1
    bands = {} if measure.found.band is None else measure.found.band.curves
    for i, (name, curve) in enumerate(measure.found.curves.items()):
        if name in bands and i == 0:
            at, low, high = bands[name]
            ax.fill_between(100 * at, factor * low, factor * high, color="0.85", label="random maps")
        ax.plot(100 * curve.at, factor * curve.values, marker=".", label=f"{name.split()[0]} salient removed first")
    ax.set_title(f"{measure.metric.title}: {measure}", fontsize="small", parse_math=False)
    ax.set_xlabel("removed pixels, %")
    ax.set_ylabel(f"{subject.label}{', %' if subject.percent else ''}", parse_math=False)
    ax.legend(fontsize="x-small")


class Recommendation(NamedTuple):
    """One method of :func:`saliency.recommend`."""

    method: Method
    """The method with the fields that it ran with."""
    verdict: Verdict | None
    """The verdict on its map; None where there is none."""
    why: str
    """The sentence of the verdict, or why there is none."""
    images: int = 0
    """Number of images evaluated for its map."""


class Recommendations(tuple[Recommendation, ...]):
    """Methods by the strength of the verdicts on their maps, the strongest first; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("method", "strength", "supported", "images", "why")]
        for each in self:
            strength = "–" if each.verdict is None else f"{each.verdict.strength:.2f}"
            supported = "–" if each.verdict is None else {True: "yes", False: "no", None: "?"}[each.verdict.supported]
            rows.append((repr(each.method), strength, supported, str(each.images), each.why))
        return aligned(rows)


def sentence(verdict: Verdict) -> str:
    """Return a verdict as one sentence; see :attr:`Verdict.sentence`."""
    subject, supported = verdict.subject, verdict.supported
    if not verdict.finished and any(each.found.band is None for each in verdict.deciding):
        return "Measuring: random maps are not evaluated yet."
    if verdict.withdrawn and supported is False:
        return (
            f"Not supported: the map is the same for {_listed(subject.others)}, so it does not explain "
            f"{subject.label!r} in particular."
        )
    if supported is None:
        return f"Undecided: {_undecided(verdict)}."
    if not supported:
        return f"Not supported: removing its top {100 * SHARE:.0f} % does no more than removing pixels at random."
    effect = next(_effects(verdict), "the model needs its salient pixels more than random ones")
    return f"This map is supported: {effect}{_shuffled(verdict)}."


def _listed(names: Sequence[str]) -> str:
    """Return names in words."""
    return " and ".join(map(repr, names)) or "other classes"


def _undecided(verdict: Verdict) -> str:
    defined = {each.metric.title: each.passed for each in verdict.deciding if each.passed is not None}
    if not defined:
        return next((each.found.reason for each in verdict.deciding if each.found.reason), "nothing could be measured")
    above = " and ".join(title for title, passed in defined.items() if passed)
    within = " and ".join(title for title, passed in defined.items() if not passed)
    return f"{above} is above random maps, but {within} is not"


def _effects(verdict: Verdict) -> Iterator[str]:
    """Yield what removing pixels does beyond random maps, in words.

    First with the most salient ones removed, near `SHARE`; then with the least salient ones, largest effect first.
    """
    subject, whole = verdict.subject, verdict.subject.number(_whole(verdict))
    for at, value, low, high in sorted(_beside_random(verdict, MOST), key=lambda each: abs(each[0] - SHARE)):
        if value < low:
            yield (
                f"removing its top {100 * at:.0f} % lowers {subject.label!r} from {whole} to "
                f"{subject.number(value)} (random: {subject.span(low, high)})"
            )
    for at, value, low, high in sorted(_beside_random(verdict, LEAST), key=lambda each: each[3] - each[1]):
        if value > high:
            yield (
                f"with only its top {100 * (1 - at):.0f} % kept, {subject.label!r} is {subject.number(value)} "
                f"(random: {subject.span(low, high)})"
            )


def _beside_random(verdict: Verdict, name: str) -> list[tuple[float, float, float, float]]:
    """Return (share, value, low, high) of one curve of every deciding metric; those of ROAD first."""
    found = []
    for measure in sorted(verdict.deciding, key=lambda each: each.metric.id != "road"):
        band = measure.found.band
        if band is not None and name in measure.found.curves:
            found += _compared(measure.found.curves[name], band.curves[name])
    return found


def _compared(curve: Curve, ends: Sequence[np.ndarray]) -> list[tuple[float, float, float, float]]:
    """Return (share, value, low, high) where both the map and random maps were measured, without none and all."""
    at, low, high = ends
    return [
        (float(share), float(curve.values[i]), float(low[j]), float(high[j]))
        for i, share in enumerate(curve.at)
        for j in [int(np.abs(at - share).argmin())]
        if abs(at[j] - share) < 1e-9 and 0 < share < 1
    ]


def _whole(verdict: Verdict) -> float:
    """Return the model's value of the image itself."""
    return float(verdict.measures["srg"].found.curves[MOST].values[0])


def _shuffled(verdict: Verdict) -> str:
    """Return what shuffling the weights does, as a clause; empty where it was not measured."""
    found = verdict.measures.get("mprt")
    if found is None or found.found.reason:
        return ""
    if found.found.value < CHANGED:
        return "; it changes when the weights are shuffled"
    return "; but it hardly changes when the weights are shuffled"
