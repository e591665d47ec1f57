from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from saliency import errors
from saliency.pictures import regions
from saliency.pictures.regions import NO_REGION, Grown, Region, felzenszwalb_segments, grow_regions, region_table
from tests.pair import pieces, reference
from tests.pair.cases import base_attribution, own_segments, picture

Array = NDArray[Any]
Trace = list[tuple[Array, float]]


class Stop(Exception):
    """The error of a user's cancellation."""


def oracle(
    attribution: Array, segments: list[Array], algorithm: str, threshold: float, least: int
) -> tuple[Array, Trace]:
    """XRAI by pair.md 1.9, sentence by sentence, on whole masks: the mask and the ordered regions."""
    grow = oracle_full if algorithm == "full" else oracle_fast
    uncovered = np.ones(attribution.shape, bool)
    trace = grow(attribution, segments, uncovered, threshold, least)
    mask = np.zeros(attribution.shape)
    for region, gain in trace:
        mask[region] = gain
    trace.sort(key=lambda entry: -entry[1])
    if uncovered.any():
        mask[uncovered] = attribution[uncovered].mean()
        trace.append((uncovered, attribution[uncovered].mean()))
    return mask, trace


def oracle_full(attribution: Array, segments: list[Array], uncovered: Array, threshold: float, least: int) -> Trace:
    """The segment with the largest gain over its uncovered pixels, again and again; the earliest of equals."""
    trace: Trace = []
    remaining = list(segments)
    while (~uncovered).sum() / uncovered.size <= threshold:
        remaining = [segment for segment in remaining if (segment & uncovered).sum() >= least]
        if not remaining:
            break
        gains = [attribution[segment & uncovered].mean() for segment in remaining]
        best = gains.index(max(gains))
        chosen = remaining.pop(best)
        trace.append((chosen & uncovered, gains[best]))
        uncovered &= ~chosen
    return trace


def oracle_fast(attribution: Array, segments: list[Array], uncovered: Array, threshold: float, least: int) -> Trace:
    """All segments by the gain over all their pixels; each gets what is then uncovered."""
    trace: Trace = []
    whole = [attribution[segment].mean() if segment.any() else -np.inf for segment in segments]
    for segment, _ in sorted(zip(segments, whole, strict=True), key=lambda entry: -entry[1]):
        region = segment & uncovered
        if region.sum() >= least:
            trace.append((region, attribution[region].mean()))
            uncovered &= ~segment
    return trace


def assert_same(expected: tuple[Array, Trace], actual: Grown) -> None:
    """The oracle's mask, regions, gains and order are found again, bit for bit."""
    mask, trace = expected

    assert actual.mask.dtype == np.float64
    np.testing.assert_array_equal(mask, actual.mask)
    assert [gain for _, gain in trace] == [gain for _, gain in actual.regions]
    for rank, ((region, _), (found, _)) in enumerate(zip(trace, actual.regions, strict=True)):
        np.testing.assert_array_equal(region, found)
        assert (actual.ranks[region] == rank).all()


shapes = st.one_of(st.tuples(st.integers(1, 12), st.integers(1, 12)), st.tuples(st.integers(1, 40)))


@st.composite
def problems(draw: st.DrawFn) -> tuple[Array, list[Array]]:
    """A signed attribution, often with ties, and overlapping segments: whole label maps and masks of any form."""
    shape = draw(shapes)
    values: st.SearchStrategy[float] = draw(
        st.sampled_from([st.integers(-2, 2).map(float), st.floats(-1e3, 1e3, width=32), st.just(0.5)])
    )
    attribution = draw(hnp.arrays(draw(st.sampled_from([np.float64, np.float32])), shape, elements=values))
    segments: list[Array] = []
    for labels in draw(st.lists(hnp.arrays(np.int8, shape, elements=st.integers(0, 4)), max_size=3)):
        segments += [labels == label for label in range(5)]
    segments += draw(st.lists(hnp.arrays(np.bool_, shape), max_size=3))
    segments += segments[: draw(st.integers(0, 4))]
    return attribution, segments


