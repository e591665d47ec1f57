"""The inverse Hessian of a head's training loss: exact, or in the Kronecker form of EK-FAC."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from saliency.influence.head import LinearHead, chunks, hessian_of, with_one

LARGEST_EXACT = 10_000
"""Maximum number of weights and biases whose Hessian is inverted exactly: 800 MB."""

RELATIVE = 0.1
"""The damping of a head that is not at a minimum, as a share of the mean eigenvalue (as in arXiv:2308.03296)."""

PARALLEL = 0.99
"""Cosine from which on the slope of the loss and the weights are parallel, as at a minimum with weight decay."""


class Curvature(Protocol):
    """(H + λ)⁻¹ for gradients of the form u ⊗ r, of logits and of features in the basis of :class:`Span`."""

    damping: float
    """λ."""

    def solve(self, gradients: np.ndarray) -> np.ndarray:
        """Return (H + λ)⁻¹ g for gradients (k, C, D)."""

    def quadratic(self, residuals: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return gᵀ (H + λ)⁻¹ g, (n,), for gradients g = u ⊗ r of residuals (n, C) and rows (n, D)."""


def implied_decay(head: LinearHead, features: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the weight decay λ with which the weights minimise the loss; None where they do with none.

    At a minimum of the mean loss plus λ / 2 ‖weights‖² the slope of the loss is −λ · weights.

    Args:
        head: the classifier.
        features: of the training images, (n, d).
        labels: see :meth:`LinearHead.labels`.
    """
    slope = np.zeros_like(head.weights)
    for part in chunks(len(features), head.width + head.outputs):
        slope -= head.residuals(features[part], labels[part]).T @ features[part] / len(features)
    # a softmax ignores what all classes share
    weights = head.weights - head.weights.mean(0) if head.loss == "softmax" else head.weights
    sizes = float(np.linalg.norm(slope)), float(np.linalg.norm(weights))
    along = float((slope * weights).sum())
    return along / sizes[1] ** 2 if sizes[0] > 0 and along > PARALLEL * sizes[0] * sizes[1] else None


class Span:
    """A basis of the space that the features of all training images, with a one for the bias, span.

    Of n images with fewer than d + 1 numbers each it has at most n vectors, outside of which no training image has an
    influence.

    Args:
        features: (n, d).
    """

    def __init__(self, features: np.ndarray) -> None:
        count, width = features.shape
        self._basis: np.ndarray | None = None
        if count < width + 1:
            _, strength, basis = np.linalg.svd(with_one(features), full_matrices=False)
            self._basis = basis[strength > strength[0] * 1e-10].T
        self.size = width + 1 if self._basis is None else int(self._basis.shape[1])

    def rows(self, features: np.ndarray) -> np.ndarray:
        """Return features (n, d) with a one, in this basis: (n, size) float64."""
        rows = with_one(features)
        return rows if self._basis is None else rows @ self._basis


class Exact:
    """The exact Hessian, by its Cholesky factor.

    Args:
        head: the classifier.
        features: of the training images, (n, d).
        span: their basis.
        damping: λ; by default a share of the mean eigenvalue.
    """

    def __init__(self, head: LinearHead, features: np.ndarray, span: Span, damping: float | None) -> None:
        from scipy import linalg

        shape = head.outputs * span.size
        found = np.zeros((shape, shape))
        for rows in chunks(len(features), features.shape[1] + head.outputs):
            some = features[rows]
            found += hessian_of(head, span.rows(some), np.full(len(some), 1 / len(features)), head.logits(some))
        self.damping = RELATIVE * float(np.trace(found)) / shape if damping is None else damping
        found[np.diag_indices(shape)] += self.damping
        self._factor = linalg.cholesky(found, lower=True, overwrite_a=True, check_finite=False)
        self._shape = (head.outputs, span.size)

    def solve(self, gradients: np.ndarray) -> np.ndarray:
        from scipy import linalg

        flat = gradients.reshape(len(gradients), -1).T
        return np.asarray(linalg.cho_solve((self._factor, True), flat, check_finite=False).T.reshape(gradients.shape))

    def quadratic(self, residuals: np.ndarray, rows: np.ndarray) -> np.ndarray:
        from scipy import linalg

        found = np.empty(len(rows))
        for part in chunks(len(rows), len(self._factor)):
            flat = (residuals[part, :, None] * rows[part, None]).reshape(-1, len(self._factor)).T
            half = linalg.solve_triangular(self._factor, flat, lower=True, overwrite_b=True, check_finite=False)
            found[part] = (half**2).sum(0)
        return found


class EKFAC:
    """The Hessian in the eigenbasis of Kronecker factors, with its exact diagonal there (arXiv:1806.03884).

    H ≈ (U ⊗ V) S (U ⊗ V)ᵀ, U and V the eigenvectors of the mean Λ and of the mean r rᵀ, and S_cj the mean of
    uᵀ Λ u · (vᵀ r)².

    Args:
        head: the classifier.
        features: of the training images, (n, d).
        span: their basis.
        damping: λ; by default a share of the mean eigenvalue.
    """

    def __init__(self, head: LinearHead, features: np.ndarray, span: Span, damping: float | None) -> None:
        count = len(features)
        outer, inner = np.zeros((head.outputs, head.outputs)), np.zeros((span.size, span.size))
        for part in chunks(count, features.shape[1] + head.outputs):
            p, rows = head.shares(head.logits(features[part])), span.rows(features[part])
            own = p if head.loss == "softmax" else p * (1 - p)
            outer[np.diag_indices(head.outputs)] += own.sum(0) / count
            if head.loss == "softmax":
                outer -= p.T @ p / count
            inner += rows.T @ rows / count
        self._outer, self._inner = np.linalg.eigh(outer)[1], np.linalg.eigh(inner)[1]
        scales = np.zeros((head.outputs, span.size))
        for part in chunks(count, features.shape[1] + head.outputs):
            p, rows = head.shares(head.logits(features[part])), span.rows(features[part])
            scales += head.curvatures(p, self._outer).T @ (rows @ self._inner) ** 2 / count
        self.damping = RELATIVE * float(scales.mean()) if damping is None else damping
        self._inverse = 1 / (np.maximum(scales, 0) + self.damping)

    def solve(self, gradients: np.ndarray) -> np.ndarray:
        turned = self._outer.T @ gradients @ self._inner * self._inverse
        return np.asarray(self._outer @ turned @ self._inner.T)

    def quadratic(self, residuals: np.ndarray, rows: np.ndarray) -> np.ndarray:
        found = np.empty(len(rows))
        for part in chunks(len(rows), sum(self._inverse.shape)):
            outer, inner = residuals[part] @ self._outer, rows[part] @ self._inner
            found[part] = ((outer**2 @ self._inverse) * inner**2).sum(1)
        return found
