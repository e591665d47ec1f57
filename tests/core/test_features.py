"""Segment-based methods on images: model calls, masks and auxiliary results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from saliency.core.catalogue import METHODS
from saliency.core.features import FeatureMethod
from saliency.core.method import run
from saliency.session.session import Session
from tests.nets import black_box, picture, small_net

IMAGE = picture(24, 20).astype(np.float32) / 255
NET = small_net()
FUNCTION = black_box(NET)
LABELS = np.add.outer(np.arange(24) // 12 * 2, np.arange(20) // 10)
HOLED = [np.where(np.arange(20) < 15, i == LABELS, False) for i in range(4)]
FEATURED = [cls for cls in METHODS.values() if issubclass(cls, FeatureMethod)]
COMPLETE = [cls for cls in FEATURED if cls.complete]


def explained(method: Any, **options: Any) -> saliency.Explanation:
    """An explanation of class 1."""
    found: saliency.Explanation = saliency.explain(FUNCTION, IMAGE, method, 1, progress=False, **options)
    return found


def test_feature_ablation_is_its_formula() -> None:
    """Every pixel of a feature shows how much the score drops when that feature alone is black."""
    found = explained("feature_ablation", segments=LABELS, baseline="black")
    for label in range(4):
        without = np.where(LABELS[..., None] == label, 0, IMAGE).astype(np.float32)
        drop = FUNCTION(IMAGE[None])[0, 1] - FUNCTION(without[None])[0, 1]
        np.testing.assert_allclose(found.mask[label == LABELS], drop, atol=1e-5)
    assert found.standard_error is None


@pytest.mark.parametrize("cls", COMPLETE, ids=lambda cls: cls.id)
@pytest.mark.parametrize("segments", [LABELS, HOLED], ids=["whole", "holed"])
@pytest.mark.parametrize("baseline", ["mean", ["black", 0.7]], ids=str)
def test_complete_methods_leave_no_gap(cls: type[FeatureMethod], segments: Any, baseline: Any) -> None:
    """The values sum to the score minus that of the image without segments; pixels in no segment stay visible."""
    found = explained(cls, segments=segments, baseline=baseline)
    fills = [IMAGE.mean((0, 1))] if baseline == "mean" else [0, 0.7]
    inside = (LABELS >= 0) if segments is LABELS else np.any(HOLED, 0)
    bare = [np.where(inside[..., None], fill, IMAGE).astype(np.float32) for fill in fills]

    assert found.baseline_score == pytest.approx(FUNCTION(np.stack(bare))[:, 1].mean(), abs=1e-5)
    assert found.gap == pytest.approx(0, abs=1e-5)
    assert not found.mask[~inside].any()


@pytest.mark.parametrize("cls", FEATURED, ids=lambda cls: cls.id)
def test_features_are_ranked_by_value(cls: type[FeatureMethod]) -> None:
    """The regions are the features, by falling value, which is what their pixels show."""
    found = explained(cls, segments=HOLED)
    assert found.regions is not None
    gains = [each.gain for each in found.regions.table]

    assert gains == sorted(gains, reverse=True)
    assert len(gains) == 4
    for rank, region in enumerate(found.regions.table):
        np.testing.assert_allclose(found.mask[found.regions.ranks == rank], region.gain, atol=1e-6)
    assert (found.regions.ranks[~np.any(HOLED, 0)] == 65535).all()


@pytest.mark.parametrize("cls", FEATURED, ids=lambda cls: cls.id)
def test_one_feature_is_the_whole_of_it(cls: type[FeatureMethod]) -> None:
    """Of a single feature every method has something finite to say; the additive ones say f(x) - f(baseline)."""
    found = explained(cls, features=1, segments="grid", baseline="black")
    gain = FUNCTION(IMAGE[None])[0, 1] - FUNCTION(IMAGE[None] * 0)[0, 1]

    assert np.ptp(found.mask) == 0
    if cls.complete or cls is saliency.FeatureAblation:
        np.testing.assert_allclose(found.mask, gain, atol=1e-5)


@pytest.mark.parametrize("cls", FEATURED, ids=lambda cls: cls.id)
def test_a_batch_is_its_images(cls: type[FeatureMethod]) -> None:
    """Two images at once have the masks of each alone, also where a function finds differently many features."""

    def thirds(shown: np.ndarray) -> np.ndarray:
        return np.digitize(shown.mean(2), [0.3] if shown.mean() < 0.45 else [0.3, 0.6])

    images = np.stack([IMAGE * 0.6, IMAGE])
    method = cls(segments=thirds)
    model = saliency.adapt(NET).at([1])
    together = masks(method, images, model)

    for i in range(2):
        np.testing.assert_allclose(together[i], masks(method, images[i : i + 1], model)[0], rtol=1e-4, atol=1e-6)


def masks(method: saliency.Method, images: np.ndarray, model: Any) -> np.ndarray:
    """The method's masks of several images."""
    session: Session[Any] = Session(model, batch_size=7)
    *_, found = run(method, session, model.ops.asarray(images))
    return np.asarray(model.ops.tohost(found)[0])


def test_smoothing_drops_what_belongs_to_the_copies() -> None:
    """Regions and errors of noisy copies are not reported for the image."""
    shown: list[saliency.Explanation] = []
    smooth = saliency.SmoothGrad(saliency.Lime(segments=LABELS, samples=20), samples=4)
    found = explained(smooth, partial=shown.append)

    assert shown
    for each in (*shown, found):
        assert each.regions is None
        assert each.standard_error is None


def test_too_many_features_for_all_coalitions_are_refused() -> None:
    """Shapley of more than 16 features names the methods that estimate."""
    with pytest.raises(saliency.BadField, match=r"2\^17 coalitions.*kernel_shap, shapley_sampling"):
        explained("shapley", segments=np.minimum(np.arange(480), 16).reshape(24, 20))


@pytest.mark.parametrize("method", ["rise", "kernel_shap"])
def test_baselines_beyond_the_range_are_refused(method: str) -> None:
    """Baselines darker than black or brighter than white get a note; values that are not finite are refused."""
    quick = {"samples": 10, "features": 3} if method == "kernel_shap" else {"samples": 10}
    inside, beyond = (explained(method, baseline=value, **quick) for value in (0.5, [0.2, -300.0]))

    assert not any("baseline" in note for note in inside.notes)
    assert "the baseline has values from -300 to -300, outside of the range of pictures (0 to 1)" in beyond.notes
    with pytest.raises(saliency.BadField, match="must be a name or finite numbers"):
        explained(method, baseline=float("nan"), **quick)
    with pytest.raises(saliency.BadShape, match=r"image's shape \(24, 20, 3\), got \(3, 2\)"):
        explained(method, baseline=np.zeros((3, 2)), **quick)


def test_a_cancelled_run_keeps_what_it_had() -> None:
    """A partial result before cancellation is a complete explanation with errors."""
    kept: list[saliency.Explanation] = []
    with pytest.raises(saliency.Cancelled):
        explained("shapley_sampling", samples=60, segments=LABELS, partial=kept.append, cancelled=lambda: len(kept) > 3)

    assert kept[-1].standard_error is not None
    assert np.isfinite(kept[-1].mask).all()
    assert 0 < kept[-1].images < saliency.ShapleySampling(samples=60, segments=LABELS).cost((1, 24, 20, 3))
