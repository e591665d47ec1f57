"""Factors of a layer's values as a basis: non-negative and semi-non-negative matrix factorisation."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadShape, MissingPackage, Unsupported, brief

STEPS = 400
"""Maximum number of steps of a factorisation."""

ACCURACY = 1e-7
"""Largest change of a coordinate, relative to the largest one, at which the non-negative least squares end."""


class NMF:
    """Values as non-negative mixtures of non-negative directions, h ≈ z W (doi:10.1038/44565).

    Args:
        directions: W, (r, K), non-negative.
        error: relative error of the fit, ‖A − U W‖ / ‖A‖.
        converged: whether the fit converged.

    Raises:
        BadField: a direction is zero or negative.
    """

    signed = False

    def __init__(self, directions: Any, error: float = float("nan"), converged: bool = True) -> None:
        self.directions = np.atleast_2d(checks.array(directions, "directions")).astype(np.float64)
        self.error, self.converged = error, converged
        if self.directions.ndim != 2 or not (self.directions**2).sum(1).all():
            raise BadField(f"directions must be (r, K) without a row of zeros, got {brief(directions)}.")
        if not self.signed and self.directions.min() < 0:
            raise BadField("The directions of a non-negative factorisation must not be negative: use SemiNMF.")

    @classmethod
    def fit(cls, values: Any, rank: int = 10, seed: int = 0) -> Self:
        """Return the basis of `rank` directions that approximates values (n, K) best.

        Args:
            values: of the layer, with the channels last.
            rank: number of directions.
            seed: seed of the start.

        Raises:
            BadShape: there are fewer values or channels than directions.
            MissingPackage: scikit-learn is not installed.
            Unsupported: there are negative values.
        """
        rank, seed = checks.whole(rank, "rank", 1), checks.whole(seed, "seed", 0)
        rows = checks.array(values, "values").astype(np.float64)
        rows = rows.reshape(-1, rows.shape[-1]) if rows.ndim else rows.reshape(1, 1)
        if min(rows.shape) < rank:
            raise BadShape(f"{rank} directions need at least as many values and channels, got {rows.shape}.")
        if not cls.signed and rows.min() < 0:
            raise Unsupported(
                f"The layer has negative values, down to {rows.min():.3g}, which non-negative factors cannot give: use "
                "a layer after a ReLU, or basis='semi_nmf' (saliency.concepts.SemiNMF)."
            )
        coordinates, directions, converged = cls._fitted(rows, rank, seed)
        alive = (directions**2).sum(1) > 0
        length = float(np.linalg.norm(rows)) or 1.0
        error = float(np.linalg.norm(rows - coordinates @ directions)) / length
        if not alive.any():
            raise BadField("The values are zero everywhere, so that they have no factors.")
        return cls(directions[alive], error, converged)

    @classmethod
    def _fitted(cls, rows: np.ndarray, rank: int, seed: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return U (n, r), W (r, K) and whether the fit converged."""
        try:
            from sklearn import decomposition
        except ImportError as error:
            raise MissingPackage(f"NMF needs scikit-learn ({error}): pip install scikit-learn.") from error
        made = decomposition.NMF(rank, init="nndsvda", random_state=seed, max_iter=STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # reported by the attribute
            coordinates = made.fit_transform(rows)
        return coordinates, made.components_, made.n_iter_ < STEPS

    def encode(self, activations: np.ndarray) -> np.ndarray:
        """Return the coordinates (…, r) of values (…, K) by non-negative least squares."""
        values = np.asarray(activations, np.float64)
        found = nonnegative_least_squares(values.reshape(-1, values.shape[-1]), self.directions)
        return found.reshape(*values.shape[:-1], len(self.directions))

    def decode(self, coordinates: np.ndarray) -> np.ndarray:
        """Return the values (…, K)."""
        return np.asarray(coordinates @ self.directions)


class SemiNMF(NMF):
    """Values of either sign as non-negative mixtures of any directions (doi:10.1109/TPAMI.2008.277)."""

    signed = True

    @classmethod
    def _fitted(cls, rows: np.ndarray, rank: int, seed: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Return U (n, r) ≥ 0, W (r, K) and whether the fit converged, by alternating least squares."""
        from scipy.cluster.vq import kmeans2

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty cluster starts as it was drawn
            directions, _ = kmeans2(rows, rank, seed=np.random.default_rng(seed), minit="++")
        before = np.inf
        for _ in range(STEPS):
            coordinates = nonnegative_least_squares(rows, directions)
            directions = np.linalg.pinv(coordinates) @ rows
            error = float(np.linalg.norm(rows - coordinates @ directions))
            if error > before * (1 - 1e-5):
                return coordinates, directions, True
            before = error
        return coordinates, directions, False


def nonnegative_least_squares(rows: np.ndarray, directions: np.ndarray, steps: int = 2000) -> np.ndarray:
    """Return U ≥ 0, (n, r), that minimises ‖rows − U · directions‖, by coordinate descent over all rows at once.

    Args:
        rows: (n, K).
        directions: (r, K).
        steps: maximum number of sweeps over the coordinates.
    """
    products, targets = directions @ directions.T, rows @ directions.T
    squares = np.maximum(np.diag(products), 1e-300)
    found = np.zeros_like(targets)
    for _ in range(steps):
        largest = 0.0
        for j, square in enumerate(squares):
            now = np.maximum(0, found[:, j] + (targets[:, j] - found @ products[:, j]) / square)
            largest = max(largest, float(np.abs(now - found[:, j]).max(initial=0)))
            found[:, j] = now
        if largest <= ACCURACY * max(float(found.max(initial=0)), 1e-300):
            break
    return found
