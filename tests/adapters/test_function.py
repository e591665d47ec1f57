from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import saliency
from saliency.adapters.callables.closure import touches_a_framework
from saliency.adapters.callables.function import FunctionModel, framework_of
from saliency.adapters.torch.function import TorchFunction
from tests.nets import black_box, picture, small_net

IMAGE = picture()
NET = small_net()


class Pixels:
    """As scikit-learn's classifiers are: fitted on rows of features, with names of classes."""

    def __init__(self, features: int | None = IMAGE.size) -> None:
        if features is not None:
            self.n_features_in_ = features
        self.classes_ = np.array(["dark", "bright"])

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        """(N, 2)."""
        if hasattr(self, "n_features_in_"):
            assert rows.ndim == 2
        bright = rows.reshape(len(rows), -1).mean(1)
        return np.stack([1 - bright, bright], 1)


def explain(model: Any, method: Any = "gradient", target: Any = 1, **options: Any) -> Any:
    """Explain class 1 of the picture, without a bar."""
    return saliency.explain(model, IMAGE, method, target, **{"progress": False, **options})


def fed() -> np.ndarray:
    """Return one image in the layout of a function's argument."""
    return np.asarray(IMAGE[None] / 255, np.float32)


def permuting(images: np.ndarray) -> Tensor:
    """NumPy in, torch out."""
    return NET(torch.tensor(images).permute(0, 3, 1, 2))


def of_torch(images: Tensor) -> Tensor:
    """Torch in, torch out."""
    return NET(images)


def numpy_of_tensor(images: np.ndarray) -> np.ndarray:
    """NumPy in, NumPy out, torch inside."""
    return np.asarray(black_box(NET)(images))


def failing(_: Any) -> Any:
    """Takes nothing."""
    raise ValueError("mine")


@pytest.mark.parametrize(
    ("function", "framework"),
    [
        (of_torch, "torch"),
        (NET.forward, "torch"),
        (lambda x: {"logits": NET(x)}, "torch"),
        (permuting, "numpy"),
        (numpy_of_tensor, "numpy"),
        (lambda x: x.mean((1, 2)), "numpy"),
        (failing, "numpy"),
    ],
    ids=["lambda", "method", "dict", "tensor of array", "array of array", "arithmetic", "failing"],
)
def test_the_framework_of_a_function_is_found_by_its_result(function: Callable[..., Any], framework: str) -> None:
    """It is called with NumPy arrays, then torch's; a function that converts arrays to tensors itself takes arrays."""
    assert framework_of(function, fed) == framework


class Keeping:
    """Its model is two references away."""

    def __init__(self) -> None:
        self.parts = {"net": [NET]}

    def __call__(self, images: Any) -> Any:
        return self.parts["net"][0](images)


def importing(images: Any) -> Any:
    """Brings its framework along."""
    import torch

    return torch.as_tensor(images)


def calling(images: Tensor) -> Tensor:
    """Goes through another function."""
    return of_torch(images)


@pytest.mark.parametrize(
    "function",
    [
        of_torch,
        calling,
        importing,
        Keeping(),
        Keeping().__call__,
        functools.partial(calling),
        lambda x: torch.relu(x) + 1,
    ],
    ids=["global", "through another", "imported inside", "object", "bound method", "partial", "module's name"],
)
def test_what_a_function_keeps_and_names_tells_that_it_uses_a_framework(function: Callable[..., Any]) -> None:
    """Wherever it has it from; a function of NumPy's uses none."""
    assert touches_a_framework(function)
    assert not touches_a_framework(Pixels().predict_proba)


SEEN: list[type] = []
"""Types of what `noting` and `plain` were called with; not in their closures, of which copies are made."""


def noting(images: Any) -> Any:
    """A function of torch that keeps what it is called with."""
    SEEN.append(type(images))
    return NET(images)


def plain(images: Any) -> Any:
    """One of NumPy's arrays."""
    SEEN.append(type(images))
    return images.mean((1, 2))


