"""What holds for every test-bed: scenes are repeatable, removal is exact, gates pass, digests are those kept.

After an intended change of a bed's pictures or weights: ``python tests/testbed/test_beds.py`` rewrites digests.json.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.testbed import BACKGROUND, Bed, beds

KEPT = Path(__file__).with_name("digests.json")
WEIGHTS = Path(saliency.__file__).parent / "testbed" / "weights"
BEDS = beds()


def grid(picture: np.ndarray) -> list[int]:
    """Return the mean brightness, in 0–255, of 4×4 cells: robust against last digits of another machine or library."""
    height, width = (side // 4 * 4 for side in picture.shape[:2])
    cells = picture[:height, :width].mean(2).reshape(4, height // 4, 4, width // 4).mean((1, 3))
    return [round(float(255 * each)) for each in cells.ravel()]


def digest_of(bed: Bed) -> list[dict[str, Any]]:
    """Return what is kept of the first two scenes."""
    return [
        {
            "target": scene.target,
            "pixels": {name: int(pixels.sum()) for name, pixels in scene.parts.items()},
            "grid": grid(scene.image),
        }
        for scene in bed.scenes(2)
    ]


def weights() -> dict[str, str]:
    """Return a hash of each file of weights: of its arrays, not of their compression."""
    found = {}
    for path in sorted(WEIGHTS.glob("*.npz")):
        digest = hashlib.sha256()
        with np.load(path, allow_pickle=False) as arrays:
            for name in sorted(arrays.files):
                digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode() + arrays[name].tobytes())
        found[path.stem] = digest.hexdigest()[:16]
    return found


@pytest.mark.parametrize("bed", BEDS, ids=lambda bed: bed.id)
def test_scenes_are_the_same_every_time(bed: Bed) -> None:
    """Equal seeds give equal scenes, the first are equal for every count, and other seeds give other scenes."""
    few, more, others = bed.scenes(1), bed.scenes(2), bed.scenes(1, seed=1)

    assert [each.digest for each in few] == [each.digest for each in more[:1]]
    assert len({each.digest for each in (*more, *others)}) == 3


@pytest.mark.parametrize("bed", BEDS, ids=lambda bed: bed.id)
def test_scenes_keep_their_promises(bed: Bed) -> None:
    """Pictures are RGB in 0–1, parts are visible and disjoint, and removal of a part changes all of it."""
    for scene in bed.scenes(2):
        shape = scene.image.shape[:2]
        assert scene.image.dtype == np.float32
        assert scene.image.shape == (*shape, 3)
        assert 0 <= scene.image.min() < scene.image.max() <= 1
        assert 0 <= scene.target < len(bed.labels)
        for pixels in (*scene.parts.values(), *([] if scene.truth is None else [scene.truth])):
            assert (pixels.dtype, pixels.shape) == (np.dtype(bool), shape)
            assert pixels.any()
        if scene.render is None:
            continue
        assert np.sum(list(scene.parts.values()), 0).max() == 1
        np.testing.assert_array_equal(scene.without([]), scene.image)
        for name, pixels in scene.parts.items():
            changed = (np.abs(scene.without([name]) - scene.image) > 0.02).any(2)
            assert changed[pixels].mean() > 0.6
            # of other parts, only the soft edge changes; most of it with the background, which shows through there
            others = [each for other, each in scene.parts.items() if other != name]
            assert all(changed[each].mean() < (0.5 if name == BACKGROUND else 0.15) for each in others)


@pytest.mark.parametrize("bed", BEDS, ids=lambda bed: bed.id)
def test_gates_pass(bed: Bed) -> None:
    """Every gate of every bed passes: the model is accurate, and the truth is causal."""
    assert [each for each in bed.gates() if not each.passed] == []


@pytest.mark.parametrize("bed", BEDS, ids=lambda bed: bed.id)
def test_pictures_are_those_that_are_kept(bed: Bed) -> None:
    """The first scenes equal the stored ones, to one grey level in cells and 1 % of a part's pixels."""
    kept = json.loads(KEPT.read_text())["scenes"][bed.id]
    for found, expected in zip(digest_of(bed), kept, strict=True):
        assert found["target"] == expected["target"]
        assert found["pixels"] == pytest.approx(expected["pixels"], rel=0.01, abs=3)
        np.testing.assert_allclose(found["grid"], expected["grid"], atol=1)


def test_weights_are_those_that_are_kept() -> None:
    """Every file of weights equals the stored hash, and takes at most 1 MB."""
    assert weights() == json.loads(KEPT.read_text())["weights"]
    assert all(path.stat().st_size <= 1_000_000 for path in WEIGHTS.glob("*.npz"))


def test_beds_are_distinct() -> None:
    """Beds have different ids and titles, and a sentence on what is known."""
    assert len({bed.id for bed in BEDS}) == len(BEDS)
    assert len({bed.title for bed in BEDS}) == len(BEDS)
    for bed in BEDS:
        assert bed.known.endswith(".")


if __name__ == "__main__":
    found = {"weights": weights(), "scenes": {bed.id: digest_of(bed) for bed in BEDS}}
    KEPT.write_text(json.dumps(found, indent=1) + "\n")
