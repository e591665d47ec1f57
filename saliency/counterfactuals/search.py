"""Search a small set of segments that reaches a goal, with few model calls.

Nothing is assumed about how the effect of a set follows from the effects of its members: whatever is returned has been
evaluated on the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb
from typing import NamedTuple

import numpy as np

Chosen = frozenset[int]
"""A set of segments, by index."""

CANDIDATES = 4
"""Number of segments that one step of the greedy search tries to add."""

STEEPEST = 12
"""Number of segments that are tried after the first gradient; after each later one, two and the best known other."""

RESERVE = 10
"""Number of evaluations that the search by gradients leaves for a bisection."""


class Outcome(NamedTuple):
    """The result of evaluating one set."""

    reached: bool
    """Whether the goal is reached."""
    margin: float
    """How far beyond the goal; negative before it."""


class Found(NamedTuple):
    """The result of a search."""

    best: Chosen | None
    """The smallest set that reaches the goal; None if no evaluated set does."""
    minimal: bool
    """Whether no member can be left out, proved by evaluating the set without each."""
    smallest: bool
    """Whether no smaller set reaches the goal, proved by evaluating all of them."""
    others: tuple[Chosen, ...]
    """The other evaluated sets of as many segments that reach the goal."""
    nearest: Chosen
    """The evaluated set with the largest margin."""


class Sets:
    """Evaluates sets of segments, each once, within a budget.

    Args:
        evaluate: from sets to their outcomes.
        areas: number of pixels of each segment.
        budget: number of sets that may be evaluated.
        slopes: from a set to estimates of what adding each segment does to the margin, (d,), by a gradient; None in
            either place if there is no gradient. Each counts as one evaluation.
    """

    def __init__(
        self,
        evaluate: Callable[[Sequence[Chosen]], Sequence[Outcome]],
        areas: np.ndarray,
        budget: int,
        slopes: Callable[[Chosen], np.ndarray | None] | None = None,
    ) -> None:
        self._evaluate, self._slopes, self.areas, self.left = evaluate, slopes, areas, budget
        self.known: dict[Chosen, Outcome] = {}

    @property
    def count(self) -> int:
        """The number of segments."""
        return len(self.areas)

    def test(self, sets: Iterable[Chosen]) -> list[Chosen]:
        """Evaluate sets, as many as the budget allows; return those that are known, in their order."""
        wanted = list(dict.fromkeys(sets))
        unknown = [each for each in wanted if each not in self.known][: self.left]
        if unknown:
            self.left -= len(unknown)
            self.known.update(zip(unknown, self._evaluate(unknown), strict=True))
        return [each for each in wanted if each in self.known]

    def slopes(self, chosen: Chosen) -> np.ndarray | None:
        """Return estimates of the effect of adding each segment to a set, (d,); None if there are none."""
        if self._slopes is None or not self.left:
            return None
        self.left -= 1
        return self._slopes(chosen)

    def reached(self, sets: Iterable[Chosen]) -> list[Chosen]:
        """Evaluate sets, as many as the budget allows; return those that reach the goal."""
        return [each for each in self.test(sets) if self.known[each].reached]

    def margin(self, chosen: Chosen) -> float:
        """Return the margin of a set that has been evaluated."""
        return self.known[chosen].margin

    def size(self, chosen: Chosen) -> tuple[int, int]:
        """Return the numbers by which sets are compared: of segments, then of pixels."""
        return len(chosen), int(self.areas[list(chosen)].sum())

    def best(self) -> Chosen | None:
        """Return the smallest evaluated set that reaches the goal; None if no one does."""
        return min((each for each, found in self.known.items() if found.reached), key=self.size, default=None)


@dataclass
class Search:
    """A search for a small set.

    Attributes:
        sets: evaluates sets.
        original: the set that leaves the picture as it is: no segments, or all.
        salience: (d,), larger for segments to be tried first; None for no order.
        near: bool (d, d), whether two segments touch, or are the same; None where that has no meaning.
    """

    sets: Sets
    original: Chosen
    salience: np.ndarray | None = None
    near: np.ndarray | None = None

    def run(self) -> Found:
        """Search within the budget."""
        sets, nothing, everything = self.sets, Chosen(), Chosen(range(self.sets.count))
        self.pieces: list[Chosen] = []
        self.gains = np.zeros(sets.count) if self.salience is None else self.salience
        if not sets.reached([nothing]):
            sets.test([everything])
            if self.salience is not None:
                self._bisect(self.salience)
            if self.original == nothing:
                self._ascend()
            self._measure()
            if self._size() > 1:
                self._bisect(self.gains)
                for step in (self._pairs, self._greedy, self._shrink_all, self._earlier, self._shrink_all):
                    step()
        return self._found()

    def _found(self) -> Found:
        sets = self.sets
        if (best := sets.best()) is not None and len(best) > 1:
            self._exchange(best)
        size = self._size()
        alike = [each for each, found in sets.known.items() if found.reached and len(each) == size]
        tested = np.bincount([len(each) for each in sets.known], minlength=sets.count + 1)
        # of equally many segments, sets that are proved to be minimal come first, then those with fewer pixels
        alike.sort(key=lambda each: (not self._is_minimal(each), sets.size(each)))
        return Found(
            best=alike[0] if alike else None,
            minimal=bool(alike) and self._is_minimal(alike[0]),
            smallest=bool(alike) and all(tested[each] == comb(sets.count, each) for each in range(size)),
            others=tuple(sorted(alike[1:], key=sets.size)),
            nearest=max(sets.known, key=sets.margin),
        )

    def _is_minimal(self, chosen: Chosen) -> bool:
        """Return whether the set without each of its members was evaluated, and does not reach the goal."""
        known = [self.sets.known.get(chosen - {each}) for each in chosen]
        return all(each is not None and not each.reached for each in known)

    def _size(self) -> int:
        """Return the size of the best set; beyond all where there is none."""
        best = self.sets.best()
        return self.sets.count + 1 if best is None else len(best)

    def _ascend(self) -> None:
        """Add the segment with the largest effect, one at a time.

        Those are tried that a gradient at the changed picture ranks highest, and the one with the largest effect when
        it was measured last.
        """
        sets, now, most = self.sets, Chosen(), STEEPEST
        effects: dict[int, float] = {}
        while len(now) + 1 < self._size() and sets.left > most + RESERVE and (slopes := sets.slopes(now)) is not None:
            self.gains = self.gains if now else slopes
            tried = [i for i in self._order(slopes) if i not in now][:most]
            tried += sorted(effects.keys() - now - set(tried), key=lambda i: -effects[i])[:1]
            found = sets.test(now | {i} for i in tried)
            for i, each in zip(tried, found, strict=True):
                effects[i] = sets.margin(each) - sets.margin(now)
            now, most = max(found, key=lambda each: sets.known[each]), 2
            if sets.known[now].reached:
                self._shrink(now)
                return

    def _measure(self) -> None:
        """Measure the effects of pieces of the picture, and from these the `gains` of the segments, if affordable.

        The pieces are the segments. Where the picture is whole only with all of them, one alone has little effect: the
        pieces are first the neighbourhoods of the segments. The gain of a segment is the mean effect of its pieces.
        """
        sets, nothing, everything = self.sets, Chosen(), Chosen(range(self.sets.count))
        single = [Chosen([i]) for i in range(sets.count)]
        ends = [(nothing, single), (everything, [everything - each for each in single])]
        if self.original == everything and self.near is not None:
            ends.insert(0, (nothing, [Chosen(np.flatnonzero(row).tolist()) for row in self.near]))
        gains = np.zeros(sets.count)
        for start, tried in ends:
            # the first pieces may take most of the budget, the others little of it
            cost = sum(each not in sets.known for each in tried)
            if start in sets.known and cost <= (0.25 if gains.any() else 0.75) * sets.left:
                sets.test(tried)
                inside = np.array([[i in each ^ start for i in range(sets.count)] for each in tried])
                effects = np.array([sets.margin(each) - sets.margin(start) for each in tried])
                gains += (1 if start == nothing else -1) * (effects @ inside) / inside.sum(0)
                self.pieces += tried if start == nothing else []
        self.gains = gains if gains.any() else self.gains

    def _order(self, gains: np.ndarray) -> list[int]:
        """Return the segments, largest gain first; equal ones in random order, which favours no side."""
        shuffled = np.random.default_rng(0).permutation(len(gains))
        return [int(i) for i in shuffled[np.argsort(-gains[shuffled], kind="stable")]]

    def _bisect(self, gains: np.ndarray) -> None:
        """Find, by bisection, a place in the order of gains at which the first segments begin to reach the goal.

        Where a set is known already, only places that give a smaller one are looked for.
        """
        order = self._order(gains)
        sets, low, high = self.sets, 0, min(len(order), self._size() - 1)
        if not sets.reached([Chosen(order[:high])]):
            # the goal may be reached in between
            between = sets.best() is None and sets.reached(Chosen(order[: 2**k]) for k in range(1, high.bit_length()))
            if not between:
                return
            high = min(map(len, between))
        while high - low > 1 and sets.left:
            middle = (low + high) // 2
            low, high = (low, middle) if sets.reached([Chosen(order[:middle])]) else (middle, high)

    def _pairs(self) -> None:
        """Evaluate all pairs, if these are few."""
        if comb(self.sets.count, 2) <= 0.75 * self.sets.left:
            self.sets.test(map(Chosen, combinations(range(self.sets.count), 2)))

    def _greedy(self) -> None:
        """Add the piece with the largest effect, one at a time, while the result would be smaller than the best set.

        In each step a few pieces are tried: segments whose effects were the largest when they were measured last, as
        in lazy greedy search (Minoux 1978), and neighbourhoods, the best first. The budget for testing the members of
        the result is not used.
        """
        sets, gains = self.sets, self.gains.copy()
        wide = sorted((each for each in self.pieces if len(each) > 1), key=sets.margin, reverse=True)
        now = max(self.pieces, key=lambda each: sets.known[each], default=Chosen())
        while len(now) + 1 < self._size() and sets.left > len(now) + 1 + CANDIDATES and not sets.known[now].reached:
            added = [each for each in wide if each - now and len(now | each) < self._size()][: CANDIDATES // 2]
            added += [Chosen([i]) for i in self._order(gains) if i not in now][: CANDIDATES - len(added)]
            tried = sets.test(now | each for each in added)
            for each in tried:
                gains[list(each - now)] = (sets.margin(each) - sets.margin(now)) / len(each - now)
            # one that reaches the goal ends the search
            now = max(tried, key=lambda each: sets.known[each])

    def _shrink_all(self) -> None:
        """Leave members out of the best set, then of pieces that reach the goal, smaller ones first."""
        if (best := self.sets.best()) is not None:
            self._shrink(best)
        for each in sorted((each for each in self.pieces if self.sets.known[each].reached), key=self.sets.size):
            self._shrink(each)

    def _shrink(self, now: Chosen) -> None:
        """Leave members out of a set that reaches the goal until none can be left out, or the budget ends."""
        sets, likely = self.sets, now
        while len(now) > 1 and sets.left:
            # members that could not be left out of a larger set are tested last
            smaller = sets.reached(now - {i} for i in sorted(likely, key=lambda i: self.gains[i]))
            smaller = smaller or sets.reached(now - {i} for i in now - likely)
            if not smaller:
                return
            # those whose absence does least: as many at once as possible
            spare = [i for each in sorted(smaller, key=sets.margin, reverse=True) for i in now - each]
            low, high = 1, len(spare) + 1
            while high - low > 1 and sets.left:
                middle = (low + high) // 2
                low, high = (middle, high) if sets.reached([now - set(spare[:middle])]) else (low, middle)
            now, likely = now - set(spare[:low]), Chosen(spare[low:])

    def _earlier(self) -> None:
        """Evaluate the shorter beginnings of the order, so that no plain search along it finds a smaller set."""
        order = self._order(self.gains)
        self.sets.test(Chosen(order[:count]) for count in range(2, self._size()))

    def _exchange(self, best: Chosen) -> None:
        """Look for other sets of the same size: exchange one member for another segment, most promising first."""
        outside = [i for i in self._order(self.gains) if i not in best]
        weakest = sorted(best, key=lambda i: self.gains[i])
        self.sets.test(islice((best - {old} | {new} for new in outside for old in weakest), self.sets.left))
