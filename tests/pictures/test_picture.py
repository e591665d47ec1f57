from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import saliency
from saliency.pictures.arrays import channels_last
from saliency.pictures.picture import Picture, fill, read
from tests.nets import picture

RGB = picture(12, 10)


def test_uint8_is_scaled_and_float_is_not() -> None:
    """Without preprocessing uint8 becomes 0–1, a float array goes in as it is; the notes say which."""
    whole, real = read(RGB), read(RGB.astype(np.float32) / 255)

    np.testing.assert_allclose(whole.fed, real.fed, rtol=1e-6)
    assert whole.fed.dtype == np.float32
    assert whole.fed.shape == (1, 12, 10, 3)
    assert "uint8 scaled to 0–1" in whole.notes
    assert "float image fed unchanged" in real.notes


def every_kind(tmp_path: Path) -> dict[str, Any]:
    """The same picture in every kind that users hold."""
    path = tmp_path / "picture.png"
    Image.fromarray(RGB).save(path)
    first = np.ascontiguousarray(np.moveaxis(RGB, -1, 0))
    return {
        "(H, W, C)": RGB,
        "(C, H, W)": first,
        "(1, H, W, C)": RGB[None],
        "path": path,
        "path as text": str(path),
        "PIL": Image.fromarray(RGB),
        "tensor (C, H, W)": torch.from_numpy(first),
        "tensor (1, C, H, W)": torch.from_numpy(first)[None],
        "tensor (H, W, C)": torch.from_numpy(RGB),
        "int64": RGB.astype(np.int64),
        "list": RGB.tolist(),
    }


def test_every_kind_is_the_same_picture(tmp_path: Path) -> None:
    """Array, tensor, PIL image, path and list, in either layout, with a batch axis or not, read alike."""
    for kind, image in every_kind(tmp_path).items():
        got = read(image)

        np.testing.assert_array_equal(got.shown, RGB, err_msg=kind)
        np.testing.assert_allclose(got.fed[0], RGB / 255, rtol=1e-6, err_msg=kind)


def test_greyscale_is_shown_grey_and_fed_with_one_channel() -> None:
    """(H, W) has one channel for the model and three equal ones for the screen."""
    got = read(RGB[..., 0])

    assert got.fed.shape == (1, 12, 10, 1)
    assert got.shown.shape == (12, 10, 3)
    np.testing.assert_array_equal(got.shown[..., 1], RGB[..., 0])


def test_transparency_is_drawn_on_white_and_rotation_is_undone(tmp_path: Path) -> None:
    """Alpha is composited on white, and an EXIF orientation is applied."""
    rgba = np.dstack([RGB, np.zeros((12, 10), np.uint8)])
    path = tmp_path / "rotated.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(path, exif=exif, quality=100)

    assert (read(Image.fromarray(rgba)).shown == 255).all()
    assert read(path).shown.shape == (10, 12, 3)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 12, 10, 3)), "batch of 2"),
        (np.zeros(7), r"got shape \(7,\)"),
        (np.zeros((1, 1, 2, 12, 10)), "shape"),
        (np.zeros((0, 10, 3)), "empty"),
        (np.full((4, 4, 3), np.nan), "48 NaN or infinite"),
        (np.full((4, 4, 3), np.inf), "48 NaN or infinite"),
        (np.full((4, 4, 3), 70_000), "must contain 0–65,535, got int64 from 70,000 to 70,000"),
        (np.full((4, 4, 3), -3), "got int64 from -3 to -3: convert it to float"),
        (np.array(["a"]), "Expected a picture"),
        (np.zeros((4, 4), complex), "Expected a picture"),
        (..., "got ellipsis"),
        (None, "got NoneType"),
    ],
    ids=str,
)
def test_values_that_are_no_picture_are_refused(image: Any, message: str) -> None:
    """The error names what was expected and what came."""
    with pytest.raises(saliency.BadImage, match=message):
        read(image)


