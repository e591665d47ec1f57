from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

import saliency
from saliency import targets
from saliency.targets import ClassScore, are_probabilities, index_of, label_of, probabilities
from tests.nets import picture, small_net

LABELS = ["ape", "bee", "cat"]


def test_index_and_label_mean_the_same_class() -> None:
    """A class is named by index, by negative index, by NumPy integer, or by label."""
    for target in (1, -2, np.int64(1), "bee"):
        assert index_of(target, LABELS, 3) == 1


@pytest.mark.parametrize("target", [3, -4, 1000])
def test_an_index_beyond_the_classes_is_refused(target: int) -> None:
    """The error gives the number of classes."""
    with pytest.raises(saliency.BadTarget, match=rf"3 classes \(0 to 2\), got target {target}"):
        index_of(target, LABELS, 3)


def test_the_error_for_an_unknown_label_names_the_nearest() -> None:
    """The error for a misspelled label suggests the closest one."""
    with pytest.raises(saliency.UnknownName, match="Did you mean 'cat'"):
        index_of("cta", LABELS, 3)


def test_a_label_without_labels_is_refused() -> None:
    """If the model has no labels, the error suggests passing them."""
    with pytest.raises(saliency.BadTarget, match=r"pass labels"):
        index_of("cat", None, 3)


@pytest.mark.parametrize("target", [True, 1.5, [1], ...], ids=repr)
def test_invalid_targets_are_refused(target: object) -> None:
    """Booleans and fractions are no class indices."""
    with pytest.raises(saliency.BadTarget, match="A target is"):
        index_of(target, LABELS, 3)


def test_class_score_takes_its_column() -> None:
    """(N, classes) becomes (N,)."""
    assert ClassScore(2)(np.arange(6).reshape(2, 3)).tolist() == [2, 5]


def test_label_of_falls_back_to_the_number() -> None:
    """A class without a name is called by its number."""
    assert label_of(1, LABELS) == "bee"
    assert label_of(7, LABELS) == "7"
    assert label_of(1, None) == "1"


def test_probabilities_of_logits_are_a_softmax() -> None:
    """Logits become shares that sum to one, also where they are huge."""
    shares = probabilities(np.array([[1000.0, 1000.0, 0.0]]))

    np.testing.assert_allclose(shares, [[0.5, 0.5, 0]])


def test_probabilities_are_left_alone() -> None:
    """Outputs that sum to one already get no softmax."""
    outputs = np.array([[0.2, 0.3, 0.5]])

    assert are_probabilities(outputs)
    np.testing.assert_array_equal(probabilities(outputs), outputs)
    assert not are_probabilities(np.array([[0.2, 0.3, 0.6]]))
    assert not are_probabilities(np.array([[1.0]]))


def test_sigmoid_is_for_many_labels() -> None:
    """With activation="sigmoid" each class has a probability of its own."""
    np.testing.assert_allclose(probabilities(np.array([0.0, 1000.0, -1000.0]), "sigmoid"), [0.5, 1, 0])


def test_an_unknown_activation_is_refused() -> None:
    """The known ones are listed."""
    with pytest.raises(saliency.UnknownName, match="softmax"):
        probabilities(np.zeros((1, 3)), "sofmax")


