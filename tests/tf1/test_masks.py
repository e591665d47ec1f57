from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any
from unittest import mock

import numpy as np
import pytest

import saliency.core
from saliency.core import XRAIParameters
from tests.pair.model import Model
from tests.tf1.graphs import Bound, image, pair_model

pytestmark = pytest.mark.needs("tensorflow")

METHODS: dict[str, dict[str, Any]] = {
    "GradientSaliency": {},
    "IntegratedGradients": {"x_baseline": 0.5 * np.ones_like(image()), "x_steps": 6, "batch_size": 3},
    "BlurIG": {"max_sigma": 5, "steps": 10, "batch_size": 5},
    "GuidedIG": {"x_steps": 12, "fraction": 0.4, "max_dist": 0.1},
    "GradCam": {"three_dims": False},
    "Occlusion": {"size": 5, "value": 0.3},
    "XRAI": {"batch_size": 4, "extra_parameters": XRAIParameters(steps=8)},
}
every_method = pytest.mark.parametrize(("name", "options"), METHODS.items(), ids=METHODS)


def of_core(name: str, options: Mapping[str, Any], entry: str = "GetMask") -> Any:
    """Return the mask of the core's class for the same model in NumPy."""
    return getattr(getattr(saliency.core, name)(), entry)(image(), Model(), {"target": 1}, **options)


def assert_same(expected: Any, actual: Any, tolerance: float = 1e-9) -> None:
    """Equal but for rounding."""
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@every_method
def test_a_mask_is_the_cores(name: str, options: dict[str, Any], bound: Bound) -> None:
    """Each class gives what the core's class gives for the same model as a function."""
    expected, actual = of_core(name, options), bound.make(name).GetMask(image(), **options)

    assert expected.dtype == actual.dtype
    assert_same(expected, actual)


def test_a_float32_graph_gives_the_same_but_for_rounding() -> None:
    """A graph in float32, as most are, differs by float32's rounding from the model in float64."""
    actual = pair_model("float32").make("IntegratedGradients").GetMask(image("float32"), x_steps=6)

    assert actual.dtype == np.float32
    assert_same(of_core("IntegratedGradients", {"x_steps": 6}), actual, 1e-5)


def test_xrai_tells_details(bound: Bound) -> None:
    """GetMaskWithDetails gives the core's ranks and attributions."""
    parameters = XRAIParameters(steps=4, return_xrai_segments=True, return_ig_attributions=True)
    options = {"extra_parameters": parameters}

    expected = of_core("XRAI", options, "GetMaskWithDetails")
    actual = bound.make("XRAI").GetMaskWithDetails(image(), **options)

    np.testing.assert_array_equal(expected.segments, actual.segments)
    assert_same(expected.ig_attribution, actual.ig_attribution)


@pytest.mark.parametrize("magnitude", [True, False], ids=["squared", "plain"])
def test_a_smoothed_mask_repeats_under_a_seed(magnitude: bool, bound: Bound) -> None:
    """GetSmoothedMask draws the core's noise from NumPy's global generator, and sums in the image's own type."""
    options = {"nsamples": 3, "stdev_spread": 0.2, "magnitude": magnitude, "x_steps": 3}

    np.random.seed(5)  # noqa: NPY002  PAIR draws from the global generator
    expected = of_core("IntegratedGradients", options, "GetSmoothedMask")
    np.random.seed(5)  # noqa: NPY002  the same
    actual = bound.make("IntegratedGradients").GetSmoothedMask(image(), **options)

    assert actual.dtype == np.float64
    assert_same(expected, actual, 1e-6)


def test_an_integer_image_can_be_smoothed(bound: Bound) -> None:
    """GetSmoothedMask of a uint8 image is that of the same values in float32."""
    grey = np.arange(16 * 18 * 3, dtype=np.uint8).reshape(16, 18, 3)
    found = []
    for each in (grey, grey.astype(np.float32)):
        np.random.seed(6)  # noqa: NPY002  PAIR draws from the global generator
        found.append(bound.make("GradientSaliency").GetSmoothedMask(each, nsamples=2))

    assert found[0].dtype == np.float32
    np.testing.assert_array_equal(*found)


@every_method
def test_feed_dict_is_fed_and_left_alone(name: str, options: dict[str, Any], bound: Bound) -> None:
    """The values in feed_dict reach the model, and the dict is not changed."""
    feed = {bound.gain: 2.0}
    method = bound.make(name)
    # resized, Grad-CAM is also normalised, and the gain is lost
    options = {**options, "should_resize": False} if name == "GradCam" else options

    expected, actual = (method.GetMask(image(), each, **options) for each in (None, feed))

    assert feed == {bound.gain: 2.0}
    assert_same(2 * expected, actual)


