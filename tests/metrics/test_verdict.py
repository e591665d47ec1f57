"""The verdict: right on networks whose truth is known, and plain about what could not be measured."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import saliency
from saliency.api.cases import case_of
from saliency.core.parameters import described
from saliency.metrics import Deletion
from saliency.metrics.catalogue import METRICS
from saliency.metrics.metric import band_of
from saliency.metrics.verdict import Subject
from saliency.testbed.maps import degraded, graded_maps
from saliency.testbed.wired import WiredBed, wired_beds
from tests.nets import LABELS, picture, small_net

BEDS = wired_beds()


def check(bed: WiredBed, mask: Any, seed: int = 0, **options: Any) -> saliency.Verdict:
    """Check a mask of a network's first class."""
    (scene,) = bed.scenes(1, seed)
    return saliency.check(bed.model, scene.image, mask, scene.target, progress=False, seed=seed, **options)


def verdicts(bed: WiredBed, seed: int = 0) -> list[tuple[float, saliency.Verdict]]:
    """Check all maps of a network, with one band for all."""
    first, *others = graded_maps(bed.scenes(1, seed)[0], seed)
    verdict = check(bed, first[1], seed)
    return [(first[0], verdict), *((quality, check(bed, each, seed, bands=verdict)) for quality, each in others)]


def test_the_stronger_verdict_goes_to_the_truer_map() -> None:
    """On twelve wired networks, of two maps the truer one is stronger in at least 95 % of the pairs."""
    right = []
    for bed in BEDS:
        for (better, one), (worse, other) in itertools.combinations(verdicts(bed), 2):
            if better != worse:
                right.append((one.strength > other.strength) == (better > worse))

    assert np.mean(right) >= 0.95


@pytest.mark.parametrize("bed", BEDS, ids=lambda bed: bed.id)
def test_the_truth_is_supported_and_its_reverse_is_not(bed: WiredBed) -> None:
    """The pixels that a network reads are a supported map; maps without any, and the reverse, are not."""
    by_quality = verdicts(bed, seed=1)
    truth, reverse = by_quality[0][1], by_quality[-1][1]

    assert truth.supported is True
    assert truth.sentence.startswith("This map is supported: ")
    assert "random: " in truth.sentence
    assert reverse.supported is False
    assert reverse.sentence == "Not supported: removing its top 20 % does no more than removing pixels at random."
    assert reverse.strength < 0 < truth.strength
    assert [each.supported for quality, each in by_quality[2:5]].count(True) == 0


def test_random_maps_are_not_supported() -> None:
    """Of 48 maps of noise, at most one is supported (2 %)."""
    random = np.random.default_rng(0)
    found = []
    for bed in BEDS:
        verdict = check(bed, random.normal(size=bed.truth.shape))
        found += [verdict] + [check(bed, random.normal(size=bed.truth.shape), bands=verdict) for _ in range(3)]

    assert sum(each.supported is True for each in found) <= 1


def test_strength_falls_as_pixels_are_swapped() -> None:
    """The more pixels of the truth are swapped, the lower is the mean strength."""
    found = []
    for bed in BEDS:
        truth = bed.truth + np.random.default_rng(0).normal(0, 0.05, bed.truth.shape)
        first = check(bed, truth)
        others = [check(bed, degraded(truth, share, 0), bands=first) for share in (0.3, 0.6, 0.9, 1.0)]
        found.append([each.strength for each in (first, *others)])

    assert (np.diff(np.mean(found, 0)) < 0).all()


def dark_net() -> torch.nn.Module:
    """Return a network whose first class is a dark image: the more light, the lower its score."""
    last = torch.nn.Linear(3, 2)
    with torch.no_grad():
        last.weight.copy_(torch.tensor([[-20.0] * 3, [20.0] * 3]))
        last.bias.copy_(torch.tensor([12.0, -12.0]))
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), last).eval()


