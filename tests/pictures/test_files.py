"""Files and PIL images by mode and bit depth: right values where they can be read, a clear error where not."""

from __future__ import annotations

import io
import struct
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import saliency
from saliency.pictures.picture import read
from tests.nets import picture

RGB = picture(12, 10)
GREY = RGB[..., 0]
SIXTEEN = np.full((12, 10), 6000, np.uint16)
SIXTEEN[0, 0] = 60_000


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def lab(array: np.ndarray) -> Image.Image:
    """RGB as LAB, by Little CMS."""
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(Image.fromarray(array), *profiles, outputMode="LAB")
    assert converted is not None
    return converted


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (lambda: encoded(Image.fromarray(SIXTEEN)), 6000 / 65_535),
        (lambda: encoded(Image.fromarray(SIXTEEN.astype(">u2")), "TIFF"), 6000 / 65_535),
        (lambda: Image.frombytes("I;16L", (10, 12), SIXTEEN.tobytes()), 6000 / 65_535),
        (lambda: Image.fromarray(SIXTEEN.astype(np.int32)), 6000 / 65_535),
        (lambda: encoded(Image.fromarray(SIXTEEN.astype(np.int32)), "TIFF"), 6000 / 65_535),
        (lambda: encoded(Image.fromarray(np.full((12, 10), 0.3, np.float32)), "TIFF"), 0.3),
        (lambda: Image.fromarray(np.full((12, 10), 130.5, np.float32)), 130.5),
        (lambda: Image.fromarray(np.full((12, 10), 51, np.uint8)), 0.2),
        (lambda: Image.new("1", (10, 12), 1), 1.0),
        (lambda: Image.new("LA", (10, 12), (51, 255)), 0.2),
        (lambda: encoded(Image.fromarray(SIXTEEN), transparency=6000), 1.0),
    ],
    ids=["I;16 PNG", "I;16B TIFF", "I;16L", "I", "I TIFF", "F TIFF", "F beyond 1", "L", "1", "LA", "I;16 transparent"],
)
def test_numbers_are_scaled_by_the_range_of_their_type(image: Callable[[], Any], expected: float) -> None:
    """8 bits by 255, 16 bits by 65,535, floats not at all: in one channel, as they are in the file."""
    got = read(image())

    assert got.fed.shape == (1, 12, 10, 1)
    np.testing.assert_allclose(got.fed[0, 6, 5, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_colour_modes_become_rgb(mode: str) -> None:
    """Colours survive each mode, up to a few levels where a conversion rounds."""
    image = (
        lab(RGB) if mode == "LAB" else Image.fromarray(RGB).convert("RGBA" if mode == "RGBa" else "RGB").convert(mode)
    )

    np.testing.assert_allclose(read(image).shown.astype(int), RGB, atol={"HSV": 5, "YCbCr": 4, "LAB": 9}.get(mode, 0))


def test_palettes_and_transparency_are_laid_on_white() -> None:
    """Of a palette the colours are read, not the indices; a transparent one is white."""
    flat = np.zeros((12, 10, 3), np.uint8)
    flat[:6] = 200, 30, 40
    palette = Image.fromarray(flat).convert("P", palette=Image.Palette.ADAPTIVE)
    clear = palette.getpixel((0, 11))

    np.testing.assert_array_equal(read(encoded(palette)).shown, flat)
    laid = read(encoded(palette, transparency=clear))
    np.testing.assert_array_equal(laid.shown[:6], flat[:6])
    assert (laid.shown[6:] == 255).all()
    assert "transparency laid on white" in laid.notes


def test_what_is_little_used_is_noted() -> None:
    """12 bits in 16 are fed dark, by the type's range; the note names the largest value and the line for 12 bits."""
    scan = np.linspace(0, 4000, 120).reshape(12, 10).astype(np.uint16)
    got = read(Image.fromarray(scan))

    np.testing.assert_allclose(got.fed.max(), 4000 / 65_535, rtol=1e-6)
    (note,) = [each for each in got.notes if "4,000 of 65,535" in each]
    preprocess = eval(note.partition("preprocess=")[2], {"np": np})  # our own line
    np.testing.assert_allclose(read(Image.fromarray(scan), preprocess).fed[0, ..., 0], scan / 4095, rtol=1e-6)
    assert read(Image.fromarray(scan), preprocess).shown.max() > 240
    assert not any("largest value" in each for each in read(Image.fromarray(SIXTEEN)).notes)


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I", "F", "1", "L", "RGB"])
def test_preprocess_is_given_the_mode_that_came(mode: str) -> None:
    """A PIL image of 16 bits stays one, also as a baseline; so do floats and black and white."""
    array = {"1": GREY > 100, "RGB": RGB}.get(mode, GREY)
    image = Image.fromarray(array if mode in ("1", "RGB") else GREY)
    if mode not in ("1", "L", "RGB"):
        dtype = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}[mode]
        image = Image.frombytes(mode, (10, 12), GREY.astype(dtype).tobytes())
    seen: list[Any] = []

    def preprocess(given: Any) -> np.ndarray:
        seen.append(given)
        return np.asarray(given, np.float32)

    got = read(image, preprocess)
    np.testing.assert_array_equal(np.squeeze(got.fed[0]), np.asarray(image, np.float32))
    got.without("black")
    assert [each.mode for each in seen] == [mode, mode]


def test_pages_and_orientation() -> None:
    """The first page is read and the others are noted; an EXIF orientation is applied, to 16 bits too."""
    pages = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    several = encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = Image.open(io.BytesIO(several))
    opened.seek(1)

    np.testing.assert_array_equal(read(several).shown, RGB)
    assert any("page 1 of 2" in note for note in read(several).notes)
    np.testing.assert_array_equal(read(opened).shown, 255 - RGB)
    turned = read(encoded(Image.fromarray(SIXTEEN), exif=exif))
    np.testing.assert_array_equal(turned.values[..., 0], np.rot90(SIXTEEN, -1))


def test_bytes_and_open_files_are_read(tmp_path: Path) -> None:
    """The content of a file, and a file opened for bytes, are pictures; the file is left where it stood."""
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(Image.fromarray(RGB)))
    with path.open("rb") as file:
        file.seek(3)
        for image in (path.read_bytes(), bytearray(path.read_bytes()), io.BytesIO(path.read_bytes()), file, path):
            np.testing.assert_array_equal(read(image).shown, RGB)
        assert file.tell() == 3