def test_a_function_is_called_once_or_not_at_all() -> None:
    """To know its framework, one that uses any is called once for all explanations; one that failed, again."""
    SEEN.clear()
    for _ in range(2):
        assert framework_of(noting, fed) == "torch"
    assert SEEN.count(Tensor) == 1
    SEEN.clear()
    assert framework_of(plain, fed) == "numpy"
    assert SEEN == []
    assert framework_of(noting, lambda: np.zeros((1, 5))) == "torch"
    assert framework_of(calling, lambda: np.zeros((1, 8, 8, 5))) == "numpy"
    assert framework_of(calling, fed) == "torch"


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "occlusion"])
def test_a_function_of_torch_is_explained_as_its_module_is(method: str) -> None:
    """Its gradients are the module's; nothing but the function is handed over."""
    fields: dict[str, Any] = {"steps": 3} if method == "integrated_gradients" else {}
    fields = {"size": 8, "stride": 8} if method == "occlusion" else fields
    exp, expected = (explain(model, method, **fields) for model in (of_torch, NET))

    np.testing.assert_allclose(exp.mask, expected.mask, atol=1e-6)


def test_functions_of_any_kind_give_the_same_scores() -> None:
    """Occlusion of a NumPy function, of one that answers with tensors, and of a torch one are equal."""
    masks = [
        explain(function, "occlusion", size=8, stride=8).mask for function in (numpy_of_tensor, permuting, of_torch)
    ]
    for mask in masks[1:]:
        np.testing.assert_allclose(mask, masks[0], atol=1e-5)


def test_framework_overrules() -> None:
    """A given framework is not detected; an unknown one is refused."""
    called: list[Any] = []
    saliency.adapt(called.append, framework="torch", image=fed)

    assert called == []
    assert isinstance(saliency.adapt(of_torch, framework="torch"), TorchFunction)
    assert type(saliency.adapt(of_torch)) is FunctionModel
    assert explain(of_torch, framework="torch").mask.shape == IMAGE.shape
    with pytest.raises(saliency.UnknownName, match="Did you mean 'torch'"):
        explain(numpy_of_tensor, framework="torhc")


def test_a_function_of_torch_shows_no_layers() -> None:
    """Grad-CAM is refused with the way out; the model that the function holds is neither copied nor switched."""
    net = small_net().train()

    def function(x: Tensor) -> Tensor:
        return net(x)

    with pytest.raises(saliency.Unsupported, match="exposes no layers: pass the module itself"):
        explain(function, "grad_cam")
    version = saliency.adapt(function, framework="torch").version
    with torch.no_grad():
        net.head.weight.mul_(2)
    model = saliency.adapt(function, framework="torch")
    assert model.version != version
    assert any("training mode" in note for note in model.notes)
    assert net.training


def test_double_precision_is_kept() -> None:
    """A function that holds a model in float64 is fed float64."""
    net = small_net().double()

    np.testing.assert_allclose(explain(lambda x: net(x) * 1, framework="torch").mask, explain(net).mask)


def test_predict_proba_is_a_model() -> None:
    """Rows of features are made of the image; classes_ are the labels; gradients are refused with a sentence."""
    exp = explain(Pixels(), "occlusion", "bright", size=8, stride=8)

    assert exp.label == "bright"
    assert np.isfinite(exp.mask).all()
    assert "images fed as rows of features, (N, H × W × C)" in exp.notes
    with pytest.raises(saliency.Unsupported, match="predict_proba of Pixels offers only scores"):
        explain(Pixels())
    assert explain(Pixels(None), "occlusion", "dark", size=8, stride=8).label == "dark"


def test_a_model_fitted_on_other_features_is_refused() -> None:
    """Both counts are named."""
    with pytest.raises(saliency.BadImage, match=r"fitted on 64 features.*24 × 20 × 3 = 1440"):
        explain(Pixels(64), "occlusion")


def test_a_class_is_no_model() -> None:
    """Handing over the class instead of an instance says what was expected."""
    with pytest.raises(saliency.Unsupported, match="Expected a model"):
        explain(Pixels)
