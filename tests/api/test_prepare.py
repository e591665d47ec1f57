"""A batch of pictures is prepared and explained in one run, with the same results as one picture at a time."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import saliency
from saliency.core.catalogue import METHODS
from saliency.core.method import Method
from saliency.results.assemble import explained
from tests.adapters.two_inputs import FACTS, SERIES, TwoInputs
from tests.conformance.models import reads_attention
from tests.nets import LABELS, few, picture, small_net

PICTURES = [picture(), picture(seed=5)]

METHOD_IDS = [name for name, cls in METHODS.items() if not reads_attention(cls)]


def run(
    model: Any,
    images: Sequence[Any],
    method: Any,
    target: Any = None,
    baseline: Any = None,
    preprocess: str | None = "0..1",
    batch_size: int = 3,
) -> list[Any]:
    """Return for each picture its explanation, or a list with one for each target, from one run."""
    ready = saliency.prepare(model, images, LABELS, preprocess).run(method, target, {"baseline": baseline})
    return explained(ready, time.perf_counter(), batch_size=batch_size)


def assert_alike(found: saliency.Explanation, expected: saliency.Explanation) -> None:
    """Raise unless two explanations agree in everything but their cost."""
    near = 1e-6 * float(np.abs(expected.mask).max())
    np.testing.assert_allclose(found.mask, expected.mask, rtol=1e-6, atol=near)
    for name in ("score", "baseline_score", "gap"):
        value, other = getattr(found, name), getattr(expected, name)
        assert value == (None if other is None else pytest.approx(other, rel=1e-6, abs=1e-6))
    for name in ("target", "label", "method", "caption", "layer", "sign"):
        assert getattr(found, name) == getattr(expected, name)
    # LRP records the causes of its losses for batches of one image only
    assert [each.partition(": absorbed")[0] for each in found.notes] == [
        each.partition(": absorbed")[0] for each in expected.notes
    ]
    np.testing.assert_array_equal(found.picture, expected.picture)
    np.testing.assert_array_equal(found.placement, expected.placement)
    assert (found.standard_error is None) == (expected.standard_error is None)
    if found.standard_error is not None and expected.standard_error is not None:
        np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=1e-5, atol=near)
    assert (found.regions is None) == (expected.regions is None)
    if found.regions is not None and expected.regions is not None:
        np.testing.assert_array_equal(found.regions.ranks, expected.regions.ranks)


class TestOneRun:
    """The explanations of two pictures from one run equal those of two runs."""

    # in float64: regions are a choice between near equals, which rounding must not decide
    net = small_net().double()

    @pytest.mark.parametrize("method", METHOD_IDS)
    def test_of_every_method(self, method: str) -> None:
        """Masks, scores, completeness errors, regions and notes of each picture and class agree to 1e-6."""
        made = METHODS[method](**few(METHODS[method]))
        together = run(self.net, PICTURES, made, [1, "cat"])

        assert [len(each) for each in together] == [2, 2]
        for found, image in zip(together, PICTURES, strict=True):
            (expected,) = run(self.net, [image], made, [1, "cat"])
            for one, other in zip(found, expected, strict=True):
                assert_alike(one, other)

    @pytest.mark.parametrize(
        "method",
        [
            saliency.IntegratedGradients(steps=4),
            saliency.SmoothGrad(saliency.IntegratedGradients(steps=2), samples=20),
            saliency.ScoreCam(),
            saliency.FeatureAblation(segments=np.arange(480).reshape(24, 20) // 80),
        ],
        ids=lambda method: method.id,
    )
    @pytest.mark.parametrize("baseline", ["blur", "mean"])
    def test_each_picture_has_its_own_baseline(self, method: Method, baseline: str) -> None:
        """A baseline made from the picture differs between pictures, also for noisy copies and parts of the batch."""
        together = run(self.net, PICTURES, method, 1, baseline, batch_size=1)

        for found, image in zip(together, PICTURES, strict=True):
            assert_alike(found, *run(self.net, [image], method, 1, baseline))

    def test_top_classes_may_differ(self) -> None:
        """Each picture is explained for its own top class and its own contrast, with one function for each target."""
        images = [picture(), picture(), picture() * np.array([1, 0, 0], np.uint8), picture(seed=3)]
        prepared = saliency.prepare(self.net, images, LABELS)
        targets = [None, 1, saliency.targets.contrast(2)]
        ready = prepared.run("gradient", targets, {})
        tops = [int(each.argmax()) for each in prepared.outputs]

        assert len(set(tops)) > 1
        assert [[each.name for each in own][:2] for own in ready.targets] == [[top, 1] for top in tops]
        assert ready.rows == len(targets)
        for own, image in zip(run(self.net, images, "gradient", targets), images, strict=True):
            for one, other in zip(own, run(self.net, [image], "gradient", targets)[0], strict=True):
                assert_alike(one, other)

    def test_partial_results_are_of_the_pictures_reached(self) -> None:
        """A partial result has the first pictures only; the last has all."""
        shown: list[list[list[Any]]] = []
        prepared = saliency.prepare(self.net, PICTURES)
        ready = prepared.run(saliency.Occlusion(size=6, stride=3), [0, 1], {})
        found = explained(ready, time.perf_counter(), partial=shown.append, batch_size=8)

        counts = [len(each) for each in shown]
        assert counts == sorted(counts)
        assert {*counts, len(found)} == {1, 2}
        assert all(len(own) == 2 for each in shown for own in each)

    def test_a_model_that_depends_on_the_batch(self) -> None:
        """Pictures of a model in training mode are explained and predicted one at a time."""
        net = small_net().double()
        net.norm.train()
        together = run(net, PICTURES, saliency.IntegratedGradients(steps=3))

        for found, image in zip(together, PICTURES, strict=True):
            assert any("depend on the rest of the batch" in note for note in found.notes)
            assert_alike(found, *run(net, [image], saliency.IntegratedGradients(steps=3)))

    def test_several_inputs(self) -> None:
        """A batch of several inputs gives for each example and target one explanation per input."""
        net, examples = TwoInputs().double(), [[SERIES, FACTS], [SERIES / 2, -FACTS]]
        method = saliency.IntegratedGradients(steps=4)
        together = run(net, examples, method, [0, 1], [0.1, 0.2], preprocess=None)

        for found, example in zip(together, examples, strict=True):
            expected = saliency.explain(net, example, method, [0, 1], baseline=[0.1, 0.2], progress=False)
            for own, others in zip(found, expected, strict=True):
                for one, other in zip(own, others, strict=True):
                    np.testing.assert_allclose(one.mask, other.mask, rtol=1e-6, atol=1e-7)
                    assert one.gap == pytest.approx(other.gap, abs=1e-6)


def test_a_batch_is_called_once() -> None:
    """Outputs of B pictures are (B, classes), from one model call, and are computed once."""
    sizes: list[int] = []

    def model(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return images.mean((1, 2))

    prepared = saliency.prepare(model, PICTURES)

    assert prepared.outputs.shape == (2, 3)
    np.testing.assert_array_equal(prepared.outputs, prepared.outputs)
    assert sizes == [2]


def test_one_picture_is_a_batch_of_one() -> None:
    """Inputs and outputs keep the batch axis; the picture, and the index of a target, belong to the only picture."""
    prepared = saliency.prepare(small_net(), [PICTURES[0]], LABELS)

    assert tuple(prepared.images.shape) == (1, 24, 20, 3)
    assert prepared.outputs.shape == (1, 4)
    assert prepared.picture is prepared.pictures[0]
    assert prepared.index("cat") == 2
    assert prepared.index(None) == prepared.outputs.argmax()
    np.testing.assert_array_equal(np.asarray(prepared.filled("black")), np.zeros((1, 24, 20, 3)))


def test_a_batch_has_no_only_picture() -> None:
    """Several pictures have no common picture and no common top class: the error gives their number."""
    prepared = saliency.prepare(small_net(), PICTURES)

    for read in (lambda: prepared.picture, lambda: prepared.index(None)):
        with pytest.raises(saliency.BadShape, match="one picture, got a batch of 2"):
            read()


def test_pictures_of_two_sizes_share_no_batch() -> None:
    """Pictures that are fed at two sizes are refused with both sizes; a preset with a size brings them to one."""
    images = [picture(), picture(30, 26)]
    with pytest.raises(saliency.BadShape, match=r"\(24, 20, 3\), \(30, 26, 3\).*one by one"):
        saliency.prepare(small_net(), images)

    assert saliency.prepare(small_net(), images, preprocess="0..1 24").outputs.shape == (2, 4)


@pytest.mark.parametrize("images", [PICTURES[0], [], "cat.png", None], ids=["array", "empty", "path", "none"])
def test_images_are_a_list(images: Any) -> None:
    """A single image, or an empty list, is refused, and the error shows how to write one image."""
    with pytest.raises(saliency.BadImage, match=r"list of at least one image, \[image\]"):
        saliency.prepare(small_net(), images)


def test_another_picture_of_the_same_model() -> None:
    """`with_image` uses the model as adapted; the picture may have another size."""
    first = saliency.prepare(small_net(), [PICTURES[0]], LABELS)
    other = first.with_image(picture(30, 26), "0..1")

    assert other.adapted is first.adapted
    assert other.picture.fed.shape == (1, 30, 26, 3)
    assert other.outputs.shape == first.outputs.shape
    assert not np.array_equal(other.outputs, first.outputs)


class Counted(io.BytesIO):
    """An open file that counts how often it is read."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        return super().read(size)


@pytest.mark.parametrize("kind", ["module", "function"])
def test_a_file_is_read_once(kind: str) -> None:
    """A file is decoded once, also for a plain function, which is first called to find its array type."""
    net, file = small_net(), Counted()
    Image.fromarray(picture()).save(file, "PNG")
    file.seek(0)

    def function(images: torch.Tensor) -> torch.Tensor:
        return net(images)

    assert saliency.predict(net if kind == "module" else function, file)
    assert file.reads == 1
