"""A linear classifier on features: its loss, the derivatives of the loss by the logits, and its fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadShape, BadTarget, Unsupported, brief

LOSSES = ("softmax", "sigmoid")
"""Cross-entropy of exclusive classes, and the sum of the binary cross-entropies of independent labels."""

MEASURES = ("margin", "log_probability", "logit")
"""What of the target is explained: log p / (1 − p), log p, or the logit."""

CHUNK = 4_000_000
"""Number of values, 32 MB, of a temporary array."""

MOST_FITTED = 4096
"""Maximum number of weights and biases that :meth:`LinearHead.fitted` solves for."""

STEPS, ACCURACY = 100, 1e-10
"""Maximum number of Newton steps, and the largest derivative of the objective at which they end."""


def chunks(count: int, width: int) -> Iterator[slice]:
    """Yield slices of `count` rows of `width` values each, of at most :data:`CHUNK` values."""
    step = max(1, CHUNK // max(width, 1))
    yield from (slice(i, min(i + step, count)) for i in range(0, count, step))


def with_one(features: np.ndarray) -> np.ndarray:
    """Return features (n, d) with a column of ones for the bias, (n, d + 1) float64."""
    return np.concatenate([features, np.ones((len(features), 1))], 1, dtype=np.float64)


@dataclass(frozen=True, eq=False, repr=False)
class LinearHead:
    """A linear classifier: logits = features · weightsᵀ + bias.

    Attributes:
        weights: (C, d).
        bias: (C,); zero by default.
        loss: "softmax", cross-entropy of exclusive classes; or "sigmoid", binary cross-entropy of independent labels,
            or, with C = 1, of two classes.

    Raises:
        BadShape: the weights and the bias do not fit each other.
    """

    weights: np.ndarray
    bias: Any = None
    loss: str = "softmax"

    def __post_init__(self) -> None:
        checks.choice(self.loss, "loss", LOSSES)
        weights = checks.array(self.weights, "weights").astype(np.float64)
        if weights.ndim != 2 or not weights.size:
            raise BadShape(f"weights must be (classes, features), got {brief(self.weights)}.")
        bias = np.zeros(len(weights)) if self.bias is None else checks.array(self.bias, "bias").astype(np.float64)
        if bias.shape != (len(weights),):
            raise BadShape(f"bias must be ({len(weights)},), one number for each row of weights, got {bias.shape}.")
        if self.loss == "softmax" and len(weights) == 1:
            raise BadShape("A softmax over one output is always 1: pass loss='sigmoid' for the logit of two classes.")
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "bias", bias)

    def __repr__(self) -> str:
        return f"LinearHead({self.outputs} outputs, {self.width} features, {self.loss!r})"

    @property
    def outputs(self) -> int:
        """The number of outputs C."""
        return len(self.weights)

    @property
    def width(self) -> int:
        """The number of features d."""
        return int(self.weights.shape[1])

    @property
    def classes(self) -> int:
        """The number of targets: two of one sigmoid, else C."""
        return 2 if self.outputs == 1 else self.outputs

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return the logits, (n, C) float64, of features (n, d)."""
        return features.astype(np.float64) @ self.weights.T + self.bias

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the probability of each target, (n, classes), of features (n, d)."""
        shares = self.shares(self.logits(features))
        return np.concatenate([1 - shares, shares], 1) if self.outputs == 1 else shares

    def shares(self, logits: np.ndarray) -> np.ndarray:
        """Return the probability of each output, (n, C), of logits (n, C)."""
        if self.loss == "softmax":
            found = np.exp(logits - logits.max(1, keepdims=True))
            return np.asarray(found / found.sum(1, keepdims=True))
        return np.asarray(np.exp(-np.logaddexp(0, -logits)))

    def labels(self, given: Any, count: int) -> np.ndarray:
        """Return the labels of `count` images: (n,) int; of several independent labels (n, C) of 0 and 1.

        Raises:
            BadShape: there is another number of them.
            BadTarget: one is no class of the head.
        """
        labels = checks.array(given, "labels", BadTarget)
        several = self.loss == "sigmoid" and self.outputs > 1
        wanted = (count, self.outputs) if several else (count,)
        if labels.shape != wanted:
            raise BadShape(
                f"labels must be {'0 or 1 for each label' if several else 'one class index'} of each of the {count} "
                f"images, {wanted}, got {labels.shape}."
            )
        whole = labels.astype(np.int64)
        most = 1 if several else self.classes - 1
        if (wrong := labels[(labels != whole) | (whole < 0) | (whole > most)]).size:
            raise BadTarget(f"labels must be whole numbers from 0 to {most}, got {wrong[0]:.6g} among them.")
        return whole

    def wanted(self, labels: np.ndarray) -> np.ndarray:
        """Return labels as outputs that have no loss: (n, C) of 0 and 1."""
        if self.loss == "softmax":
            found = np.zeros((len(labels), self.outputs))
            found[np.arange(len(labels)), labels] = 1
            return found
        return labels.reshape(len(labels), self.outputs).astype(np.float64)

    def losses(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the loss of each image, (n,), computed in chunks."""
        found = np.empty(len(features))
        for rows in chunks(len(features), self.outputs):
            logits = self.logits(features[rows])
            if self.loss == "softmax":
                top = logits.max(1)
                total = top + np.log(np.exp(logits - top[:, None]).sum(1))
                found[rows] = total - logits[np.arange(len(logits)), labels[rows]]
            else:
                found[rows] = (np.logaddexp(0, logits) - self.wanted(labels[rows]) * logits).sum(1)
        return found

    def residuals(self, features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the derivatives of the loss by the logits, p − y, (n, C)."""
        return self.shares(self.logits(features)) - self.wanted(labels)

    def directions(self, features: np.ndarray, targets: np.ndarray, measure: str) -> np.ndarray:
        """Return the derivatives by the logits, (n, C), of a measure of one target for each image.

        Args:
            features: (n, d).
            targets: (n,), indices of targets.
            measure: one of :data:`MEASURES`.
        """
        logits = self.logits(features)
        found, rows = np.zeros_like(logits), np.arange(len(logits))
        if self.loss == "sigmoid":
            output, sign = self._signed(targets)
            certain = self.shares(sign[:, None] * logits[rows, output][:, None])[:, 0]
            found[rows, output] = sign * (1 - certain if measure == "log_probability" else 1.0)
            return found
        if measure != "logit":
            others = logits.copy()
            if measure == "margin":
                others[rows, targets] = -np.inf
            found -= self.shares(others)
        found[rows, targets] += 1
        return found

    def measured(self, features: np.ndarray, targets: np.ndarray, measure: str = "margin") -> np.ndarray:
        """Return a measure of one target for each image, (n,), see :meth:`directions`."""
        logits, rows = self.logits(features), np.arange(len(features))
        if self.loss == "sigmoid":
            output, sign = self._signed(targets)
            own = sign * logits[rows, output]
            return np.asarray(-np.logaddexp(0, -own) if measure == "log_probability" else own)
        own = logits[rows, targets]
        if measure == "logit":
            return np.asarray(own)
        if measure == "margin":
            logits[rows, targets] = -np.inf
        top = logits.max(1)
        return np.asarray(own - top - np.log(np.exp(logits - top[:, None]).sum(1)))

    def _signed(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for targets of sigmoids, (n,), the index of the output and the sign of its logit."""
        if self.outputs == 1:
            return np.zeros_like(targets), np.where(targets == 0, -1.0, 1.0)
        return targets, np.ones(len(targets))

    def curvatures(self, shares: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Return uᵀ Λ u, (n, k), of the second derivatives Λ of the loss by the logits, in directions (C, k).

        Args:
            shares: probabilities of the outputs, (n, C).
            directions: one column for each.
        """
        if self.loss == "sigmoid":
            return np.asarray((shares * (1 - shares)) @ directions**2)
        return np.asarray(shares @ directions**2 - (shares @ directions) ** 2)

    def fitted(
        self, features: np.ndarray, labels: np.ndarray, damping: float, weights: np.ndarray | None = None
    ) -> LinearHead:
        """Return the head that minimises the mean loss plus damping / 2 · ‖weights and bias‖², by Newton's method.

        Args:
            features: (n, d).
            labels: see :meth:`labels`.
            damping: λ > 0; larger values shrink the weights.
            weights: weight of each image in the mean, (n,); by default all equal.

        Raises:
            Unsupported: there are too many weights.
            BadField: λ is not positive.
        """
        damping = checks.number(damping, "damping", 0)
        if not damping > 0:
            raise BadField("damping must be above 0: without it the minimum is not unique.")
        count = self.outputs * (self.width + 1)
        if count > MOST_FITTED:
            raise Unsupported(
                f"Training a head of {self.outputs} outputs on {self.width} features solves for {count} numbers, of at "
                f"most {MOST_FITTED}: reduce the features first, for example by a PCA."
            )
        rows = with_one(features)
        shares = np.full(len(rows), 1 / len(rows)) if weights is None else weights / weights.sum()
        found = np.concatenate([self.weights, self.bias[:, None]], 1)
        for _ in range(STEPS):
            head = LinearHead(found[:, :-1], found[:, -1], self.loss)
            slope = (head.residuals(features, labels) * shares[:, None]).T @ rows + damping * found
            if np.abs(slope).max() < ACCURACY:
                return head
            hessian = hessian_of(head, rows, shares)
            hessian[np.diag_indices_from(hessian)] += damping
            step = np.linalg.solve(hessian, slope.ravel()).reshape(found.shape)
            found = found - head._length(step, features, labels, shares, damping) * step
        return LinearHead(found[:, :-1], found[:, -1], self.loss)

    def _length(
        self, step: np.ndarray, features: np.ndarray, labels: np.ndarray, shares: np.ndarray, damping: float
    ) -> float:
        """Return the share of a Newton step, 1 or a power of a half, by which the objective does not increase."""

        def objective(length: float) -> float:
            weights, bias = self.weights - length * step[:, :-1], self.bias - length * step[:, -1]
            loss = LinearHead(weights, bias, self.loss).losses(features, labels) @ shares
            return float(loss + damping / 2 * ((weights**2).sum() + (bias**2).sum()))

        start, length = objective(0.0), 1.0
        while length > 1e-6 and objective(length) > start + 1e-12:
            length /= 2
        return length


def hessian_of(head: LinearHead, rows: np.ndarray, shares: np.ndarray, logits: np.ndarray | None = None) -> np.ndarray:
    """Return the second derivatives of the mean loss by weights and biases, (C · D, C · D) float64.

    Σ shareᵢ Λᵢ ⊗ rᵢ rᵢᵀ, where Λᵢ = diag p − p pᵀ of a softmax, diag p (1 − p) of sigmoids: exact, since the logits are
    linear.

    Args:
        head: the classifier.
        rows: features with a one for the bias, (n, D); or these in another basis.
        shares: weight of each image, (n,).
        logits: (n, C); by default those of `rows` as features with a one.
    """
    count, width = head.outputs, rows.shape[1]
    found = np.zeros((count, width, count, width))
    for part in chunks(len(rows), width + count):
        known = rows[part, :-1] @ head.weights.T + head.bias if logits is None else logits[part]
        p, some = head.shares(known), rows[part]
        for a in range(count):
            for b in range(a, count if head.loss == "softmax" else a + 1):
                factor = shares[part] * p[:, a] * ((a == b) - p[:, b])
                found[a, :, b] += (some * factor[:, None]).T @ some
    for a in range(count):
        for b in range(a):
            found[a, :, b] = found[b, :, a].T
    return found.reshape(count * width, count * width)