def test_a_missing_file_is_the_system_s_own_error() -> None:
    """A path that leads nowhere raises FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        read("no/such/picture.png")


def test_floats_of_any_range_are_shown() -> None:
    """Floats of 0–1, 0–255 and around zero all make a picture of the full range; the notes say how."""
    unit, wide, normal = (read(np.asarray(v, np.float32)) for v in (RGB / 255, RGB * 1.0, RGB / 64 - 2))

    np.testing.assert_array_equal(unit.shown, RGB)
    np.testing.assert_array_equal(wide.shown, RGB)
    assert normal.shown.max() == 255
    assert "looks normalized" in normal.notes[0]


@pytest.mark.parametrize("kind", ["PIL", "array", "tensor"])
def test_preprocess_is_handed_the_kind_that_came(kind: str) -> None:
    """A preprocessing of the user's gets the image as the user has it, also for baselines."""
    image: Any = {"PIL": Image.fromarray(RGB), "array": RGB, "tensor": torch.from_numpy(RGB).permute(2, 0, 1)}[kind]
    seen: list[Any] = []

    def preprocess(given: Any) -> np.ndarray:
        seen.append(given)
        array = np.asarray(given, np.float32) / 255
        return array if kind != "tensor" else np.moveaxis(array, 0, -1)

    got = read(image, preprocess)
    got.without("black")

    np.testing.assert_allclose(got.fed[0], RGB / 255, rtol=1e-6)
    assert {type(each) for each in seen} == {type(image)}
    assert {getattr(each, "dtype", None) for each in seen} == {getattr(image, "dtype", None)}


def test_preprocess_may_answer_in_any_layout() -> None:
    """Channels first or last, batched or not, tensor, mapping with pixel_values: all become (1, h, w, C)."""
    first = np.moveaxis(RGB, -1, 0) / 255
    for answer in (RGB / 255, first, first[None], torch.tensor(first), {"pixel_values": first[None]}, [first]):
        np.testing.assert_allclose(read(RGB, lambda _, a=answer: a).fed[0], RGB / 255, rtol=1e-6)


def test_an_ambiguous_answer_is_read_as_the_model_likes_it() -> None:
    """(3, 5, 3) is channels first for a model that is."""
    array = np.random.default_rng(0).uniform(size=(3, 5, 3))

    assert read(array, lambda a: a, channels_first=True).fed.shape == (1, 5, 3, 3)
    assert read(array, lambda a: a).fed.shape == (1, 3, 5, 3)


@pytest.mark.parametrize("answer", [None, {"a": 1}, np.full((4, 4, 3), np.nan), np.zeros((2, 4, 4, 3))], ids=str)
def test_an_invalid_result_of_preprocess_is_refused(answer: Any) -> None:
    """The error for a wrong result of preprocess gives the expected one."""
    with pytest.raises(saliency.BadImage, match="preprocess"):
        _ = read(RGB, lambda _: answer).fed


@pytest.mark.parametrize("name", ["black", "white", "mean", "blur", "noise"])
def test_named_baselines_live_in_picture_space(name: str) -> None:
    """A named baseline is made of the picture and then preprocessed, so black is black after normalising."""

    def normalise(array: np.ndarray) -> np.ndarray:
        return (array.astype(np.float32) / 255 - 0.5) / 0.25

    got = read(RGB, normalise).without(name)
    expected = np.rint(fill(name, RGB[None], 0, 255)) / 255

    np.testing.assert_allclose(got, (expected - 0.5) / 0.25, atol=1e-5)


def test_fills_are_what_their_names_say() -> None:
    """Means are each channel's own, blur keeps the mean nearly, noise is the same every time and within the range."""
    images = np.random.default_rng(0).uniform(size=(2, 16, 16, 3))

    np.testing.assert_allclose(fill("mean", images)[1, 3, 4], images[1].mean((0, 1)))
    assert fill("blur", images).std() < 0.5 * images.std()
    np.testing.assert_array_equal(fill("noise", images), fill("noise", images))
    assert 0 <= fill("noise", images, 0, 0.5).min() < fill("noise", images, 0, 0.5).max() <= 0.5


def shown_at(got: Picture, row: float, column: float) -> tuple[float, float]:
    """Placement of pixels of the model's input in the picture."""
    r, c = got.placement @ (row, column, 1)
    return float(r), float(c)


