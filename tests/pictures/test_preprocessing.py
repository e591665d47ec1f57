"""Inputs of libraries' preprocessings, and declared preprocessings."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import saliency
from saliency.pictures.picture import read
from tests.nets import picture, small_net

RGB = picture(24, 20)
SAME: dict[str, Any] = {
    "8 bits": RGB,
    "PIL": Image.fromarray(RGB),
    "16 bits": RGB.astype(np.uint16) * 257,
    "int64": RGB.astype(np.int64),
    "floats of 0–1": (RGB / 255).astype(np.float32),
    "floats of 0–255": RGB.astype(np.float32),
}


@pytest.mark.parametrize("kind", SAME)
def test_an_image_processor_is_given_8_bits(kind: str) -> None:
    """A processor of transformers gets the same PIL image from every type of picture."""
    transformers = pytest.importorskip("transformers")
    processor = transformers.ViTImageProcessorPil(size={"height": 24, "width": 20})
    expected = processor(images=Image.fromarray(RGB), return_tensors="np")["pixel_values"]

    np.testing.assert_allclose(read(SAME[kind], processor).fed[0], np.moveaxis(expected[0], 0, -1), atol=1e-5)


@pytest.mark.parametrize("kind", SAME)
def test_preprocess_input_is_given_0_to_255(kind: str) -> None:
    """Keras' function gets the same floats from every type of picture, and may modify them."""
    keras = pytest.importorskip("keras")
    preprocess = keras.applications.resnet50.preprocess_input
    expected = preprocess(RGB.astype(np.float32))

    np.testing.assert_allclose(read(SAME[kind], preprocess).fed[0], expected, atol=1e-3)


def test_grey_is_repeated_for_a_processor_of_colours() -> None:
    """Pictures of 8 and of 16 bits work; a note reports the rounding."""
    transformers = pytest.importorskip("transformers")
    processor = transformers.ViTImageProcessorPil(size={"height": 24, "width": 20})
    eight, sixteen = read(RGB[..., 0], processor), read(Image.fromarray(RGB[..., 0].astype(np.uint16) * 257), processor)

    assert eight.fed.shape == (1, 24, 20, 3)
    np.testing.assert_array_equal(eight.fed, sixteen.fed)
    assert "grey repeated to 3 channels for preprocess" in eight.notes


@pytest.mark.parametrize("image", [RGB / 64 - 2, np.zeros((24, 20, 7), np.uint8)], ids=["normalised", "seven bands"])
def test_what_is_no_photograph_is_refused_by_a_processor(image: np.ndarray) -> None:
    """Values that would be clipped, or no PIL image: the error gives the fix."""
    transformers = pytest.importorskip("transformers")
    with pytest.raises(saliency.BadImage, match="preprocess"):
        read(image, transformers.ViTImageProcessorPil(size={"height": 24, "width": 20}))


def test_a_declared_preprocessing_is_given_8_bits() -> None:
    """A model's own function is for photographs: of 16 bits it sees 8, and the answer is that of 8 bits."""
    model = small_net()
    model.preprocess = lambda image: np.asarray(image.convert("RGB"), np.float32) / 255  # type: ignore[assignment]
    grey = RGB[..., 0]
    eight, sixteen = (
        saliency.explain(model, Image.fromarray(array), "gradient", 1, progress=False)
        for array in (grey, grey.astype(np.uint16) * 257)
    )

    np.testing.assert_array_equal(eight.mask, sixteen.mask)
    assert "rounded to 8 bits for the model's own preprocessing" in sixteen.notes
