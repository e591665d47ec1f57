"""The table that :func:`saliency.evaluate` returns: :class:`Evaluation`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.errors import BadField, MissingPackage
from saliency.results import journal
from saliency.results.statistics import RankTest, interval, krippendorff, rank_test
from saliency.results.tables import aligned

NAN = float("nan")


class EvaluationRow(NamedTuple):
    """One metric of one method's mask of one image."""

    image: int
    """Index of the image."""
    target: str
    """Name of the explained class."""
    method: str
    metric: str
    value: float = NAN
    """NaN where it is undefined, with the `reason`, or could not be computed, with the `error`."""
    reason: str = ""
    random: float = NAN
    """The mean of random maps of this image; NaN without."""
    random_low: float = NAN
    """The lower end of the interval of random maps."""
    random_high: float = NAN
    """Its upper end."""
    better: str = ""
    """The better direction: "higher", "lower" or "neither"."""
    images: int = 0
    """Images evaluated for this value, without random maps and without images shared with other metrics."""
    seconds: float = 0.0
    """Duration of the metric, with random maps where they were not yet measured, without the method's own."""
    error: str = ""
    method_images: int = 0
    """Images evaluated by the method for its mask; 0 for masks that were passed."""
    method_seconds: float = NAN
    """Duration of the method; NaN for masks that were passed."""


class SummaryRow(NamedTuple):
    """One metric of one method over all images."""

    method: str
    metric: str
    better: str
    images: int
    """Number of images with a value."""
    undefined: int
    """Number of images where the metric is undefined."""
    errors: int
    mean: float
    random: float
    """The mean of random maps over the images with both."""
    difference: float
    """The mean difference to the random maps of the same image."""
    low: float
    """The lower end of its 95 % confidence interval, by a BCa bootstrap over the images."""
    high: float
    """The upper end."""
    reason: str
    """Why there is no interval, or why the metric is undefined."""


class Summary(tuple[SummaryRow, ...]):
    """Rows of :meth:`Evaluation.summary`; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("metric", "method", "mean", "random", "difference [95 %]", "better", "images", "")]
        for each in self:
            ends = f" [{_signed(each.low)}, {_signed(each.high)}]" if np.isfinite(each.low) else ""
            bad = [f"{each.undefined} undefined"] * bool(each.undefined) + [f"{each.errors} failed"] * bool(each.errors)
            rest = ": ".join(filter(None, [", ".join(bad), each.reason]))
            numbers = _number(each.mean), _number(each.random), f"{_signed(each.difference)}{ends}"
            rows.append((each.metric, each.method, *numbers, each.better, str(each.images), rest))
        return aligned(rows)


class Ranks(NamedTuple):
    """Ranks of the methods by one metric; see :meth:`Evaluation.ranks`."""

    metric: str
    methods: tuple[str, ...]
    """The methods, best first."""
    ranks: np.ndarray
    """Their mean ranks, 1 for the best."""
    images: int
    """Number of images on which every method has a value."""
    statistic: float
    """Friedman's χ²; NaN for fewer than three methods or two images."""
    p: float
    """Probability of such a statistic if all methods are equal."""
    critical_difference: float
    """Mean ranks that differ by more are significantly different at the 5 % level (Nemenyi)."""

    def __repr__(self) -> str:
        test = f"Friedman χ² = {self.statistic:.3g}, p = {self.p:.2g}" if np.isfinite(self.p) else "no Friedman test"
        rows = [("rank", "method")]
        rows += [(f"{rank:.2f}", name) for rank, name in zip(self.ranks, self.methods, strict=True)]
        gap = f"ranks differ significantly by more than {self.critical_difference:.2f}"
        return f"{self.metric}, {self.images} images; {test}; {gap}\n{aligned(rows)}"


