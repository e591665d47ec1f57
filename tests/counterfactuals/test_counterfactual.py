"""Counterfactuals of models whose answer depends on known parts of the picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import saliency
from tests.adapters import same_net
from tests.nets import LABELS, small_net

WHITE = np.ones((16, 16, 3), np.float32)
QUARTERS: dict[str, Any] = {"segments": "grid", "count": 4, "fill": "black", "progress": False}
"""The quarters 0 and 3 are the 8×8 patches that decide."""


def of_patches(rule: Any) -> Any:
    """Return a model of two classes: 1 where the rule holds for the first and the last patch being bright."""

    def model(images: np.ndarray) -> np.ndarray:
        on = rule(images[:, :8, :8].mean((1, 2, 3)) > 0.5, images[:, 8:, 8:].mean((1, 2, 3)) > 0.5)
        return np.stack([-2.0 + 4 * ~on, -2.0 + 4 * on], 1)

    return model


AND, OR, XOR = (of_patches(rule) for rule in (np.logical_and, np.logical_or, np.logical_xor))


@pytest.mark.parametrize(
    ("model", "kind", "expected"),
    [
        (AND, "remove", {(0,), (3,)}),
        (AND, "keep", {(0, 3)}),
        (OR, "remove", {(0, 3)}),
        (OR, "keep", {(0,), (3,)}),
        # the answer to both patches is 0: removing one changes it, removing both does not
        (XOR, "remove", {(0,), (3,)}),
        (XOR, "keep", {()}),
    ],
)
def test_all_answers_of_two_patches_are_found(model: Any, kind: str, expected: set[tuple[int, ...]]) -> None:
    """AND, OR and XOR of two patches have one or two smallest sets: all are given, with their proof."""
    found = saliency.counterfactual(model, WHITE, kind=kind, **QUARTERS)

    assert {found.segments, *found.others} == expected
    assert found.minimal
    assert found.smallest
    np.testing.assert_array_equal(found.mask, np.isin(found.segmentation, found.segments))


def test_probabilities_are_those_of_the_model() -> None:
    """`before` and `after` are what the model gives to the picture, and to it with the mask's pixels filled."""
    net, image = small_net(), np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    found = saliency.counterfactual(net, image, segments="grid", count=16, fill="white", progress=False)
    changed = np.where(found.mask[..., None], np.uint8(255), image)
    top, (now, *_) = saliency.predict(net, image)[0], saliency.predict(net, changed)

    assert found.before == pytest.approx(top.probability, abs=1e-6)
    assert found.label == top.label
    assert now.index != top.index
    assert found.after == pytest.approx(
        next(each.probability for each in saliency.predict(net, changed) if each.index == top.index), abs=1e-6
    )
    np.testing.assert_array_equal(found.changed, changed)
    assert found.holds_under["white"]
    assert set(found.holds_under) == {"black", "white", "grey", "mean", "blur", "noise"}


