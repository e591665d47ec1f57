"""From rows to standings: how often a map is better than that of another method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from benchmarks.leaderboard.entries import KINDS, kind_of
from benchmarks.leaderboard.references import BLIND, REFERENCES
from saliency.core.catalogue import METHODS
from saliency.metrics.verdict import CHANGED, SAME
from saliency.results.evaluation import EvaluationRow
from saliency.results.statistics import Interval, interval

DIGITS = 6
"""Digits to which values are rounded before they are ranked: two maps that order all pixels alike are tied."""

RESAMPLES = 2000
"""Number of bootstrap resamples."""

NETWORKS = {"transformers": "grad_sam", "convolutional networks": "grad_cam"}
"""Kinds of networks with a method that identifies them: standings are comparable where all methods have a map."""

OTHER = "networks wired by hand"
"""The kind of networks without attention and layers."""


@dataclass(frozen=True)
class Entry:
    """One method, reference or peer on one bed.

    Attributes:
        name: its name.
        standing: the mean over scenes, with its interval; NaN for peers, which are compared with their counterparts.
        rank: its rank by the standing among the methods, 1 for the best; of a reference, the rank that it would have.
        values: each metric's mean over scenes, with its interval.
        over_random: the mean difference of its shares to those of the random map, with its interval.
        survives: whether it passes the conditions of class contrast and weight shuffling, by kind.
        images: mean number of images evaluated for a mask.
        seconds: mean duration.
        shares: standings of the scenes, (scenes,).
        raw: each metric's values, (scenes,), NaN where undefined.
    """

    name: str
    standing: Interval
    rank: int
    values: Mapping[str, Interval]
    over_random: Interval
    survives: Mapping[str, bool]
    images: float
    seconds: float
    shares: np.ndarray = field(repr=False)
    raw: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def beats_random(self) -> bool:
        """Whether it is better than the random map in removal and interventions, beyond chance."""
        return self.over_random.low > 0


class BedResult(NamedTuple):
    """All entries of one bed."""

    bed: str
    scenes: int
    entries: Mapping[str, Entry]
    left_out: Mapping[str, str]
    """Methods and peers without a map, with the reason."""
    metrics: Sequence[str]
    """The metrics that were measured."""
    undefined: Mapping[str, str]
    """Metrics without a value on this bed, with the reason."""

    @property
    def methods(self) -> list[Entry]:
        """The entries of methods, best first."""
        found = [each for name, each in self.entries.items() if name in METHODS]
        return sorted(found, key=lambda each: -each.standing.mean)

    @property
    def median(self) -> float:
        """The median standing of the methods."""
        return float(np.median([each.standing.mean for each in self.methods]))

    @property
    def network(self) -> str:
        """The kind of network, one of :data:`NETWORKS`, by what it supports."""
        return next((kind for kind, method in NETWORKS.items() if method in self.entries), OTHER)

    @property
    def void(self) -> bool:
        """Whether the colour filter, which never sees the model, beats the median method."""
        return self.entries["colour_filter"].standing.mean > self.median

    @property
    def shown_by_colours(self) -> bool:
        """Whether the colour filter beats the median method in removal and interventions alone."""
        median = np.median([each.over_random.mean for each in self.methods])
        return bool(self.entries["colour_filter"].over_random.mean > median)


def result_of(bed: str, rows: Sequence[EvaluationRow]) -> BedResult:
    """Return the entries of a bed from the rows of its scenes."""
    names = list(dict.fromkeys(row.method for row in rows))
    failed = {name: [row for row in rows if row.method == name and row.error] for name in names}
    counts = {name: sum(row.method == name for row in rows) for name in names}
    left_out = {name: each[0].error for name, each in failed.items() if len(each) == counts[name]}
    names = [name for name in names if name not in left_out]
    table = _Table.of(rows, names)
    contests = [name for name in names if name in METHODS]
    by_kind = table.shares_by_kind(contests)
    causal = {kind: by_kind[kind] for kind in ("removal", "interventions") if kind in by_kind}
    whole, effects = (_mean(list(each.values())) for each in (by_kind, causal))
    random = effects[:, names.index("random")]
    ranked = np.array([_finite(whole[:, names.index(each)]).mean() for each in contests])
    entries = {}
    for k, name in enumerate(names):
        shares = _finite(whole[:, k]) if name in METHODS or name in REFERENCES else np.empty(0)
        own = [row for row in rows if row.method == name and row.method_images]
        entries[name] = Entry(
            name,
            interval(shares),
            1 + int((ranked > shares.mean() + 1e-12).sum()) if len(shares) else 0,
            {metric: interval(_finite(table.raw[metric][:, k])) for metric in table.raw},
            interval(_finite(effects[:, k] - random)),
            {kind: bool(passed[k]) for kind, passed in table.conditions().items()},
            float(np.mean([row.method_images for row in own])) if own else 0.0,
            float(np.mean([row.method_seconds for row in own])) if own else 0.0,
            shares,
            {metric: values[:, k] for metric, values in table.raw.items()},
        )
    return BedResult(bed, len(table.scenes), entries, left_out, list(table.raw), table.undefined)


@dataclass(frozen=True)
class _Table:
    """Values of a bed.

    Attributes:
        names: of the subjects.
        scenes: indices.
        raw: by metric, (scenes, subjects), NaN where undefined.
        better: by metric, 1 or -1.
        undefined: metrics without any value, with the reason.
    """

    names: Sequence[str]
    scenes: Sequence[int]
    raw: Mapping[str, np.ndarray]
    better: Mapping[str, int]
    undefined: Mapping[str, str]

    @classmethod
    def of(cls, rows: Sequence[EvaluationRow], names: Sequence[str]) -> _Table:
        """Return the table of the rows of some subjects."""
        scenes = sorted({row.image for row in rows})
        place = {name: k for k, name in enumerate(names)}
        raw: dict[str, np.ndarray] = {}
        better: dict[str, int] = {}
        reasons: dict[str, str] = {}
        for row in rows:
            if row.method not in place:
                continue
            values = raw.setdefault(row.metric, np.full((len(scenes), len(names)), np.nan))
            values[scenes.index(row.image), place[row.method]] = row.value
            better[row.metric] = -1 if row.better == "lower" else 1
            if row.reason and row.method in METHODS:
                reasons.setdefault(row.metric, row.reason)
        for metric, value in BLIND.items():
            if metric in raw and np.isfinite(raw[metric]).any():
                raw[metric][:, [place[each] for each in REFERENCES]] = value
        kept = {metric: values for metric, values in raw.items() if np.isfinite(values).any()}
        return cls(names, scenes, kept, better, {each: reasons.get(each, "") for each in raw if each not in kept})

    def conditions(self) -> dict[str, np.ndarray]:
        """Return for class contrast and weight shuffling whether each subject passes, bool (subjects,).

        These are conditions, not contests: a map that differs between all classes is no better than one that differs
        between some, and noise would win.
        """
        found = {}
        for metric in BLIND:
            if metric in self.raw:
                own = [_finite(values) for values in self.raw[metric].T]
                means = np.array([each.mean() if len(each) else np.nan for each in own])
                found[kind_of(metric)] = means >= SAME if metric == "random_logit" else means < CHANGED
        return found

    def shares_by_kind(self, contests: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the shares of each kind of measures, (scenes, subjects); NaN where a scene has none.

        Args:
            contests: the names of the methods with which all subjects are compared.
        """
        places = [self.names.index(each) for each in contests]
        shares: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
        for metric, raw in self.raw.items():
            if kind_of(metric) in ("removal", "interventions"):
                shares[kind_of(metric)].append(np.stack([_shares(self.better[metric] * row, places) for row in raw]))
        for kind, passed in self.conditions().items():
            shares[kind].append(np.tile(_shares(passed.astype(float), places), (len(self.scenes), 1)))
        return {kind: _mean(each) for kind, each in shares.items() if each}