class Agreement(NamedTuple):
    """How far the metrics rank the methods alike; see :meth:`Evaluation.agreement`."""

    alpha: float
    """Krippendorff's α: 1 for equal ranks, 0 for chance; NaN where there is nothing to compare."""
    metrics: tuple[str, ...]
    """The metrics with a better direction."""
    conflicts: np.ndarray
    """(m, m): the share of pairs of methods, over all images, that two metrics order in opposite ways."""

    def __repr__(self) -> str:
        rows = [("pairs in conflict", *self.metrics)]
        rows += [
            (name, *("–" if np.isnan(each) else f"{100 * each:.0f} %" for each in row))
            for name, row in zip(self.metrics, self.conflicts, strict=True)
        ]
        return f"Krippendorff's α = {self.alpha:.2f}\n{aligned(rows)}"


class Evaluation:
    """Metrics of masks: one row for each image, method and metric. Prints as a summary.

    Attributes:
        rows: the rows, :class:`EvaluationRow`.
        methods: names of the methods.
        metrics: names of the metrics.
        seed: seed of the bootstrap.
    """

    def __init__(self, rows: Iterable[EvaluationRow], seed: int = 0) -> None:
        self.rows, self.seed = tuple(rows), seed
        self.methods = tuple(dict.fromkeys(each.method for each in self.rows))
        self.metrics = tuple(dict.fromkeys(each.metric for each in self.rows))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __repr__(self) -> str:
        images = len({each.image for each in self.rows})
        head = f"Evaluation: {images} images × {len(self.methods)} methods × {len(self.metrics)} metrics"
        failed = next((each for each in self.rows if each.error), None)
        first = f"\nfirst error, image {failed.image}, {failed.method}: {failed.error}" if failed else ""
        return f"{head}\n{self.summary()!r}{first}"

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Evaluation:
        """Return the rows of the file that ``evaluate(…, resume=path)`` has written so far.

        Raises:
            BadField: it is no such file.
            FileNotFoundError: there is no such file.
        """
        return cls(EvaluationRow(**each) for each in journal.read(checks.path(path)).values())

    def frame(self) -> Any:
        """Return the rows as a pandas DataFrame.

        Raises:
            MissingPackage: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingPackage("Evaluation.frame() needs pandas: pip install pandas") from error
        return pd.DataFrame([each._asdict() for each in self.rows], columns=list(EvaluationRow._fields))

    def values(self, metric: str) -> np.ndarray:
        """Return the values of a metric, (images, methods), NaN where there is none."""
        return self._table(metric, "value")

    def summary(self) -> Summary:
        """Return mean and difference to random maps of each method and metric, with 95 % intervals.

        The interval is a BCa bootstrap (Efron 1987) of the mean difference between a mask and random maps of the same
        image, with 2,000 resamples of the images.
        """
        return Summary(self._summarised(method, metric) for metric in self.metrics for method in self.methods)

    def ranks(self, metric: str) -> Ranks:
        """Return the methods' mean ranks by a metric, with Friedman's test and Nemenyi's critical difference.

        Only images on which every method has a value count.

        Raises:
            UnknownName: there is no such metric in the table.
            BadField: neither high nor low values of the metric are better, or no image has a value of every method.
        """
        better = self._better(checks.choice(metric, "metric in this evaluation:", self.metrics))
        if better == "neither":
            raise BadField(f"Neither high nor low values of {metric} are better: it gives no ranks.")
        values = self.values(metric)
        complete = values[np.isfinite(values).all(1)]
        if not len(complete):
            raise BadField(f"No image has a value of {metric} for every method.")
        found: RankTest = rank_test(complete, higher_is_better=better == "higher")
        order = np.argsort(found.ranks, kind="stable")
        names = tuple(self.methods[i] for i in order)
        return Ranks(metric, names, found.ranks[order], len(complete), *found[1:])

    def agreement(self) -> Agreement:
        """Return how far the metrics agree on the methods: Krippendorff's α of the methods' ranks on each image.

        Metrics without a better direction are left out.
        """
        names = [each for each in self.metrics if self._better(each) != "neither"]
        scores = [self.values(each) * (1 if self._better(each) == "higher" else -1) for each in names]
        ranks = [_ranks(each).ravel() for each in scores]
        alpha = krippendorff(np.stack(ranks)) if ranks else NAN
        # the order of each pair of methods on each image: -1, 0 or 1
        orders = [np.sign(each[:, :, None] - each[:, None]) for each in scores]
        conflicts = np.array([[_opposite(one, other) for other in orders] for one in orders])
        return Agreement(alpha, tuple(names), conflicts.reshape(len(names), len(names)))

    def plot(self) -> Sequence[Any]:
        """Draw each metric: a dot for each method, with its interval, and the band of random maps.

        Returns:
            the matplotlib axes, one for each metric.
        """
        import matplotlib.pyplot as plt

        size = 1.5 + 2.5 * len(self.metrics), 1.2 + 0.3 * len(self.methods)
        _, axes = plt.subplots(1, len(self.metrics), sharey=True, squeeze=False, figsize=size, layout="constrained")
        summary = self.summary()
        for ax, metric in zip(axes[0], self.metrics, strict=True):
            rows = [each for each in summary if each.metric == metric]
            low, high = (self._mean(metric, name) for name in ("random_low", "random_high"))
            if np.isfinite([low, high]).all():
                ax.axvspan(low, high, color="0.9", label="random maps")
            for y, each in enumerate(rows):
                shift = each.mean - each.difference
                ax.plot([shift + each.low, shift + each.high], [y, y], color="C0")
                ax.plot([each.mean], [y], "o", color="C0")
            ax.set_title(f"{metric} ({rows[0].better})", fontsize="small", parse_math=False)
            ax.set_yticks(range(len(rows)), [each.method for each in rows], fontsize="small", parse_math=False)
        axes[0][0].set_ylim(len(self.methods) - 0.5, -0.5)
        return list(axes[0])

    def _table(self, metric: str, field: str) -> np.ndarray:
        """Return a field of the rows of a metric, (images, methods)."""
        images = {each: i for i, each in enumerate(dict.fromkeys(each.image for each in self.rows))}
        found = np.full((len(images), len(self.methods)), NAN)
        for each in self.rows:
            if each.metric == metric:
                found[images[each.image], self.methods.index(each.method)] = getattr(each, field)
        return found

    def _mean(self, metric: str, field: str) -> float:
        """Return the mean of a field over the rows of a metric where it is finite; NaN without any."""
        table = self._table(metric, field)
        return float(table[np.isfinite(table)].mean()) if np.isfinite(table).any() else NAN

    def _better(self, metric: str) -> str:
        return next((each.better for each in self.rows if each.metric == metric and each.better), "neither")

    def _summarised(self, method: str, metric: str) -> SummaryRow:
        rows = [each for each in self.rows if (each.method, each.metric) == (method, metric)]
        values = np.array([each.value for each in rows])
        random = np.array([each.random for each in rows])
        known, paired = np.isfinite(values), np.isfinite(values) & np.isfinite(random)
        mean = float(values[known].mean()) if known.any() else NAN
        found = interval((values - random)[paired], self.seed)
        undefined = [each.reason for each in rows if each.reason]
        reason = undefined[0] if undefined else found.reason if paired.any() else ""
        return SummaryRow(
            method,
            metric,
            self._better(metric),
            int(known.sum()),
            len(undefined),
            sum(bool(each.error) for each in rows),
            mean,
            float(random[paired].mean()) if paired.any() else NAN,
            found.mean,
            found.low,
            found.high,
            reason,
        )


def _ranks(scores: np.ndarray) -> np.ndarray:
    """Return the ranks of the methods on each image, (images, methods), 1 for the highest score; NaN stays NaN."""
    from scipy import stats

    return np.asarray(stats.rankdata(-scores, axis=1, nan_policy="omit"))


def _opposite(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of pairs that both metrics order, and in opposite ways; NaN where they order none."""
    both = np.isfinite(one * other) & (one * other != 0)
    return float((one * other < 0)[both].mean()) if both.any() else NAN


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else "–"


def _signed(value: float) -> str:
    return f"{value:+.3g}" if np.isfinite(value) else "–"
