"""Where we differ from PAIR on purpose: every row of docs/differences.md has its test here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency import core
from tests.pair import reference
from tests.pair.cases import crop, scaled
from tests.pair.model import Model

IMAGE = scaled(crop(), "float64")
Array = reference.Array


def finite_until(last: int, value: float = np.nan) -> Any:
    """A model whose gradients turn to `value` after `last` calls."""
    model = Model()

    def call(x: Array, call_model_args: Any = None, expected_keys: Any = ()) -> dict[str, Array]:
        answer = model(x, call_model_args, expected_keys)
        if len(model.calls) > last:
            answer["INPUT_OUTPUT_GRADIENTS"][0, 2, 3, 1] = value
        return answer

    return call


def test_blur_ig_weights_each_step_by_its_own_width() -> None:
    """With sqrt=True a mask does not depend on batch_size; PAIR weights a whole batch with its last step."""
    one, many = (
        core.BlurIG().GetMask(IMAGE, Model(), max_sigma=5, steps=10, sqrt=True, batch_size=size) for size in (1, 4)
    )

    np.testing.assert_allclose(many, one, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_one_step_of_ig_is_the_middle(batch_size: int) -> None:
    """x_steps=1 evaluates the midpoint; PAIR evaluates nothing and returns zeros, or evaluates the baseline."""
    mask = core.IntegratedGradients().GetMask(IMAGE, model := Model(), {"target": 1}, x_steps=1, batch_size=batch_size)
    middle = Model()(IMAGE[None] / 2, {"target": 1}, ["INPUT_OUTPUT_GRADIENTS"])["INPUT_OUTPUT_GRADIENTS"][0]

    assert len(model.calls) == 1
    np.testing.assert_allclose(mask, middle * IMAGE, rtol=1e-12)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("IntegratedGradients", {"x_steps": 4}),
        ("IntegratedGradients", {"x_steps": 4, "x_baseline": np.full(crop().shape, 255, np.uint8)}),
        ("BlurIG", {"steps": 4, "max_sigma": 3}),
        ("GuidedIG", {"x_steps": 4}),
        ("XRAI", {"extra_parameters": core.XRAIParameters(steps=4)}),
    ],
)
def test_integer_images_are_explained(method: str, options: Any) -> None:
    """An integer image has the mask of the same image in float32; PAIR wraps round or raises."""
    options_32 = {name: each.astype(np.float32) if name == "x_baseline" else each for name, each in options.items()}
    whole = getattr(core, method)().GetMask(crop(), Model(), **options)
    single = getattr(core, method)().GetMask(crop().astype(np.float32), Model(), **options_32)

    assert whole.dtype == single.dtype
    np.testing.assert_allclose(whole, single, rtol=1e-5, atol=1e-6 * np.abs(single).max())


def test_occlusion_of_integer_images_has_fractions() -> None:
    """An integer image and scores with fractions have the float image's mask; PAIR raises."""

    def score(x: Array, call_model_args: Any = None, expected_keys: Any = ()) -> dict[str, Array]:
        return {"OUTPUT_LAYER_VALUES": np.sqrt(x.astype(np.float64)).sum((1, 2, 3))}

    whole, single = (core.Occlusion().GetMask(image, score, size=9) for image in (crop(), crop().astype(np.float32)))

    np.testing.assert_array_equal(whole, single)
    assert whole.dtype == np.float32