@given(
    problems(), st.sampled_from(["full", "fast"]), st.integers(1, 9), st.sampled_from([-1.0, 0.0, 0.3, 0.5, 1.0, 2.0])
)
def test_growing_is_the_oracle(
    problem: tuple[Array, list[Array]], algorithm: Any, least: int, threshold: float
) -> None:
    """Boxes and remembered gains change no bit of mask, gains, order and ranks."""
    attribution, segments = problem

    expected = oracle(attribution, segments, algorithm, threshold, least)
    actual = grow_regions(attribution, segments, algorithm=algorithm, area_threshold=threshold, min_pixel_diff=least)

    assert_same(expected, actual)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["full", "fast"]))
def test_growing_is_the_oracle_on_blobs(seed: int, algorithm: Any) -> None:
    """The same on masks that look like segments: many rectangles, of which most touch few others."""
    random = np.random.default_rng(seed)
    attribution = random.normal(size=(40, 50))
    corners = random.integers(0, (30, 40), (30, 2))
    segments = []
    for (top, left), (height, width) in zip(corners, random.integers(1, 14, (30, 2)), strict=True):
        segment = np.zeros((40, 50), bool)
        segment[top : top + height, left : left + width] = True
        segments.append(segment)

    actual = grow_regions(attribution, segments, algorithm=algorithm, min_pixel_diff=20)

    assert_same(oracle(attribution, segments, algorithm, 1.0, 20), actual)


@given(problems(), st.sampled_from(["full", "fast"]))
def test_sum_is_kept(problem: tuple[Array, list[Array]], algorithm: Any) -> None:
    """The mask has the attribution's sum, to 1e-12 of what was summed, and every pixel one region."""
    attribution, segments = problem[0].astype(np.float64), problem[1]

    grown = grow_regions(attribution, segments, algorithm=algorithm, min_pixel_diff=3)

    assert abs(grown.mask.sum() - attribution.sum()) <= 1e-12 * np.abs(attribution).sum()
    assert (np.sum([region for region, _ in grown.regions], axis=0) == 1).all()
    assert grown.ranks.dtype == np.uint16
    assert set(np.unique(grown.ranks)) == set(range(len(grown.regions)))


PAIR = [case for case in reference.cases("XRAI") if "base_attribution" in case.options]


@pytest.mark.parametrize("case", PAIR, ids=lambda case: case.name)
def test_growing_is_pairs(case: reference.Case) -> None:
    """On PAIR's own answers: mask, ranks and list of regions, bit for bit."""
    attribution = case.options["base_attribution"]
    if attribution.ndim > 2:
        attribution = attribution.max(axis=-1)
    segments = case.options["segments"]
    parameters = dict(case.parameters or {})

    grown = grow_regions(
        attribution,
        felzenszwalb_segments(case.image) if segments is None else segments,
        algorithm=parameters.get("algorithm", "full"),
        area_threshold=parameters.get("area_threshold", 1.0),
        min_pixel_diff=case.experimental.get("min_pixel_diff", 50),
    )

    np.testing.assert_array_equal(reference.array(case.name), grown.mask)
    expected = reference.array(f"{case.name}/segments")
    if parameters.get("flatten_xrai_segments", True):
        np.testing.assert_array_equal(expected, grown.ranks.astype(int) + 1)
    else:
        np.testing.assert_array_equal(expected, [region for region, _ in grown.regions])


@pytest.mark.parametrize("name", sorted(reference.table("segments")))
def test_segments_are_pairs(name: str) -> None:
    """Number, order and pixels of the default segments, on pictures of many sizes and dtypes."""
    expected = reference.table("segments")[name]

    masks = np.array(felzenszwalb_segments(pieces.segmented_pictures(picture())[name]))

    assert (expected["masks"], expected["pixels"]) == (len(masks), masks.sum())
    assert expected["fingerprint"] == pieces.fingerprint(masks)


