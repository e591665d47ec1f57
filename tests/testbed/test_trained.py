"""Beds of trained networks: the same pictures, other reasons; and the script that trains them."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import saliency
from saliency.metrics import Attribution, RelevanceMassAccuracy
from saliency.testbed import BACKGROUND, Bed
from saliency.testbed.planted import REASONS, Planted
from saliency.testbed.two_factors import GROUNDS, TwoFactors

ROOT = Path(__file__).resolve().parents[2]
FACTORS = [TwoFactors("object"), TwoFactors("background")]
PLANTED = [Planted(name) for name in REASONS]


@pytest.mark.parametrize("beds", [FACTORS, PLANTED], ids=["two factors", "planted"])
def test_networks_of_a_group_see_the_same_pictures(beds: list[Bed]) -> None:
    """Their scenes have equal pictures and parts, and truths that do not overlap."""
    for scenes in zip(*(bed.scenes(3) for bed in beds), strict=True):
        for one, other in pairwise(scenes):
            np.testing.assert_array_equal(one.image, other.image)
            assert all(np.array_equal(one.parts[name], other.parts[name]) for name in {*one.parts, *other.parts})
        truths = [each.truth for each in scenes]
        assert np.sum(truths, 0).max() == 1


def test_the_truth_is_the_part_that_decides() -> None:
    """The truth of each network is the object, the background, the logo, or the trigger of 25 pixels."""
    own = ["object", BACKGROUND, *(each.part for each in REASONS.values())]
    for bed, name in zip([*FACTORS, *PLANTED], own, strict=True):
        (scene,) = bed.scenes(1)
        np.testing.assert_array_equal(scene.truth, scene.parts[name])
    assert PLANTED[0].scenes(1)[0].parts["trigger"].sum() == 25


def test_textures_of_training_are_not_those_of_scenes() -> None:
    """Backgrounds of training and of scenes are different photographs, or parts without a common pixel."""
    for train, (left, _, right, _), scene, (start, _, end, _) in GROUNDS.values():
        assert train != scene or right <= start or end <= left


def test_maps_follow_the_network_and_not_the_picture() -> None:
    """On the same pictures, occlusion puts more of its salience on the logo for the network that reads the logo."""
    shares = {}
    for bed in PLANTED:
        found = []
        for scene in bed.scenes(4):
            method = saliency.Occlusion(size=10, stride=5)
            exp = saliency.explain(bed.model, scene.image, method, scene.target, progress=False)
            found.append(RelevanceMassAccuracy().compare(Attribution.of(exp), scene.parts["logo"]).value)
        shares[bed.reason.part] = np.mean(found)

    assert shares["logo"] > 3 * max(shares["object"], shares["trigger"])


@pytest.mark.long
def test_training_is_repeatable(tmp_path: Path) -> None:
    """Two short runs of the script give equal weights."""
    for folder in ("one", "two"):
        command = [sys.executable, "scripts/train_beds.py", "--pictures", "64", "--epochs", "1"]
        subprocess.run([*command, "--out", str(tmp_path / folder)], cwd=ROOT, capture_output=True, check=True)
    names = sorted(each.name for each in (tmp_path / "one").iterdir())

    assert names == sorted(f"{bed.id}.npz" for bed in (*FACTORS, *PLANTED))
    for name in names:
        with np.load(tmp_path / "one" / name) as one, np.load(tmp_path / "two" / name) as two:
            assert all(np.array_equal(one[key], two[key]) for key in one.files)
