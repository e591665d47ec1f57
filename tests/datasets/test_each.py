"""Many pictures explained one after another: equal to one by one, in order, from any collection."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

import saliency
from saliency.core.catalogue import METHODS
from saliency.datasets import sources
from saliency.pictures.picture import decoded as read_file
from saliency.pictures.placement import LOST
from tests.datasets.hugging_face import Rows
from tests.nets import black_box, few, picture, small_net

PICTURES = [picture(seed=i) for i in range(5)]
TARGETS = [0, 3, 1, 1, None]


def alike(found: Any, expected: saliency.Explanation) -> None:
    """Raise unless two explanations are of one target, with equal masks and scores up to rounding."""
    assert (found.target, found.label) == (expected.target, expected.label)
    np.testing.assert_allclose(found.mask, expected.mask, atol=1e-5 * np.abs(expected.mask).max())
    assert found.score == pytest.approx(expected.score, abs=1e-6)
    assert found.baseline_score == pytest.approx(expected.baseline_score, abs=1e-6)


@pytest.mark.parametrize("name", [name for name, each in METHODS.items() if each.family != "attention"])
def test_each_equals_one_by_one(name: str) -> None:
    """Every method gives the mask and scores of :func:`saliency.explain`, each picture with a target of its own."""
    net, method = small_net(), METHODS[name](**few(METHODS[name]))
    pictures, targets = PICTURES[1:4], TARGETS[:3]
    alone = [
        saliency.explain(net, each, method, target, progress=False)
        for each, target in zip(pictures, targets, strict=True)
    ]
    for one, other in zip(saliency.explain_each(net, pictures, method, targets), alone, strict=True):
        alike(one, other)


class Counting(torch.nn.Module):
    """A small net that stores the sizes of its batches."""

    calls: ClassVar[list[int]] = []

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()
        self.eval()

    def forward(self, x: torch.Tensor) -> Any:
        self.calls.append(len(x))
        return self.net(x)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "grad_cam"])
def test_batches_are_filled_across_pictures(method: str) -> None:
    """Pictures of different targets share model calls; each is evaluated for its own target only."""
    options: dict[str, Any] = {"steps": 8} if method == "integrated_gradients" else {}
    Counting.calls.clear()
    found = list(saliency.explain_each(Counting(), PICTURES, method, TARGETS, batch_size=40, **options))

    assert max(Counting.calls) == (40 if options else 5)
    assert method != "grad_cam" or Counting.calls[-1] == 5
    assert len({each.target for each in found}) >= 3
    assert found[0].calls == 1


@pytest.mark.parametrize(
    ("method", "evaluated"), [("gradient", 6), ("grad_cam", 6), ("integrated_gradients", 6 * 4 + 6)]
)
def test_a_pass_over_the_pictures_finds_their_top_classes(method: str, evaluated: int) -> None:
    """In a model explained before, each picture is evaluated once, for its score, top class and gradient alike.

    Methods without a pass over the pictures evaluate each once more, for its class.
    """
    net, steps = Counting(), {"steps": 4} if evaluated > 6 else {}
    model = saliency.adapt(net)
    options: dict[str, Any] = {"preprocess": "0..1", **steps}
    list(saliency.explain_each(model, PICTURES, method, batch_size=2, **options))
    Counting.calls.clear()
    pictures = [picture(seed=i) for i in range(10, 16)]
    found = list(saliency.explain_each(model, pictures, method, batch_size=2, **options))

    assert sum(Counting.calls) == evaluated
    for each, image in zip(found, pictures, strict=True):
        expected = saliency.explain(net, image, method, progress=False, **options)
        alike(each, expected)
        assert each.notes == expected.notes


def test_presets_are_compared_on_the_first_pictures_only() -> None:
    """A preset that fits better is noted on them, and costs no calls for all others; the model itself is as before."""
    model = saliency.adapt(Counting())
    each = saliency.explain_each(model, [picture(seed=i) for i in range(12)], "gradient", 1, batch_size=6)
    first = [next(each) for _ in range(6)]
    Counting.calls.clear()
    second = list(each)

    assert any(any("seems to be missing" in note for note in one.notes) for one in first)
    assert not any("seems to be missing" in note for one in second for note in one.notes)
    assert Counting.calls == [6]
    (noted,) = [each for each in saliency.explain(model, PICTURES[0], progress=False).notes if "missing" in each]
    assert "preprocess=" in noted


def test_a_compiled_model_gives_each_picture_its_target() -> None:
    """Where targets are compiled, pictures of one target share calls; the results are the same and in order."""
    jnp = pytest.importorskip("jax.numpy")
    weights = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)

    def model(images: Any) -> Any:
        return jnp.tanh(images).mean((1, 2)) @ weights

    pictures, targets = [each / np.float32(255) for each in PICTURES[:3]], [2, 0, 2]
    for found, image, target in zip(
        saliency.explain_each(model, pictures, "gradient", targets, framework="jax"), pictures, targets, strict=True
    ):
        alike(found, saliency.explain(model, image, "gradient", target, framework="jax", progress=False))


class Labelled(torch.utils.data.Dataset[Any]):
    """A data set of pictures with classes."""

    def __len__(self) -> int:
        return len(PICTURES)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        if i >= len(PICTURES):
            raise IndexError
        return torch.tensor(PICTURES[i]).permute(2, 0, 1) / 255, i % 4


COLLECTIONS: dict[str, Callable[[Path], Any]] = {
    "list": lambda _: PICTURES,
    "generator": lambda _: (each for each in PICTURES),
    "array": lambda _: np.stack(PICTURES),
    "tensor": lambda _: torch.tensor(np.stack(PICTURES)).permute(0, 3, 1, 2),
    "folder": lambda path: path,
    "pairs": lambda _: [(each, i % 4) for i, each in enumerate(PICTURES)],
    "rows": lambda _: [{"image": Image.fromarray(each), "label": i % 4} for i, each in enumerate(PICTURES)],
    "Hugging Face": lambda _: Rows(PICTURES, [i % 4 for i in range(5)]),
    "Dataset": lambda _: Labelled(),
    "DataLoader": lambda _: torch.utils.data.DataLoader(Labelled(), 2),
}


@pytest.mark.parametrize("kind", COLLECTIONS)
def test_any_collection_is_read_in_order(kind: str, tmp_path: Path) -> None:
    """The classes that a data set gives are the targets; without them it is the top class."""
    net = small_net()
    for i, each in enumerate(PICTURES):
        Image.fromarray(each).save(tmp_path / f"{i}.png")
    labelled = kind in ("pairs", "rows", "Hugging Face", "Dataset", "DataLoader")
    found = list(saliency.explain_each(net, COLLECTIONS[kind](tmp_path), "gradient"))

    assert len(found) == 5
    for i, (one, image) in enumerate(zip(found, PICTURES, strict=True)):
        alike(one, saliency.explain(net, image, "gradient", i % 4 if labelled else None, progress=False))
    predicted = list(saliency.predict_each(net, COLLECTIONS[kind](tmp_path), 2))
    for ranks, image in zip(predicted, PICTURES, strict=True):
        expected = saliency.predict(net, image, 2)
        assert [each.index for each in ranks] == [each.index for each in expected]
        assert ranks[0].score == pytest.approx(expected[0].score, abs=1e-6)


def test_pictures_of_several_sizes_keep_their_order() -> None:
    """Pictures that the model is fed at different sizes are explained in batches of one size, in the given order."""
    net = small_net()
    pictures = [picture(24, 20), picture(30, 20), picture(24, 20, seed=3), np.full((24, 20), 99, np.uint8)]
    for found, image in zip(saliency.explain_each(net, pictures, "grad_cam"), pictures, strict=True):
        alike(found, saliency.explain(net, image, "grad_cam", progress=False))


def damaged(path: Path) -> list[Any]:
    """Return one good picture between ones that cannot be explained."""
    Image.fromarray(PICTURES[0]).save(path / "good.png")
    (path / "cut.png").write_bytes((path / "good.png").read_bytes()[:200])
    (path / "empty.png").write_bytes(b"")
    return [path / "cut.png", path / "empty.png", path / "none.png", PICTURES[0], np.zeros((0, 5, 3)), PICTURES[0]]


def cropped(image: np.ndarray) -> np.ndarray:
    """Return a crop of half of the size, as floats."""
    return np.asarray(image[2:18, 3:19] / np.float32(255))


def test_the_placement_is_confirmed_on_the_first_pictures_of_a_size() -> None:
    """A preprocessing is called once for each of the others, which are placed alike."""
    calls: list[int] = []

    def preprocess(image: np.ndarray) -> np.ndarray:
        calls.append(1)
        return cropped(image)

    pictures = [picture(40, 40, seed=i) for i in range(16)]
    each = saliency.explain_each(small_net(), pictures, "gradient", 1, preprocess=preprocess, batch_size=4)
    found = [next(each) for _ in range(12)]
    before = len(calls)
    found += each

    assert len(calls) - before == 4
    for one in found:
        np.testing.assert_allclose(one.placement, [[1, 0, 2], [0, 1, 3]], atol=0.05)


def test_a_further_size_costs_two_calls_where_it_follows_the_rule_of_the_first_pictures() -> None:
    """The placement is that of the picture alone; the preprocessing is called for the picture and for two patterns."""
    calls: list[int] = []

    def preprocess(image: np.ndarray) -> np.ndarray:
        calls.append(1)
        side = min(image.shape[:2]) // 40
        rows, columns = (n // side for n in image.shape[:2])
        blocks = image[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).mean((1, 3)) / 255
        top, left = (rows - 32) // 2, (columns - 32) // 2
        return np.asarray(blocks[top : top + 32, left : left + 32], np.float32)

    sizes = [(80, 120), (160, 120), (80, 80), (120, 200)] * 2 + [(200, 160), (240, 200), (160, 160), (80, 120)]
    pictures = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    options: dict[str, Any] = {"preprocess": preprocess, "progress": False}
    each = saliency.explain_each(small_net(), pictures, "gradient", 1, batch_size=4, **options)
    found = [next(each) for _ in range(8)]
    before = len(calls)
    found += each

    assert len(calls) - before == 4 + 3 * 2
    for one, image in zip(found, pictures, strict=True):
        alone = saliency.explain(small_net(), image, "gradient", 1, **options)
        np.testing.assert_allclose(one.placement, alone.placement, atol=0.1)


def test_a_placement_that_depends_on_the_content_is_confirmed_for_each() -> None:
    """Where some of the first pictures are placed otherwise, no picture is taken to be placed as they are."""

    def preprocess(image: np.ndarray) -> np.ndarray:
        rows = image.mean((1, 2))
        return cropped(np.roll(image, -int(rows.argmax()) if rows.max() > 1.5 * rows.mean() else 0, 0))

    pictures = [np.random.default_rng(i).integers(60, 100, (40, 40, 3), np.uint8) for i in range(16)]
    for image in pictures[1::2]:
        image[11:13] = 250
    found = list(saliency.explain_each(small_net(), pictures, "gradient", 1, preprocess=preprocess, batch_size=4))

    assert [LOST in each.notes for each in found] == [False, True] * 8


def test_files_are_decoded_a_few_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads decode the files of at most the next pictures; the order is that of the names, errors in their place."""
    for i in range(20):
        Image.fromarray(picture(seed=i)).save(tmp_path / f"{i:02}.png")
    (tmp_path / "07.png").write_bytes(b"no picture")
    begun: list[str] = []
    decode = read_file

    def noted(image: Any) -> Any:
        begun.append(image.name)
        return decode(image)

    monkeypatch.setattr(sources, "decoded", noted)
    net = small_net()
    each = saliency.explain_each(net, tmp_path, "gradient", 1, batch_size=2, errors="yield")
    first = next(each)
    assert 2 <= len(begun) <= 2 + sources.DECODED + 1
    found = [first, *each]

    assert isinstance(found[7], saliency.BadImage)
    assert sorted(begun) == [f"{i:02}.png" for i in range(20)]
    alike(found[19], saliency.explain(net, tmp_path / "19.png", "gradient", 1, progress=False))