class OnlyOnce(io.RawIOBase):
    """As a connection is: what was read is gone."""

    def seekable(self) -> bool:
        """It cannot be read again."""
        return False


WHOLE = encoded(Image.fromarray(picture(64, 64)))


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (b"hello", "5 bytes is no picture that PIL"),
        (b"", "no picture"),
        (WHOLE[:2000], "truncated or damaged.*LOAD_TRUNCATED_IMAGES"),
        (WHOLE[:100] + b"\0" * 900 + WHOLE[1000:], "truncated or damaged"),
        ("https://example.org/cat.png", r"got a URL. Download it first.*urlopen\('https://example.org/cat.png'\)"),
        ("S3://bucket/cat.png", "got a URL"),
        (io.StringIO("text"), 'open\\(path, "rb"\\)'),
        (OnlyOnce(), r"image=file.read\(\)"),
        (Image.fromarray(np.full((4, 4), -3, np.int32)), "mode I must contain 0–65,535, got -3 to -3"),
        (Image.fromarray(np.full((4, 4), np.nan, np.float32)), "16 NaN or infinite"),
    ],
    ids=["text", "empty", "truncated", "damaged", "URL", "bucket", "text file", "stream", "negative I", "NaN F"],
)
def test_the_error_gives_the_reason_why_a_file_cannot_be_read(image: Any, sentence: str) -> None:
    """The error names what came and the line that helps."""
    with pytest.raises(saliency.BadImage, match=sentence):
        read(image)


def test_a_pil_image_of_a_truncated_file_is_refused_with_the_reason() -> None:
    """PIL opens it, and fails only as it is read."""
    with pytest.raises(saliency.BadImage, match="The PIL image cannot be read: it is truncated"):
        read(Image.open(io.BytesIO(WHOLE[:2000])))


def test_files_of_other_kinds_name_their_reader(tmp_path: Path) -> None:
    """By the end of the name; a file that does not exist stays the system's own error."""
    for name, line in {"scan.dcm": "pydicom.dcmread", "array.npy": "np.load", "bands.tif": "tifffile.imread"}.items():
        (tmp_path / name).write_bytes(b"something else")
        with pytest.raises(saliency.BadImage, match=line):
            read(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing.png")


@pytest.mark.parametrize("most", [100, 20], ids=["PIL warns", "PIL refuses"])
def test_a_picture_too_large_to_be_trusted_is_refused(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures larger than PIL trusts are refused unless the user raises the limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    with pytest.raises(saliency.BadImage, match=r"very large.*MAX_IMAGE_PIXELS = None.*thumbnail"):
        read(encoded(Image.fromarray(RGB)))


def test_a_downloaded_picture_is_explained_by_its_bytes(tmp_path: Path) -> None:
    """The line of the error for URLs works."""
    path = tmp_path / "cat.png"
    path.write_bytes(encoded(Image.fromarray(RGB)))
    with urllib.request.urlopen(path.as_uri()) as response:
        np.testing.assert_array_equal(read(response.read()).shown, RGB)


def test_a_preprocess_that_clips_is_noted() -> None:
    """PIL's convert("RGB") clips nearly all 16-bit values to 255: the note reports it, and its suggestion works."""
    image = Image.fromarray((picture(32, 32)[..., 0].astype(np.uint16) + 3) * 200)

    clipped = read(image, lambda given: np.asarray(given.convert("RGB"), np.float32) / 255)
    assert (clipped.fed == 1).mean() > 0.9
    assert any("clips values beyond 8 bits" in note for note in clipped.notes)
    scaled = read(image, lambda given: np.uint8(np.asarray(given) / 257))
    assert scaled.fed.max() < 1
    assert not any("clips" in note for note in scaled.notes)


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """A PNG of colours of 16 bits, which PIL does not write."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("opened", [False, True])
def test_colours_of_16_bits_are_noted_as_read_with_8(channels: int, opened: bool) -> None:
    """PIL keeps the upper 8 bits of each colour; one note gives the way to read all, and 8-bit files get none."""
    pixels = np.full((4, 5, channels), 0xC07F, np.uint16)
    pixels[..., -1] = 0xFFFF
    content = png_of_16_bits(pixels)

    got = read(Image.open(io.BytesIO(content)) if opened else content)

    assert abs(got.fed[0, 0, 0, 0] * 255 - 0xC0) <= 1
    assert sum("16-bit colours read as 8" in note for note in got.notes) == 1
    plain = io.BytesIO()
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(plain, "PNG")
    assert not any("16 bits" in note for note in read(plain.getvalue()).notes)
