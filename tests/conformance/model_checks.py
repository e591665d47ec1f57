"""Checks of the properties of every adapted model: functions that raise where a model violates one.

tests/conformance/test_models.py runs :data:`OF_MODELS` for the small models of every framework.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import saliency
from saliency.core.catalogue import METHODS
from saliency.metrics.catalogue import METRICS
from saliency.model.protocols import Differentiable, Layered, Reweightable, lacking
from tests.conformance.models import Subject
from tests.nets import everything, same

TARGETS = (1, 2)


def bound(subject: Subject, *layers: str) -> tuple[Any, Any]:
    """Return the model with two classes bound, and the images as its own arrays."""
    model = subject.model.at(TARGETS, layers)
    return model, model.ops.asarray(subject.images)


def check_scores_are_outputs(subject: Subject) -> None:
    """Scores are (k, N): the output of the model for each bound class."""
    model, images = bound(subject)
    outputs = model.ops.tohost(subject.model.outputs(images))

    assert outputs.shape[0] == len(subject.images)
    assert_allclose(model.ops.tohost(model.scores(images)), outputs[:, TARGETS].T, rtol=1e-5, atol=1e-6)


def check_images_are_independent(subject: Subject) -> None:
    """Two images in a batch have the same scores as each alone."""
    model, images = bound(subject)
    together = model.ops.tohost(model.scores(images))

    for i in range(len(subject.images)):
        alone = model.ops.tohost(model.scores(images[i : i + 1]))
        assert_allclose(alone[:, 0], together[:, i], rtol=1e-4, atol=1e-5)


def check_gradients_are_differences(subject: Subject) -> None:
    """Gradients are (k, N, H, W, C) and equal the central difference of the scores along a direction."""
    model, images = bound(subject)
    if lacking(model, Differentiable) is not None:
        return
    answer = model.gradients(images)
    gradients, host = model.ops.tohost(answer.gradients), subject.images
    direction = gradients[0] / np.abs(gradients[0]).max()
    step = 2e-3
    ends = [model.ops.tohost(model.scores(model.ops.asarray(host + way * step * direction))) for way in (1, -1)]

    assert gradients.shape == (len(TARGETS), *host.shape)
    assert_allclose(model.ops.tohost(answer.scores), model.ops.tohost(model.scores(images)), rtol=1e-4, atol=1e-5)
    slopes = (gradients * direction).sum((2, 3, 4))
    # ReLU and max-pooling may change their branch between the two ends
    assert_allclose((ends[0] - ends[1]) / (2 * step), slopes, rtol=0.02, atol=0.02 * np.abs(slopes).max())


def check_layers_are_readable(subject: Subject) -> None:
    """Each listed layer can be read by name, with a gradient for each class; otherwise the model gives the reason."""
    if (why := lacking(subject.model, Layered)) is not None:
        with pytest.raises(saliency.Unsupported) as refused:
            saliency.layers(subject.user, subject.images[0])
        assert why in str(refused.value)
        return
    table = saliency.layers(subject.user, subject.images[0])

    assert table
    for row in (table[0], table[-1]):
        model, images = bound(subject, row.name)
        (layer,) = model.layers(images)
        count, *grid, channels = layer.activations.shape
        assert count == len(subject.images)
        assert len(grid) == 2
        assert channels in row.shape
        assert tuple(layer.gradients.shape) == (len(TARGETS), count, *grid, channels)


def check_one_lock_per_model(subject: Subject) -> None:
    """All adapters of one model, bound or not, share one lock and the measured batch sizes."""
    one, other = subject.model, bound(subject)[0]

    assert one.lock is other.lock
    assert one.batch_sizes is other.batch_sizes


def check_capabilities_are_there_or_explained(subject: Subject) -> None:
    """Each capability that some method or metric needs is supported, or the model gives the reason in a sentence."""
    model = subject.model
    for needs in {cls().needs for cls in METHODS.values()} | {cls.needs for cls in METRICS.values()}:
        why = next((model.lacks[each] for each in needs.__mro__ if each in model.lacks), None)
        assert isinstance(model, needs) if why is None else len(why.split()) > 3


def check_weights_change_in_copies(subject: Subject) -> None:
    """A copy with the same weights has the same scores, one with a zero head others; the model keeps its own."""
    model, images = bound(subject)
    if lacking(model, Reweightable) is not None:
        return
    before, version = model.ops.tohost(model.scores(images)), model.version
    layers = model.weighted_layers(images)
    same, zero = model.reweighted(lambda _, each: each), model.reweighted(lambda _, each: 0 * each, layers[:1])

    assert len(layers) > 1
    assert_allclose(model.ops.tohost(same.scores(images)), before, rtol=1e-5, atol=1e-6)
    assert not np.any(model.ops.tohost(zero.scores(images)))
    assert_allclose(model.ops.tohost(model.scores(images)), before, rtol=1e-5, atol=1e-6)
    assert model.version == version
    assert version not in (same.version, zero.version)


def check_nothing_is_written(subject: Subject) -> None:
    """Model calls change neither the weights nor the version; for a torch module, no state at all."""
    model, images = bound(subject)
    before = everything(subject.user) if hasattr(subject.user, "state_dict") else None
    version = model.version
    model.scores(images)
    if lacking(model, Differentiable) is None:
        model.gradients(images)

    assert subject.model.version == version
    assert before is None or same(before, everything(subject.user))


OF_MODELS: list[Callable[[Subject], None]] = [
    check_scores_are_outputs,
    check_images_are_independent,
    check_gradients_are_differences,
    check_layers_are_readable,
    check_one_lock_per_model,
    check_capabilities_are_there_or_explained,
    check_weights_change_in_copies,
    check_nothing_is_written,
]
"""Checks of an adapted model."""
