from collections.abc import Hashable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.core import GradientSaliency, IntegratedGradients, SmoothGrad
from saliency.core.method import run
from saliency.model.ops import NumpyOps
from saliency.model.protocols import Answer
from saliency.session.samples import Originals
from saliency.session.session import Session


class Square:
    """f(x) = sum of x² / 2, whose gradient is x; records its calls, and fails above `room` images."""

    def __init__(self, room: int = 1000) -> None:
        self.ops, self.lock, self.room = NumpyOps(np.float64), nullcontext(), room
        self.lacks: dict[type, str] = {}
        self.batch_sizes: dict[Hashable, int] = {}
        self.batches: list[int] = []

    def scores(self, images: np.ndarray) -> np.ndarray:
        return self._noted(images)[None].reshape(1, len(images), -1).__pow__(2).sum(2) / 2

    def gradients(self, images: np.ndarray) -> Answer[np.ndarray]:
        return Answer(self.scores(images), images[None])

    def _noted(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        if len(images) > self.room:
            raise MemoryError
        return images


IMAGES = np.random.default_rng(0).uniform(size=(2, 4, 3, 2))


def last(method: saliency.Method, model: Any, **options: Any) -> np.ndarray:
    """The method's answer."""
    *_, mask = run(method, Session(model, **options), IMAGES)
    return np.asarray(mask)


def test_batches_have_the_given_size() -> None:
    """Batches have `batch_size` images, the last one the remainder."""
    model = Square()
    last(IntegratedGradients(steps=5), model, batch_size=4)

    assert model.batches == [4, 4, 2]


@pytest.mark.parametrize("batch_size", [1, 3, 64, "auto"])
@pytest.mark.parametrize("method", [GradientSaliency(), IntegratedGradients(steps=9), SmoothGrad(samples=5)], ids=repr)
def test_the_mask_does_not_depend_on_the_batch_size(method: saliency.Method, batch_size: Any) -> None:
    """Any batch size gives the same mask."""
    expected = last(method, Square(), batch_size=4)

    np.testing.assert_allclose(last(method, Square(), batch_size=batch_size), expected, rtol=1e-12)


def test_a_batch_does_not_mix_its_images() -> None:
    """The masks of two images together are the masks of each alone."""
    for method in (IntegratedGradients(steps=9), SmoothGrad(IntegratedGradients(steps=3), samples=4)):
        together = last(method, Square())
        for i in range(2):
            *_, alone = run(method, Session(Square()), IMAGES[i : i + 1])

            np.testing.assert_allclose(together[:, i : i + 1], alone, rtol=1e-12)


def test_out_of_memory_halves_and_changes_nothing() -> None:
    """A model with memory for three images is called with 8, 4, then 2 at a time, and the mask is the same."""
    small = Square(room=3)
    mask = last(IntegratedGradients(steps=5), small, batch_size=8)

    assert small.batches == [8, 4, 2, 2, 2, 2, 2]
    np.testing.assert_allclose(mask, last(IntegratedGradients(steps=5), Square(), batch_size=8), rtol=1e-12)


def test_auto_batch_size_stays_below_what_ran_out_of_memory() -> None:
    """A size that did not fit is not tried again in that session."""
    model = Square(room=20)
    last(IntegratedGradients(steps=400), model)

    assert sum(count > 20 for count in model.batches) <= 2


def test_out_of_memory_with_one_image_is_raised() -> None:
    """If not even one image fits, the framework's own error is raised."""
    with pytest.raises(MemoryError):
        last(GradientSaliency(), Square(room=0))


def test_progress_ends_at_the_cost() -> None:
    """Progress rises to exactly the number of images that cost() foretold."""
    method = SmoothGrad(IntegratedGradients(steps=3), samples=4)
    reported: list[tuple[int, int]] = []
    total = method.cost(IMAGES.shape)
    last(method, Square(), batch_size=5, total=total, progress=lambda done, all_: reported.append((done, all_)))

    assert total == 24
    assert [done for done, _ in reported] == [5, 10, 15, 20, 24]
    assert {all_ for _, all_ in reported} == {24}


def test_cancel_stops_before_the_next_call() -> None:
    """A session cancelled after two batches makes no third call."""
    model = Square()
    with pytest.raises(saliency.Cancelled):
        last(IntegratedGradients(steps=10), model, batch_size=4, cancelled=lambda: len(model.batches) == 2)

    assert model.batches == [4, 4]


def test_streaming_shows_at_least_five_partial_masks() -> None:
    """Partial results come in several steps even if all images fit into one batch, and they converge."""
    method = IntegratedGradients(steps=64)
    session = Session(Square(), streaming=True, total=method.cost(IMAGES[:1].shape), batch_size=256)
    masks = list(run(method, session, IMAGES[:1]))
    errors = [float(np.abs(mask - masks[-1]).max()) for mask in masks]

    assert len(masks) >= 6
    assert errors[0] < 0.35 * np.abs(masks[-1]).max()
    assert errors[-2] < 0.5 * errors[0]


def test_without_streaming_only_the_answer_comes() -> None:
    """Nobody pays for partial masks nobody wants."""
    assert len(list(run(IntegratedGradients(steps=16), Session(Square(), batch_size=2), IMAGES))) == 1


def test_a_session_counts_its_calls() -> None:
    """Model calls and images are counted."""
    session: Session[np.ndarray] = Session(Square(), batch_size=4)
    list(run(IntegratedGradients(steps=5), session, IMAGES))

    assert (session.calls, session.images) == (3, 10)
    assert session.seconds > 0


def test_a_shared_model_is_called_with_one_image_at_a_time() -> None:
    """While `shared` returns true, automatic batches have one image; a fixed batch size stays."""
    others = iter([False, False, True, True, True, False, False])
    measured, fixed = Square(), Square()
    expected = last(IntegratedGradients(steps=9), Square(), batch_size=4)

    found = last(IntegratedGradients(steps=9), measured, shared=lambda: next(others, False))
    last(IntegratedGradients(steps=9), fixed, batch_size=4, shared=lambda: True)

    assert measured.batches[:2] == [1, 4]
    assert measured.batches[2:5] == [1, 1, 1]
    assert measured.batches[5] > 1
    assert fixed.batches == [4, 4, 4, 4, 2]
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("bad", [0, -1, 2.5, "many", None])
def test_an_invalid_batch_size_is_refused(bad: Any) -> None:
    """A batch size is a whole number of at least 1, or "auto"."""
    with pytest.raises(saliency.BadField, match="batch_size must be"):
        Session(Square(), batch_size=bad)


def test_an_unsupported_capability_is_an_error_before_any_call() -> None:
    """A method refuses a model with the model's own reason, before any call."""
    from saliency.model.protocols import Differentiable

    model = Square()
    model.lacks = {Differentiable: "this one has no wheels"}
    with pytest.raises(
        saliency.Unsupported, match="GradientSaliency needs gradients with respect to the image: this one has no wh"
    ):
        last(GradientSaliency(), model)

    assert model.batches == []


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_results_that_are_not_finite_are_refused(value: float) -> None:
    """NaN or infinite gradients raise instead of becoming a mask."""
    model = Square()
    model.gradients = lambda images: Answer(None, images[None] * value)  # type: ignore[method-assign]
    with pytest.raises(saliency.BadOutput, match="gradients of the model contain NaN or infinite"):
        last(GradientSaliency(), model)


def test_samples_are_evaluated_in_order() -> None:
    """The rows of the answers follow each other without a gap."""
    session: Session[np.ndarray] = Session(Square(), batch_size=2)
    images = np.ones((5, 2, 2, 1))
    rows = [rows for rows, _ in session.scores(Originals(session.ops, images))]

    assert [(each.start, each.stop) for each in rows] == [(0, 2), (2, 4), (4, 5)]


class TestBaselines:
    """Accepted forms of baselines."""

    def test_names_numbers_and_arrays(self) -> None:
        """Each way to say a baseline gives arrays that broadcast against the images."""
        session: Session[np.ndarray] = Session(Square())
        image = np.full((4, 3, 2), 7.0)
        for spec, expected in (
            ("black", 0.0),
            ("white", 1.0),
            (0.25, 0.25),
            ([0.1, 0.2], np.nan),
            (image, image),
            (np.array([0.1, 0.2]), np.array([0.1, 0.2])),
        ):
            several = session.baselines(spec, IMAGES)
            if isinstance(spec, list):
                assert [float(each.flat[0]) for each in several] == spec
                continue
            np.testing.assert_allclose(np.broadcast_to(several[0], IMAGES.shape), expected + 0 * IMAGES)

    def test_a_named_baseline_belongs_to_its_picture(self) -> None:
        """Noisy copies of B pictures, and copies of some of these, have the named baselines of their pictures."""
        named = np.arange(2.0).reshape(2, 1, 1, 1) * np.ones((2, 4, 3, 2))
        session: Session[np.ndarray] = Session(Square(), named_baseline=lambda name, images: named)

        def found(count: int) -> list[float]:
            (baseline,) = session.baselines("blur", np.repeat(IMAGES[:1], count, 0))
            return baseline[:, 0, 0, 0].tolist()

        with session.of_pictures(np.array([0, 0, 1, 1, 1])):
            assert found(5) == [0, 0, 1, 1, 1]
            with session.of_pictures(np.array([1, 2])):
                assert found(2) == [0, 1]
            assert found(5) == [0, 0, 1, 1, 1]
        assert found(2) == [0, 1]

    def test_a_shape_that_fits_no_image_is_refused(self) -> None:
        """The error names the image's shape and what came."""
        with pytest.raises(saliency.BadShape, match=r"\(4, 3, 2\), got \(9, 9\)"):
            Session(Square()).baselines(np.zeros((9, 9)), IMAGES)

    def test_an_empty_list_is_refused(self) -> None:
        """An empty list is no baseline."""
        with pytest.raises(saliency.BadField, match="at least one"):
            Session(Square()).baselines([], IMAGES)

    def test_an_unknown_name_is_refused(self) -> None:
        """The nearest name is offered."""
        with pytest.raises(saliency.UnknownName, match="Did you mean 'black'"):
            Session(Square()).baselines("blak", IMAGES)
