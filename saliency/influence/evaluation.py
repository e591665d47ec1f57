"""Evaluate estimates of influence: by training the head again, and by labels known to be wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadShape, brief
from saliency.influence.head import LinearHead
from saliency.metrics.similarity import mean_ranks, spearman


def retrained(
    features: Any, labels: Any, kept: Any, queries: Any, targets: Any, *, damping: float, classes: int | None = None
) -> np.ndarray:
    """Train a softmax head on subsets of the training images, and return the margins of other pictures.

    Args:
        features: of the n training images, (n, d).
        labels: their classes, (n,).
        kept: the images of each of S subsets, bool (S, n).
        queries: features of q pictures, (q, d).
        targets: the class of each, (q,).
        damping: λ > 0: the head minimises Σ loss / n + λ / 2 · ‖weights and biases‖², with n the number of images in
            the subset.
        classes: number of classes; by default the largest label + 1.

    Returns:
        log p / (1 − p) of the target, (S, q).

    Raises:
        BadShape: the arguments do not fit each other, or a subset is empty.
        Unsupported: the head has too many weights to be trained many times.
    """
    features, labels, queries, targets, classes = _read(features, labels, queries, targets, classes)
    kept = checks.array(kept, "kept").astype(bool)
    if kept.ndim != 2 or kept.shape[1] != len(features) or not kept.any(1).all():
        raise BadShape(f"kept must be (subsets, {len(features)}) with an image in each subset, got {kept.shape}.")
    everything = LinearHead(np.zeros((classes, features.shape[1]))).fitted(features, labels, damping)
    # each starts from the head of all images, from which one image moves it little
    heads = (everything.fitted(features[each], labels[each], damping) for each in kept)
    return np.stack([head.measured(queries, targets) for head in heads])


def leave_one_out(
    features: Any, labels: Any, queries: Any, targets: Any, *, damping: float, classes: int | None = None
) -> np.ndarray:
    """Return the true influence of each training image on the margin of each picture: the head is trained without it.

    Args:
        features: see :func:`retrained`.
        labels: see :func:`retrained`.
        queries: see :func:`retrained`.
        targets: see :func:`retrained`.
        damping: see :func:`retrained`.
        classes: see :func:`retrained`.

    Returns:
        margin with the image minus margin without it, (q, n): positive where the image helps.
    """
    count = len(checks.array(features, "features"))
    kept = np.concatenate([np.ones((1, count), bool), ~np.eye(count, dtype=bool)])
    found = retrained(features, labels, kept, queries, targets, damping=damping, classes=classes)
    return (found[0] - found[1:]).T


def linear_datamodeling_score(scores: Any, kept: Any, outputs: Any) -> np.ndarray:
    """Return the linear datamodeling score (LDS, arXiv:2303.14186) of each picture, (q,), from −1 to 1.

    Spearman's correlation, over subsets of the training images, of the sum of the influences of a subset with the
    output of a model that was trained on it. Half of the images in each subset, and 50 subsets or more, are usual.

    Args:
        scores: influences, (q, n).
        kept: the images of each subset, bool (S, n).
        outputs: the measured outputs, (S, q), such as those of :func:`retrained`.

    Raises:
        BadShape: the arguments do not fit each other.
    """
    scores, outputs = checks.array(scores, "scores"), checks.array(outputs, "outputs")
    kept = checks.array(kept, "kept").astype(bool)
    fits = scores.ndim == kept.ndim == outputs.ndim == 2 and kept.shape[1] == scores.shape[1]
    if not fits or outputs.shape != (len(kept), len(scores)):
        raise BadShape(
            "scores, kept and outputs must be (pictures, images), (subsets, images) and (subsets, pictures), got "
            f"{scores.shape}, {kept.shape} and {outputs.shape}."
        )
    sums = kept @ scores.T.astype(np.float64)
    return np.array([spearman(sums[:, i], outputs[:, i]) for i in range(len(scores))])


def mislabelled_auc(scores: Any, wrong: Any) -> float:
    """Return the area under the ROC curve with which scores separate wrong labels from right ones, 0–1; 0.5 is chance.

    Args:
        scores: such as the self-influence, (n,): larger where a label is more suspicious.
        wrong: which labels are wrong, bool (n,).

    Raises:
        BadShape: there are not as many of both.
        BadField: no label is wrong, or all are.
    """
    scores, wrong = checks.array(scores, "scores"), checks.array(wrong, "wrong").astype(bool)
    if scores.ndim != 1 or scores.shape != wrong.shape:
        raise BadShape(f"scores and wrong must be two lists of one length, got {scores.shape} and {wrong.shape}.")
    if wrong.all() or not wrong.any():
        raise BadField("The area is defined only where some labels are wrong and some are right.")
    count = int(wrong.sum())
    above = mean_ranks(scores)[wrong].sum() - count * (count + 1) / 2
    return float(above / (count * (len(wrong) - count)))


def _read(
    features: Any, labels: Any, queries: Any, targets: Any, classes: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Return checked arguments of :func:`retrained`."""
    features, queries = checks.array(features, "features"), checks.array(queries, "queries")
    if features.ndim != 2 or not features.size or queries.ndim != 2 or queries.shape[1] != features.shape[1]:
        raise BadShape(
            f"features and queries must be (images, d) and (pictures, d), got {brief(features)} and {brief(queries)}."
        )
    if classes is None:
        found = checks.array(labels, "labels")
        classes = max(2, int(found.max()) + 1 if found.size else 2)
    head = LinearHead(np.zeros((checks.whole(classes, "classes", 2), 1)))
    return features, head.labels(labels, len(features)), queries, head.labels(targets, len(queries)), head.outputs
