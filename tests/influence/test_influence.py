"""Estimators of influence agree with values derived by hand, with retraining, and with each other."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from saliency import influence
from saliency.errors import BadField, BadShape, BadTarget
from saliency.metrics.similarity import spearman


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return features and labels of 150 training images and of 20 others, of three digits."""
    values, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(np.flatnonzero(labels < 3))
    some, more = order[:150], order[150:170]
    return values[some] / 16, labels[some], values[more] / 16, labels[more]


def test_tracin_has_the_gradient_of_the_bias() -> None:
    """The values of a case derived by hand, which Captum's TracInCP gives, and its TracInCPFast does not."""
    head = influence.LinearHead(np.array([[0.5, -0.2], [0.1, 0.3]]), [0.1, -0.1])
    trained = influence.Snapshot(np.array([[1.0, 0], [0, 1], [1, 1]]), np.array([0, 1, 1]), head, rate=0.1)
    found = influence.TracIn().fit([trained])

    scores = found.scores(influence.Queries([np.array([[1, 0.5]])], np.array([0])))

    np.testing.assert_allclose(scores, [[0.0585918, -0.0527754, -0.1085086]], atol=1e-6)
    np.testing.assert_allclose(found.self_influence(), [0.0502238, 0.0724397, 0.1653619], atol=1e-6)


def test_the_influence_function_predicts_leave_one_out(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Its ranking is that of training without each image, and the weight decay is found from the head."""
    features, labels, queries, targets = digits
    true = influence.leave_one_out(features, labels, queries, targets, damping=0.01)
    head = influence.LinearHead(np.zeros((3, 64))).fitted(features, labels, 0.01)
    fitted = influence.InfluenceFunction().fit([influence.Snapshot(features, labels, head)])

    scores = fitted.scores(influence.Queries([queries], targets))

    assert np.mean([spearman(a, b) for a, b in zip(scores, true, strict=True)]) > 0.995
    assert "λ = 0.01 " in fitted.notes[-1]


@pytest.mark.parametrize(
    ("estimator", "least"),
    [
        (influence.InfluenceFunction(solver="ekfac"), 0.8),
        (influence.TRAK(), 0.7),
        pytest.param(influence.TRAK(size=32, projections=5), 0.7, id="small projections"),
        (influence.NearestNeighbours(), 0.35),
        (influence.TracIn(), 0.4),
    ],
    ids=lambda each: getattr(each, "id", ""),
)
def test_estimators_predict_training_on_halves(
    estimator: influence.TracIn, least: float, digits: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
) -> None:
    """The linear datamodeling score is well above zero."""
    features, labels, queries, targets = digits
    kept = np.random.default_rng(1).random((60, 150)) < 0.5
    outputs = influence.retrained(features, labels, kept, queries, targets, damping=0.01)
    head = influence.LinearHead(np.zeros((3, 64))).fitted(features, labels, 0.01)
    scores = estimator.fit([influence.Snapshot(features, labels, head)]).scores(influence.Queries([queries], targets))

    assert influence.linear_datamodeling_score(scores, kept, outputs).mean() > least


def test_wrong_labels_have_a_large_self_influence(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Of 10 % of changed labels nearly all precede the others, as they do by the plain loss."""
    features, labels, _, _ = digits
    wrong = np.arange(150) < 15
    changed = np.where(wrong, (labels + 1) % 3, labels)
    head = influence.LinearHead(np.zeros((3, 64))).fitted(features, changed, 0.01)
    trained = influence.Snapshot(features, changed, head)

    for scores in (influence.InfluenceFunction().fit([trained]).self_influence(), head.losses(features, changed)):
        assert influence.mislabelled_auc(scores, wrong) > 0.97


def test_bad_input_is_refused() -> None:
    """Labels and weights that do not fit are named."""
    head = influence.LinearHead(np.zeros((3, 2)))
    with pytest.raises(BadTarget, match="from 0 to 2, got 3"):
        influence.Snapshot(np.zeros((2, 2)), np.array([0, 3]), head)
    with pytest.raises(BadShape, match="one class index"):
        influence.Snapshot(np.zeros((2, 2)), np.array([0, 1, 2]), head)
    with pytest.raises(BadShape, match="as the head has 2 weights"):
        influence.Snapshot(np.zeros((2, 5)), np.array([0, 1]), head)
    with pytest.raises(BadField, match="some labels are wrong"):
        influence.mislabelled_auc(np.zeros(3), np.zeros(3, bool))
