"""The search for a small set, beside brute force over all sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saliency.counterfactuals.search import Chosen, Found, Outcome, Search, Sets
from saliency.pictures.segments import touching

Rule = Callable[[Chosen], float]
"""The margin of a set: the goal is reached where it is positive."""


def searched(
    rule: Rule,
    count: int,
    budget: int = 94,
    *,
    keep: bool = False,
    salience: np.ndarray | None = None,
    near: np.ndarray | None = None,
    slopes: Callable[[Chosen], np.ndarray] | None = None,
) -> tuple[Found, int]:
    """Return the result of a search and the number of sets and slopes evaluated; each set is evaluated once."""
    seen: list[Chosen] = []
    climbed: list[Chosen] = []

    def evaluate(sets: Sequence[Chosen]) -> list[Outcome]:
        seen.extend(sets)
        return [Outcome(rule(each) > 0, rule(each)) for each in sets]

    def sloped(chosen: Chosen) -> np.ndarray | None:
        if slopes is None:
            return None
        climbed.append(chosen)
        return slopes(chosen)

    sets = Sets(evaluate, np.ones(count, int), budget, None if slopes is None else sloped)
    found = Search(sets, Chosen(range(count * keep)), salience, near).run()
    assert len(seen) == len(set(seen))
    assert len(seen) + len(climbed) <= budget
    return found, len(seen) + len(climbed)


def smaller(chosen: Chosen) -> list[Chosen]:
    """Return a set without each of its members."""
    return [chosen - {each} for each in chosen]


def all_smaller(count: int, size: int) -> list[Chosen]:
    """Return all sets with fewer members than `size`."""
    return [Chosen(each) for k in range(size) for each in combinations(range(count), k)]


def require_true(found: Found, rule: Rule, count: int) -> None:
    """Raise AssertionError unless everything that a result states is so."""
    if found.best is None:
        assert (found.minimal, found.smallest, found.others) == (False, False, ())
        return
    assert rule(found.best) > 0
    if found.minimal:
        assert all(rule(each) <= 0 for each in smaller(found.best))
    if found.smallest:
        assert all(rule(each) <= 0 for each in all_smaller(count, len(found.best)))
    assert all(rule(each) > 0 and len(each) == len(found.best) and each != found.best for each in found.others)


@settings(max_examples=150, derandomize=True, database=None, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 6), share=st.sampled_from([0.1, 0.5, 0.9]), keep=st.booleans())
def test_what_is_stated_holds_for_any_function(seed: int, count: int, share: float, keep: bool) -> None:
    """For a random function of sets, which is not monotone, brute force confirms every statement."""
    values = np.random.default_rng(seed).uniform(size=2**count) - 1 + share

    def rule(chosen: Chosen) -> float:
        return float(values[sum(1 << i for i in chosen)])

    found, evaluated = searched(rule, count, keep=keep)

    require_true(found, rule, count)
    if evaluated == 2**count:
        assert (found.best is None) == (values <= 0).all()


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(
    seed=st.integers(0, 10**6), count=st.integers(8, 12), keep=st.booleans(), budget=st.sampled_from([10, 30, 94, 400])
)
def test_what_is_stated_holds_for_sums(seed: int, count: int, keep: bool, budget: int) -> None:
    """The same for sums with interactions, with budgets that end early or late."""
    draw = np.random.default_rng(seed)
    weights, pairs = draw.normal(0.4, 1, count), draw.normal(0, 0.3, (count, count))

    def rule(chosen: Chosen) -> float:
        members = sorted(chosen)
        return float(weights[members].sum() + pairs[np.ix_(members, members)].sum() - 0.35 * weights.clip(0).sum())

    beside = draw.uniform(size=(count, count)) < 0.2
    near = beside | beside.T | np.eye(count, dtype=bool)
    guided: dict[str, Any] = {"near": near, "slopes": lambda _: draw.normal(size=count)}
    for options in ({}, guided):
        found, _ = searched(rule, count, budget, keep=keep, **options)

        require_true(found, rule, count)


@pytest.mark.parametrize("count", [49, 64])
@pytest.mark.parametrize("seed", range(6))
def test_a_sum_is_solved_within_the_budget(seed: int, count: int) -> None:
    """For a sum the smallest set is that of the largest weights; it is found, and its minimality proved."""
    weights = np.random.default_rng(seed).exponential(size=count)
    need = 0.15 * weights.sum()

    def rule(chosen: Chosen) -> float:
        return float(weights[list(chosen)].sum() - need)

    found, _ = searched(rule, count)
    largest = np.cumsum(np.sort(weights)[::-1])

    assert found.best is not None
    assert len(found.best) == int(np.argmax(largest > need)) + 1
    assert found.minimal


@pytest.mark.parametrize("seed", range(8))
def test_no_search_along_the_order_finds_a_smaller_set(seed: int) -> None:
    """A plain greedy search adds segments in the order of their own effects; its first success is never smaller."""
    draw, count = np.random.default_rng(seed), 49
    weights, pairs = draw.exponential(size=count), draw.normal(0, 0.5, (count, count))

    def rule(chosen: Chosen) -> float:
        members = sorted(chosen)
        return float(weights[members].sum() + pairs[np.ix_(members, members)].sum() - 6)

    order = np.argsort([-rule(Chosen([i])) for i in range(count)])
    plain = next((k for k in range(1, count + 1) if rule(Chosen(order[:k].tolist())) > 0), None)
    found, _ = searched(rule, count)

    assert plain is not None
    assert found.best is not None
    assert len(found.best) <= plain


def test_an_order_gives_a_bound_within_ten_images() -> None:
    """With a map's order, bisection finds the set that the order reaches first, in ten images for 64 segments."""
    found, evaluated = searched(
        lambda chosen: len(chosen & set(range(20))) - 19.5, 64, 10, salience=np.arange(64, 0, -1.0)
    )

    assert found.best == Chosen(range(20))
    assert not found.minimal
    assert evaluated <= 10