@pytest.mark.parametrize("method", ["GradientSaliency", "GradCam", "Occlusion"])
def test_what_is_not_interpolated_keeps_its_dtype(method: str) -> None:
    """Methods that show the model nothing between two pictures hand on integer images as integers, as PAIR does."""
    getattr(core, method)().GetMask(crop()[:16, :16], model := Model())

    assert {call.dtype for call in model.calls} == {"uint8"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", ["GradientSaliency", "IntegratedGradients", "BlurIG", "GuidedIG", "XRAI"])
def test_the_model_is_handed_the_image_s_own_dtype(method: str, dtype: str) -> None:
    """Smoothed or not, the model sees the image's own floating type; PAIR drifts to float64."""
    image = scaled(crop(), dtype)
    steps: dict[str, Any] = {
        "IntegratedGradients": {"x_steps": 3, "x_baseline": np.zeros(image.shape)},
        "BlurIG": {"steps": 3},
        "GuidedIG": {"x_steps": 3},
        "XRAI": {"extra_parameters": core.XRAIParameters(steps=2)},
    }
    core_method, options = getattr(core, method)(), steps.get(method, {})
    core_method.GetMask(image, model := Model(), **options)
    if method != "XRAI":
        core_method.GetSmoothedMask(image, model, nsamples=2, **options)

    assert {call.dtype for call in model.calls} == {dtype}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_guided_ig_refuses_gradients_that_are_not_finite(value: float) -> None:
    """NaN and infinite gradients raise in the step they come; PAIR never returns."""
    with pytest.raises(saliency.BadOutput, match="In step 3 of 9 the gradient contains NaN or infinite"):
        core.GuidedIG().GetMask(IMAGE, finite_until(2, value), x_steps=9)


def test_guided_ig_refuses_gradients_of_another_shape() -> None:
    """A wrong shape raises PAIR's message of the other methods; PAIR raises IndexError."""
    with pytest.raises(ValueError, match="Expected key INPUT_OUTPUT_GRADIENTS to be the same shape"):
        core.GuidedIG().GetMask(IMAGE, lambda x, **_: {"INPUT_OUTPUT_GRADIENTS": np.zeros((1, 3, 3, 1))})


def test_xrai_refuses_attributions_that_are_not_finite() -> None:
    """NaN in the gradients raises a clear error; PAIR raises KeyError: None."""
    with pytest.raises(saliency.BadOutput, match="1 of 672 pixels are NaN"):
        core.XRAI().GetMask(IMAGE, finite_until(1), extra_parameters=core.XRAIParameters(steps=2))


def test_xrai_refuses_an_algorithm_before_it_works() -> None:
    """An unknown algorithm is refused before any forward pass; PAIR calls the model and segments first."""
    with pytest.raises(ValueError, match="Unknown algorithm type: other"):
        core.XRAI().GetMask(IMAGE, model := Model(), extra_parameters=core.XRAIParameters(algorithm="other"))

    assert model.calls == []


@pytest.mark.parametrize("image", [np.zeros((9, 7, 3)), np.full((9, 7, 3), 4, np.float32)], ids=["zero", "four"])
def test_constant_pictures_have_regions(image: Array) -> None:
    """A picture of one colour is one region; PAIR divides by zero and warns."""
    mask = core.XRAI().GetMask(image, Model(), extra_parameters=core.XRAIParameters(steps=2))

    assert np.ptp(mask) == 0


@pytest.mark.parametrize("mask", [np.zeros((4, 5, 3)), np.full((4, 5, 3), -2.0)], ids=["zero", "constant"])
def test_constant_masks_are_shown_as_zeros(mask: Array) -> None:
    """A constant mask is shown black, without a warning; PAIR's shows NaN."""
    assert (core.VisualizeImageGrayscale(mask) == 0).all()


def test_diverging_keeps_zero_at_zero() -> None:
    """Zero is shown as 0, the percentile as 1, its opposite as -1, as PAIR's documentation says; its code shows 0.5."""
    mask = np.array([[[-3.0], [-2.0], [0.0], [1.0], [2.0]]])

    np.testing.assert_array_equal(core.VisualizeImageDiverging(mask, 100), [[-1, -1, 0, 0.5, 1]])
    assert (core.VisualizeImageDiverging(np.zeros((2, 2, 3))) == 0).all()


def test_flat_masks_can_be_shown() -> None:
    """XRAI's masks (H, W) can be visualised; PAIR's functions want channels."""
    mask = np.array([[0.0, 1.0], [2.0, 4.0]])

    np.testing.assert_array_equal(core.VisualizeImageGrayscale(mask, 100), mask / 4)
    np.testing.assert_array_equal(core.VisualizeImageDiverging(mask, 100), mask / 4)


def test_small_integer_scores_do_not_wrap_round() -> None:
    """Occlusion of a model with uint8 scores has drops of both signs; PAIR's overflow silently."""

    def rising(x: Array, call_model_args: Any = None, expected_keys: Any = ()) -> dict[str, Array]:
        return {"OUTPUT_LAYER_VALUES": np.array([200 if x[0, 0, 0] == 0 else 7], np.uint8)}

    mask = core.Occlusion().GetMask(np.ones((2, 2)), rising, size=1)

    assert mask.tolist() == [[-193, 0], [0, 0]]


def test_blur_ig_takes_grey_pictures() -> None:
    """An image (H, W) has the mask of the same image (H, W, 1); PAIR refuses it."""
    grey = IMAGE[..., 0]

    def weigh(x: Array, call_model_args: Any = None, expected_keys: Any = ()) -> dict[str, Array]:
        return {"INPUT_OUTPUT_GRADIENTS": np.cos(x)}

    flat, deep = (core.BlurIG().GetMask(image, weigh, steps=5, max_sigma=4) for image in (grey, grey[..., None]))

    np.testing.assert_allclose(flat, deep[..., 0], rtol=1e-10)