def test_placement_undoes_resize_and_crop() -> None:
    """The centre of the input is at the pixel from which a resize to 64×48 and a crop of 32×32 took it."""
    big = picture(96, 72)

    def preprocess(image: Any) -> np.ndarray:
        small = image.resize((48, 64), Image.Resampling.BILINEAR)
        cropped = np.asarray(small, np.float32)[16:48, 8:40]
        return (cropped / 255 - [0.48, 0.45, 0.4]) / [0.22, 0.23, 0.22]

    got = read(Image.fromarray(big), preprocess)

    # fed (r, c) is pixel (r + 16, c + 8) of the small picture, whose pixels are 1.5 of the big one's
    for row, column in ((0, 0), (15.5, 15.5), (31, 31)):
        expected = ((row + 16.5) * 1.5 - 0.5, (column + 8.5) * 1.5 - 0.5)
        np.testing.assert_allclose(shown_at(got, row, column), expected, atol=0.2)


def test_placement_sees_a_flip() -> None:
    """A mirrored picture is placed mirrored."""
    got = read(RGB, lambda image: np.asarray(image[:, ::-1], np.float32))

    np.testing.assert_allclose(shown_at(got, 2, 0), (2, 9), atol=0.1)


def test_placement_without_preprocess_is_where_it_is() -> None:
    """Fed and shown pixels are the same."""
    assert shown_at(read(RGB), 3, 4) == (3, 4)


def test_a_note_reports_a_preprocess_that_ignores_the_picture() -> None:
    """A preprocessing with one result for every picture has no placement, and a note reports it."""
    got = read(RGB, lambda _: np.ones((4, 4, 3), np.float32))
    _ = got.placement

    assert any("could not be found" in note for note in got.notes)


def test_a_note_reports_an_unknown_placement() -> None:
    """A preprocessing that scrambles the picture is shown as a plain resize, and the notes say so."""
    shuffle = np.random.default_rng(0).permutation(12)
    got = read(RGB, lambda image: np.asarray(image[shuffle], np.float32))
    _ = got.placement

    assert any("could not be found" in note for note in got.notes)


@pytest.mark.parametrize(
    ("shape", "first", "expected"),
    [
        ((5, 6), False, (5, 6, 1)),
        ((5, 6, 3), True, (5, 6, 3)),
        ((3, 5, 6), False, (5, 6, 3)),
        ((3, 5, 3), True, (5, 3, 3)),
        ((3, 5, 3), False, (3, 5, 3)),
        ((7, 5, 6), False, (7, 5, 6)),
        ((7, 5, 6), True, (5, 6, 7)),
        ((1, 1, 5, 6), True, (5, 6, 1)),
    ],
)
def test_channels_last(shape: tuple[int, ...], first: bool, expected: tuple[int, ...]) -> None:
    """The channels' axis is found by its count, and by the maker's habit where both readings are possible."""
    assert channels_last(np.zeros(shape), first).shape == expected


class Fixed(torch.nn.Module):
    """A model that takes only 16×12 with three channels, and declares it, like timm's transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.patch_embed = torch.nn.Conv2d(3, 4, 4, 4)
        self.patch_embed.img_size = (16, 12)  # type: ignore[assignment]
        self.head = torch.nn.Linear(4 * 4 * 3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.patch_embed(x).relu().flatten(1))


def test_a_picture_is_resized_for_a_model_of_one_size() -> None:
    """The mask has the model's size and the right placement; a picture of that size is not resized."""
    torch.manual_seed(0)
    model = Fixed().eval()
    image = picture(48, 60)
    exp = saliency.explain(model, image, "gradient", progress=False)

    assert exp.mask.shape == (16, 12, 3)
    assert exp.on_picture().shape == (48, 60, 3)
    np.testing.assert_allclose(exp.placement, [[3, 0, 1], [0, 5, 2]], atol=0.15)
    assert "resized from 48×60 to 16×12, the input size of the model" in exp.notes
    assert not any("resized" in note for note in saliency.explain(model, picture(16, 12), "gradient").notes)


def test_grey_is_repeated_and_resized_at_once() -> None:
    """A grey picture of another size becomes what the model takes; predictions see the same."""
    model = Fixed().eval()
    exp = saliency.explain(model, picture(48, 60)[..., 0], "gradient", progress=False)

    assert exp.mask.shape == (16, 12, 3)
    assert saliency.predict(model, picture(48, 60)[..., 0])[0].index == exp.target


def test_floats_up_to_255_say_how_to_scale_them() -> None:
    """They are fed as they are, as all floats; the note has the way out."""
    assert any("preprocess=lambda x: x / 255" in note for note in read(RGB.astype(np.float32)).notes)
