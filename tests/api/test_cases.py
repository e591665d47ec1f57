"""Cases of metrics, and methods that are run again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency.api.cases import Rerun, case_of
from saliency.metrics import SRG
from saliency.metrics.metric import Attribution
from tests.nets import small_net

METHODS = [
    saliency.IntegratedGradients(steps=4),  # a named baseline that does not depend on the content
    saliency.IntegratedGradients(steps=4, baseline="blur"),
    saliency.SmoothGrad(samples=3),
    saliency.GradCam(),  # a layer
    saliency.Rise(samples=16),  # a black box
]


def picture() -> np.ndarray:
    """Return a picture of 24×20 pixels, in 0–1: of integers, a blurred baseline would be rounded."""
    values = np.random.default_rng(0).random((24, 20, 3), np.float32)
    values[0, 0], values[0, 1] = 0, 1
    return values


def again(method: Any, target: Any = 1, model: Any = None, preprocess: Any = "imagenet") -> Rerun:
    """Return the runner of a method, for a small network."""
    prepared = saliency.prepare(model or small_net(), [picture()], preprocess=preprocess)
    options: dict[str, Any] = {"batch_size": 4}
    session = case_of(prepared, target, **options).session
    return Rerun(prepared, prepared.run(method, target, {}), session, options)


def explained(method: Any, image: Any, target: Any = 1, model: Any = None, preprocess: Any = "imagenet") -> np.ndarray:
    """Return the mask of :func:`saliency.explain`."""
    options: dict[str, Any] = {"preprocess": preprocess, "batch_size": 4, "progress": False}
    found = saliency.explain(model or small_net(), image, method, target, **options)
    return np.asarray(found.mask)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_the_same_image_gives_the_same_mask(method: Any) -> None:
    """Of the same image and target, the mask equals that of `explain` bit for bit; images evaluated are counted."""
    rerun = again(method)

    (masks,) = rerun(rerun.prepared.images)

    np.testing.assert_array_equal(masks[0], explained(method, picture()))
    assert masks.dtype == np.float32
    assert rerun.session.images >= rerun.run.total


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_flipped_image(method: Any) -> None:
    """The mask of a flipped input is that of the flipped picture, with its own baseline."""
    rerun = again(method)

    (masks,) = rerun(rerun.prepared.adapted.ops.flip(rerun.prepared.images, 2))

    expected = explained(method, picture()[:, ::-1].copy())
    np.testing.assert_allclose(masks[0], expected, atol=2e-4 * np.abs(expected).max())


def test_several_images_and_targets() -> None:
    """Each image and target has its own mask; equal targets share one, and labels are resolved."""
    method = saliency.IntegratedGradients(steps=4, baseline="blur")
    rerun = again(method)
    fed = rerun.prepared.images
    both = rerun.prepared.adapted.ops.concat([fed, rerun.prepared.adapted.ops.flip(fed, 2)])

    masks = rerun(both, targets=[2, 0, 2])

    assert masks.shape == (3, 2, 24, 20, 3)
    np.testing.assert_array_equal(masks[0], masks[2])
    for found, target in zip(masks, (2, 0), strict=False):
        np.testing.assert_allclose(found[0], explained(method, picture(), target), atol=1e-6)
    np.testing.assert_allclose(masks[1, 1], rerun(both[1:], targets=[0])[0, 0], atol=1e-6)


def test_a_mask_that_is_the_same_for_every_target() -> None:
    """A method that ignores the target returns one mask for each of the targets."""
    rerun = again(saliency.EigenCam())

    one, other = rerun(rerun.prepared.images, targets=[0, 1])

    np.testing.assert_array_equal(one, other)


def test_another_model() -> None:
    """A model with other weights is explained for the same target and layer; the explained model is unchanged."""
    other, method = small_net(seed=1), saliency.GradCam()
    rerun = again(method, target=None)
    index = rerun.run.targets[0][0].name

    (masks,) = rerun(rerun.prepared.images, model=saliency.adapt(other))

    np.testing.assert_array_equal(masks[0], explained(method, picture(), index, other))
    np.testing.assert_array_equal(rerun(rerun.prepared.images)[0, 0], explained(method, picture(), index))


def test_a_callable_target() -> None:
    """A callable target has no index: metrics then read its own values."""
    prepared = saliency.prepare(small_net(), [picture()])

    def difference(outputs: Any) -> Any:
        return outputs[:, 0] - outputs[:, 1]

    case = case_of(prepared, difference)
    srg = SRG(levels=4)(case, Attribution(np.random.default_rng(0).normal(size=(24, 20))))
    masks = Rerun(prepared, prepared.run("gradient", difference, {}), case.session)(prepared.images)

    assert case.target is None
    outputs = prepared.outputs[0]
    assert srg.curves["most salient first"].values[0] == pytest.approx(outputs[0] - outputs[1], abs=1e-5)
    np.testing.assert_array_equal(masks[0, 0], explained("gradient", picture(), difference, preprocess=None))


def test_a_model_that_depends_on_the_batch_gets_one_image_at_a_time() -> None:
    """With batch norm in training mode, each image of a case is evaluated alone."""
    net = small_net()
    net.norm.train()
    case = case_of(saliency.prepare(net, [picture()]), 1, batch_size=8)

    SRG(levels=4, cell=1)(case, Attribution(np.random.default_rng(0).normal(size=(24, 20))), band=False)

    assert case.session.calls == case.images == 8
