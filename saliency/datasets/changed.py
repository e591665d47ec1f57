"""Compare the maps of two models on the same pictures: :func:`changed`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.datasets.masks import Masks, store_of
from saliency.errors import BadField, brief

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ChangedRow(NamedTuple):
    """One picture explained for two models.

    Attributes:
        id: its name.
        image: its number in the first store.
        label: the class that is explained.
        distance: 1 minus the cosine of both maps on a grid of 16×16 cells: 0 for equal maps, 1 for disjoint ones.
        noise: the same for the first model and its rerun; None without a rerun.
        before: the first model's prediction.
        after: the second model's prediction.
    """

    id: str
    image: int
    label: str
    distance: float
    noise: float | None
    before: str
    after: str


@dataclass(frozen=True, eq=False)
class Changed:
    """The result of :func:`changed`; prints as a table, and is true if the reasons changed.

    Attributes:
        rows: the pictures, the most changed first.
        p: p-value of the paired test.
        test: the test, as a sentence.
        alpha: level of the test.
    """

    rows: list[ChangedRow]
    p: float
    test: str
    alpha: float
    _stores: tuple[Masks, Masks] = field(repr=False)

    def __bool__(self) -> bool:
        return self.p < self.alpha

    @property
    def exit_code(self) -> int:
        """1 if the reasons changed, 0 if not: for ``sys.exit`` in continuous integration."""
        return int(bool(self))

    @property
    def median(self) -> float:
        """The median distance."""
        return float(np.median([each.distance for each in self.rows]))

    def by_class(self) -> dict[str, float]:
        """Return the median distance of each explained class, the largest first."""
        distances: dict[str, list[float]] = {}
        for each in self.rows:
            distances.setdefault(each.label, []).append(each.distance)
        found = {label: float(np.median(each)) for label, each in distances.items()}
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))

    def __str__(self) -> str:
        other = sum(each.before != each.after for each in self.rows)
        lines = [
            f"The reasons {'changed' if self else 'did not change'}: {self.test}, p = {self.p:.2g}.",
            f"{len(self.rows)} pictures, median distance {self.median:.3f}; {other} have another prediction.",
            *(f"  {label}: median distance {each:.3f}" for label, each in list(self.by_class().items())[:8]),
            "Most changed:",
            *(f"  {each.distance:.3f}  {each.id}  {each.before} → {each.after}" for each in self.rows[:5]),
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Axes:
        """Draw a histogram of the distances, with those of the rerun behind it; return the matplotlib axes."""
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(5, 3), layout="constrained")
        bins = np.linspace(0, self.rows[0].distance or 0.1, 30).tolist()
        noise = [each.noise for each in self.rows if each.noise is not None]
        if noise:
            ax.hist(noise, bins, color="0.7", label="rerun of the first model")
        ax.hist([each.distance for each in self.rows], bins, alpha=0.7, label="first and second model")
        ax.set_xlabel("distance of the maps")
        ax.set_ylabel("pictures")
        ax.legend(fontsize="small")
        found: Axes = ax
        return found


def changed(
    a: Any,
    b: Any,
    method: str | None = None,
    *,
    rerun: Any = None,
    tolerance: float = 0.1,
    alpha: float = 0.01,
) -> Changed:
    """Test whether two models decide for other reasons: a retrained, quantised or distilled one against the original.

    Args:
        a: stored masks of the first model, or their path.
        b: those of the second model, of the same pictures by the same method.
        method: id of the method; may be omitted if there is only one.
        rerun: masks of the first model with another seed, or of its retraining on the same data. A Wilcoxon signed-rank
            test then compares each picture's distance with that of the rerun. Without a rerun, a sign test asks whether
            more than half of the pictures changed by more than `tolerance`; equal maps never do.
        tolerance: distance up to which maps count as the same, 0–1.
        alpha: level of the test.

    Raises:
        BadField: the stores have no picture or method in common.
    """
    tolerance, alpha = checks.number(tolerance, "tolerance", 0, 1), checks.number(alpha, "alpha", 0, 1)
    stores = [_opened(each, name) for each, name in ((a, "a"), (b, "b"))]
    first, second = (_by_picture(each, method) for each in stores)
    third = None if rerun is None else _by_picture(_opened(rerun, "rerun"), method)
    common = [key for key in first if key in second and (third is None or key in third)]
    if not common:
        raise BadField("The stores have no picture in common: they must be of the same pictures, by content and name.")
    rows = []
    for key in common:
        (row, one), (other, two) = first[key], second[key]
        noise = None if third is None else _distance(one, third[key][1])
        rows.append(
            ChangedRow(
                *(row["id"], row["image"], row["label"], _distance(one, two), noise),
                *(row["prediction"], other["prediction"]),
            )
        )
    p, test = _tested(rows, tolerance)
    return Changed(sorted(rows, key=lambda each: -each.distance), p, test, alpha, (stores[0], stores[1]))


def _opened(masks: Any, name: str) -> Masks:
    store = store_of(masks)
    if store is None:
        raise BadField(f"{name} must be stored masks or their path, got {brief(masks)}.")
    return store


def _by_picture(store: Masks, method: str | None) -> dict[tuple[str, str], tuple[dict[str, Any], np.ndarray]]:
    """Return row and map of each picture, by its name and content."""
    rows, maps = store.maps(method)
    return {(row["id"], row["digest"]): (row, each) for row, each in zip(rows, maps, strict=True)}


def _distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return 1 minus the cosine of two maps; an empty map is at distance 1 from any other."""
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    if lengths == 0:
        return float(one.any() != other.any())
    return float(max(0.0, 1 - (one.astype(np.float64) * other).sum() / lengths))


def _tested(rows: list[ChangedRow], tolerance: float) -> tuple[float, str]:
    """Return the p-value of the paired test, and the test as a sentence."""
    from scipy import stats

    noise = [each.noise for each in rows if each.noise is not None]
    if noise:
        rises = np.array([each.distance for each in rows]) - noise
        share = 100 * float((rises > 0).mean())
        test = f"{share:.0f} % of the pictures changed more than in the rerun (Wilcoxon signed-rank test)"
        return (float(stats.wilcoxon(rises, alternative="greater").pvalue) if rises.any() else 1.0), test
    over = sum(each.distance > tolerance for each in rows)
    share = 100 * over / len(rows)
    test = f"{share:.0f} % of the pictures changed by more than {tolerance:g} (sign test)"
    return float(stats.binomtest(over, len(rows), 0.5, alternative="greater").pvalue), test
