"""The verdict's own record: how often `saliency.check` prefers the truer of two maps, and supports random ones."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

import saliency
from benchmarks.leaderboard.run import BATCH, Task, adapted, bed_of, scenes_of
from saliency import testbed
from saliency.metrics.localisation import expected_hits
from saliency.metrics.orders import cells, coarse
from saliency.results.statistics import RESAMPLES

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the pixels of the truth that are swapped at random."""

TRUE = f"{SHARES[0]:.0%} swapped"
"""The name of the truth itself."""

SIZES = (0.25, 0.5, 0.75, 1.01)
"""Upper ends of the differences of two maps."""

BY_CHANCE = 0.1
"""Agreement of a random map with the truth from which on it marks the truth, by chance."""

KINDS = ("pixels", "smooth", "cells")
"""Kinds of random maps."""

RANDOM = 12
"""Number of random maps of a scene, of all kinds."""

AIM = 0.9
"""The least share of pairs that should be ordered rightly."""

BACKGROUND = "background_network"
"""The bed whose truth is most of the picture."""

WHY = """\
The background is most of the picture, and each of its parts is enough for the decision: removing some of it has little
effect, so maps that order it differently have similar strengths. In addition, these beds allow up to 10 % of scenes in
which the network names another class; what the target's score depends on there is unknown. More weight for single
pixels in the strength orders a few more pairs rightly, but favours the way in which these maps are made worse."""
"""Why verdicts fall short on the bed of the background network, the only one below the aim so far."""

ABOUT = """\
`saliency.check` gives each map a strength. How often is the truer of two maps of one picture the stronger one? The maps
are the truth with 0 to 100 % of its pixels swapped at random, and the truth in the wrong place. How true a map is: the
share of true pixels among its most salient ones, without the share that chance gives; the columns "difference" are
by how far two maps differ in it. And how often is a random map supported: of single pixels, smooth, or of cells? A
smooth one may mark the true place by chance, and is then supported rightly; the column "of these without truth" counts
the others. The aim is at least 90 % of pairs and at most 2 % of random maps. The last column counts how often the
truth itself is supported: a rule that supports nothing would have no errors. The check does not run a method again
here. Intervals of pairs are 95 % bootstraps over scenes, those of maps are Wilson intervals over maps.
"""


class Checked(NamedTuple):
    """One map with its verdict."""

    name: str
    truth: float
    """The share of the true pixels among as many most salient ones, without what chance gives."""
    strength: float
    supported: bool | None

    @property
    def is_random(self) -> bool:
        """Whether it is a random map, of one of :data:`KINDS`."""
        return self.name.startswith("random")


def checked(task: Task) -> list[Checked]:
    """Return the maps of one scene with their verdicts, from its file if it is there."""
    path = task.file("record")
    if path.exists():
        return [Checked(*each) for each in json.loads(path.read_text())]
    bed, scene = bed_of(task.bed), scenes_of(task.bed, task.count)[task.index]
    found: list[Checked] = []
    first = None
    for name, mask in maps_of(scene, task.index):
        verdict = saliency.check(
            adapted(task.bed),
            scene.image,
            mask,
            scene.target,
            preprocess=bed.preprocess,
            rerun=0,
            batch_size=BATCH,
            progress=False,
            seed=task.index,
            bands=first,
        )
        first = first or verdict
        found.append(Checked(name, trueness(mask, scene.truth), verdict.strength, verdict.supported))
    path.write_text(json.dumps(found))
    return found


