"""PAIR's interface: what a call_model_function may return and do, and the errors for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

import saliency
from saliency import core, upstream
from tests.pair.cases import crop, scaled
from tests.pair.model import Model

IMAGE = scaled(crop(), "float32")
KEY = "INPUT_OUTPUT_GRADIENTS"


def answering(value: Any) -> Any:
    """A call_model_function that gives this under every key."""
    return lambda x, call_model_args=None, expected_keys=(): dict.fromkeys(expected_keys, value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "is None: the score has no gradient"),
        (3.0, "one entry per image of the batch, got the single number"),
        ([[1.0], [1.0, 2.0]], "must be an array, got list"),
        (np.full((1, 24, 28, 3), "x"), "must have real numbers, got ndarray of dtype <U1"),
        (np.full((1, 24, 28, 3), 1j), "must have real numbers"),
        (torch.zeros(1, 24, 28, 3, dtype=torch.bfloat16), "must be an array, got Tensor"),
        (IMAGE, r"expected \(1, 24, 28, 3\), actual \(24, 28, 3\)"),
        (np.moveaxis(IMAGE, 2, 0)[None], r"actual \(1, 3, 24, 28\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_result_that_is_no_gradient_is_refused(value: Any, message: str) -> None:
    """A result without one number per value of the batch raises an error that names the key and the value."""
    with pytest.raises(saliency.BadOutput, match=message) as error:
        core.GradientSaliency().GetMask(IMAGE, answering(value))

    assert KEY in str(error.value)


@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        list,
        torch.from_numpy,
        lambda array: torch.from_numpy(array).requires_grad_(),
    ],
    ids=["lists", "list of arrays", "tensor", "tensor on a graph"],
)
def test_lists_and_tensors_are_arrays(convert: Any) -> None:
    """Lists of numbers and tensors of any framework are taken, and stand as arrays in the caller's own dict."""
    expected = Model()(IMAGE[None], {}, [KEY])[KEY]
    returned: dict[str, Any] = {}

    def function(x: np.ndarray, call_model_args: Any = None, expected_keys: Any = ()) -> dict[str, Any]:
        returned[KEY] = convert(expected)
        return returned

    np.testing.assert_array_equal(core.GradientSaliency().GetMask(IMAGE, function), expected[0])
    assert isinstance(returned[KEY], np.ndarray)


def test_a_tensorflow_tensor_is_an_array() -> None:
    """Values with __array__, such as TensorFlow's tensors, are accepted."""

    class Tensor:
        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return np.ones((1, *IMAGE.shape))

    assert (core.GradientSaliency().GetMask(IMAGE, answering(Tensor())) == 1).all()


def test_a_missing_key_is_refused() -> None:
    """The error is PAIR's KeyError, with a note of what came instead."""
    with pytest.raises(KeyError, match=KEY) as error:
        core.IntegratedGradients().GetMask(IMAGE, lambda x, **_: {"logits": x})

    assert error.value.__notes__ == [f"call_model_function must return {KEY}; it returned ['logits']."]


@pytest.mark.parametrize("answer", [None, [np.ones(3)], np.ones(3)], ids=["None", "list", "array"])
def test_a_result_that_is_no_dict_is_refused(answer: Any) -> None:
    """The error names the keys that were expected."""
    with pytest.raises(saliency.BadOutput, match=r"must return a dict with the expected keys \['INPUT_OUTPUT_GRAD"):
        core.GradientSaliency().GetMask(IMAGE, lambda x, **_: answer)


def test_scores_of_all_classes_are_refused() -> None:
    """Occlusion wants the target's score, not a row of them."""
    with pytest.raises(saliency.BadOutput, match=r"one score per image, \(1,\), got shape \(1, 10\)"):
        core.Occlusion().GetMask(IMAGE, answering(np.zeros((1, 10))))


def test_a_column_of_scores_is_taken() -> None:
    """(N, 1) is one score per image."""
    mask = core.Occlusion().GetMask(IMAGE, lambda x, **_: {"OUTPUT_LAYER_VALUES": x.sum((1, 2, 3))[:, None]}, size=20)
    flat = core.Occlusion().GetMask(IMAGE, lambda x, **_: {"OUTPUT_LAYER_VALUES": x.sum((1, 2, 3))}, size=20)

    np.testing.assert_array_equal(mask, flat)


@pytest.mark.parametrize("method", [core.GradientSaliency(), core.Occlusion(), core.BlurIG()], ids=repr)
def test_a_function_that_writes_into_its_input_spoils_nothing(method: Any) -> None:
    """One warning reports the modified batch, and the caller's image is unchanged."""
    image, model = IMAGE[:16, :16].copy(), Model()

    def careless(x: np.ndarray, call_model_args: Any = None, expected_keys: Any = ()) -> dict[str, Any]:
        answer = model(x, call_model_args, expected_keys)
        x -= 1
        return answer

    with pytest.warns(UserWarning, match="modifies its x_value_batch") as warned:
        mask = method.GetMask(image, careless)

    assert len(warned) == 1
    np.testing.assert_array_equal(image, IMAGE[:16, :16])
    np.testing.assert_array_equal(mask, method.GetMask(image, Model()))


