"""Read files and PIL images as numbers, by mode and bit depth, with clear errors for unreadable ones."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from saliency import checks
from saliency.errors import BadImage
from saliency.pictures.arrays import WHITE_8, WHITE_16, Values

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

DEPTHS = {"I;16": "<u2", "I;16L": "<u2", "I;16N": "=u2", "I;16B": ">u2", "I": "=i4", "F": "=f4"}
"""PIL's modes of more than 8 bits, with the array type of each; their values are not changed."""

ORIENTATION = 0x0112
"""EXIF tag of the orientation; 1 is upright."""

OPACITIES = ("LA", "La", "PA", "RGBA", "RGBa")

GREY = ("1", "L", "LA", "La")

ELSEWHERE = {
    ".npy": "np.load({path!r})",
    ".dcm": "pydicom.dcmread({path!r}).pixel_array",
    ".nii": "nibabel.load({path!r}).get_fdata()",
    ".gz": "nibabel.load({path!r}).get_fdata()",
    ".exr": "imageio.v3.imread({path!r})",
    ".tif": "tifffile.imread({path!r})",
    ".tiff": "tifffile.imread({path!r})",
}
"""By file extension: code that reads a format that PIL does not support."""

URL = re.compile(r"[a-z][a-z0-9+.-]+://|data:", re.IGNORECASE)


def from_file(image: Any, notes: list[str]) -> Values | None:
    """Read a path, the bytes of a file, an open file or a PIL image; None for anything else.

    Args:
        image: the picture. Of a file with several pages the first is read, of a PIL image the current one.
        notes: receives the settings used, in sentences.

    Raises:
        BadImage: not a picture, truncated, too large, a URL, or a file opened as text.
        FileNotFoundError: there is no such file.
    """
    if isinstance(image, str) and URL.match(image):
        raise BadImage(
            f"Expected a picture, got a URL. Download it first, and pass its bytes: "
            f"image=urllib.request.urlopen({image[:200]!r}).read()."
        )
    if isinstance(image, str | os.PathLike):
        path = checks.path(image, "image", BadImage)
        with checks.opening(path, BadImage), path.open("rb") as file:
            return _decoded(file, str(path), notes)
    if isinstance(image, bytes | bytearray):
        return _decoded(io.BytesIO(image), f"{len(image):,} bytes", notes)
    if type(image).__module__.partition(".")[0] == "PIL":
        return _checked(lambda: from_pil(image, notes), "The PIL image")
    if callable(getattr(image, "read", None)):
        return _decoded(io.BytesIO(_content(image)), f"open file {getattr(image, 'name', '')!r}", notes)
    return None


def from_pil(image: Any, notes: list[str]) -> Values:
    """Read a PIL image by its mode, with its EXIF orientation applied.

    Transparency is composed onto white; palettes, CMYK, YCbCr, HSV and LAB become RGB; 16 bits, 32 bits and floats are
    kept.

    Raises:
        BadImage: 32-bit integers that are negative or beyond 65,535.
    """
    from PIL import Image, ImageOps

    _note_lost_bits(image, notes)
    pages, page = getattr(image, "n_frames", 1), image.tell()
    if pages > 1:
        notes.append(f"page {page + 1} of {pages} is read: image = PIL.Image.open(path); image.seek(n) chooses another")
    # exif_transpose copies images that are upright already
    upright = image if image.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    if upright.mode in DEPTHS:
        return _deep(upright, notes)
    transparent = upright.mode in OPACITIES or "transparency" in upright.info
    binary = upright.mode == "1" and not transparent
    if transparent:
        notes.append("transparency laid on white")
        grey, ground = upright.mode in GREY, Image.new("RGBA", upright.size, "white")
        ground.alpha_composite(_straight(upright).convert("RGBA"))
        upright = ground.convert("L" if grey else "RGB")
    elif upright.mode == "LAB":
        upright = _from_lab(upright)
    elif upright.mode not in ("L", "RGB"):
        upright = upright.convert("L" if upright.mode in GREY else "RGB")
    array = np.asarray(upright)

    def rebuild(picture: np.ndarray) -> Any:
        flat = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
        return flat.point(lambda value: WHITE_8 * (value > WHITE_8 / 2), "1") if binary else flat

    return Values(array.reshape(*array.shape[:2], -1), WHITE_8, rebuild)


def reduced(image: Any, side: int) -> Image.Image | None:
    """Return a JPEG file decoded at a fraction of its size; None for anything else.

    Args:
        image: a path or the bytes of a file.
        side: the result's sides are at least twice as long, so that it can be reduced smoothly.

    Raises:
        BadImage: it is truncated, or a URL.
        FileNotFoundError: there is no such file.
    """
    from PIL import JpegImagePlugin, UnidentifiedImageError

    if isinstance(image, str | os.PathLike):
        path = checks.path(image, "image", BadImage)
        with checks.opening(path, BadImage), path.open("rb") as file:
            return reduced(file.read(), side)
    if not isinstance(image, bytes | bytearray):
        return None
    try:
        found = JpegImagePlugin.JpegImageFile(io.BytesIO(image))
    except (SyntaxError, UnidentifiedImageError):
        return None

    def decode() -> Image.Image:
        if found.mode in ("L", "RGB"):
            found.draft(found.mode, (2 * side, 2 * side))
        found.load()
        return found

    return _checked(decode, f"{len(image):,} bytes")


