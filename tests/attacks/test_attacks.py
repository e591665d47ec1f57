"""FGSM and PGD: hand-derived values, other implementations, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import saliency
from saliency.attacks.gradient import projected, random_in_ball
from tests.adapters import same_net
from tests.nets import picture, small_net

WEIGHTS = np.array([[1, -2, 0, 0.5], [0, 1, 1, -1], [-1, 0, 2, 1]], np.float32)
POINT = np.array([1, 0.5, -0.2, 0.3])
"""Golden values: a linear softmax on four numbers, of which the input's span from black to white is 4."""


def shift(values: Any) -> np.ndarray:
    """Return the model's input, -2 to 2, for a picture in 0-1."""
    return np.asarray(values) * 4 - 2


def linear() -> nn.Module:
    """Return the model z = W x."""
    layer = nn.Linear(4, 3, bias=False)
    layer.weight.data = torch.tensor(WEIGHTS)
    return nn.Sequential(nn.Flatten(), layer)


GOLDEN: dict[str, Any] = {"image": ((POINT + 2) / 4).reshape(1, 4, 1), "target": 0, "preprocess": shift}


def test_fgsm_of_a_linear_model() -> None:
    """All values change by ε against the class, whatever the signs of its logits."""
    found = saliency.attacks.fgsm(linear(), **GOLDEN, epsilon=0.1 / 4)

    np.testing.assert_allclose(4 * found.perturbation.ravel(), [-0.1, 0.1, 0.1, -0.1], atol=1e-7)
    np.testing.assert_allclose(found.fed.ravel(), POINT + np.array([-0.1, 0.1, 0.1, -0.1]), atol=1e-6)
    assert found.linf == pytest.approx(0.025)


def test_pgd_of_a_linear_model() -> None:
    """Seven steps of .1 end in the corner of the cube of radius .3, with p = .117076."""
    found = saliency.attacks.pgd(linear(), **GOLDEN, epsilon=0.3 / 4, step=0.1 / 4, steps=7, random_start=False)

    np.testing.assert_allclose(4 * found.perturbation.ravel(), [-0.3, 0.3, 0.3, -0.3], atol=1e-7)
    assert found.after == pytest.approx(0.117076, abs=1e-6)
    assert found.success


def test_the_smallest_epsilon_of_a_linear_model() -> None:
    """The answer changes at the margin divided by the L1 norm of the difference of the rows: .15 / 6.5."""
    found = saliency.attacks.minimal_strength(linear(), corruption="fgsm", **GOLDEN, tolerance=1e-6)

    assert found.strength is not None
    assert found.strength == pytest.approx(0.15 / 6.5 / 4, rel=1e-3)
    assert found.unchanged < 0.15 / 6.5 / 4 <= found.strength


def test_an_l2_step_has_the_gradient_s_direction() -> None:
    """One step of L2 norm ε ends at ε g / ‖g‖₂, where g is the gradient of the cross-entropy."""
    x = torch.tensor(POINT, dtype=torch.float32, requires_grad=True)
    loss = nn.functional.cross_entropy((torch.tensor(WEIGHTS) @ x)[None], torch.tensor([0]))
    (gradient,) = torch.autograd.grad(loss, x)
    found = saliency.attacks.pgd(linear(), **GOLDEN, epsilon=0.05, norm="l2", steps=1, step=1.0, random_start=False)

    np.testing.assert_allclose(found.perturbation.ravel(), 0.05 * (gradient / gradient.norm()).numpy(), atol=1e-6)
    assert found.l2 == pytest.approx(0.05)


