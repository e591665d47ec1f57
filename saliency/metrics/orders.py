"""The order in which a metric removes pixels: by salience, one by one or in groups, or at random."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

GRID = 7
"""Values of random maps along the shorter side: those of the last layer of most networks for photographs."""


class KeptSet(NamedTuple):
    """The pixels that a perturbed image keeps: the groups of one order before or from a position."""

    key: Hashable
    """Equal for equal sets of pixels of one order."""
    order: Order
    groups: int
    """Number of groups from the most salient one."""
    first: bool
    """Whether these groups are kept; otherwise they are removed."""

    def mask(self) -> np.ndarray:
        """Return the kept pixels, bool (H, W)."""
        return self.order.ranks < self.groups if self.first else self.order.ranks >= self.groups


@dataclass(frozen=True, eq=False)
class Order:
    """Groups of pixels in the order of their salience.

    Args:
        ranks: int (H, W), the position of each pixel's group: 0 for the most salient, up to G - 1.
        forward: the order of which this is the reverse, so that both share their images; None for no other.
    """

    ranks: np.ndarray
    forward: Order | None = None

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of pixels in each group, (G,)."""
        return np.bincount(self.ranks.ravel())

    @cached_property
    def digest(self) -> bytes:
        """A hash of the ranks."""
        return hashlib.blake2b(np.ascontiguousarray(self.ranks).tobytes(), digest_size=16).digest()

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.sizes)

    def reverse(self) -> Order:
        """Return the order from the least salient group to the most salient one."""
        return self.forward or Order(len(self) - 1 - self.ranks, self)

    def share(self, counts: np.ndarray) -> np.ndarray:
        """Return the share of the pixels in the first `counts` groups, each in 0–1."""
        return np.concatenate([[0], np.cumsum(self.sizes)])[counts] / self.ranks.size

    def counts(self, shares: np.ndarray) -> np.ndarray:
        """Return the numbers of groups that hold the shares of the pixels most closely."""
        after = self.share(np.arange(len(self) + 1))
        above = np.searchsorted(after, shares).clip(1, len(self))
        return above - (shares - after[above - 1] <= after[above] - shares)

    def keep(self, count: int, *, first: bool) -> KeptSet:
        """Return the set of the first `count` groups, or of all others."""
        count = int(count)
        if self.forward is not None:
            return self.forward.keep(len(self) - count, first=not first)
        if count in (0, len(self)):
            return KeptSet((count == 0) != first, self, count, first)
        return KeptSet((self.digest, count, first), self, count, first)


def by_salience(salience: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> Order:
    """Return the order of descending salience; groups are ordered by the mean of their pixels.

    Groups of equal salience are in random order: in that of their index, a constant map would favour one side.

    Args:
        salience: (H, W), finite.
        groups: int (H, W), the group of each pixel, 0 to G - 1; each pixel by itself by default.
        seed: seed of the order among equal groups.
    """
    if groups is None:
        means = salience.ravel()
    else:
        means = np.bincount(groups.ravel(), salience.ravel()) / np.bincount(groups.ravel())
    shuffled = np.random.default_rng([seed, len(means)]).permutation(len(means))
    places = np.empty(len(means), np.int64)
    places[shuffled[np.argsort(-means[shuffled], kind="stable")]] = np.arange(len(means))
    return Order(places.reshape(salience.shape) if groups is None else places[groups])


def cells(shape: tuple[int, int], side: int) -> np.ndarray | None:
    """Return the square cell of each pixel, int (H, W), for cells of `side` pixels; None for single pixels.

    Cells at the right and lower border may be smaller.
    """
    if side == 1:
        return None
    rows, columns = (np.arange(length) // side for length in shape)
    return rows[:, None] * (columns[-1] + 1) + columns


def at_random(shape: tuple[int, int], groups: np.ndarray | None, seed: int) -> Order:
    """Return the order of the groups by a random map, see :func:`random_map`."""
    return by_salience(random_map(shape, seed), groups, seed)


def random_map(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Return random values, (H, W): normal ones on a grid with :data:`GRID` along the shorter side, interpolated."""
    sides = [max(1, round(GRID * length / min(shape))) for length in shape]
    rows, columns = (_bilinear(length, side) for length, side in zip(shape, sides, strict=True))
    return np.asarray(rows @ np.random.default_rng([seed, 1]).normal(size=sides) @ columns.T)


def _bilinear(length: int, count: int) -> np.ndarray:
    """Return the weights of `count` values at the centres of `length` pixels, (length, count)."""
    centres = (np.arange(length) + 0.5) * count / length - 0.5
    return np.stack([np.interp(centres, np.arange(count), unit) for unit in np.eye(count)], 1)


def coarse(shape: tuple[int, int]) -> int:
    """Return the side of cells of a fourteenth of the shorter side of an image, in pixels."""
    return max(1, round(min(shape) / 14))