@pytest.mark.parametrize("kind", ["remove", "keep"])
@pytest.mark.parametrize("seed", [0, 1])
def test_brute_force_on_random_networks(seed: int, kind: str) -> None:
    """Of all 4,096 sets of 12 segments, none is smaller than the one found, and what is stated of it is so."""
    torch.manual_seed(seed)
    net = small_net()
    with torch.no_grad():
        for each in net.parameters():
            each.copy_(1.5 * each.abs().mean() * torch.randn_like(each))
    image = np.random.default_rng(seed).integers(0, 256, (24, 20, 3), np.uint8)
    found = saliency.counterfactual(net, image, kind=kind, segments="grid", count=12, fill="black", progress=False)

    chosen = (np.arange(2**12)[:, None] >> np.arange(12)) & 1 == 1
    replaced = torch.tensor(chosen[:, found.segmentation] ^ (kind == "keep"))[:, None]
    picture = torch.tensor(image / 255, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.no_grad():
        answers = net(torch.where(replaced, 0.0, picture)).argmax(1).numpy()
        before = int(net(picture).argmax())
    reached = (answers == before) == (kind == "keep")
    sizes = chosen.sum(1)
    mine = sum(1 << each for each in found.segments)

    assert reached[mine]
    assert len(found.segments) == sizes[reached].min()
    assert found.minimal
    assert not any(reached[mine ^ (1 << each)] for each in found.segments)


def test_every_id_of_a_label_map_is_a_segment() -> None:
    """Ids need not be consecutive, and 0 is one; pixels in no mask are never replaced."""
    ids = np.array([[0, 7], [9, 40]]).repeat(8, 0).repeat(8, 1)
    options: dict[str, Any] = {"fill": "black", "progress": False}

    assert saliency.counterfactual(AND, WHITE, segments=ids, **options).segments in ((0,), (40,))
    first, last = (ids == 0, ids == 40)
    found = saliency.counterfactual(OR, WHITE, segments=[np.zeros_like(first), first, last], **options)
    assert found.segments == (1, 2)
    assert (found.segmentation == -1).sum() == 128
    kept = saliency.counterfactual(AND, WHITE, kind="keep", segments=[last], **options)
    assert kept.segments == (0,)


def score(images: np.ndarray) -> np.ndarray:
    """A value: how many bright quarters there are."""
    return np.stack([images[:, i : i + 8, j : j + 8].mean((1, 2, 3)) for i in (0, 8) for j in (0, 8)]).sum(0)[:, None]


def test_a_value_reaches_a_number() -> None:
    """Of a value, and of a function as target, `to` is the number to reach."""
    value = saliency.counterfactual(score, WHITE, to=2.5, **QUARTERS)
    kept = saliency.counterfactual(score, WHITE, kind="keep", to=2.5, **QUARTERS)
    of_function = saliency.counterfactual(AND, WHITE, lambda outputs: outputs[:, 1] - outputs[:, 0], to=0, **QUARTERS)

    assert (value.before, value.after, len(value.segments)) == (4.0, 2.0, 2)
    assert len(value.others) == 5
    assert (kept.after, len(kept.segments)) == (3.0, 3)
    assert of_function.segments in ((0,), (3,))
    assert (of_function.before, of_function.after) == (4.0, -4.0)


def test_a_label_is_switched() -> None:
    """An independent label changes where its probability crosses 0.5, whatever the others are."""

    def labels(images: np.ndarray) -> np.ndarray:
        return 4 * images[:, [4, 12], [4, 12]].mean(-1) - 2

    found = saliency.counterfactual(labels, WHITE, 1, activation="sigmoid", **QUARTERS)
    dark = WHITE.copy()
    dark[8:, 8:] = 0
    on = saliency.counterfactual(labels, dark, 1, activation="sigmoid", **{**QUARTERS, "fill": "white"})

    assert (found.segments, on.segments) == ((3,), (3,))
    assert found.before > 0.5 > found.after
    assert on.before < 0.5 < on.after


def test_a_wanted_class_is_reached() -> None:
    """`to` gives the class that the answer changes to; what reaches another class does not count."""

    def three(images: np.ndarray) -> np.ndarray:
        first, second = images[:, 4, 4, 0], images[:, 12, 12, 0]
        return np.stack([first + second, 1.6 - first, 1.5 - second], 1)

    anything = saliency.counterfactual(three, WHITE, **QUARTERS)
    wanted = saliency.counterfactual(three, WHITE, to=2, labels=["a", "b", "c"], **QUARTERS)

    assert {anything.segments, *anything.others} == {(0,), (3,)}
    assert wanted.segments == (3,)
    assert wanted.answers[1].startswith("'c'")


def test_the_frameworks_agree() -> None:
    """The same network gives the same sets in torch, as a black box and in other frameworks."""
    image = np.random.default_rng(1).integers(0, 256, (24, 20, 3), np.uint8)
    options: dict[str, Any] = {"segments": "grid", "count": 12, "fill": "mean", "progress": False, "labels": LABELS}
    expected = saliency.counterfactual(small_net(), image, **options)
    box = saliency.counterfactual(same_net.onnx(same_net.weights()), image, **options)

    assert expected.segments == box.segments
    assert expected.after == pytest.approx(box.after, abs=1e-5)


@pytest.mark.parametrize("framework", ["tensorflow", "keras", "jax"])
def test_other_frameworks_agree(framework: str) -> None:
    """TensorFlow, Keras and JAX give torch's sets."""
    image = np.random.default_rng(1).integers(0, 256, (24, 20, 3), np.uint8)
    options: dict[str, Any] = {"segments": "grid", "count": 30, "fill": "mean", "progress": False}
    weights = same_net.weights()
    models: dict[str, Any] = {
        "tensorflow": lambda: same_net.tf_module(weights),
        "keras": lambda: same_net.keras(weights),
        "jax": lambda: (same_net.pure_jax, weights),
    }
    expected = saliency.counterfactual(small_net(), image, **options)
    found = saliency.counterfactual(models[framework](), image, **options)

    assert found.segments == expected.segments
    assert found.calls == expected.calls <= 100
    assert found.after == pytest.approx(expected.after, abs=1e-4)


def test_an_order_is_followed() -> None:
    """With a small budget, the set is the shortest beginning of the order that reaches the goal."""
    order = np.linspace(1, 0, 256).reshape(16, 16)
    found = saliency.counterfactual(
        OR, WHITE, segments="grid", count=64, fill="black", order=order, budget=12, progress=False
    )

    assert found.calls <= 12
    assert found.segments == tuple(range(len(found.segments)))
    assert not found.minimal
    assert "not proved" in str(found)


def test_the_sentence_names_the_change() -> None:
    """As text: size, share, fill, both answers, what is proved, other answers, other fills."""
    found = saliency.counterfactual(AND, WHITE, labels=["off", "on"], **QUARTERS)

    assert str(found).startswith(
        "Replacing 1 of 4 segments (25 % of the picture) by black changes the answer from 'on' (98 %) to 'off' (98 %), "
        "with 'on' at 2 %. No smaller set of segments does this. 1 other set of this size found."
    )
    assert f"{found.calls} images evaluated" in repr(found)
    found.plot()


def test_progress_is_reported_and_the_search_can_be_cancelled() -> None:
    """Progress counts images up to the budget; cancelling raises."""
    seen: list[tuple[int, int]] = []
    found = saliency.counterfactual(
        OR, WHITE, segments="grid", count=49, fill="black", progress=lambda done, total: seen.append((done, total))
    )

    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (found.calls - 1, 100)
    with pytest.raises(saliency.Cancelled):
        saliency.counterfactual(OR, WHITE, **QUARTERS, cancelled=lambda: True)


@pytest.mark.parametrize(
    ("model", "given", "error", "words"),
    [
        (AND, {"fill": "white"}, saliency.NotReached, "another answer than .* within .* images. The nearest, "),
        (AND, {"target": 0}, saliency.BadTarget, "answer to this picture is '1'.*to=0"),
        (AND, {"to": 1}, saliency.BadTarget, "is the model's answer to this picture already"),
        (AND, {"to": 5}, saliency.BadTarget, "5"),
        (AND, {"kind": "delete"}, saliency.UnknownName, "remove"),
        (AND, {"fill": "gray"}, saliency.UnknownName, "grey"),
        (AND, {"segments": np.zeros((4, 4), int)}, saliency.BadShape, r"\(16, 16\), got \(4, 4\)"),
        (AND, {"order": np.zeros((4, 4))}, saliency.BadShape, r"\(16, 16\), got \(4, 4\)"),
        (AND, {"budget": 1}, saliency.BadField, "budget"),
        (score, {}, saliency.BadArgument, "pass to="),
        (score, {"to": 4}, saliency.BadArgument, "already"),
        (score, {"to": -1}, saliency.NotReached, "-1 for 'value'"),
    ],
)
def test_bad_input_is_refused(model: Any, given: dict[str, Any], error: type[Exception], words: str) -> None:
    """What cannot be reached or does not fit is named, with what was expected."""
    with pytest.raises(error, match=words):
        saliency.counterfactual(model, WHITE, **{**QUARTERS, **given})


def test_kept_segments_are_found_where_leaving_one_out_changes_nothing() -> None:
    """Three of six cells are enough, and three are found in 100 images for 64 segments."""
    needed = torch.zeros(64)
    needed[[3, 18, 29, 40, 51, 62]] = 1

    class Cells(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            cells = torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4).flatten(1)
            score = (cells * needed).sum(1).clamp(max=4) - 2.5
            return torch.stack([-score, score], 1)

    cells = np.arange(64).reshape(8, 8).repeat(4, 0).repeat(4, 1)
    found = saliency.counterfactual(
        Cells(), np.ones((32, 32, 3), np.float32), kind="keep", segments=cells, fill="black", progress=False
    )

    assert len(found.segments) == 3
    assert found.minimal
    assert found.calls <= 100


def test_a_module_without_gradients_is_searched_like_a_function() -> None:
    """A module that detaches its input provides no gradients: what is removed or kept is that of the function."""

    class Detached(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(np.asarray(AND(x.detach().numpy().transpose(0, 2, 3, 1)), np.float32))

    for kind in ("remove", "keep"):
        options = {**QUARTERS, "count": 16, "kind": kind}
        found, wanted = (saliency.counterfactual(model, WHITE, **options) for model in (Detached(), AND))

        assert found.segments == wanted.segments
