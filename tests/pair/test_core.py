"""`saliency.core` returns PAIR's numbers and calls the model as PAIR does."""

from __future__ import annotations

import builtins
import re

import numpy as np
import pytest

from saliency import core
from tests import jitter
from tests.pair import pieces, reference
from tests.pair.model import Model

FLOAT32_SUMS = ("IntegratedGradients", "GradCam", "XRAI")
"""PAIR adds these up in float32, whatever the image."""

FUNCTIONS = ("VisualizeImageGrayscale", "gaussian_blur", "l1_distance", "translate_")
"""PAIR's plain functions, but for VisualizeImageDiverging: see test_differences.py."""

CASES = [case for case in reference.cases() if hasattr(core, case.method)]


def tolerance(case: reference.Case) -> float:
    """How far a mask may be off, as a share of its largest value (README.md: "How exactly to compare")."""
    if case.method == "BlurIG" and case.image.dtype == np.float32:
        return 1e-4  # float32 rounding, divided by grad_step
    if case.entry == "GetSmoothedMask" or case.method in FLOAT32_SUMS:
        return 1e-6
    return 1e-6 if case.image.dtype == np.float32 else 1e-10


def drift(case: reference.Case) -> float:
    """How far the jitter may move a mask, as a share of its largest value: without a jitter not at all."""
    # occlusion adds up differences of scores, of which each may move by twice the jitter; PAIR's sizes give 225 a pixel
    return jitter.amount() * (500 if case.method == "Occlusion" else 10)


def assert_near(expected: reference.Array, actual: reference.Array, share: float) -> None:
    """Equal up to a share of the largest value, in the same shape and dtype."""
    assert (expected.shape, expected.dtype) == (actual.shape, actual.dtype)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=share * np.nanmax(np.abs(expected), initial=0))


@pytest.mark.agreement
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_masks_are_pairs(case: reference.Case) -> None:
    """Shape, dtype and values of every stored mask; XRAI's ranks and lists of regions bit for bit."""
    found = case.run(core, Model())

    assert found.keys() == reference.expected(case).keys()
    for name, expected in reference.expected(case).items():
        if name.endswith("/segments") or "base_attribution" in case.options:
            np.testing.assert_array_equal(found[name], expected)
            assert found[name].dtype == expected.dtype
        else:
            assert_near(expected, found[name], tolerance(case) + drift(case))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_calls_are_pairs(case: reference.Case) -> None:
    """The model is called with the same batches and keys, always in the image's own dtype."""
    case.run(core, model := Model())

    expected = [(run.times, run.call.shape, run.call.keys) for run in reference.calls(case)]
    assert expected == [(run.times, run.call.shape, run.call.keys) for run in model.runs()]
    assert {call.dtype for call in model.calls} <= {str(case.image.dtype)}


def test_a_batch_size_of_zero_is_one_call() -> None:
    """batch_size=0 evaluates all steps of Integrated Gradients at once, as PAIR does."""
    image = CASES[0].image
    mask = core.IntegratedGradients().GetMask(image, model := Model(), {"target": 0}, x_steps=7, batch_size=0)

    assert [call.shape[0] for call in model.calls] == [7]
    one_by_one = core.IntegratedGradients().GetMask(image, Model(), {"target": 0}, x_steps=7)
    np.testing.assert_allclose(mask, one_by_one, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", [name for name in reference.names() if name.startswith(FUNCTIONS)])
def test_functions_are_pairs(name: str) -> None:
    """The plain functions give PAIR's values, shapes and dtypes."""
    mask = reference.array("GradientSaliency/default/float64")
    actual = np.asarray(pieces.functions(core, mask)[name])

    assert_near(reference.array(name), actual, 1e-7 if actual.dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("name", [name for name in reference.table("refusals") if not name.startswith("pic_")])
def test_refusals_are_pairs(name: str) -> None:
    """Arguments that PAIR refuses raise an error of the same kind, with PAIR's message if it has one."""
    expected = reference.table("refusals")[name]
    # what follows on a new line is a note of ours
    words = rf"^{re.escape(expected['message'])}(\n|$)" if expected["message"] else None

    with pytest.raises(getattr(builtins, expected["type"]), match=words):
        pieces.refusals(core, None, Model())[name]()