def fill_of(verdict: saliency.Verdict, measure: str) -> Any:
    """Return what replaced the removed pixels in a measurement."""
    return next(each["value"] for each in described(verdict.measures[measure].metric) if each["name"] == "fill")


def test_pixels_are_replaced_by_what_removes_the_class() -> None:
    """Where a blurred image is evidence for the class itself, the first fill that is none replaces removed pixels."""
    image = np.full((56, 56, 3), 0.1, np.float32)
    image[20:30, 20:30] = 0.3
    mask = 0.3 - image.mean(2)
    dark = saliency.check(dark_net(), image, mask, 0, progress=False)
    light = saliency.check(dark_net(), image + 0.5, mask, 1, progress=False)

    # of blur, mean and grey, at 0.1, 0.1 and 0.5, grey alone is not dark; of a light image black would be the first
    assert [each for each in dark.notes if "'grey'" in each]
    assert [fill_of(dark, name) for name in ("srg", "srg_pixels")] == ["grey", "grey"]
    assert fill_of(light, "srg") == "black"
    assert dark.measures["srg"].found.curves["most salient first"].values[-1] < 0.01


def test_the_cost_is_bounded_and_announced() -> None:
    """A verdict takes at most 65 images for the map, 240 for random maps and five runs of its method."""
    exp = saliency.explain(small_net(), picture(), "gradient", 1, labels=LABELS, progress=False)
    verdict = saliency.check(small_net(), picture(), exp, progress=False)
    cost = saliency.check_cost(exp)

    assert verdict.images <= cost.map <= 65
    assert verdict.images_of_bands == cost.bands <= 240
    # two classes share one run
    assert 0 < verdict.images_of_reruns <= 2 + cost.reruns
    assert verdict.finished
    assert set(verdict.measures) <= {*METRICS, "srg_pixels"}


def test_partial_verdicts_end_in_the_final_one() -> None:
    """Partial verdicts have the first curves at once, and say that random maps are missing."""
    seen: list[saliency.Verdict] = []
    exp = saliency.explain(small_net(), picture(), "gradient", 1, labels=LABELS, progress=False)
    verdict = saliency.check(small_net(), picture(), exp, progress=False, partial=seen.append)

    assert list(seen[0].measures) == ["srg"]
    assert seen[0].sentence.startswith("Measuring")
    assert seen[0].supported is None
    assert not seen[-2].finished
    assert seen[-1].sentence == verdict.sentence


def test_a_map_that_is_the_same_for_every_class_is_not_supported() -> None:
    """Eigen-CAM reads no class: a verdict that removal would support is withdrawn, and says why."""
    model, img = saliency.demo.model(), saliency.demo.image()
    exp = saliency.explain(model, img, "eigen_cam", labels=saliency.demo.labels, progress=False)
    verdict = saliency.check(model, img, exp, progress=False)

    assert verdict.measures["random_logit"].found.value == pytest.approx(0, abs=1e-6)
    assert verdict.supported is False
    assert "the map is the same for" in verdict.sentence
    assert verdict.strength <= 0


def test_an_edited_mask_is_measured_as_a_mask_alone(tmp_path: Path) -> None:
    """A mask that its method does not give again, and an array, are not compared with runs of the method."""
    exp = saliency.explain(small_net(), picture(), "gradient", 1, labels=LABELS, progress=False)
    exp.save(tmp_path / "exp.npz")
    loaded = saliency.Explanation.load(tmp_path / "exp.npz")
    edited = replace(exp, mask=exp.mask[::-1].copy())

    def verdict(mask: Any) -> saliency.Verdict:
        return saliency.check(small_net(), picture(), mask, 1, labels=LABELS, progress=False)

    assert np.isfinite(verdict(loaded).measures["mprt"].found.value)
    for each, reason in ((edited, "is not what"), (exp.mask, "without its method")):
        found = verdict(each)
        assert any(reason in note for note in found.notes)
        assert found.measures["mprt"].found.reason == "needs the method that created the mask"
        assert np.isfinite(found.strength)
    dear = saliency.check(small_net(), picture(), exp, rerun=4, progress=False)
    assert any("rerun=5" in note for note in dear.notes)
    assert dear.images_of_reruns == 0