def test_arguments_are_handed_through() -> None:
    """The model gets the batch by position, the rest by keyword, and call_model_args as the very same object."""
    args, seen = {"target": 1}, []

    def function(*positional: Any, **named: Any) -> dict[str, Any]:
        seen.append((len(positional), sorted(named), named["call_model_args"] is args, named["expected_keys"]))
        return Model()(positional[0], **named)

    core.IntegratedGradients().GetMask(IMAGE, function, args, x_steps=2)

    assert seen == [(1, ["call_model_args", "expected_keys"], True, [KEY])] * 2
    assert seen[0][3] is core.IntegratedGradients.expected_keys


@pytest.mark.parametrize(
    "method",
    [core.GradientSaliency(), core.IntegratedGradients(), core.BlurIG(), core.GuidedIG(), core.XRAI()],
    ids=repr,
)
def test_an_interrupt_leaves_nothing_changed(method: Any) -> None:
    """Ctrl-C in the fourth call, or the only one, leaves image and method unchanged, and the next mask is correct."""
    image, model, calls = IMAGE.copy(), Model(), iter(range(99))
    last = 0 if isinstance(method, core.GradientSaliency) else 3
    before = vars(method).copy()

    def interrupted(x: np.ndarray, call_model_args: Any = None, expected_keys: Any = ()) -> dict[str, Any]:
        if next(calls) == last:
            raise KeyboardInterrupt
        return model(x, call_model_args, expected_keys)

    with pytest.raises(KeyboardInterrupt):
        method.GetMask(image, interrupted)

    np.testing.assert_array_equal(image, IMAGE)
    assert vars(method) == before


def test_smoothing_calls_getmask_itself() -> None:
    """GetSmoothedMask calls the instance's own GetMask once per sample, with three positional arguments."""
    calls: list[tuple[int, dict[str, Any]]] = []

    class Mine(core.CoreSaliency):
        def GetMask(self, *args: Any, **kwargs: Any) -> np.ndarray:  # noqa: N802  # PAIR's name
            calls.append((len(args), kwargs))
            return np.asarray(args[0])

    mask = Mine().GetSmoothedMask(IMAGE, Model(), nsamples=7, stdev_spread=0, magnitude=False, depth=2)

    assert calls == [(3, {"depth": 2})] * 7
    np.testing.assert_allclose(mask, IMAGE, rtol=1e-6)


def test_smoothing_masks_of_another_shape_is_refused() -> None:
    """XRAI's masks (H, W) cannot be added in the image's shape, and the error names the alternative."""
    parameters = core.XRAIParameters(steps=2)
    with pytest.raises(ValueError, match=r"\(24, 28, 3\), but this method's are \(24, 28\)\. saliency\.SmoothGrad"):
        core.XRAI().GetSmoothedMask(IMAGE, Model(), nsamples=1, extra_parameters=parameters)


@pytest.fixture
def replaced() -> Iterator[Any]:
    """The class that XRAI makes its Integrated Gradients of, replaced as people do."""
    with mock.patch.object(core.xrai, "IntegratedGradients") as cls:
        cls.return_value.GetMask.side_effect = lambda x, *_, **__: np.ones_like(x)
        yield cls.return_value.GetMask


def test_xrai_calls_the_given_integrated_gradients(replaced: Any) -> None:
    """Code that replaces saliency.core.xrai.IntegratedGradients is called once per baseline, with PAIR's arguments."""
    core.XRAI().GetMask(IMAGE, model := Model(), {"target": 0}, batch_size=5)

    assert [call.args[1:] for call in replaced.call_args_list] == [(model,), (model,)]
    for call, edge in zip(replaced.call_args_list, (IMAGE.min(), IMAGE.max()), strict=True):
        assert call.kwargs.keys() == {"call_model_args", "x_baseline", "x_steps", "batch_size"}
        assert (call.kwargs["x_baseline"] == edge).all()
        assert (call.kwargs["x_steps"], call.kwargs["batch_size"]) == (100, 5)


def test_fields_belong_to_the_other_door() -> None:
    """An instance made with fields refuses GetMask, which takes them as arguments."""
    with pytest.raises(saliency.BadField, match="this BlurIG was created with steps"):
        core.BlurIG(steps=3).GetMask(IMAGE, Model())


def test_pair_s_own_distribution_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If PAIR's own distribution is installed too, a warning gives the two commands that fix it."""
    upstream.warn()  # nothing, as it is not

    metadata = tmp_path / "saliency-0.2.1.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: saliency\nVersion: 0.2.1\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.warns(
        UserWarning,
        match=r"`saliency` 0.2.1 is(?s:.*)pip uninstall --yes saliency\n.*--force-reinstall --no-deps saliency-widget",
    ):
        upstream.warn()
