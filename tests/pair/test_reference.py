"""The reference stands on its own feet: the model's gradients are right, the files fit the cases."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pair import pieces, reference
from tests.pair.cases import crop, scaled
from tests.pair.model import Model


@pytest.mark.parametrize("grey", [False, True], ids=["rgb", "grey"])
def test_gradients_are_those_of_the_scores(grey: bool) -> None:
    """The hand-written gradient is the central difference of the score in a random direction, for each class."""
    batch = np.stack([scaled(crop(), "float64"), scaled(crop()[::-1], "float64")])
    batch = batch[..., 0] if grey else batch
    step = 1e-5 * np.random.default_rng(0).normal(size=batch.shape)
    axes = tuple(range(1, batch.ndim))
    model = Model()

    for target in range(3):
        up, down = (model.answers(moved, target)["OUTPUT_LAYER_VALUES"] for moved in (batch + step, batch - step))
        gradients = model.answers(batch, target)["INPUT_OUTPUT_GRADIENTS"]

        np.testing.assert_allclose((gradients * step).sum(axis=axes), (up - down) / 2, rtol=1e-6)


def test_layer_gradients_are_those_of_the_scores() -> None:
    """The layer's gradient times the layer's small change is the score's change."""
    image = scaled(crop(), "float64")[None]
    answers, moved = (Model().answers(batch, 1) for batch in (image, image + 1e-6))
    change = moved["CONVOLUTION_LAYER_VALUES"] - answers["CONVOLUTION_LAYER_VALUES"]

    expected = (answers["CONVOLUTION_OUTPUT_GRADIENTS"] * change).sum()

    np.testing.assert_allclose(expected, (moved["OUTPUT_LAYER_VALUES"] - answers["OUTPUT_LAYER_VALUES"])[0], rtol=1e-4)


def test_model_repeats_itself_here() -> None:
    """This machine's model gives the gradient that was stored when PAIR was run."""
    for case in reference.cases("GradientSaliency"):
        if case.entry == "GetMask":
            (expected,) = reference.expected(case).values()
            actual = Model()(case.image[None], {"target": 1}, ["INPUT_OUTPUT_GRADIENTS"])["INPUT_OUTPUT_GRADIENTS"]

            np.testing.assert_allclose(expected, actual[0], rtol=1e-12 if expected.dtype == np.float64 else 1e-6)


def test_every_array_has_a_reader() -> None:
    """Each case has its arrays and its calls, and no array is stored that none reads."""
    cases = reference.cases()
    of_cases = {name for case in cases for name in reference.expected(case)}
    others = {name for name in reference.names() if name not in of_cases}

    assert all(case.name in of_cases for case in cases)
    assert set(reference.table("calls")) == {case.name for case in cases}
    assert {name.split("/")[0] for name in others} == {
        "VisualizeImageGrayscale",
        "VisualizeImageDiverging",
        "gaussian_blur",
        "l1_distance",
        "pic",
        "translate_alpha_to_x",
        "translate_x_to_alpha",
    }


def test_calls_are_runs() -> None:
    """A stored run of calls is read back: IG of seven steps in threes has batches of 3, 3, 1."""
    (case,) = [case for case in reference.cases("IntegratedGradients") if "batched" in case.name]

    assert [(run.times, run.call.shape[0]) for run in reference.calls(case)] == [(2, 3), (1, 1)]


def test_entropy_is_the_stored_one() -> None:
    """The entropy of an image that PAIR saw is found by its pixels."""
    assert reference.entropy(crop()) == reference.table("entropies")[pieces.fingerprint(crop())]


def test_stored_arrays_are_read_only() -> None:
    """No test can change what another compares with."""
    with pytest.raises(ValueError, match="read-only"):
        reference.array("l1_distance")[...] = 0