def test_the_sign_does_not_depend_on_the_logits_sign() -> None:
    """With negative logits, where −log(output) has the wrong sign, the class loses probability nevertheless."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    net[1].weight.data, net[1].bias.data = torch.tensor(WEIGHTS), torch.tensor([-9.0, -8.7, -9.5])
    top = saliency.predict(net, GOLDEN["image"], preprocess=shift)[0]
    found = saliency.attacks.fgsm(net, GOLDEN["image"], preprocess=shift, epsilon=0.025)

    assert top.score < 0
    assert found.after < found.before


def test_a_confident_answer_still_has_a_direction() -> None:
    """Where p is 1 in float32, so that the gradient of the cross-entropy is rounded to zero, FGSM's is not."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    net[1].weight.data, net[1].bias.data = torch.tensor(WEIGHTS), torch.tensor([60.0, 0.0, -20.0])
    found = saliency.attacks.fgsm(net, GOLDEN["image"], preprocess=shift, epsilon=0.025)

    assert found.before == 1
    # against the second class, which is the nearest
    np.testing.assert_array_equal(np.sign(found.perturbation.ravel()), [-1, 1, 1, -1])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_pgd_stays_in_the_ball_the_picture_and_the_selection(norm: str) -> None:
    """The change has at most the radius, leaves 0–1 nowhere, and is zero outside of the selection."""
    selection = np.zeros((24, 20), bool)
    selection[4:12, 3:15] = True
    options: dict[str, Any] = {"norm": norm, "epsilon": {"linf": 0.3, "l2": 2.0}[norm], "selection": selection}
    found = saliency.attacks.pgd(small_net(), picture(), **options)

    assert found.after < found.before
    assert (found.linf if norm == "linf" else found.l2) <= options["epsilon"] + 1e-6
    assert found.changed.min() >= -1e-9
    assert found.changed.max() <= 1 + 1e-9
    assert not found.perturbation[~selection].any()
    assert found.perturbation[selection].any()


def test_a_random_start_is_uniform_in_the_ball() -> None:
    """In the L2 ball, half of the points are within the radius that holds half of the volume; L∞'s fill the cube."""
    free = np.ones((1, 1, 3, 1), bool)
    lengths = np.array([np.sqrt((random_in_ball(free, 2.0, "l2", seed) ** 2).sum()) for seed in range(4000)])
    cube = np.array([random_in_ball(free, 2.0, "linf", seed) for seed in range(4000)])

    assert lengths.max() <= 2
    assert (lengths < 2 * 0.5 ** (1 / 3)).mean() == pytest.approx(0.5, abs=0.03)
    assert cube.var() == pytest.approx(4 / 3, rel=0.05)


def test_projections() -> None:
    """The nearest point of the cube, and of the ball; points inside stay."""
    np.testing.assert_array_equal(projected(np.array([3.0, -0.5]), 1, "linf"), [1, -0.5])
    np.testing.assert_allclose(projected(np.array([3.0, 4.0]), 1, "l2"), [0.6, 0.8])
    np.testing.assert_array_equal(projected(np.array([0.3, 0.4]), 1, "l2"), [0.3, 0.4])


def test_a_targeted_attack_reaches_the_class() -> None:
    """With `to`, the class's probability rises until it is the answer."""
    net, image = small_net(), picture()
    wanted = saliency.predict(net, image)[-1]
    found = saliency.attacks.pgd(net, image, to=wanted.index, epsilon=1.0, steps=40)

    assert found.success
    assert found.answers[1].startswith(repr(wanted.label))


def test_the_input_is_what_the_model_gives_that_answer_to() -> None:
    """The changed input, given to the network itself, has the probability that is reported."""
    net = small_net()
    found = saliency.attacks.pgd(net, picture(), epsilon=0.2, preprocess="imagenet")
    with torch.no_grad():
        shares = net(torch.tensor(found.fed).permute(0, 3, 1, 2)).softmax(1)[0]
    scaled = (found.changed - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]

    np.testing.assert_allclose(found.fed[0], scaled, atol=1e-5)
    assert float(shares[int(found.label)]) == pytest.approx(found.after, abs=1e-6)


@pytest.mark.parametrize("framework", ["tensorflow", "keras", "jax"])
def test_other_frameworks_agree(framework: str) -> None:
    """PGD of TensorFlow, Keras and JAX gives torch's change."""
    weights = same_net.weights()
    models: dict[str, Any] = {
        "tensorflow": lambda: same_net.tf_module(weights),
        "keras": lambda: same_net.keras(weights),
        "jax": lambda: (same_net.pure_jax, weights),
    }
    options: dict[str, Any] = {"norm": "l2", "epsilon": 1.0, "steps": 3}
    expected = saliency.attacks.pgd(small_net(), picture(), **options)
    found = saliency.attacks.pgd(models[framework](), picture(), **options)

    np.testing.assert_allclose(found.perturbation, expected.perturbation, atol=1e-3 * expected.linf)
    assert found.after == pytest.approx(expected.after, abs=1e-4)