def maps_of(scene: testbed.Scene, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, map): the truth with more and more pixels swapped, the truth elsewhere, and random maps."""
    assert scene.truth is not None
    truth, shape = scene.truth, scene.truth.shape
    draw = np.random.default_rng([seed, 3])
    # of equal pixels, some are removed first
    noisy = truth + draw.normal(0, 0.05, shape)
    for share in SHARES:
        values = noisy.ravel().copy()
        places = draw.permutation(values.size)[: round(share * values.size)]
        values[places] = values[draw.permutation(places)]
        yield f"{share:.0%} swapped", values.reshape(shape)
    moved = np.roll(truth, (shape[0] // 2, shape[1] // 2), (0, 1)) & ~truth
    yield "elsewhere", moved + draw.normal(0, 0.05, shape)
    groups = cells(shape, coarse(shape))
    for number in range(RANDOM):
        noise = draw.normal(size=shape)
        smooth = ndimage.gaussian_filter(noise, min(shape) / 14)
        in_cells = noise if groups is None else draw.normal(size=groups.max() + 1)[groups]
        yield f"random {KINDS[number % 3]}", (noise, smooth, in_cells)[number % 3]


def trueness(mask: np.ndarray, truth: np.ndarray | None) -> float:
    """Return how far a map agrees with the truth: 1 for the truth itself, 0 for what chance gives."""
    assert truth is not None
    size, chance = int(truth.sum()), float(truth.mean())
    return (expected_hits(mask, truth, size) / size - chance) / (1 - chance)


def lines(found: Mapping[str, Sequence[Sequence[Checked]]], titles: Mapping[str, str]) -> list[str]:
    """Return the section of the page, from the maps of each scene of each bed.

    Args:
        found: by bed.
        titles: of the beds.
    """
    spans = [f"{low:.2g}–{min(high, 1):.2g}" for low, high in itertools.pairwise((0.0, *SIZES))]
    head = ["bed", "pairs", "right", *(f"difference {each}" for each in spans)]
    head += ["random maps", "supported", "of these without truth", "truth supported"]
    rows = [
        ABOUT,
        f"| {' | '.join(head)} |",
        "|---|---:|---:|" + "---:|" * len(spans) + "---:|---:|---:|---:|",
    ]
    everything = [scene for scenes in found.values() for scene in scenes]
    for bed, scenes in [*found.items(), ("", everything)]:
        rows.append(_row(f"{titles[bed]}" if bed else "**all**", scenes))
    rows.append(f"\nRandom maps by kind: {', '.join(_by_kind(kind, everything) for kind in KINDS)}.")
    short = [bed for bed, scenes in found.items() if np.mean([won for _, won in _wins(scenes)]) < AIM]
    if short:
        why = f" {WHY}" if BACKGROUND in short else ""
        rows.append(f"\nBelow the aim: {', '.join(titles[each] for each in short)}.{why}")
    return ["\n".join(rows) + "\n"]


def _wins(scenes: Sequence[Sequence[Checked]]) -> list[tuple[float, float]]:
    """Return for each pair of maps of a scene the difference of their truth, and whether the truer one is stronger."""
    wins = []
    for scene in scenes:
        known = [each for each in scene if not each.is_random]
        for one, other in itertools.permutations(known, 2):
            if one.truth > other.truth and not _close(one, other):
                wins.append((one.truth - other.truth, _won(one, other)))
    return wins


def _row(title: str, scenes: Sequence[Sequence[Checked]]) -> str:
    wins = _wins(scenes)
    random = [each for scene in scenes for each in scene if each.is_random]
    true = [each for scene in scenes for each in scene if each.name == TRUE]
    cells = [f"{len(wins)}", _share([won for _, won in wins]) + _over_scenes(scenes)]
    for low, high in itertools.pairwise((0.0, *SIZES)):
        cells.append(_share([won for size, won in wins if low <= size < high]))
    supported = [each for each in random if each.supported]
    wrongly = [each for each in supported if each.truth < BY_CHANCE]
    cells += [f"{len(random)}", *(_rate(len(each), len(random)) for each in (supported, wrongly))]
    cells.append(_rate(sum(each.supported is True for each in true), len(true)))
    return f"| {title} | {' | '.join(cells)} |"


def _by_kind(kind: str, scenes: Sequence[Sequence[Checked]]) -> str:
    """Return how many random maps of one kind are supported, in words."""
    found = [each for scene in scenes for each in scene if each.name == f"random {kind}"]
    return f"{kind} {_rate(sum(each.supported is True for each in found), len(found))}"


def _close(one: Checked, other: Checked) -> bool:
    """Return whether both maps have no more truth than chance gives."""
    return max(one.truth, other.truth) < 0.05


def _won(one: Checked, other: Checked) -> float:
    return float(one.strength > other.strength) + 0.5 * (one.strength == other.strength)


def _over_scenes(scenes: Sequence[Sequence[Checked]]) -> str:
    """Return the 95 % interval of the share of pairs that are ordered rightly; empty for fewer than two scenes."""
    each = [[won for _, won in _wins([scene])] for scene in scenes]
    sums = np.array([(sum(wins), len(wins)) for wins in each if wins])
    if len(sums) < 2:
        return ""
    draw = np.random.default_rng(0)
    resampled = sums[draw.integers(0, len(sums), (RESAMPLES, len(sums)))].sum(1)
    low, high = np.percentile(100 * resampled[:, 0] / resampled[:, 1], [2.5, 97.5])
    return f" [{low:.0f}, {high:.0f}]"


def _rate(count: int, total: int) -> str:
    """Return a share with its 95 % interval by Wilson's score."""
    from scipy import stats

    if not total:
        return "–"
    low, high = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    return f"{100 * count / total:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _share(values: Sequence[float]) -> str:
    return f"{100 * float(np.mean(values)):.0f} %" if values else "–"
