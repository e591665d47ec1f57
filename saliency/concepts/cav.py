"""Concept activation vectors: directions in the values of a layer that point towards a concept (arXiv:1711.11279)."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.errors import BadField, BadImage, BadShape, MissingPackage, brief

CLASSIFIERS = ("logistic", "sgd", "mean_difference")

LEAST = 10
"""Smallest number of images of a concept: a third of them is held out."""

STEPS = 1000
"""Maximum number of steps of a classifier."""


class CAV(NamedTuple):
    """A concept activation vector.

    Attributes:
        vector: (D,), of unit length; it points from the other images to those of the concept.
        accuracy: the classifier's balanced accuracy on held-out images, 0.5 for chance.
        converged: whether the classifier converged.
    """

    vector: np.ndarray
    accuracy: float
    converged: bool


def fit_cav(concept: Any, others: Any, classifier: str = "logistic", *, held_out: float = 1 / 3, seed: int = 0) -> CAV:
    """Return the direction from other images to those of a concept, from their values at a layer.

    Args:
        concept: (n, …), values of the concept's images.
        others: (m, …), values of the other images.
        classifier: "logistic" (regression with an L2 penalty), "sgd" (a linear support vector machine by stochastic
            gradients, as in the paper's software), or "mean_difference" (FastCAV, arXiv:2505.17883).
        held_out: share of the images of each set on which the accuracy is measured; the others are fitted.
        seed: seed of the split and of the classifier.

    Raises:
        BadImage: a set has fewer than 10 images.
        BadField: the sets are equal.
        MissingPackage: scikit-learn is not installed, and the classifier needs it.
    """
    checks.choice(classifier, "classifier", CLASSIFIERS)
    share = checks.number(held_out, "held_out", 0.05, 0.9)
    seed = checks.whole(seed, "seed", 0)
    sets = [flat(each, what) for each, what in ((concept, "concept"), (others, "others"))]
    if sets[0].shape[1] != sets[1].shape[1]:
        raise BadShape(
            f"concept and others must be of one layer, got {sets[0].shape[1]} and {sets[1].shape[1]} values."
        )
    random = np.random.default_rng(seed)
    fitted, tested = [], []
    for each in sets:
        order = random.permutation(len(each))
        count = max(1, round(share * len(each)))
        tested.append(each[order[:count]])
        fitted.append(each[order[count:]])
    # one factor for all values keeps directions, and makes the penalty independent of the layer's scale
    scale = float(np.concatenate(fitted).std()) or 1.0
    weights, bias, converged = _linear(fitted[0] / scale, fitted[1] / scale, classifier, seed)
    length = float(np.linalg.norm(weights))
    if not length > 0:
        raise BadField("The two sets of images have equal values at the layer, so that no direction separates them.")
    right = [np.mean(tested[0] / scale @ weights + bias > 0), np.mean(tested[1] / scale @ weights + bias <= 0)]
    return CAV((weights / length).astype(np.float32), float(np.mean(right)), converged)


def flat(values: Any, what: str) -> np.ndarray:
    """Return values of images at a layer as rows, (n, D) float64.

    Raises:
        BadImage: there are fewer than 10 images.
    """
    found = checks.array(getattr(values, "values", values), what)
    if found.ndim < 2 or not found.size:
        raise BadShape(f"{what} must be the values of images at a layer, (images, values), got {brief(values)}.")
    if len(found) < LEAST:
        raise BadImage(
            f"{what} must have at least {LEAST} images, of which a third is held out, got {len(found)}. For a region "
            "of one picture pass crops of it: saliency.concepts.crops(picture, mask)."
        )
    return found.reshape(len(found), -1).astype(np.float64)


def _linear(concept: np.ndarray, others: np.ndarray, classifier: str, seed: int) -> tuple[np.ndarray, float, bool]:
    """Return the weights and the bias of a linear classifier, and whether it converged."""
    if classifier == "mean_difference":
        weights = concept.mean(0) - others.mean(0)
        return weights, float(-weights @ (concept.mean(0) + others.mean(0)) / 2), True
    try:
        from sklearn.linear_model import LogisticRegression, SGDClassifier
    except ImportError as error:
        raise MissingPackage(
            f"The classifier {classifier!r} needs scikit-learn ({error}): pip install scikit-learn, or use "
            "classifier='mean_difference'."
        ) from error
    made = (
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=STEPS)
        if classifier == "logistic"
        else SGDClassifier(alpha=0.01, max_iter=STEPS, tol=1e-3, class_weight="balanced", random_state=seed)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the caller reports classifiers that did not converge
        made.fit(np.concatenate([concept, others]), np.repeat([1, 0], [len(concept), len(others)]))
    return made.coef_[0], float(made.intercept_[0]), bool(np.max(made.n_iter_) < STEPS)