def test_an_error_takes_the_place_of_its_explanation(tmp_path: Path) -> None:
    """Damaged, empty and missing files and classes that do not exist are yielded as errors, in the pictures' places."""
    found = list(saliency.explain_each(small_net(), damaged(tmp_path), "gradient", [0, 0, 0, 1, 0, 9], errors="yield"))

    assert [type(each).__name__ for each in found] == [
        *("BadImage", "BadImage", "FileNotFoundError", "Explanation", "BadImage", "BadTarget")
    ]
    alike(found[3], saliency.explain(small_net(), PICTURES[0], "gradient", 1, progress=False))


def test_by_default_the_error_is_raised_in_its_turn() -> None:
    """Explanations before it are yielded; the error names the picture."""
    each = saliency.explain_each(small_net(), [PICTURES[0], np.zeros((3, 3, 7, 2, 1))], "gradient")

    assert isinstance(next(each), saliency.Explanation)
    with pytest.raises(saliency.BadImage) as caught:
        next(each)
    assert "'1'" in caught.value.__notes__[0]


def test_what_all_pictures_share_is_raised() -> None:
    """A method that the model does not support, or an unknown field, is no matter of one picture."""
    with pytest.raises(saliency.Unsupported):
        list(saliency.explain_each(black_box(small_net()), PICTURES, "gradient", errors="yield", framework="numpy"))
    with pytest.raises(saliency.UnknownName):
        saliency.explain_each(small_net(), PICTURES, "gradeint")


