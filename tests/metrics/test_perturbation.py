from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency.pictures.picture import FILLS
from tests.nets import LABELS, black_box, picture, small_net


def softmax(scores: np.ndarray) -> np.ndarray:
    """Of scores (N, classes), in float64."""
    powers = np.exp(np.float64(scores) - np.float64(scores).max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def literal(
    function: Any, image: np.ndarray, filled: np.ndarray, mask: np.ndarray, target: int, points: int
) -> tuple[list[float], list[float]]:
    """Both curves computed as in the paper: one picture at a time, with lists of pixels."""
    order = sorted(range(mask.size), key=lambda i: -mask.ravel()[i])
    insertion, deletion = [], []
    for point in range(points + 1):
        first = order[: round(point * mask.size / points)]
        chosen = np.zeros(mask.size, bool)
        chosen[first] = True
        chosen = chosen.reshape(*mask.shape, 1)
        put_on, taken = np.where(chosen, image, filled), np.where(chosen, filled, image)
        insertion.append(softmax(function(np.asarray(put_on, np.float32)[None]))[0, target])
        deletion.append(softmax(function(np.asarray(taken, np.float32)[None]))[0, target])
    return insertion, deletion


@pytest.mark.parametrize("fill", FILLS)
def test_curves_are_the_paper_s(fill: str) -> None:
    """Both curves equal the literal loop over pictures, and their areas the trapezoids by hand."""
    net, image = small_net(), picture()
    mask = np.random.default_rng(3).normal(size=image.shape[:2])

    found = saliency.perturbation_curves(net, image, mask, target=2, fill=fill, points=7)

    filled = saliency.read(image).without(fill)[0]
    insertion, deletion = literal(black_box(net), saliency.read(image).fed[0], filled, mask, 2, 7)
    np.testing.assert_allclose(found.insertion, insertion, atol=1e-5)
    np.testing.assert_allclose(found.deletion, deletion, atol=1e-5)
    by_hand = sum(
        (a + b) / 2 * step for a, b, step in zip(insertion, insertion[1:], np.diff(found.shares), strict=False)
    )
    assert found.insertion_auc == pytest.approx(by_hand, abs=1e-5)
    assert found.shares[[0, -1]].tolist() == [0, 1]
    assert found.insertion[-1] == found.deletion[0]
    assert found.insertion[0] == found.deletion[-1]


def test_a_mask_that_knows_the_model_beats_its_opposite() -> None:
    """A model that looks at one corner: the mask of that corner inserts at once, its negative last."""
    image = np.full((8, 8, 3), 1.0, np.float32)
    corner = np.zeros((8, 8))
    corner[:2, :2] = 1

    def sees_the_corner(images: np.ndarray) -> np.ndarray:
        seen = images[:, :2, :2].mean((1, 2, 3))
        return np.stack([seen, 1 - seen], 1)

    good = saliency.perturbation_curves(sees_the_corner, image, corner, target=0, fill="black", points=16)
    bad = saliency.perturbation_curves(sees_the_corner, image, -corner, target=0, fill="black", points=16)

    # 4 of 64 pixels are the first of 16 steps: 0, then 1 ever after
    assert good.insertion.tolist() == [0, *[1] * 16]
    assert good.deletion.tolist() == [1, *[0] * 16]
    assert good.insertion_auc == pytest.approx(1 - 0.5 / 16)
    assert good.deletion_auc == pytest.approx(0.5 / 16)
    assert bad.insertion_auc == pytest.approx(0.5 / 16)


def test_curves_ask_twice_as_many_images_as_points() -> None:
    """The ends of both curves are evaluated once; the batch size changes nothing."""
    asked: list[int] = []
    function = black_box(small_net())

    def counted(images: np.ndarray) -> Any:
        asked.append(len(images))
        return function(images)

    image, mask = picture(), np.random.default_rng(0).random(picture().shape[:2])
    curves = [
        saliency.perturbation_curves(counted, image, mask, target=1, points=6, batch_size=size, framework="numpy")
        for size in (1, 5)
    ]

    # one more each for the shape and top class of the model's answer
    assert sum(asked) == 2 * (12 + 1)
    np.testing.assert_allclose(curves[0].insertion, curves[1].insertion, atol=1e-6)
    np.testing.assert_allclose(curves[0].deletion, curves[1].deletion, atol=1e-6)


def test_regions_come_in_their_order() -> None:
    """Of an explanation with regions the first region comes first, whatever the mask's values."""
    net, image = small_net(), picture()
    found = saliency.explain(net, image, saliency.XRAI(steps=3), target=1, progress=False)
    assert found.regions is not None

    curves = saliency.perturbation_curves(net, image, found, points=480)

    ranks = found.regions.ranks
    for count in (1, 2, len(found.regions.table)):
        only = saliency.what_if(net, image, ranks < count, top=4).only
        at = int((ranks < count).sum())
        assert curves.insertion[at] == pytest.approx({row.index: row.probability for row in only}[1], abs=1e-5)


def test_what_if_is_the_model_asked_on_both_halves() -> None:
    """`only` is the prediction for the selection on the fill, `without` for the rest; one call of two images."""
    net, image = small_net(), picture()
    selection = np.zeros(image.shape[:2], bool)
    selection[4:15, 3:12] = True

    found = saliency.what_if(net, image, selection, "mean", top=4, labels=LABELS)

    fed, filled = saliency.read(image).fed[0], saliency.read(image).without("mean")[0]
    for rows, keep in ((found.only, selection), (found.without, ~selection)):
        expected = softmax(black_box(net)(np.where(keep[..., None], fed, filled)[None]))[0]
        assert [row.label for row in rows] == [LABELS[i] for i in np.argsort(-expected)]
        np.testing.assert_allclose([row.shown for row in rows], np.sort(expected)[::-1], atol=1e-5)


def test_everything_and_nothing() -> None:
    """Selecting everything, `only` is the prediction; selecting nothing, `without` is."""
    net, image = small_net(), picture()
    whole = saliency.predict(net, image)

    every = saliency.what_if(net, image, np.ones(image.shape[:2], bool))
    none = saliency.what_if(net, image, np.zeros(image.shape[:2], bool))

    for rows in (every.only, none.without):
        assert [row.index for row in rows] == [row.index for row in whole]
        np.testing.assert_allclose([row.shown for row in rows], [row.shown for row in whole], atol=1e-6)
    # at another place in the batch, where kernels may round otherwise
    assert [row.index for row in every.without] == [row.index for row in none.only]
    np.testing.assert_allclose([row.shown for row in every.without], [row.shown for row in none.only], atol=1e-6)


def test_a_single_logit_has_two_classes() -> None:
    """Of one output the probability of class 1 is its sigmoid, that of class 0 the rest."""

    def one(images: np.ndarray) -> np.ndarray:
        return np.asarray(images.mean((1, 2)).sum(1, keepdims=True) * 4 - 2)

    image, mask = picture(), np.random.default_rng(0).random(picture().shape[:2])
    yes, no = (
        saliency.perturbation_curves(one, image, mask, target=target, points=4, activation="sigmoid")
        for target in (1, 0)
    )

    np.testing.assert_allclose(yes.insertion + no.insertion, 1, atol=1e-6)
    assert yes.insertion[-1] == pytest.approx(1 / (1 + np.exp(-one(saliency.read(image).fed)[0, 0])), abs=1e-5)


def test_wrong_selections_and_masks_are_told() -> None:
    """Shapes that do not fit, masks without an order, fills and points there are not: each its sentence."""
    net, image = small_net(), picture()
    flat = np.zeros(image.shape[:2])

    with pytest.raises(saliency.BadShape, match=r"selection .* \(24, 20\), got \(3, 3\)"):
        saliency.what_if(net, image, np.zeros((3, 3), bool))
    with pytest.raises(saliency.BadShape, match="mask must have"):
        saliency.perturbation_curves(net, image, np.zeros((3, 3)))
    with pytest.raises(saliency.UnknownName, match="no fill 'hole'"):
        saliency.what_if(net, image, flat, "hole")
    with pytest.raises(saliency.BadField, match="NaN"):
        saliency.perturbation_curves(net, image, flat + np.nan)
    with pytest.raises(saliency.BadField, match="points must be 1 to 480"):
        saliency.perturbation_curves(net, image, flat, points=0)
    with pytest.raises(saliency.BadTarget, match="4 classes"):
        saliency.perturbation_curves(net, image, flat, target=4)


def test_a_nan_of_the_model_is_told() -> None:
    """If an output is NaN without the selection, what_if raises an error instead of returning numbers."""

    def fragile(images: np.ndarray) -> np.ndarray:
        return np.where(images[:, :1, :1, 0].reshape(-1, 1) > 0.1, 1.0, np.nan) * np.ones((1, 3))

    with pytest.raises(saliency.BadOutput, match="NaN"):
        saliency.what_if(fragile, np.ones((8, 8, 3)), np.ones((8, 8), bool), "black")


def test_curves_can_be_cancelled() -> None:
    """`cancelled` is called between batches, and progress counts the images so far."""
    net, image = small_net(), picture()
    told: list[tuple[int, int]] = []

    with pytest.raises(saliency.Cancelled):
        saliency.perturbation_curves(
            net,
            image,
            np.zeros(image.shape[:2]),
            batch_size=2,
            progress=lambda done, total: told.append((done, total)),
            cancelled=lambda: len(told) == 3,
        )

    assert told == [(2, 64), (4, 64), (6, 64)]


def test_a_list_of_selections_is_evaluated_in_batches() -> None:
    """It gives the predictions of each selection, from two images each; progress counts them."""
    asked: list[int] = []
    function = black_box(small_net())

    def counted(images: np.ndarray) -> Any:
        asked.append(len(images))
        return function(images)

    heights = np.random.default_rng(0).random(picture().shape[:2])
    selections = [heights > share for share in (0.2, 0.5, 0.9)]
    seen: list[tuple[int, int]] = []
    found = saliency.what_if(
        counted, picture(), selections, "mean", batch_size=4, progress=lambda *done: seen.append(done)
    )

    assert asked[-2:] == [4, 2]
    assert seen == [(4, 6), (6, 6)]
    for pair, selection in zip(found, selections, strict=True):
        single = saliency.what_if(function, picture(), selection, "mean")
        for one, other in zip(pair, single, strict=True):
            assert [row.index for row in one] == [row.index for row in other]
            np.testing.assert_allclose([row.score for row in one], [row.score for row in other], atol=1e-5)


def test_bad_lists_of_selections() -> None:
    """An empty list, or one with a mask of another shape, gets an error; and what cancels ends it."""
    whole = np.ones(picture().shape[:2], bool)
    with pytest.raises(saliency.BadField, match="empty list"):
        saliency.what_if(small_net(), picture(), [])
    with pytest.raises(saliency.BadShape, match=r"\(24, 20\), got \(3, 3\)"):
        saliency.what_if(small_net(), picture(), [whole, np.ones((3, 3), bool)])
    with pytest.raises(saliency.Cancelled):
        saliency.what_if(small_net(), picture(), [whole], cancelled=lambda: True)
