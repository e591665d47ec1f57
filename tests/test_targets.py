import numpy as np
import pytest

import saliency
from saliency.targets import ClassScore, are_probabilities, index_of, label_of, probabilities

LABELS = ["ape", "bee", "cat"]


def test_index_and_label_mean_the_same_class() -> None:
    """A class is named by index, by negative index, by NumPy integer, or by label."""
    for target in (1, -2, np.int64(1), "bee"):
        assert index_of(target, LABELS, 3) == 1


@pytest.mark.parametrize("target", [3, -4, 1000])
def test_an_index_beyond_the_classes_is_told(target: int) -> None:
    """The error says how many classes there are."""
    with pytest.raises(saliency.BadTarget, match=rf"3 classes \(0 to 2\), got target {target}"):
        index_of(target, LABELS, 3)


def test_an_unknown_label_is_told_with_the_nearest() -> None:
    """A typing error is answered with the label that was meant."""
    with pytest.raises(saliency.UnknownName, match="Did you mean 'cat'"):
        index_of("cta", LABELS, 3)


def test_a_label_without_labels_is_told() -> None:
    """Where the model has no labels the error says to pass them."""
    with pytest.raises(saliency.BadTarget, match=r"pass labels"):
        index_of("cat", None, 3)


@pytest.mark.parametrize("target", [True, 1.5, [1], object()], ids=repr)
def test_what_is_no_target_is_told(target: object) -> None:
    """Neither booleans nor fractions name a class."""
    with pytest.raises(saliency.BadTarget, match="A target is"):
        index_of(target, LABELS, 3)


def test_class_score_takes_its_column() -> None:
    """(N, classes) becomes (N,)."""
    assert ClassScore(2)(np.arange(6).reshape(2, 3)).tolist() == [2, 5]


def test_label_of_falls_back_to_the_number() -> None:
    """A class without a name is called by its number."""
    assert label_of(1, LABELS) == "bee"
    assert label_of(7, LABELS) == "7"
    assert label_of(1, None) == "1"


def test_probabilities_of_logits_are_a_softmax() -> None:
    """Logits become shares that sum to one, also where they are huge."""
    shares = probabilities(np.array([[1000.0, 1000.0, 0.0]]))

    np.testing.assert_allclose(shares, [[0.5, 0.5, 0]])


def test_probabilities_are_left_alone() -> None:
    """What sums to one already is not squashed again."""
    outputs = np.array([[0.2, 0.3, 0.5]])

    assert are_probabilities(outputs)
    np.testing.assert_array_equal(probabilities(outputs), outputs)
    assert not are_probabilities(np.array([[0.2, 0.3, 0.6]]))
    assert not are_probabilities(np.array([[1.0]]))


def test_sigmoid_is_for_many_labels() -> None:
    """With activation="sigmoid" each class has a probability of its own."""
    np.testing.assert_allclose(probabilities(np.array([0.0, 1000.0, -1000.0]), "sigmoid"), [0.5, 1, 0])


def test_an_unknown_activation_is_told() -> None:
    """The known ones are listed."""
    with pytest.raises(saliency.UnknownName, match="softmax"):
        probabilities(np.zeros((1, 3)), "sofmax")
