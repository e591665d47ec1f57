"""The small models of every framework pass every check of an adapted model, and a broken adapter fails each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from saliency.adapters.torch.model import TorchModel
from saliency.model.protocols import Differentiable
from tests.conformance.model_checks import OF_MODELS
from tests.conformance.models import MODELS, Subject, precise, subject
from tests.conformance.test_methods import name_of
from tests.nets import small_net

FAILURE = (AssertionError, pytest.fail.Exception)


QUICK = ("torch", "torch function", "function", "onnx", "tensorflow", "keras", "flax", "torch transformer")
"""Models that are checked in each run: one of each framework."""

KINDS = [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.long) for kind in MODELS]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_conforms(kind: str, subtests: pytest.Subtests) -> None:
    """See the docstring of each check."""
    for check in OF_MODELS:
        with subtests.test(name_of(check)):
            check(subject(kind))


@pytest.mark.parametrize("kind", [each for each in KINDS if each.values[0] not in ("function", "onnx")])
def test_precise_models_compute_in_float64(kind: str) -> None:
    """Scores of the float64 models are float64, and differ from those of the float32 models by rounding alone."""
    with precise(kind) as wide:
        scores = wide.model.at((1, 2)).scores(wide.model.ops.asarray(wide.images))
        found = wide.model.ops.tohost(scores)
    narrow = subject(kind).model.at((1, 2))
    expected = narrow.ops.tohost(narrow.scores(narrow.ops.asarray(wide.images)))

    assert [each.dtype.name for each in (found, expected)] == ["float64", "float32"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class Transposed(TorchModel):
    """Scores have the shape (N, k)."""

    def scores(self, images: Any) -> Any:
        return super().scores(images).T


class Mixing(TorchModel):
    """Scores depend on the other images of the batch."""

    def scores(self, images: Any) -> Any:
        return super().scores(images - images.mean(0))


class Steep(TorchModel):
    """Gradients are twice as large."""

    def gradients(self, images: Any) -> Any:
        answer = super().gradients(images)
        return answer._replace(gradients=2 * answer.gradients)


class Forgetful(TorchModel):
    """Listed layers cannot be read."""

    def layers(self, images: Any, *, whole: bool = False) -> Any:
        return [each._replace(gradients=each.gradients[:1]) for each in super().layers(images, whole=whole)]


class Loose(TorchModel):
    """Each adapter has its own lock."""

    def at(self, targets: Any, layers: Any = ()) -> Any:
        made = super().at(targets, layers)
        made.batch_sizes = {}
        return made


class Silent(TorchModel):
    """Gradients are not supported, without a reason."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.lacks = {Differentiable: ""}


class Leaking(TorchModel):
    """A copy shares its weights with the model."""

    def reweighted(self, change: Any, layers: Any = None) -> Any:
        made = super().reweighted(change, layers)
        with torch.no_grad():
            for own, other in zip(self.module.parameters(), made.module.parameters(), strict=True):
                own.copy_(other)
        return made


class Training(TorchModel):
    """Weights change with each call."""

    def scores(self, images: Any) -> Any:
        with torch.no_grad():
            self.model.head.bias += 1
        return super().scores(images)


BROKEN: dict[str, Callable[..., Any]] = {
    "scores_are_outputs": Transposed,
    "images_are_independent": Mixing,
    "gradients_are_differences": Steep,
    "layers_are_readable": Forgetful,
    "one_lock_per_model": Loose,
    "capabilities_are_there_or_explained": Silent,
    "weights_change_in_copies": Leaking,
    "nothing_is_written": Training,
}
"""For each check, an adapter that violates it."""


@pytest.mark.parametrize("check", OF_MODELS, ids=name_of)
def test_a_check_fails_on_a_broken_adapter(check: Callable[[Subject], None]) -> None:
    """Each check raises for the adapter that violates it, and not for the adapter from which that one derives."""
    images = np.array(subject("torch").images)
    check(Subject(TorchModel(small_net()), images))
    with pytest.raises(FAILURE):
        check(Subject(BROKEN[name_of(check)](small_net()), images))