def _shares(values: np.ndarray, places: Sequence[int]) -> np.ndarray:
    """Return for each subject the share of the other methods with a lower value, ties counted half, (subjects,).

    Args:
        values: (subjects,), higher is better; undefined values are the lowest.
        places: the indices of the methods.
    """
    if np.isfinite(values[places]).mean() <= 0.5:
        return np.full(len(values), np.nan)  # undefined for this scene, not for some maps
    filled = np.where(np.isfinite(values), np.round(values, DIGITS), -np.inf)
    others = filled[places]
    beaten = (others < filled[:, None]).sum(1) + 0.5 * (others == filled[:, None]).sum(1)
    own = np.isin(np.arange(len(values)), places)
    return np.asarray((beaten - 0.5 * own) / (len(places) - own))


def _mean(tables: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of tables (scenes, subjects) where they have values; NaN where none has."""
    stacked = np.stack(tables)
    known = np.isfinite(stacked)
    sums, counts = np.where(known, stacked, 0).sum(0), known.sum(0)
    return np.asarray(np.where(counts, sums / np.maximum(counts, 1), np.nan))


def _finite(values: np.ndarray) -> np.ndarray:
    return np.asarray(values[np.isfinite(values)])


@dataclass(frozen=True)
class Overall:
    """One method over all valid beds.

    Attributes:
        name: its id.
        standing: the mean over groups of the mean over their beds, with a bootstrap interval over scenes.
        beds: number of beds with a map.
        beats: number of these on which it beats the random map.
        images: largest mean number of images evaluated over beds.
        fails: kinds of conditions that it fails, with the number of beds.
        resampled: the standing in each bootstrap resample, (RESAMPLES,); those of methods with the same beds are
            paired: they draw the same scenes.
    """

    name: str
    standing: Interval
    beds: int
    beats: int
    images: float
    fails: Mapping[str, int]
    resampled: np.ndarray = field(repr=False)

    def differs(self, other: Overall) -> bool:
        """Return whether the 95 % interval of the difference of two standings excludes zero."""
        low, high = np.percentile(self.resampled - other.resampled, [2.5, 97.5])
        return bool(low > 0 or high < 0)


def overall(results: Sequence[BedResult], groups: Mapping[str, str], seed: int = 0) -> list[Overall]:
    """Return every method and reference over the beds that are not void, best first.

    Args:
        results: of the beds.
        groups: by bed, its group.
        seed: of the bootstrap.
    """
    valid = [each for each in results if not each.void]
    found = []
    for name in [*METHODS, *REFERENCES]:
        own = [(groups[each.bed], each.entries[name]) for each in valid if name in each.entries]
        if own:
            found.append(_overall(name, own, seed))
    return sorted(found, key=lambda each: -each.standing.mean)


def _overall(name: str, own: Sequence[tuple[str, Entry]], seed: int) -> Overall:
    draw = np.random.default_rng(seed)
    samples: dict[str, list[np.ndarray]] = {}
    means: dict[str, list[float]] = {}
    for group, entry in own:
        chosen = draw.integers(0, len(entry.shares), (RESAMPLES, len(entry.shares)))
        samples.setdefault(group, []).append(entry.shares[chosen].mean(1))
        means.setdefault(group, []).append(entry.standing.mean)
    resampled = np.mean([np.mean(each, axis=0) for each in samples.values()], axis=0)
    low, high = np.percentile(resampled, [2.5, 97.5])
    mean = float(np.mean([np.mean(each) for each in means.values()]))
    entries = [each for _, each in own]
    fails = {kind: sum(not each.survives.get(kind, True) for each in entries) for kind in KINDS[2:]}
    return Overall(
        name,
        Interval(mean, float(low), float(high)),
        len(entries),
        sum(each.beats_random for each in entries),
        max(each.images for each in entries),
        {kind: count for kind, count in fails.items() if count},
        resampled,
    )