def test_x_in_feed_dict_gives_way(bound: Bound) -> None:
    """A feed_dict that already holds the input, as PAIR's left it, does not stand in the image's place."""
    feed = {bound.x: np.zeros((1, 16, 18, 3))}

    expected, actual = (bound.make("GradientSaliency").GetMask(image(), each) for each in (None, feed))

    np.testing.assert_array_equal(expected, actual)
    assert not feed[bound.x].any()


@every_method
def test_the_session_is_run_as_in_pair(name: str, options: dict[str, Any], bound: Bound) -> None:
    """`session.run` gets the fetches in a list and the feed_dict by keyword, with the caller's other entries."""
    session = mock.MagicMock(wraps=bound.session)

    bound.make(name, session).GetMask(image(), {bound.gain: 1.0}, **options)

    calls = {"GradientSaliency": 1, "IntegratedGradients": 2, "GradCam": 1, "Occlusion": 1 + 12 * 14, "XRAI": 4}
    calls |= {"BlurIG": 2, "GuidedIG": 12}
    assert session.run.call_count == calls[name]
    for (fetches,), keywords in session.run.call_args_list:
        assert isinstance(fetches, list)
        assert set(keywords) == {"feed_dict"}
        assert set(keywords["feed_dict"]) == {bound.gain, bound.x}


@every_method
def test_the_work_is_the_core_instances(name: str, options: dict[str, Any], bound: Bound) -> None:
    """GetMask hands everything to `.core_instance`, by keyword, with `.call_model_function`: people replace both."""
    method, feed = bound.make(name), {"any": "thing"}
    method.core_instance.GetMask = mock.MagicMock()
    own = inspect.signature(method.GetMask).parameters
    given = {key: options.get(key, own[key].default) for key in own if key not in ("x_value", "feed_dict")}

    method.GetMask("image", feed, **options)

    assert type(method.core_instance) is getattr(saliency.core, name)
    (call,) = method.core_instance.GetMask.call_args_list
    assert call.args == ("image",)
    assert call.kwargs.pop("call_model_args") is feed
    assert call.kwargs.pop("call_model_function") is method.call_model_function
    assert given.keys() == call.kwargs.keys()
    assert all(given[key] is call.kwargs[key] for key in given)


PATHS = {
    "IntegratedGradients": {"x_steps": 7, "batch_size": 2},
    "BlurIG": {"steps": 7, "batch_size": 2},
    "XRAI": {"extra_parameters": XRAIParameters(steps=7), "batch_size": 2},
}


@pytest.mark.parametrize(("name", "options"), PATHS.items(), ids=PATHS)
def test_paths_are_checked_against_the_tensors_first(name: str, options: dict[str, Any], bound: Bound) -> None:
    """Methods with batches validate x and y with (steps, batch_size) before any run."""
    session = mock.MagicMock(wraps=bound.session)
    method = bound.make(name, session)
    method.validate_xy_tensor_shape = mock.MagicMock(side_effect=ValueError("refused"))

    for entry in ("GetMask", "GetMaskWithDetails") if name == "XRAI" else ("GetMask",):
        with pytest.raises(ValueError, match="refused"):
            getattr(method, entry)(image(), **options)

    assert method.validate_xy_tensor_shape.call_args == mock.call(7, 2)
    session.run.assert_not_called()


@pytest.mark.parametrize("name", ["GradientSaliency", "Occlusion", "GradCam", "IntegratedGradients", "XRAI"])
def test_a_score_without_axes_will_do(name: str, bound: Bound) -> None:
    """`logits[0][label]`, a single number, is explained like a score per image, by Occlusion too."""
    options = {"size": 9} if name == "Occlusion" else {}

    assert_same(
        bound.make(name).GetMask(image(), **options), pair_model(scalar=True).make(name).GetMask(image(), **options)
    )


def test_a_fixed_batch_will_do() -> None:
    """Tensors whose batch is fixed at the batch_size give the mask of tensors that take any."""
    options = {"x_steps": 6, "batch_size": 3}

    actual = pair_model(batch=3).make("IntegratedGradients").GetMask(image(), **options)

    assert_same(of_core("IntegratedGradients", options), actual)


@pytest.mark.parametrize("name", ["TF1Saliency", "TF1CoreSaliency"])
def test_a_base_class_has_no_mask(name: str, bound: Bound) -> None:
    """The base classes leave GetMask to their heirs, in PAIR's words."""
    with pytest.raises(NotImplementedError, match=r"^A derived class should implemented GetMask\(\)$"):
        getattr(importlib.import_module("saliency.tf1"), name)(bound.graph, bound.session, bound.y, bound.x).GetMask(
            image()
        )
