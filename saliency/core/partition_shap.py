"""PartitionSHAP: Owen values, which are Shapley values within a tree of nested parts of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from saliency.core.features import Attribution, FeatureMethod, Game, named_parts
from saliency.core.method import parameter
from saliency.pictures.segments import SEGMENTERS, Segments

ROUND = 16
"""Parts divided at a time: enough to fill a batch, and constant, so that no mask depends on the batch size."""


@dataclass(eq=False, repr=False)
class PartitionShap(FeatureMethod):
    """Owen values on a k-d tree of the image, whose halves share each part's value (doi:10.1007/978-3-642-45494-3_7).

    The value of a half is what it adds to nothing and to the other half, averaged, with the surrounding parts present
    or absent. The parts with the largest weight are divided first; an undivided part spreads its value evenly over its
    pixels. The mask always sums to f(image) - f(baseline). Cost: `samples` forward passes per baseline, or fewer if
    nothing is left to divide.
    """

    id = "partition_shap"
    title = "PartitionSHAP"
    paper = "doi:10.1007/978-3-642-45494-3_7"
    family = "perturbation"
    formula = (
        r"M_p = \text{Owen value of } p \text{ on the tree}, \quad \varphi_{left} = \tfrac12 "
        r"\bigl(f_{S \cup left} - f_S + f_{S \cup left \cup right} - f_{S \cup right}\bigr)"
    )
    advice = (
        "Fine maps that sum to the difference of the scores, from few images: it refines the important parts. A fixed "
        "tree cuts through objects, and a part whose contributions cancel may never be divided."
    )
    complete = True

    segments: Segments = parameter("grid", named_parts("Smallest parts", "grid"), choices=SEGMENTERS)
    features: int = parameter(1024, "Number of parts of a named segmentation", low=1, high=65_000)
    samples: int = parameter(500, "Number of coalitions, including the empty and the full one", low=2, high=1_000_000)

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        root = Part.of(game.labels)
        ends = np.repeat([[False], [True]], game.players, 1)
        known = dict(zip(map(_key, ends), game.evaluate(ends).T, strict=True))
        none, all_ = known.values()
        whole = Share(root, ends[0], none, all_, 1.0)
        # the part with the largest weight depends on the target; evaluations are shared by all targets
        queues = [Queue(whole, target, game.players, (self.samples - 2) // 2) for target in range(len(none))]
        while any(taken := [each.take(ROUND) for each in queues]):
            yield Attribution(np.array([each.values for each in queues]))
            wanted = {_key(one): one for shares in taken for share in shares for one in share.between()}
            if new := [one for key, one in wanted.items() if key not in known]:
                known |= zip(map(_key, new), game.evaluate(np.array(new)).T, strict=True)
            for queue, shares in zip(queues, taken, strict=True):
                for share in shares:
                    queue.cut(share, *(known[_key(one)] for one in share.between()))
        yield Attribution(np.array([each.values for each in queues]))

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.evaluations(2 + 2 * min((self.samples - 2) // 2, cuts(self.players(shape))))


@dataclass(frozen=True)
class Part:
    """A part of the image: a set of segments."""

    members: np.ndarray
    """Indices of its segments."""
    places: np.ndarray
    """(d, 2): centroids of all segments."""
    areas: np.ndarray
    """(d,): number of pixels of each segment."""

    @staticmethod
    def of(labels: np.ndarray) -> Part:
        """Return the part that contains all of a label map (H, W)."""
        inside = labels >= 0
        areas = np.bincount(labels[inside])
        down, across = (np.bincount(labels[inside], place) / areas for place in np.nonzero(inside))
        return Part(np.arange(len(areas)), np.stack([down, across], 1), areas)

    @cached_property
    def halves(self) -> tuple[Part, Part]:
        """Divide across the longer side, with equal numbers of segments in both halves."""
        places = self.places[self.members]
        order = np.argsort(places[:, int(np.argmax(np.ptp(places, axis=0)))], kind="stable")
        early, late = np.split(self.members[order], [len(order) // 2])
        return replace(self, members=early), replace(self, members=late)


class Share(NamedTuple):
    """The marginal contribution of a part to a coalition of surrounding segments, and its weight."""

    part: Part
    without: np.ndarray
    """(d,) bool: the coalition."""
    before: np.ndarray
    """(k,): value of the coalition."""
    after: np.ndarray
    """(k,): value of the coalition with the part."""
    weight: float

    def between(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the coalition with one half of the part, and with the other."""
        one, other = self.without.copy(), self.without.copy()
        early, late = self.part.halves
        one[early.members] = True
        other[late.members] = True
        return one, other


class Queue:
    """The shares of one target that may still be divided, by falling weight."""

    def __init__(self, whole: Share, target: int, players: int, left: int) -> None:
        self.target, self.values, self.left = target, np.zeros(players), left
        self.open: list[tuple[float, int, int, Share]] = []
        self._numbers = count()
        self._add(whole)

    def take(self, most: int) -> list[Share]:
        """Remove and return the shares of largest weight: at most `most`, and at most `left` in total."""
        taken = [heappop(self.open)[-1] for _ in range(min(most, self.left, len(self.open)))]
        self.left -= len(taken)
        return taken

    def cut(self, share: Share, with_early: np.ndarray, with_late: np.ndarray) -> None:
        """Replace a share by its halves, each added to nothing and to the other half."""
        part, without, before, after, weight = share
        (early, late), (one, other) = part.halves, share.between()
        self._spread(share, -1.0)
        self._add(Share(early, without, before, with_early, weight / 2))
        self._add(Share(early, other, with_late, after, weight / 2))
        self._add(Share(late, without, before, with_late, weight / 2))
        self._add(Share(late, one, with_early, after, weight / 2))

    def _add(self, share: Share) -> None:
        self._spread(share, 1.0)
        if (size := len(share.part.members)) > 1:
            urgency = share.weight * abs(float(share.after[self.target] - share.before[self.target]))
            heappush(self.open, (-urgency, -size, next(self._numbers), share))

    def _spread(self, share: Share, sign: float) -> None:
        """Add a part's value evenly to its pixels, or subtract it again."""
        part = share.part
        gain = sign * share.weight * (share.after[self.target] - share.before[self.target])
        self.values[part.members] += gain * part.areas[part.members] / part.areas[part.members].sum()


def _key(coalition: np.ndarray) -> bytes:
    return np.packbits(coalition).tobytes()


@cache
def cuts(features: int) -> int:
    """Return the number of divisions until every part is one segment; each half is divided in two contexts."""
    return 0 if features == 1 else 1 + 2 * (cuts(features // 2) + cuts(features - features // 2))