class Scores:
    """A function that gives every image the same scores, and a little of its brightness."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = np.array(scores, np.float32)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.scores * images.mean((1, 2, 3))[:, None]


WHITE = np.ones((8, 8, 3), np.float32)


def explained(scores: list[float], target: Any, labels: Sequence[str] | None = None) -> Any:
    """Occlusion of a white picture."""
    return saliency.explain(
        Scores(scores), WHITE, saliency.Occlusion(size=8), target, labels=labels, progress=False, framework="numpy"
    )


def test_a_margin_is_a_difference_of_scores() -> None:
    """By index or by label; what it is called names both."""
    exp = explained([3, 5, 1], targets.margin("bee", "cat"), LABELS)

    assert exp.score == pytest.approx(4)
    assert exp.label == "bee against cat"
    assert explained([3, 5, 1], targets.margin(0, -1)).score == pytest.approx(2)
    with pytest.raises(saliency.BadTarget, match="3 classes"):
        explained([3, 5, 1], targets.margin(0, 7))


def test_a_contrast_weighs_the_nearest_classes_by_their_probability() -> None:
    """Against the best two others of four, by the formula."""
    z = np.array([3.0, 5, 1, 2])
    p = np.exp(z)
    exp = explained([3, 5, 1, 2], targets.contrast(1, k=2))

    assert exp.score == pytest.approx((p[0] * (z[1] - z[0]) + p[3] * (z[1] - z[3])) / (p[0] + p[3]), rel=1e-5)
    assert exp.label == "1 against 0, 3"
    with pytest.raises(saliency.BadTarget, match="second class"):
        explained([3], targets.contrast(0))


def test_both_classes_of_a_single_logit_mean_something() -> None:
    """Class 1 is the logit, class 0 the logit with its sign turned, and the notes say so."""
    one, zero, top = (explained([3], target, ["no", "yes"]) for target in ("yes", 0, None))

    assert (one.score, zero.score, top.score) == pytest.approx((3, -3, 3))
    assert (one.label, zero.label, top.label) == ("yes", "no", "yes")
    assert explained([-3], None, ["no", "yes"]).label == "no"
    assert "one output, explained as the logit z of class 1, −z of class 0" in zero.notes
    with pytest.raises(saliency.BadTarget, match="2 classes"):
        explained([3], 2, ["no", "yes"])


def test_a_regression_is_explained_as_it_is() -> None:
    """One output without labels is a value, also for target 0; targets.output selects it explicitly."""
    assert [explained([-3], target).score for target in (None, 0)] == pytest.approx([-3, -3])
    assert any(note.startswith("one output, explained as a value") for note in explained([-3], None).notes)
    with pytest.raises(saliency.BadTarget, match=r"its target is 0, got 1.*activation='sigmoid'"):
        explained([-3], 1)
    assert explained([-3, 2], targets.output(1)).label == "output 1"
    assert explained([-3], targets.output()).score == pytest.approx(-3)


def test_targets_of_scores_work_in_torch_through_a_softmax() -> None:
    """A margin is of the logits, where these can be reached, and has a gradient."""
    net = torch.nn.Sequential(small_net(), torch.nn.Softmax(-1)).eval()
    exp = saliency.explain(net, picture(), "gradient", targets.margin(1, 2), progress=False)
    one, two = saliency.explain(small_net(), picture(), "gradient", [1, 2], progress=False)

    np.testing.assert_allclose(exp.mask, one.mask - two.mask, atol=1e-6)


class Segmenting(torch.nn.Module):
    """A map of logits at half the size, in a mapping, as torchvision's are."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 2, 2)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.conv(x)}


def test_segmentation_is_explained_over_a_region() -> None:
    """The mean logit over a mask depends on the masked pixels alone."""
    mask = np.zeros((24, 20), bool)
    mask[:8, 4:10] = True
    exp = saliency.explain(Segmenting().eval(), picture(), "gradient", targets.mean_logit(mask, 2), progress=False)

    assert exp.target == "mean_of_the_region"
    np.testing.assert_array_equal(np.abs(exp.mask).sum(-1) > 0, mask)
    maps = np.random.default_rng(0).normal(size=(2, 12, 10, 4))
    np.testing.assert_allclose(targets.mean_logit(mask, 2)(maps), maps[:, :4, 2:5, 2].mean((1, 2)), rtol=1e-6)
    with pytest.raises(saliency.BadTarget, match="true somewhere"):
        targets.mean_logit(np.zeros((4, 4)), 0)
    with pytest.raises(saliency.BadTarget, match="no array of 4 axes"):
        targets.mean_logit(mask, 0)(np.zeros((1, 4)))


def test_similarity_is_the_cosine_to_an_embedding() -> None:
    """Of the embedding in whatever a model returns; the lengths must agree."""
    found, wanted = np.array([[1.0, 0], [3, 3]]), [0.0, 2]

    np.testing.assert_allclose(targets.similarity(wanted)({"image_embeds": found}), [0, np.sqrt(0.5)])
    exp = saliency.explain(small_net(), picture(), "gradient", targets.similarity(torch.ones(4)), progress=False)
    assert -1 <= exp.score <= 1
    with pytest.raises(saliency.BadTarget, match="2 numbers, yours has 3"):
        targets.similarity([1, 2, 3])(found)
    with pytest.raises(saliency.BadTarget, match="zero"):
        targets.similarity([0, 0])


