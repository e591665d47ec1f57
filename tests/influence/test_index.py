"""An index reads training images once, and gives those for and against an answer; values are checked by retraining."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn

import saliency
from saliency import influence
from saliency.influence import Index
from saliency.metrics.similarity import spearman
from tests.conformance.models import subject

DAMPING = 0.01

OTHER = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
"""A network of another architecture."""


class DigitNet(nn.Module):
    """A convolution with pooling, and a linear layer for three digits."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 6, 3), nn.Linear(54, 3)

    def features(self, x: Tensor) -> Tensor:
        return nn.functional.max_pool2d(torch.relu(self.conv(x)), 2).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.features(x))
        return scores

    def fit(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Train the last layer to its minimum; return its inputs."""
        with torch.no_grad():
            found: np.ndarray = self.features(torch.tensor(images.transpose(0, 3, 1, 2))).numpy()
            head = influence.LinearHead(np.zeros((3, 54))).fitted(found, labels, DAMPING)
            self.head.weight.copy_(torch.tensor(head.weights))
            self.head.bias.copy_(torch.tensor(head.bias))
        return found


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return images (170, 8, 8, 1) of three digits with their labels; the last 20 are not trained with."""
    values, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(np.flatnonzero(labels < 3))[:170]
    return (values[order].reshape(-1, 8, 8, 1) / 16).astype(np.float32), labels[order]


@pytest.fixture(scope="module")
def net(digits: tuple[np.ndarray, np.ndarray]) -> DigitNet:
    """Return a network whose last layer is trained on the first 150."""
    torch.manual_seed(0)
    net = DigitNet().eval()
    net.fit(digits[0][:150], digits[1][:150])
    return net


@pytest.fixture(scope="module")
def index(net: DigitNet, digits: tuple[np.ndarray, np.ndarray]) -> Index:
    """Return the index of the 150 images."""
    images, labels = digits
    return Index(net, list(zip(images[:150], labels[:150], strict=True)), progress=False)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_scores_predict_leave_one_out(index: Index, net: DigitNet, digits: tuple[np.ndarray, np.ndarray]) -> None:
    """The influence that the index finds from the model alone ranks images as training without each does."""
    images, labels = digits
    features = net.fit(images[:150], labels[:150])
    with torch.no_grad():
        queries = net.features(torch.tensor(images[150:].transpose(0, 3, 1, 2))).numpy()
    true = influence.leave_one_out(features, labels[:150], queries, labels[150:], damping=DAMPING)

    scores = index.scores(images[150:], labels[150:])

    assert np.mean([spearman(a, b) for a, b in zip(scores, true, strict=True)]) > 0.99
    np.testing.assert_allclose(index.features, features, atol=1e-5)
    np.testing.assert_allclose(index.head.weights, net.head.weight.detach().numpy(), atol=1e-6)


def test_an_answer_has_images_for_and_against(index: Index, digits: tuple[np.ndarray, np.ndarray]) -> None:
    """Images for the answer come with the largest scores first, labels, losses, and the image itself."""
    image = digits[0][150]
    found = index.explain(image, count=3)

    scores = [each.score for each in found.proponents]
    assert scores == sorted(found.scores[found.scores > 0])[::-1][:3]
    assert [each.score for each in found.opponents] == sorted(found.scores[found.scores < 0])[:3]
    assert all(each.label == found.label for each in found.proponents)
    assert all(each.label != found.label for each in found.opponents)
    first = found.proponents[0]
    np.testing.assert_array_equal(first.image, digits[0][first.index])
    assert first.loss == pytest.approx(index.losses[first.index])
    assert first.picture.shape == (8, 8, 3)
    assert "verified to be linear" in found.notes[0]
    assert found.label in repr(found)
    assert len(found.plot().axes) == 8


def test_an_image_resembles_itself_everywhere_alike(index: Index, digits: tuple[np.ndarray, np.ndarray]) -> None:
    """Both maps of an image with itself are the same; with another, they have the cosines of the features."""
    mine, theirs = index.similarity(digits[0][3], 3)
    np.testing.assert_allclose(mine.mask, theirs.mask)
    one, other = index.similarity(digits[0][3], 4)

    assert one.mask.shape == (8, 8)
    assert -1 <= one.mask.min() <= one.mask.max() <= 1
    assert not np.allclose(one.mask, other.mask)


def test_flipped_labels_are_found(net: DigitNet, digits: tuple[np.ndarray, np.ndarray]) -> None:
    """Of 10 % of flipped labels nearly all are the first suspects, with their rank by the plain loss."""
    images, labels = digits
    wrong = np.arange(150) < 15
    flipped = np.where(wrong, (labels[:150] + 1) % 3, labels[:150])
    other = DigitNet().eval()
    other.load_state_dict(net.state_dict())
    other.fit(images[:150], flipped)
    index = Index(other, images[:150], targets=flipped, progress=False)

    suspects = index.mislabelled(15)

    assert sum(each.index < 15 for each in suspects) >= 12
    assert influence.mislabelled_auc(index.self_influence(), wrong) > 0.97
    assert influence.mislabelled_auc(index.losses, wrong) > 0.97
    assert sorted(each.loss_rank for each in suspects)[:3] == [1, 2, 3]
    assert "rank by loss" in repr(suspects)
    with pytest.raises(saliency.Unsupported, match="no self-influence"):
        index.using("nearest").mislabelled()


def test_features_are_kept_in_a_folder(
    net: DigitNet, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next index reads them from there, and refuses those of another model."""
    images, labels = digits
    first = Index(net, images[:20], targets=labels[:20], progress=False, path=tmp_path / "features")
    monkeypatch.setattr("saliency.influence.training.Reading.features", None)
    again = Index(net, images[:20], targets=labels[:20], progress=False, path=tmp_path / "features")

    assert isinstance(again.features, np.memmap)
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_allclose(first.losses, again.losses)
    with pytest.raises(saliency.BadField, match="of another model or collection"):
        Index(DigitNet(), images[:20], targets=labels[:20], progress=False, path=tmp_path / "features")


def test_tracin_sums_over_checkpoints(net: DigitNet, digits: tuple[np.ndarray, np.ndarray]) -> None:
    """The scores are rate · ∇ℓ(z) · ∇ℓ(zᵢ) of the last layer by autograd, summed; the model is not changed."""
    images, labels = digits
    torch.manual_seed(1)
    states = [DigitNet().state_dict(), net.state_dict()]
    before = {name: each.clone() for name, each in net.state_dict().items()}
    rates = (0.1, 0.3)
    index = Index(
        net, images[:6], "tracin", labels[:6], checkpoints=[0, 1], load=states.__getitem__, rates=rates, progress=False
    )
    found = index.scores(images[6:8], labels[6:8])

    expected = np.zeros((2, 6))
    for state, rate in zip(states, rates, strict=True):
        other = DigitNet().eval()
        other.load_state_dict(state)

        def slope(i: int, other: DigitNet = other) -> Tensor:
            x = torch.tensor(images[i : i + 1].transpose(0, 3, 1, 2))
            loss = nn.functional.cross_entropy(other(x), torch.tensor(labels[i : i + 1]))
            return torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(other.head.parameters()))])

        expected += rate * np.array([[float(slope(q) @ slope(i)) for i in range(6)] for q in (6, 7)])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert all(torch.equal(before[name], each) for name, each in net.state_dict().items())


class Rows:
    """A dataset as of torch or Hugging Face: an item is a pair or a row."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def sources(images: np.ndarray, labels: np.ndarray, folder: Path) -> dict[str, Any]:
    """Return the same images as each kind of data set."""
    pixels = [np.rint(255 * each).astype(np.uint8) for each in images]
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True, parents=True)
        Image.fromarray(image[..., 0]).save(folder / str(label) / f"{i}.png")
    both = list(zip(pixels, map(int, labels), strict=True))
    pairs = [(torch.tensor(image.transpose(2, 0, 1) / np.float32(255)), label) for image, label in both]
    stacked = torch.stack([x for x, _ in pairs]), torch.tensor([y for _, y in pairs])
    return {
        "list": pairs,
        "generator": (each for each in pairs),
        "torch dataset": torch.utils.data.TensorDataset(*stacked),
        "loader": torch.utils.data.DataLoader(Rows(pairs), batch_size=3),  # type: ignore[arg-type]
        "rows": Rows([{"image": Image.fromarray(image[..., 0]), "label": label} for image, label in both]),
        "folder": folder,
        "dict": {int(c): [x for x, y in pairs if y == c] for c in np.unique(labels)},
    }


def test_every_kind_of_data_set_gives_the_same(
    net: DigitNet, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """Lists, generators, torch's data sets and loaders, rows, folders and dicts have the same scores of the images."""
    images, labels = digits
    found = {}
    for kind, data in sources(images[:8], labels[:8], tmp_path).items():
        made = Index(net, data, progress=False)
        found[kind] = np.sort(made.scores(images[150:151], [1])[0])
        if kind in ("generator", "loader"):
            with pytest.raises(saliency.Unsupported, match="in order only"):
                made.image(0)
        else:
            assert made.explain(images[150]).proponents[0].picture.shape == (8, 8, 3)

    for each in found.values():
        np.testing.assert_allclose(each, found["list"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["tensorflow", "jax", pytest.param("keras", marks=pytest.mark.long)])
def test_frameworks_have_the_same_scores(kind: str) -> None:
    """Scores of each estimator agree to 1e-4 with those of the same network in torch."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((9, 24, 20, 3), np.float32), rng.integers(0, 4, 9)

    def scores(kind: str) -> list[np.ndarray]:
        index = Index(subject(kind).model, images[:8], targets=labels[:8], progress=False)
        return [index.using(each).scores(images[8:], [1]) for each in ("influence", "nearest", "tracin", "trak")]

    for found, expected in zip(scores(kind), scores("torch"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"targets": None}, saliency.BadTarget, "gives no labels"),
        ({"targets": [0, 1]}, saliency.BadShape, "2 entries for 6 images"),
        ({"targets": [0, 1, 2, 3, 0, 1]}, saliency.BadTarget, "label 3 of image '3' is no class"),
        ({"targets": [0, 1, None, 2, 0, 1]}, saliency.BadTarget, "Image '2' of the collection has no label"),
        ({"targets": ["zero"] * 6}, saliency.BadTarget, "'zero' of image '0' is no class"),
        ({"method": "shap"}, saliency.UnknownName, "influence, nearest, tracin, trak"),
        ({"method": 3}, saliency.BadField, "an estimator of influence"),
        ({"dampin": 1}, saliency.UnknownName, "dampin"),
        ({"checkpoints": [None]}, saliency.BadField, "uses the model alone"),
        ({"rates": 0.1}, saliency.BadField, "belong to checkpoints"),
        ({"method": "tracin", "checkpoints": []}, saliency.BadField, "is empty"),
        ({"method": "tracin", "checkpoints": ["a.pt"]}, saliency.BadField, "pass load="),
        ({"method": "tracin", "checkpoints": [{"w": 0}]}, saliency.BadField, "of another architecture"),
        (
            {"method": "tracin", "checkpoints": [OTHER]},
            saliency.BadField,
            "4 outputs",
        ),
        ({"method": "trak", "checkpoints": [None, None], "rates": [1, 2, 3]}, saliency.BadField, "each of the 2"),
        ({"dataset": []}, saliency.BadImage, "no pictures"),
        ({"layer": "conv"}, saliency.Unsupported, "no linear function of 'conv'"),
    ],
)
def test_bad_input_is_refused(
    options: dict[str, Any],
    error: type[Exception],
    message: str,
    net: DigitNet,
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    """Each message names what was expected, what was given and the way out."""
    given = {"dataset": digits[0][:6], "targets": [0, 1, 2, 0, 1, 2], "progress": False, **options}
    with pytest.raises(error, match=message):
        Index(net, **given)


def test_classes_without_images_are_noted(net: DigitNet, digits: tuple[np.ndarray, np.ndarray]) -> None:
    """A note names the classes without images, and an answer whose class is one of them."""
    images, _ = digits
    index = Index(net, images[:2], targets=["ape", "cat"], labels=["ape", "bee", "cat"], progress=False)
    found = index.explain(images[150], "bee")

    assert found.notes[0] == "no training image has the label 'bee'"
    assert "1 of 3 classes have no training image here: bee" in found.notes
    assert not [each for each in found.proponents if each.label == "bee"]


def test_independent_labels_are_rows_of_zeros_and_ones(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """A model with sigmoids has the labels of each image as a row, and the scores of one label."""
    images, labels = digits
    net = nn.Sequential(DigitNet(), nn.Sigmoid()).eval()
    rows = np.eye(3, dtype=int)[labels[:10]]
    index = Index(net, images[:10], targets=rows, progress=False, damping=0.1)
    found = index.explain(images[150], 2)

    assert index.head.loss == "sigmoid"
    assert {each.label for each in found.proponents} <= {"2", ""} | {"0", "1"}
    assert np.isfinite(found.scores).all()
    with pytest.raises(saliency.BadTarget, match="independent labels"):
        Index(net, images[:10], targets=labels[:10], progress=False)