@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 25), st.integers(1, 25)), elements=st.integers(0, 30)))
def test_dilation_is_skimages(labels: NDArray[np.int32]) -> None:
    """Runs laid on a bounding box are skimage's dilation by disk(5), at all borders."""
    from skimage.morphology import dilation, disk

    labels = np.where(labels > 6, 5, labels)  # mostly one label, so that single pixels stand alone

    expected = [dilation(labels == label, disk(5)) for label in range(labels.min(), labels.max() + 1)]

    np.testing.assert_array_equal(expected, list(regions._dilated_segments(labels)))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (97, 223), (224, 225), (299, 448), (511, 1000)])
def test_labels_are_resized_as_skimage_does(shape: tuple[int, int]) -> None:
    """Two index vectors are skimage's nearest-neighbour resize of a whole label map."""
    from skimage.transform import resize

    labels = np.random.default_rng(0).integers(0, 1000, (224, 224))

    expected = resize(labels, shape, order=0, preserve_range=True, mode="constant", anti_aliasing=False).astype(int)
    rows, columns = regions._nearest(shape[0]), regions._nearest(shape[1])

    np.testing.assert_array_equal(expected, labels[rows[:, None], columns])


def test_segments_without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without threads, the segments are the same."""
    expected = np.array(felzenszwalb_segments(picture()))

    monkeypatch.setattr(sys, "platform", "emscripten")

    np.testing.assert_array_equal(expected, felzenszwalb_segments(picture()))


@pytest.mark.parametrize("image", [np.full((9, 7, 3), 5, np.uint8), np.zeros((4, 6)), np.ones((1, 1, 1))], ids=len)
def test_picture_of_one_colour_is_one_segment(image: Array) -> None:
    """A constant picture has one segment, and warns of nothing."""
    (segment,) = felzenszwalb_segments(image)

    assert segment.shape == image.shape[:2]
    assert segment.all()


@pytest.mark.parametrize("image", [np.zeros(5), np.zeros((2, 3, 4, 5)), np.zeros((0, 3, 3)), np.full((3, 3), np.nan)])
def test_what_cannot_be_segmented_is_refused(image: Array) -> None:
    """Other ranks, no pixels and NaN pixels raise an error that names the fault."""
    with pytest.raises(errors.BadImage, match="Segmenting needs"):
        felzenszwalb_segments(image)


@pytest.mark.parametrize("algorithm", ["full", "fast"])
class TestGrowing:
    """Deviations from PAIR."""

    def test_no_segments(self, algorithm: Any) -> None:
        """Without segments the picture is one region with the mean."""
        grown = grow_regions(np.arange(6.0).reshape(2, 3), [], algorithm=algorithm)

        assert (grown.mask == 2.5).all()
        assert (grown.ranks == 0).all()
        assert [gain for _, gain in grown.regions] == [2.5]

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, algorithm: Any, value: float) -> None:
        """An attribution that cannot be ranked is refused, where PAIR raises KeyError: None."""
        attribution = np.zeros((3, 4))
        attribution[1, 2] = value

        with pytest.raises(errors.BadOutput, match="1 of 12 pixels are NaN or infinite"):
            grow_regions(attribution, [np.ones((3, 4), bool)], algorithm=algorithm)

    def test_regions_have_pixels(self, algorithm: Any) -> None:
        """min_pixel_diff=0 counts as 1, where PAIR raises KeyError: None or ranks empty regions."""
        segments = own_segments()

        zero, one = (
            grow_regions(base_attribution((64, 80)), segments, algorithm=algorithm, min_pixel_diff=least)
            for least in (0, 1)
        )

        np.testing.assert_array_equal(one.ranks, zero.ranks)
        assert all(region.any() for region, _ in zero.regions)

    def test_inputs_stay(self, algorithm: Any) -> None:
        """Attribution and segments are not modified."""
        attribution, segments = base_attribution((64, 80)), own_segments()
        for array in (attribution, *segments):
            array.flags.writeable = False
        copies = [array.copy() for array in segments]

        grow_regions(attribution, segments, algorithm=algorithm)

        np.testing.assert_array_equal(copies, segments)

    def test_cancel(self, algorithm: Any) -> None:
        """An error raised by check propagates from any of its calls."""
        calls = count_calls(lambda check: grow(algorithm, check))

        for last in {0, calls // 2, calls - 1}:
            with pytest.raises(Stop):
                grow(algorithm, stop_after(last))

    def test_segment_of_another_shape(self, algorithm: Any) -> None:
        """A label map handed over as segments is refused with the way out."""
        with pytest.raises(errors.BadShape, match=r"labels == label for label in np\.unique"):
            grow_regions(np.zeros((3, 4)), np.zeros((3, 4), int), algorithm=algorithm)


def test_unknown_algorithm() -> None:
    """An algorithm that does not exist is refused in PAIR's words."""
    with pytest.raises(errors.BadField, match="Unknown algorithm type: slow"):
        grow_regions(np.zeros((3, 4)), [], algorithm="slow")  # type: ignore[arg-type]


