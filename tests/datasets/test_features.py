"""`saliency.features`: values of a layer for a collection of images, with their labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import saliency
from tests.nets import small_net

IMAGES = np.random.default_rng(0).random((70, 12, 10, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """The values of the layer `block` for the images, from torch itself, (N, h, w, K)."""
    net = small_net()
    found = []
    net.block.register_forward_hook(lambda *given: found.append(given[-1].detach().clone()))
    with torch.no_grad():
        net(torch.as_tensor(IMAGES).permute(0, 3, 1, 2))
    return np.asarray(found[0].permute(0, 2, 3, 1).numpy())


def test_features_equal_the_layers_values(values: np.ndarray) -> None:
    """All values, their mean and their maximum over places equal those of a hook, over several batches."""
    read = {
        pooling: saliency.features(small_net(), IMAGES, "block", pooling=pooling, progress=False).values
        for pooling in ("none", "mean", "max")
    }

    np.testing.assert_allclose(read["none"], values, atol=1e-5)
    np.testing.assert_allclose(read["mean"], values.mean((1, 2)), atol=1e-5)
    np.testing.assert_allclose(read["max"], values.max((1, 2)), atol=1e-5)


def test_a_layer_without_places_has_features() -> None:
    """The values of a layer without a grid, such as the input of the classifier, are returned as they are."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(360, 5), nn.Tanh(), nn.Linear(5, 2)).eval()

    found = saliency.features(net, IMAGES[:3], "2", progress=False)

    with torch.no_grad():
        expected = net[:3](torch.as_tensor(IMAGES[:3]).permute(0, 3, 1, 2)).numpy()
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


class Tokens(nn.Module):
    """A class token before 3×2 patches of 4×5 pixels; the class token is large."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 4, (4, 5), (4, 5))
        self.norm, self.head = nn.Identity(), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> Any:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        start = patches.new_full((len(x), 1, 4), 100.0) + patches.mean(1, keepdim=True)
        return self.head(self.norm(torch.cat([start, patches], 1)).mean(1))


def test_class_tokens_are_no_places() -> None:
    """The mean over places leaves out tokens that have no place in the image; unpooled values contain them."""
    torch.manual_seed(0)
    net = Tokens().eval()

    pooled = saliency.features(net, IMAGES[:2], "norm", progress=False).values
    whole = saliency.features(net, IMAGES[:2], "norm", pooling="none", progress=False).values

    assert whole.shape == (2, 7, 4)
    np.testing.assert_allclose(pooled, whole[:, 1:].mean(1), atol=1e-6)


def test_pictures_are_read_when_they_are_needed() -> None:
    """At most 32 pictures of an iterator are read ahead."""
    yielded = 0
    read: list[tuple[int, int]] = []

    def images() -> Iterator[np.ndarray]:
        nonlocal yielded
        for each in IMAGES:
            yielded += 1
            yield each

    saliency.features(small_net(), images(), "block", progress=lambda done, _: read.append((done, yielded)))

    assert read[-1] == (70, 70)
    assert max(ahead - done for done, ahead in read) < 32


def test_pictures_of_several_sizes(values: np.ndarray) -> None:
    """Pictures of several sizes have pooled features; unpooled, they are refused with the picture's number."""
    images = [IMAGES[0], IMAGES[1, :8], IMAGES[2]]

    found = saliency.features(small_net(), images, "block", progress=False)

    np.testing.assert_allclose(found.values[[0, 2]], values[[0, 2]].mean((1, 2)), atol=1e-5)
    with pytest.raises(saliency.BadShape, match=r"of 'block' .* picture 1"):
        saliency.features(small_net(), images, "block", pooling="none", progress=False)


class Wants(nn.Module):
    """Predicts class 1 for a bright picture, more confidently the closer its mean is to that of 0–255."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Identity()

    def forward(self, x: torch.Tensor) -> Any:
        bright = self.read(x).mean((1, 2, 3)) / 25
        return torch.stack([torch.full_like(bright, -1), bright, torch.full_like(bright, -1)], 1)


def test_a_note_reports_a_preset_in_every_run() -> None:
    """A preset under which a model is more confident is a note, also of a run that finds the comparison in a cache."""
    net = Wants()
    pictures = [(each * 255).astype(np.uint8) for each in IMAGES[:6]]

    notes = [saliency.features(net, pictures, "read", progress=False).notes[-1] for _ in range(2)]

    assert "preprocess='0..255'" in notes[0]
    assert notes[0] == notes[1]


def test_features_are_saved_and_selected(tmp_path: Path) -> None:
    """A file gives the features back, with labels and names; a selection keeps them together."""
    found = saliency.features(small_net(), {"a": IMAGES[:2], "b": IMAGES[2:3]}, progress=False)

    found.save(tmp_path / "f.npz")
    again = saliency.Features.load(tmp_path / "f.npz")

    np.testing.assert_array_equal(again.values, found.values)
    assert (again.labels, again.names, again.layer) == (("a", "a", "b"), ("a/0", "a/1", "b/0"), "relu")
    assert again.at([2]).labels == ("b",)
    assert len(again.at(np.array([True, False, True]))) == 2
    (tmp_path / "g.npz").write_bytes(b"x")
    with pytest.raises(saliency.BadField, match="no features"):
        saliency.Features.load(tmp_path / "g.npz")
    with pytest.raises(saliency.BadShape, match="select from 3 images"):
        found.at([3])


def test_subfolders_are_labels(tmp_path: Path) -> None:
    """The first folder below the root is the label, at any depth; pictures are in order, with 2 before 10."""
    for name in ("dog/10.png", "dog/2.png", "cat/more/a.png", "b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((IMAGES[0] * 255).astype(np.uint8)).save(tmp_path / name)

    found = saliency.features(small_net(), tmp_path, progress=False)

    assert found.names == ("b.png", "cat/more/a.png", "dog/2.png", "dog/10.png")
    assert found.labels == (None, "cat", "dog", "dog")


def test_labels_of_pairs_and_streams() -> None:
    """Labels come with the pictures of a list of pairs, and of a dict of streams without a length."""
    pairs = saliency.features(small_net(), [(IMAGES[0], 3), (IMAGES[1], np.int64(1))], progress=False)
    streams = saliency.features(small_net(), {"a": iter(IMAGES[:2]), 7: iter(IMAGES[:1])}, progress=False)

    assert pairs.labels == (3, 1)
    assert streams.labels == ("a", "a", 7)
    assert len(streams.names) == 3


@pytest.mark.parametrize(
    ("images", "layer", "error", "sentence"),
    [
        ([], None, saliency.BadImage, "empty"),
        ({}, None, saliency.BadImage, "empty"),
        (iter([]), None, saliency.BadImage, "empty"),
        (IMAGES[0], None, saliency.BadImage, "batch of pictures"),
        (IMAGES[:2], "nowhere", saliency.UnknownName, "nowhere"),
        ([IMAGES[0], np.full((12, 10, 3), np.nan)], None, saliency.BadImage, "NaN"),
    ],
)
def test_bad_collections(images: Any, layer: Any, error: type[Exception], sentence: str) -> None:
    """An empty collection, one image, an unknown layer and a damaged picture are refused, each with its reason."""
    with pytest.raises(error, match=sentence):
        saliency.features(small_net(), images, layer, progress=False)


def test_a_model_without_layers_is_refused() -> None:
    """A function on arrays has no layers to read."""
    with pytest.raises(saliency.Unsupported, match="whose layers can be read"):
        saliency.features(lambda x: x.mean((1, 2)), IMAGES[:2], progress=False)