@pytest.mark.parametrize(
    ("images", "targets", "error"),
    [
        (picture(), None, saliency.BadImage),
        ([], None, saliency.BadImage),
        (3, None, saliency.BadImage),
        ("no such folder", None, FileNotFoundError),
        ({"train": Rows(PICTURES, [0] * 5)}, None, saliency.BadImage),
        (PICTURES, [0], saliency.BadTarget),
    ],
    ids=["one picture", "empty", "a number", "no folder", "splits", "targets"],
)
def test_a_bad_collection_is_refused_before_work(images: Any, targets: Any, error: type[Exception]) -> None:
    """The call itself raises, not the first result."""
    with pytest.raises(error):
        saliency.explain_each(small_net(), images, "gradient", targets)


def test_memory_is_flat() -> None:
    """The pictures are read as they are needed: 100 more pictures take no more memory."""
    net = small_net()

    def stream(count: int) -> Iterator[np.ndarray]:
        for i in range(count):
            yield picture(64, 64, seed=i % 3)

    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in saliency.explain_each(net, stream(count), "gradient", 1, batch_size=8):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(8)
    assert peak(132) <= 1.2 * peak(32)


def test_a_batch_names_the_function_for_batches() -> None:
    """`explain` with a batch, or with a list of pictures, names `explain_each`."""
    for images in (np.stack(PICTURES), PICTURES):
        with pytest.raises(saliency.BadImage, match="explain_each"):
            saliency.explain(small_net(), images)