def test_no_pixels() -> None:
    """An attribution without pixels is refused."""
    with pytest.raises(errors.BadShape, match="with pixels"):
        grow_regions(np.zeros((0, 4)), [])


def test_segmenting_can_be_cancelled() -> None:
    """An error raised by check ends the segmentation."""
    with pytest.raises(Stop):
        felzenszwalb_segments(picture(), check=stop_after(3))


def test_table_measures_regions() -> None:
    """Gain, area, running area, half-open box and centroid of each region; pixels in none count as area only."""
    ranks = np.array([[1, 1, 0], [1, 2, 0], [NO_REGION, NO_REGION, NO_REGION]], np.uint16)

    found = region_table(ranks, [5.0, 3.0, -1.0])

    assert found.ranks is ranks
    assert found.table == [
        Region(5.0, 2 / 9, 2 / 9, (0, 2, 2, 3), (0.5, 2.0)),
        Region(3.0, 3 / 9, 5 / 9, (0, 0, 2, 2), (1 / 3, 1 / 3)),
        Region(-1.0, 1 / 9, 6 / 9, (1, 1, 2, 2), (1.0, 1.0)),
    ]


@given(problems())
def test_table_is_what_the_regions_are(problem: tuple[Array, list[Array]]) -> None:
    """The table of what was grown agrees with its masks, and covers everything."""
    grown = grow_regions(*problem, min_pixel_diff=2)

    table = region_table(grown.ranks, [gain for _, gain in grown.regions]).table

    assert table[-1].cumulative == 1
    for row, (region, gain) in zip(table, grown.regions, strict=True):
        rows, columns = np.nonzero(np.atleast_2d(region))
        assert (row.gain, row.area) == (gain, region.sum() / region.size)
        assert row.bbox == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        np.testing.assert_allclose(row.centroid, (rows.mean(), columns.mean()), atol=1e-12)


def test_table_refuses_ranks_without_gains() -> None:
    """More regions than gains are refused."""
    with pytest.raises(errors.BadShape, match="with rank 3"):
        region_table(np.array([[0, 3]], np.uint16), [1.0, 2.0])


def test_import_is_light() -> None:
    """scikit-image and SciPy are loaded only when they are needed."""
    script = "import sys, saliency.pictures.regions; print(sorted({'skimage', 'scipy'} & set(sys.modules)))"

    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout

    assert printed == "[]\n"


def grow(algorithm: Any, check: Callable[[], None]) -> Grown:
    """Grow a fixed problem with this check."""
    return grow_regions(base_attribution((64, 80)), own_segments(), algorithm=algorithm, check=check)


def count_calls(function: Callable[[Callable[[], None]], object]) -> int:
    """How often the function calls what it is handed."""
    calls: list[None] = []
    function(lambda: calls.append(None))
    return len(calls)


def stop_after(calls: int) -> Callable[[], None]:
    """A check that raises after so many calls."""
    left = iter(range(calls))

    def check() -> None:
        if next(left, None) is None:
            raise Stop

    return check