def test_captum_s_fgsm_agrees_on_probabilities() -> None:
    """Captum's FGSM, given probabilities as it needs, moves every value by the same amount."""
    robust = pytest.importorskip("captum.robust")
    net, image = small_net(), picture()
    x = torch.tensor(image / 255, dtype=torch.float32).permute(2, 0, 1)[None]
    top = saliency.predict(net, image)[0].index
    shares = nn.Sequential(net, nn.Softmax(1))
    attack = robust.FGSM(shares, lower_bound=0, upper_bound=1)
    theirs = attack.perturb(x.requires_grad_(), epsilon=0.03, target=top).detach() - x.detach()
    ours = saliency.attacks.fgsm(net, image, epsilon=0.03).perturbation
    moved = theirs[0].permute(1, 2, 0).numpy()
    # Captum leaves values with a gradient below 1e-6 as they are
    seen = moved != 0

    assert seen.mean() > 0.3
    np.testing.assert_allclose(ours[seen], moved[seen], atol=1e-6)


def test_foolbox_agrees() -> None:
    """Foolbox's PGD without a random start ends at the same picture, for both norms."""
    foolbox = pytest.importorskip("foolbox")
    net, image = small_net(), picture()
    x = torch.tensor(image / 255, dtype=torch.float32).permute(2, 0, 1)[None]
    top = torch.tensor([saliency.predict(net, image)[0].index])
    model = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    for norm, attack, epsilon in (
        ("linf", foolbox.attacks.LinfPGD, 0.05),
        ("l2", foolbox.attacks.L2PGD, 1.0),
    ):
        made = attack(abs_stepsize=epsilon / 4, steps=5, random_start=False)
        theirs = made.run(model, x, foolbox.criteria.Misclassification(top), epsilon=epsilon) - x
        ours = saliency.attacks.pgd(
            net, image, norm=norm, epsilon=epsilon, step=epsilon / 4, steps=5, random_start=False
        )
        moved = theirs[0].permute(1, 2, 0).numpy()

        assert (np.abs(ours.perturbation - moved) > 1e-3 * ours.linf).mean() < 0.005


def test_the_result_in_words_and_drawn() -> None:
    """The sentence has the attack, both answers, and the size of the change; the plot has three pictures."""
    found = saliency.attacks.fgsm(linear(), **GOLDEN, epsilon=0.3 / 4, labels=["a", "b", "c"])
    figure = found.plot()

    assert str(found).startswith("FGSM with ε = 0.075 changes the answer from 'a' (47 %) to 'b' (71 %)")
    assert len(figure.axes) == 3


def standardized(image: Any) -> np.ndarray:
    """A preprocess that depends on the picture."""
    values = np.asarray(image, np.float32)
    return (values - values.mean()) / max(values.std(), 1e-6)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"preprocess": standardized}, saliency.BadImage, "black and white to the same input"),
        ({"preprocess": lambda v: (np.asarray(v) / 255) ** 2.2}, saliency.BadImage, "not affine"),
        ({"image": np.random.default_rng(0).normal(size=(24, 20, 3))}, saliency.BadImage, "already normalized"),
        ({"selection": np.ones((3, 3))}, saliency.BadShape, r"\(24, 20\), got \(3, 3\)"),
        ({"selection": np.zeros((24, 20), bool)}, saliency.BadShape, "No pixel may change"),
        ({"epsilon": -1}, saliency.BadField, "epsilon"),
        ({"norm": "l1"}, saliency.UnknownName, "linf"),
        ({"steps": 0}, saliency.BadField, "steps"),
        ({"to": 77}, saliency.BadTarget, "77"),
        ({"model": lambda images: images.mean((1, 2))}, saliency.Unsupported, "gradients"),
    ],
)
def test_bad_input_is_refused(given: dict[str, Any], error: type[Exception], words: str) -> None:
    """What cannot be attacked is named, with what is needed."""
    with pytest.raises(error, match=words):
        saliency.attacks.pgd(**{"model": small_net(), "image": picture(), **given})


def test_a_gradient_that_vanishes_is_refused() -> None:
    """A model that does not depend on the selected pixels gives no direction."""

    class Left(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x[..., :5].mean((1, 2, 3)), 1 - x[..., :5].mean((1, 2, 3))], 1)

    right = np.zeros((24, 20), bool)
    right[:, 10:] = True
    with pytest.raises(saliency.NoGradient, match="zero at every pixel that may change"):
        saliency.attacks.fgsm(Left(), picture(), selection=right)