def _note_lost_bits(image: Image.Image, notes: list[str]) -> None:
    """Note that PIL reduces 16-bit colours to 8 bits, which only an unloaded image's tiles reveal."""
    if any(";16" in str(tile[-1]) for tile in getattr(image, "tile", ())) and image.mode not in DEPTHS:
        notes.append(
            "16-bit colours read as 8 bits, because PIL reduces them: pass a uint16 array to use all bits, from "
            "tifffile.imread(path) or cv2.imread(path, cv2.IMREAD_UNCHANGED)[..., ::-1]"
        )


def _straight(image: Image.Image) -> Image.Image:
    """Convert premultiplied alpha (RGBa, La) to straight alpha."""
    return image.convert({"RGBa": "RGBA", "La": "LA"}.get(image.mode, image.mode))


def _deep(image: Image.Image, notes: list[str]) -> Values:
    """Read a mode of more than 8 bits, with the conversion back to that mode."""
    from PIL import Image

    mode, dtype = image.mode, np.dtype(DEPTHS[image.mode])
    array = np.asarray(image)
    white: float | None = WHITE_16
    if mode == "F":
        if not np.isfinite(array).all():
            raise BadImage(f"The image contains {np.count_nonzero(~np.isfinite(array))} NaN or infinite values.")
        array, white = array.astype(np.float32), None
    elif mode == "I":
        least, most = int(array.min()), int(array.max())
        if least < 0 or most > WHITE_16:
            raise BadImage(
                f"A picture of mode I must contain 0–{WHITE_16:,}, got {least:,} to {most:,}: convert it to floats in "
                "the model's own range, as image = np.asarray(image, np.float32) / np.max(image)."
            )
        notes.append(f"mode I (int32) read as 16 bits, 0–{WHITE_16:,}")
    values = array if white is None else array.astype(np.uint16)
    if (clear := image.info.get("transparency")) is not None and white is not None:
        notes.append("transparency laid on white")
        values[values == clear] = WHITE_16

    def rebuild(picture: np.ndarray) -> Any:
        flat = picture[..., 0].astype(dtype)
        return Image.frombytes(mode, flat.shape[::-1], flat.tobytes())

    return Values(values[..., None], white, rebuild)


def _from_lab(image: Image.Image) -> Image.Image:
    """Convert LAB to sRGB, which PIL's own ``convert`` does not support."""
    from PIL import ImageCms

    converted = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None  # it returns None only when it works in place
    return converted


def _content(file: Any) -> bytes:
    """Read an open file from its beginning, and restore its position."""
    if not getattr(file, "seekable", lambda: hasattr(file, "seek"))():
        raise BadImage("This file can be read only once, but the picture is read several times: image=file.read().")
    stood = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(stood)
    if not isinstance(content, bytes | bytearray):
        raise BadImage(f'Expected a file opened in binary mode, got {type(content).__name__}: open(path, "rb").')
    return bytes(content)


def _decoded(file: Any, name: str, notes: list[str]) -> Values:
    from PIL import Image

    def decode() -> Values:
        image = Image.open(file)
        most = Image.MAX_IMAGE_PIXELS
        if most is not None and image.width * image.height > most:
            # PIL itself refuses only twice this size
            raise Image.DecompressionBombError(f"{image.width}×{image.height} pixels")
        _note_lost_bits(image, notes)
        image.load()
        return from_pil(image, notes)

    return _checked(decode, name)


def _checked(read: Callable[[], T], name: str) -> T:
    """Read a picture, and turn PIL's errors into a BadImage.

    Args:
        read: reads the picture.
        name: name of the file, for the error.
    """
    import PIL
    from PIL import Image, UnidentifiedImageError

    try:
        return read()
    except (BadImage, MemoryError):
        raise
    except UnidentifiedImageError as error:
        line = ELSEWHERE.get(Path(name).suffix.lower())
        other = f" Read it as an array: image={line.format(path=name)}." if line else ""
        raise BadImage(f"{name} is no picture that PIL {PIL.__version__} can read.{other}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImage(
            f"{name} is very large ({error}). If you trust it, shrink it first: PIL.Image.MAX_IMAGE_PIXELS = None; "
            "image = PIL.Image.open(path); image.thumbnail((2048, 2048))."
        ) from error
    except Exception as error:
        raise BadImage(
            f"{name} cannot be read: it is truncated or damaged ({type(error).__name__}: {error}). "
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True reads the intact part."
        ) from error