def test_what_cannot_be_measured_has_no_verdict() -> None:
    """A constant map has no strength, and the sentence gives the reason; a map with NaN is refused."""
    verdict = check(BEDS[0], np.ones((56, 56)))

    assert verdict.supported is None
    assert np.isnan(verdict.strength)
    assert verdict.sentence.startswith("Undecided: the mask is constant")
    with pytest.raises(saliency.BadField, match="NaN"):
        check(BEDS[0], np.full((56, 56), np.nan))


def test_what_does_not_fit_is_refused() -> None:
    """A mask of another shape, another image than was explained, and a callable's name as the target are refused."""
    bed = BEDS[0]
    with pytest.raises(saliency.BadShape, match=r"\(56, 56\), got \(3, 4\)"):
        check(bed, np.ones((3, 4)))
    exp = saliency.explain(small_net(), picture(), "gradient", 1, labels=LABELS, progress=False)
    with pytest.raises(saliency.BadArgument, match="Pass the image, model and preprocess"):
        saliency.check(small_net(), picture()[::-1].copy(), exp, progress=False)

    def margin(outputs: Any) -> Any:
        return outputs[:, 1] - outputs[:, 0]

    of_callable = saliency.explain(small_net(), picture(), "gradient", margin, progress=False)
    with pytest.raises(saliency.BadTarget, match="pass the callable"):
        saliency.check(small_net(), picture(), of_callable, progress=False)
    verdict = saliency.check(small_net(), picture(), of_callable, margin, progress=False)
    assert np.isfinite(verdict.strength)


def test_small_probabilities_keep_a_digit() -> None:
    """Probabilities are percentages, below 1 % with one digit; values have three digits."""
    shown, value = Subject("cat", (), percent=True), Subject("age", (), percent=False)

    assert (shown.number(0.786), shown.number(0.004), shown.number(0)) == ("79 %", "0.4 %", "0 %")
    assert (shown.span(0.611, 0.738), shown.span(0, 0.0042)) == ("61–74 %", "0.0–0.4 %")
    assert (value.number(31.4159), value.span(-1, 2.5)) == ("31.4", "-1 to 2.5")


def test_bands_of_probabilities_are_probabilities() -> None:
    """The ends of the interval of a curve are clipped to 0–1, which the interval exceeds on some networks."""
    metric, exceeded = Deletion(levels=8, cell=0), []
    for bed in BEDS:
        case = case_of(saliency.prepare(bed.model, [bed.scenes(1)[0].image]), 0)
        band, free = metric.band(case), band_of(metric.at_random(case))
        assert band is not None
        assert free is not None
        for name, (_, low, high) in free.curves.items():
            np.testing.assert_array_equal(band.curves[name][1:], np.clip([low, high], 0, 1))
            exceeded.append(low.min() < 0 or high.max() > 1)

    assert any(exceeded)


def test_labels_are_text() -> None:
    """A label that looks like HTML is shown as text, and the notebook table lists every measurement."""
    labels = ["<b>cat</b>", "<img src=x>", "c", "d"][: len(LABELS)]
    exp = saliency.explain(small_net(), picture(), "gradient", 1, labels=labels, progress=False)
    verdict = saliency.check(small_net(), picture(), exp, progress=False)
    shown = verdict._repr_html_()

    assert "<img" not in shown
    assert shown.count("<tr>") == len(verdict.measures)
    assert all(each.metric.title in repr(verdict) for each in verdict.measures.values())


def test_the_curves_are_drawn_in_their_bands() -> None:
    """plot() draws one chart for each deciding metric, with the band and both orders."""
    verdict = check(BEDS[0], BEDS[0].truth.astype(float))
    figure = verdict.plot()

    assert len(figure.axes) == 2
    assert all(len(ax.lines) == 2 and len(ax.collections) == 1 for ax in figure.axes)