def test_answers_within_an_order_that_does_not_reach_the_goal_at_its_end() -> None:
    """A goal that the first segments reach, and all together do not, is found."""
    found, _ = searched(lambda chosen: 1.0 if 3 <= len(chosen) <= 9 else -1.0, 49)

    assert found.best is not None
    assert len(found.best) == 3


def test_nothing_needed_is_the_smallest_set() -> None:
    """Where the goal is reached without any segment, the result is the empty set."""
    found, evaluated = searched(lambda chosen: 1.0, 49, keep=True)

    assert found == Found(Chosen(), True, True, (), Chosen())
    assert evaluated == 1


def grid(side: int) -> np.ndarray:
    """Return which cells of a square grid touch."""
    return touching(np.arange(side * side).reshape(side, side))


def test_kept_segments_are_found_by_their_neighbourhoods() -> None:
    """Four cells in a square act only together, so that no single one says anything: they are found within 100."""
    square = Chosen([16, 17, 23, 24])

    def rule(chosen: Chosen) -> float:
        return {3: -0.5, 4: 1.0}.get(len(chosen & square), -1.0)

    found, _ = searched(rule, 49, keep=True, near=grid(7))

    assert found.best == square
    assert found.minimal


def test_slopes_find_many_segments_with_small_effects() -> None:
    """Of 49 segments ten are needed; slopes that name them find them, within the budget."""
    needed = Chosen(range(3, 43, 4))

    def rule(chosen: Chosen) -> float:
        return 1.0 if needed <= chosen else 0.001 * len(chosen & needed) - 1

    def slopes(chosen: Chosen) -> np.ndarray:
        return np.array([i in needed and i not in chosen for i in range(49)], float)

    found, _ = searched(rule, 49, slopes=slopes)

    assert found.best == needed
    assert found.minimal


def test_segments_that_touch() -> None:
    """Segments touch along an edge or at a corner; pixels in no segment join nothing."""
    cells = np.array([[0, 0, 1], [2, -1, 3], [2, -1, 4]])
    expected = np.eye(5, dtype=bool)
    for one, other in ((0, 1), (0, 2), (0, 3), (1, 3), (3, 4)):
        expected[one, other] = expected[other, one] = True

    np.testing.assert_array_equal(touching(cells), expected)
