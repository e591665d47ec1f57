"""Placements of preprocessings that change values in any way, against matrices written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skimage.data
import skimage.exposure
import skimage.transform
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

import saliency
from saliency.pictures.picture import Picture, read
from saliency.pictures.placement import LOST, RANDOM, composed, resized
from saliency.pictures.presets import Preprocessing
from tests.nets import picture

Values = Callable[[np.ndarray], np.ndarray]

CAT = np.array(Image.fromarray(skimage.data.cat()).resize((72, 96)))
HEIGHT, WIDTH = CAT.shape[:2]
IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


def unit(a: Any) -> np.ndarray:
    """As floats of 0–1."""
    array = np.asarray(a)
    return array.astype(np.float32) / 255 if array.dtype == np.uint8 else array.astype(np.float32)


def by_pil(operation: Callable[..., Image.Image], **options: Any) -> Values:
    """An operation of PIL on 8 bits."""
    return lambda a: np.asarray(operation(Image.fromarray(np.uint8(np.clip(unit(a), 0, 1) * 255)), **options))


VALUES: dict[str, Values] = {
    "as it is": unit,
    "gamma": lambda a: unit(a) ** 2.2,
    "square root": lambda a: np.sqrt(unit(a)),
    "log1p": lambda a: np.log1p(255 * unit(a)),
    "CLAHE": lambda a: skimage.exposure.equalize_adapthist(np.clip(unit(a), 0, 1)),
    "equalize_hist": lambda a: np.stack([skimage.exposure.equalize_hist(unit(a)[..., i]) for i in range(3)], -1),
    "equalize": by_pil(ImageOps.equalize),
    "autocontrast": by_pil(ImageOps.autocontrast, cutoff=2),
    "standardised": lambda a: (unit(a) - unit(a).mean()) / unit(a).std(),
    "with ε": lambda a: (unit(a) - unit(a).mean((0, 1))) / (unit(a).std((0, 1)) + 1e-5),
    "min–max": lambda a: (unit(a) - unit(a).min()) / (unit(a).max() - unit(a).min()),
    "BGR": lambda a: unit(a)[..., ::-1],
    "inverted": lambda a: 1 - unit(a),
    "grey": lambda a: unit(a).mean(-1, keepdims=True),
    "channels first": lambda a: np.moveaxis(unit(a), -1, 0),
    "black and white": lambda a: (unit(a) > 0.5).astype(np.float32),
}


def smaller(a: np.ndarray, size: tuple[int, int] = (64, 64)) -> np.ndarray:
    """Resized, smoothed first."""
    return np.asarray(skimage.transform.resize(unit(a), size, order=1, anti_aliasing=True), np.float32)


def central(a: np.ndarray, side: int) -> np.ndarray:
    """The square in the middle."""
    top, left = (a.shape[0] - side) // 2, (a.shape[1] - side) // 2
    return a[top : top + side, left : left + side]


def letterbox(a: np.ndarray) -> np.ndarray:
    """64×48 on a grey square."""
    square = np.full((64, 64, 3), 0.45, np.float32)
    square[:, 8:56] = smaller(a, (64, 48))
    return square


def moved(down: float, across: float) -> np.ndarray:
    """The placement of a crop, or of padding where negative."""
    return np.array([[1, 0, down], [0, 1, across]])


TURNED = np.array([[0, 1, 0], [-1, 0, WIDTH - 1.0]])
PLACES: dict[str, tuple[Values, np.ndarray]] = {
    "nowhere else": (unit, IDENTITY),
    "resized": (smaller, resized((HEIGHT, WIDTH), (64, 64))),
    "enlarged": (lambda a: smaller(a, (160, 160)), resized((HEIGHT, WIDTH), (160, 160))),
    "cropped": (lambda a: central(unit(a), 48), moved(24, 12)),
    "resized and cropped": (
        lambda a: central(smaller(a), 56),
        composed(resized((HEIGHT, WIDTH), (64, 64)), moved(4, 4)),
    ),
    "letterboxed": (letterbox, composed(resized((HEIGHT, WIDTH), (64, 48)), moved(0, -8))),
    "mirrored at the borders": (
        lambda a: np.pad(smaller(a, (48, 48)), ((8, 8), (8, 8), (0, 0)), "reflect"),
        composed(resized((HEIGHT, WIDTH), (48, 48)), moved(-8, -8)),
    ),
    "a quarter turn": (lambda a: np.rot90(unit(a)), TURNED),
    "a quarter turn, resized, cropped": (
        lambda a: central(smaller(np.rot90(a)), 56),
        composed(TURNED, composed(resized((WIDTH, HEIGHT), (64, 64)), moved(4, 4))),
    ),
    "mirrored": (lambda a: unit(a)[:, ::-1], np.array([[1, 0, 0], [0, -1, WIDTH - 1.0]])),
    "upside down": (lambda a: unit(a)[::-1], np.array([[-1, 0, HEIGHT - 1.0], [0, 1, 0]])),
}


def error(got: Picture, expected: np.ndarray) -> float:
    """The largest distance at the corners of what is fed, in pixels, fed or of the picture, whichever are larger."""
    height, width = got.fed.shape[1:3]
    corners = np.array([[row, column, 1] for row in (0, height - 1) for column in (0, width - 1)]).T
    away = np.linalg.norm((got.placement - expected) @ corners, axis=0).max()
    return float(away / max(1, np.sqrt(abs(np.linalg.det(expected[:, :2])))))


def placed(preprocess: Any, expected: np.ndarray, image: Any = CAT) -> Picture:
    """The picture, placed to a pixel, without a note."""
    got = read(image, preprocess)

    assert error(got, expected) < 1
    assert not {LOST, RANDOM} & set(got.notes)
    return got


@pytest.mark.parametrize("where", ["nowhere else", "resized and cropped", "letterboxed"])
@pytest.mark.parametrize("values", VALUES)
def test_whatever_is_done_to_values_the_place_is_found(values: str, where: str) -> None:
    """After resizing, and where it keeps the channels also before."""
    (move, expected), change = PLACES[where], VALUES[values]

    placed(lambda a: change(move(a)), expected)
    if values not in ("grey", "channels first", "log1p", "standardised", "with ε"):
        placed(lambda a: move(np.asarray(change(a))), expected)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("values", ["square root", "standardised"])
def test_every_place_is_found(values: str, where: str) -> None:
    """Resizing, cropping, padding, turning, mirroring, each with values bent."""
    move, expected = PLACES[where]

    placed(lambda a: VALUES[values](move(a)), expected)


@given(
    top=st.integers(0, 30),
    left=st.integers(0, 20),
    flips=st.tuples(st.booleans(), st.booleans()),
    turns=st.integers(0, 3),
    gamma=st.floats(0.3, 3),
    sign=st.sampled_from([-1, 1]),
)
@settings(max_examples=15, deadline=None)
def test_crops_turns_and_monotone_maps_are_found_together(
    top: int, left: int, flips: tuple[bool, bool], turns: int, gamma: float, sign: int
) -> None:
    """A picture that contains its own coordinates gives the position of each input pixel, equal to the placement."""
    steps = [slice(None, None, -1 if flip else 1) for flip in flips]

    def move(a: np.ndarray) -> np.ndarray:
        return np.rot90(a[top : top + 60, left : left + 48][steps[0], steps[1]], turns)

    rows, columns = (move(each.astype(np.float64)[..., None])[..., 0] for each in np.indices((HEIGHT, WIDTH)))
    got = read(CAT, lambda a: sign * unit(move(a)) ** gamma)
    for row, column in ((0, 0), (5, 40), (rows.shape[0] - 1, rows.shape[1] - 1)):
        found = got.placement @ (row, column, 1)
        np.testing.assert_allclose(found, (rows[row, column], columns[row, column]), atol=0.5)


def test_a_square_root_leaves_the_spot_where_it_is() -> None:
    """As a user would check: a spot at (41, 21) of 64×64 is at (41, 21) of the map."""
    spot = np.full((64, 64, 3), 40, np.uint8)
    spot[41, 21] = 255
    model = lambda images: images[:, 41, 21].mean(-1)[:, None]  # noqa: E731

    exp = saliency.explain(
        model,
        spot,
        "occlusion",
        0,
        size=1,
        stride=1,
        preprocess=lambda a: np.sqrt(a / 255),
        framework="numpy",
        progress=False,
    )
    on = np.abs(exp.on_picture()).reshape(64, 64, -1).sum(-1)

    assert np.unravel_index(on.argmax(), on.shape) == (41, 21)


KINDS: dict[str, Any] = {
    "grey": CAT[..., 0],
    "16 bits": CAT.astype(np.uint16) * 257,
    "floats": (CAT / 255).astype(np.float32),
    "normalised": (CAT / 64 - 2).astype(np.float32),
    "tensor": torch.from_numpy(CAT).permute(2, 0, 1),
    "batched tensor": torch.from_numpy(CAT).permute(2, 0, 1)[None] / 255,
    "PIL": Image.fromarray(CAT),
    "PIL of 16 bits": Image.fromarray(CAT[..., 0].astype(np.uint16) * 257),
    "five bands": np.random.default_rng(0).uniform(0.1, 1, (96, 72, 5)).astype(np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_every_kind_are_placed(kind: str) -> None:
    """The patterns come in the kind of the picture."""

    def preprocess(given: Any) -> np.ndarray:
        array = np.asarray(given, np.float32)
        array = np.moveaxis(array[0] if array.ndim == 4 else array, 0, -1) if "tensor" in kind else array
        return array[10:90, 60:4:-1] ** 3

    placed(preprocess, np.array([[1, 0, 10], [0, -1, 60.0]]), KINDS[kind])


@pytest.mark.parametrize("size", [(120, 160), (60, 150)], ids=str)
@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocessing(resize=(56, 64), crop="squash"),
        Preprocessing(size=(56, 56), resize=64),
        Preprocessing(size=(90, 170)),
        Preprocessing(size=(64, 64), resize=(64, 64), crop="border"),
    ],
    ids=["whole", "crop", "padded", "border"],
)
def test_the_place_of_a_preset_is_that_of_its_patterns(preprocess: Preprocessing, size: tuple[int, int]) -> None:
    """It is computed, and differs from what patterns show by less than half a pixel of the input."""
    image = picture(*size)
    computed, searched = read(image, preprocess), read(image, preprocess.__call__)
    height, width = computed.fed.shape[1:3]
    corners = np.array([[0, 0, 1], [height - 1, width - 1, 1]]).T
    away = np.linalg.inv(computed.placement[:, :2]) @ (computed.placement - searched.placement) @ corners

    assert not searched.placed.notes
    assert np.abs(away).max() < 0.5


def test_random_preprocessing_is_noted() -> None:
    """With noise the placement is found; a random crop has none. Both are reported as random."""
    draw = np.random.default_rng(0)
    noisy = read(CAT, lambda a: smaller(a) + draw.normal(0, 0.05, (64, 64, 3)))
    assert error(noisy, PLACES["resized"][1]) < 1
    assert RANDOM in noisy.notes
    assert LOST not in noisy.notes

    cropped = read(CAT, lambda a: unit(a)[draw.integers(0, 30) :, draw.integers(0, 20) :][:60, :48])
    np.testing.assert_allclose(cropped.placement, resized((HEIGHT, WIDTH), (60, 48)))
    assert {LOST, RANDOM} <= set(cropped.notes)


def patches(a: np.ndarray) -> np.ndarray:
    """Quarters of quarters in another order."""
    tiles = smaller(a).reshape(4, 16, 4, 16, 3).swapaxes(1, 2).reshape(16, 16, 16, 3)
    order = np.random.default_rng(0).permutation(16)
    return tiles[order].reshape(4, 4, 16, 16, 3).swapaxes(1, 2).reshape(64, 64, 3)


def to_content(a: np.ndarray) -> np.ndarray:
    """Cropped to what is not black, as photographs of the retina are."""
    rows, columns = (np.nonzero((unit(a).mean(-1) > 0.06).any(axis))[0] for axis in (1, 0))
    return smaller(unit(a)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def picky(a: np.ndarray) -> np.ndarray:
    """Takes photographs alone."""
    if len(np.unique(a)) < 100:
        raise ValueError("no photograph")
    return unit(a)


@pytest.mark.parametrize(
    "preprocess",
    [
        patches,
        to_content,
        picky,
        lambda a: skimage.transform.warp_polar(unit(a), output_shape=(64, 64), channel_axis=-1),
        lambda a: np.abs(np.fft.fft2(unit(a).mean(-1))),
        lambda a: unit(a).mean((0, 1), keepdims=True),
        lambda a: np.ones((8, 8, 3)),
        lambda a: np.roll(unit(a), 20, 1),
    ],
    ids=["patches", "crop to the content", "picky", "polar", "Fourier", "a mean", "constant", "rolled"],
)
def test_what_is_no_map_of_places_is_noted(preprocess: Any) -> None:
    """The map is shown as of a plain resize, with the note; the picture itself is never refused."""
    image = np.where(np.hypot(*(np.indices((96, 72)) - [[[40]], [[30]]])) < 28, 1, 0)[..., None] * CAT
    got = read(image.astype(np.uint8) if preprocess is to_content else CAT, preprocess)

    np.testing.assert_allclose(got.placement, resized((HEIGHT, WIDTH), got.fed.shape[1:3]))
    assert LOST in got.notes


def counted(preprocess: Any) -> tuple[Any, list[tuple[int, int]]]:
    """A preprocessing, and the sizes of the pictures that it was given."""
    sizes: list[tuple[int, int]] = []

    def counting(a: Any) -> Any:
        sizes.append(np.shape(a)[:2])
        return preprocess(a)

    return counting, sizes


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("crop", [False, True])
def test_few_calls_and_fewer_the_next_time(large: bool, crop: bool) -> None:
    """At most 24 calls; one more for each further picture of the size; of a large picture most are of small ones."""
    size = (1200, 1600) if large else (120, 160)
    image = np.asarray(Image.fromarray(CAT).resize(size[::-1]))
    small = Image.Resampling.BOX

    def shrink(a: np.ndarray) -> np.ndarray:
        return unit(np.asarray(Image.fromarray(a).resize((80, 60), small)))

    preprocess, sizes = counted((lambda a: central(unit(a), 64)) if crop else shrink)
    expected = moved((size[0] - 64) // 2, (size[1] - 64) // 2) if crop else resized(size, (60, 80))
    placed(preprocess, expected, image)
    before = len(sizes)
    placed(preprocess, expected, 255 - image)

    assert before <= 24
    assert len(sizes) - before == 2
    if large and not crop:
        assert sizes.count(size) <= 4 + 2


def test_a_large_picture_that_keeps_its_size_costs_four_calls_at_that_size() -> None:
    """The picture itself, two patterns and the picture half darkened; all other calls together are of less than two."""
    image = np.asarray(Image.fromarray(CAT).resize((1600, 1200)))
    preprocess, sizes = counted(lambda a: np.sqrt(unit(a)))

    placed(preprocess, IDENTITY, image)

    pixels = [height * width for height, width in sizes]
    assert pixels.count(1200 * 1600) == 4
    assert sum(pixels) < 6 * 1200 * 1600


def by_side(a: np.ndarray) -> np.ndarray:
    """The shorter side resized to 40 pixels, then the 32×32 pixels in the middle."""
    height, width = (max(40, round(40 * n / min(a.shape[:2]))) for n in a.shape[:2])
    return central(unit(Image.fromarray(a).resize((width, height), Image.Resampling.BILINEAR)), 32)


def of_by_side(size: tuple[int, int]) -> np.ndarray:
    """The placement of `by_side`, by hand."""
    inner = (max(40, round(40 * size[0] / min(size))), max(40, round(40 * size[1] / min(size))))
    return composed(resized(size, inner), moved((inner[0] - 32) // 2, (inner[1] - 32) // 2))


def to_32(a: np.ndarray) -> np.ndarray:
    """Resized as a whole."""
    return unit(Image.fromarray(a).resize((32, 32), Image.Resampling.BILINEAR))


def middle(a: np.ndarray) -> np.ndarray:
    """Not resized."""
    return central(unit(a), 48)


def upper_when_wide(a: np.ndarray) -> np.ndarray:
    """Cropped by no rule: at the top left of wide pictures, in the middle of others."""
    return unit(a)[:48, :48] if a.shape[1] > a.shape[0] else middle(a)


OTHER_SIZES = [(96, 72), (72, 96), (60, 60), (80, 131), (133, 64), (97, 71)]

RULES: dict[str, tuple[Any, Callable[[tuple[int, int]], np.ndarray]]] = {
    "as a whole": (to_32, lambda size: resized(size, (32, 32))),
    "by the shorter side": (by_side, of_by_side),
    "not resized": (middle, lambda size: moved((size[0] - 48) // 2, (size[1] - 48) // 2)),
}


@pytest.mark.parametrize("rule", RULES)
def test_a_further_size_costs_four_calls_where_it_follows_the_rule_of_the_others(rule: str) -> None:
    """Two patterns and the picture half darkened beside the picture itself; two more for each rule tried before."""
    preprocess, expected = RULES[rule]
    preprocess, sizes = counted(preprocess)
    for i, size in enumerate(OTHER_SIZES):
        before = len(sizes)
        placed(preprocess, expected(size), np.asarray(Image.fromarray(CAT).resize(size[::-1])))
        if i > 0:
            assert len(sizes) - before <= 8
    assert len(sizes) - before == 4


def test_a_size_that_follows_no_rule_is_placed_by_itself() -> None:
    """Guesses from other sizes are refuted by patterns, in either order of the sizes."""
    for sizes in (OTHER_SIZES, OTHER_SIZES[::-1]):
        preprocess, _ = counted(upper_when_wide)
        for size in sizes:
            expected = moved(0, 0) if size[1] > size[0] else RULES["not resized"][1](size)
            placed(preprocess, expected, np.asarray(Image.fromarray(CAT).resize(size[::-1])))


def test_a_preprocessing_that_changes_is_placed_again() -> None:
    """A cached placement is not used if the picture itself is placed differently."""
    left = [0]

    def preprocess(a: np.ndarray) -> np.ndarray:
        return unit(a)[:60, left[0] : left[0] + 48]

    placed(preprocess, moved(0, 0))
    left[0] = 20
    placed(preprocess, moved(0, 20))


def test_probes_are_never_the_user_s_fault() -> None:
    """A standardisation without ε divides zero by zero on a black baseline: zero there, and a note."""

    def preprocess(a: np.ndarray) -> np.ndarray:
        return (a / 255 - (a / 255).mean()) / (a / 255).std()

    def model(images: np.ndarray) -> np.ndarray:
        return np.stack([images.mean((1, 2, 3)), images[:, 4:8, 4:8].mean((1, 2, 3))], 1)

    options: dict[str, Any] = {"preprocess": preprocess, "framework": "numpy", "progress": False}
    plain = saliency.explain(model, picture(12, 10), "occlusion", 1, size=4, stride=4, **options)
    black = saliency.explain(
        model,
        picture(12, 10),
        "feature_ablation",
        1,
        baseline="black",
        segments=np.arange(120).reshape(12, 10) // 20,
        **options,
    )

    assert np.isfinite(plain.mask).all()
    assert "preprocess divides zero by zero on the baseline 'black': treated as zero" in black.notes
    assert np.isfinite(black.mask).all()


@pytest.mark.parametrize(
    ("preprocess", "sentence"),
    [
        (lambda a: np.log(unit(a) + 1e-3 * (unit(a).max() > 0)), "returns infinite values for the baseline 'black'"),
        (picky, "preprocess fails on the baseline 'black'.*no photograph.*baseline='blur'"),
    ],
    ids=["logarithm", "picky"],
)
def test_a_baseline_that_cannot_be_fed_is_named(preprocess: Any, sentence: str) -> None:
    """The error names the baseline and what to use in its place; the picture itself is fine."""
    got = read(CAT, preprocess)
    assert np.isfinite(got.fed).all()
    with pytest.raises(saliency.BadImage, match=sentence):
        got.without("black")