@pytest.mark.parametrize("position", [None, (3, 4), (-1, 0)])
def test_a_unit_is_a_channel_of_a_layer(position: tuple[int, int] | None) -> None:
    """The mean of the channel's map, or one place of it: score and gradient are those of a plain hook."""
    net, kept = small_net(), []
    handle = net.block.register_forward_hook(lambda m, a, out: kept.append(out.clone()))
    image = torch.tensor(picture() / 255, dtype=torch.float32, requires_grad=True)
    net(image.permute(2, 0, 1)[None])
    handle.remove()
    plane = kept[0][0, 2]
    value = plane.mean() if position is None else plane[position]
    (expected,) = torch.autograd.grad(value, image)
    exp = saliency.explain(net, picture(), "gradient", targets.unit("block", 2, position), progress=False)

    np.testing.assert_allclose(exp.mask, expected.numpy(), atol=1e-7)
    assert exp.score == pytest.approx(value.item(), abs=1e-6)
    assert exp.label == "block channel 2" + ("" if position is None else f" at {position[0]}, {position[1]}")


def test_units_stand_beside_classes_and_layers() -> None:
    """They share a run with class scores, are occluded too, and Grad-CAM reads an earlier layer for them."""
    net, both = small_net(), [targets.unit("block", 2), 1]
    found = saliency.explain(net, picture(), "grad_cam", both, layer="norm", progress=False)
    alone = [saliency.explain(net, picture(), "grad_cam", one, layer="norm", progress=False) for one in both]

    for exp, expected in zip(found, alone, strict=True):
        np.testing.assert_allclose(exp.mask, expected.mask, atol=1e-7)
        assert exp.mask.any()
    head = saliency.explain(net, picture(), "occlusion", targets.unit("head", 1), size=8, stride=8, progress=False)
    same = saliency.explain(net, picture(), "occlusion", 1, size=8, stride=8, progress=False)
    np.testing.assert_allclose(head.mask, same.mask, atol=1e-6)


def test_the_automatic_layer_of_a_unit_is_its_own() -> None:
    """Grad-CAM there is the channel's own map, where it speaks for it."""
    net = small_net()
    exp = saliency.explain(net, picture(), "grad_cam", targets.unit("block", 2), progress=False)

    assert exp.layer == "block"
    assert exp.notes[-1] == "layer: block, the last with a spatial grid" or "zero everywhere" in exp.notes[-1]


@pytest.mark.parametrize(
    ("unit", "error", "message"),
    [
        (targets.unit("blok", 0), saliency.UnknownName, "Did you mean 'block'"),
        (targets.unit("block", 9), saliency.BadTarget, "6 channels, counted from 0, got channel 9"),
        (targets.unit("block", 0, (12, 0)), saliency.BadTarget, r"12×10 positions, got position \(12, 0\)"),
        (targets.unit("head", 0, (1,)), saliency.BadTarget, r"no positions, got position \(1,\)"),
    ],
    ids=["layer", "channel", "place", "vector"],
)
def test_a_unit_that_does_not_exist_is_refused(unit: targets.Unit, error: type[Exception], message: str) -> None:
    """The error lists the available layers, channels or positions."""
    with pytest.raises(error, match=message):
        saliency.explain(small_net(), picture(), "gradient", unit, progress=False)


def test_a_unit_needs_layers() -> None:
    """A model that shows none refuses with its own sentence; so does a target that is handed outputs."""
    with pytest.raises(saliency.Unsupported, match=r"unit as a target needs .*: a plain function offers only scores"):
        explained([3, 5], targets.unit("block", 0))
    with pytest.raises(
        saliency.Unsupported,
        match="block channel 0 is a unit inside the model and cannot be computed from the model's outputs",
    ):
        saliency.adapt(Scores([3, 5])).at([targets.unit("block", 0)]).scores(WHITE[None])


def test_imagenet_s_names_are_all_there_and_all_different() -> None:
    """1,000 of them in the usual order."""
    names = targets.imagenet_names()

    assert len(names) == len(set(names)) == 1000
    known = {0: "tench", 207: "golden retriever", 281: "tabby", 388: "giant panda", 817: "sports car", 954: "banana"}
    assert {index: names[index] for index in known} == known
    assert names[-1] == "toilet tissue"


def test_a_model_of_1000_classes_without_names_gets_imagenet_s() -> None:
    """They are shown, and work as targets; the notes say so. Labels of the user's own come first."""
    scores = np.zeros(1000)
    scores[281] = 1
    exp = explained(list(scores), "tabby")

    assert (exp.target, exp.label) == (281, "tabby")
    assert any("ImageNet's" in note for note in exp.notes)
    assert saliency.predict(Scores(list(scores)), WHITE, top=1)[0].label == "tabby"
    assert explained(list(scores), None, [f"class {i}" for i in range(1000)]).label == "class 281"
