from typing import Any

import numpy as np
import pytest
import torch

import saliency
from saliency.core.catalogue import METHODS
from saliency.core.evidence import INTERACTIVE, WAITED, automatic, evidence
from saliency.model.protocols import Differentiable, Inspectable, Layered, Model, Patchable
from tests.nets import LABELS, black_box, picture, small_net, uneven

IMAGE = picture()


@pytest.fixture(scope="module")
def net() -> torch.nn.Module:
    """The network that is explained."""
    return small_net()


def explain(net: Any, *args: Any, **options: Any) -> Any:
    """Explain the picture, without a bar."""
    return saliency.explain(net, IMAGE, *args, **{"progress": False, **options})


@pytest.mark.agreement
@pytest.mark.parametrize("method", [saliency.XRAI(steps=6), saliency.Lime(samples=60, features=8)], ids=repr)
@pytest.mark.parametrize("batch_size", [1, 5, "auto"])
def test_regions_do_not_depend_on_the_batch_size(method: saliency.Method, batch_size: Any) -> None:
    """Any batch size gives the same mask, also where a segmentation is made of the picture."""
    # in float64: XRAI's regions are a choice between near equals, which rounding must not decide
    wide = small_net().double()
    expected = explain(wide, method, batch_size=3).mask

    np.testing.assert_allclose(explain(wide, method, batch_size=batch_size).mask, expected, rtol=1e-6)


def test_a_run_is_counted(net: torch.nn.Module) -> None:
    """An explanation gives the calls, the images and the seconds that it took."""
    exp = explain(net, saliency.IntegratedGradients(steps=10), batch_size=4)

    assert (exp.calls, exp.images) == (3, 10)
    assert exp.seconds > 0


@pytest.mark.agreement
@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "grad_cam", "occlusion"])
def test_many_targets_are_each_its_own(net: torch.nn.Module, method: str) -> None:
    """A list of targets gives, in order, the explanation of each, and no more images are evaluated than for one."""
    alone = [explain(net, method, target, labels=LABELS) for target in (2, "ape")]
    together = explain(net, method, [2, "ape"], labels=LABELS)

    assert [each.label for each in together] == ["cat", "ape"]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.mask, other.mask, rtol=1e-3, atol=1e-5 * np.abs(other.mask).max())
        # nodes that Integrated Gradients adds are of a target
        assert one.images == other.images or method == "integrated_gradients"


LONGER: list[saliency.Method] = [
    saliency.SmoothGrad(samples=100),
    saliency.VarGrad(samples=100),
    saliency.IntegratedGradients(steps=100),
    saliency.BlurIG(max_sigma=4, steps=100),
    saliency.GuidedIG(steps=100, baseline=uneven(*IMAGE.shape)),
    saliency.XRAI(steps=100),
    saliency.Occlusion(size=6, stride=1),
    saliency.FeatureAblation(features=100),
    saliency.Rise(samples=150, cells=4),
    saliency.Lime(samples=150, features=8),
    saliency.KernelShap(samples=150, features=10),
    saliency.PartitionShap(samples=150, features=48),
    saliency.Hsic(samples=150, features=9),
    saliency.ShapleySampling(samples=20, features=8),
    saliency.Shapley(features=7),
    saliency.Sobol(samples=16, features=9),
]
"""Methods that stream, on runs of a hundred images or more."""


@pytest.mark.parametrize("method", LONGER, ids=lambda method: method.id)
def test_partial_results_come_and_end_at_the_answer(net: torch.nn.Module, method: saliency.Method) -> None:
    """On a run of 100 images at least five partial explanations come, and the last is nearer than the first."""
    shown: list[saliency.Explanation] = []
    # a measured batch size, and with it where partial results fall, hangs on how busy the machine is
    exp = explain(net, method, partial=shown.append, batch_size=3)
    errors = [float(np.abs(each.mask - exp.mask).mean()) for each in shown]

    assert 5 <= len(shown) <= 20
    assert errors[-1] < errors[0]
    assert all(each.mask.shape == exp.mask.shape for each in shown)


def test_auto_is_the_best_supported_method_of_interactive_cost(net: torch.nn.Module) -> None:
    """method="auto" is the highest on the leaderboard that the model supports at up to 64 images, with a note."""
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(IMAGE.size, 3)).eval()
    layered, scores, layerless = explain(net), explain(black_box(net)), explain(flat)
    standings = {
        name: each.standing
        for name, each in evidence().items()
        if each.cost in INTERACTIVE and each.network == "convolutional networks"
    }

    def best(*needs: object) -> str:
        return max((each for each in standings if METHODS[each]().needs in needs), key=standings.__getitem__)

    assert layered.method == best(Model, Differentiable, Inspectable, Layered, Patchable)
    assert scores.method == best(Model)
    assert layerless.method == best(Model, Differentiable)
    assert any("first on the leaderboard" in note for note in layered.notes)
    assert any("only scores" in note for note in scores.notes)
    assert layered.images <= WAITED
    assert scores.images <= WAITED


def test_auto_of_a_transformer_follows_standings_on_transformers() -> None:
    """The order of "auto" for a transformer is that of the standings on transformers, where there are some."""
    found, known = automatic(transformer=True), evidence()
    standings = [known[name].on_transformers for name in found]

    assert standings == sorted(filter(None, standings), reverse=True)
    assert {known[name].network for name in automatic(transformer=False)} == {"convolutional networks"}
    assert {known[name].cost for name in [*found, *automatic(transformer=False)]} <= set(INTERACTIVE)


def test_the_top_class_is_explained_unless_another_is_named(net: torch.nn.Module) -> None:
    """target=None is the argmax, and the notes say so."""
    best = saliency.predict(net, IMAGE)[0].index
    exp = explain(net, "gradient")

    assert exp.target == best
    assert "target: the top class" in exp.notes
    np.testing.assert_array_equal(exp.mask, explain(net, "gradient", best).mask)


def test_a_callable_target_is_handed_the_model_s_outputs(net: torch.nn.Module) -> None:
    """A margin between two classes has the difference of their gradients."""

    def margin(outputs: torch.Tensor) -> torch.Tensor:
        return outputs[:, 0] - outputs[:, 1]

    exp, first, second = explain(net, "gradient", [margin, 0, 1])

    assert exp.label == "margin"
    np.testing.assert_allclose(exp.mask, first.mask - second.mask, atol=1e-6)


def test_gap_is_the_completeness_error(net: torch.nn.Module) -> None:
    """For Integrated Gradients the gap is sum(mask) - (score - baseline score), and falls with the steps."""
    few, many = (explain(net, "integrated_gradients", steps=steps) for steps in (4, 200))

    for exp in (few, many):
        assert exp.gap == pytest.approx(exp.mask.sum() - (exp.score - exp.baseline_score), abs=1e-5)
    assert abs(many.gap) < 0.2 * abs(few.gap)
    assert explain(net, "gradient").gap is None


def test_several_baselines_are_averaged(net: torch.nn.Module) -> None:
    """The mask of two baselines is the mean of the masks of each."""
    both = explain(net, "integrated_gradients", baseline=["black", "white"])
    each = [explain(net, "integrated_gradients", baseline=name) for name in ("black", "white")]

    np.testing.assert_allclose(both.mask, (each[0].mask + each[1].mask) / 2, atol=1e-6)
    assert both.baseline_score == pytest.approx((each[0].baseline_score + each[1].baseline_score) / 2)


def test_a_baseline_may_be_a_tensor(net: torch.nn.Module) -> None:
    """Of torch channels first, as its images are, alone or several, with a gradient or without."""
    arrays = np.random.default_rng(4).uniform(size=(2, *np.shape(IMAGE)[:2], 3)).astype(np.float32)
    tensors = torch.tensor(arrays).permute(0, 3, 1, 2).requires_grad_()
    expected = explain(net, "integrated_gradients", baseline=list(arrays)).mask

    for baseline in (tensors, list(tensors), [tensors[:1], tensors[1]]):
        # the measured batch size may differ, and with it the last bits
        np.testing.assert_allclose(explain(net, "integrated_gradients", baseline=baseline).mask, expected, atol=1e-8)
    method = saliency.IntegratedGradients(baseline=tensors)
    same = explain(net, method.but(baseline=arrays)).mask
    np.testing.assert_allclose(explain(net, method).mask, same, atol=1e-8)
    assert method.key() == method.but(baseline=arrays).key() != method.but(baseline=tensors + 1e-3).key()


def test_named_baselines_are_made_in_picture_space(net: torch.nn.Module) -> None:
    """After a preprocessing that normalises, "black" is what that makes of a black picture."""

    def normalise(image: np.ndarray) -> np.ndarray:
        return (image.astype(np.float32) / 255 - 0.5) / 0.25

    named = explain(net, "integrated_gradients", preprocess=normalise, baseline="black")
    numbered = explain(net, "integrated_gradients", preprocess=normalise, baseline=-2.0)

    np.testing.assert_allclose(named.mask, numbered.mask, atol=1e-6)


def test_a_field_reaches_the_method_inside(net: torch.nn.Module) -> None:
    """SmoothGrad of Grad-CAM takes layer=."""
    exp = explain(net, saliency.SmoothGrad(saliency.GradCam(), samples=2), layer="norm")

    assert exp.layer == "norm"
    assert exp.caption == "SmoothGrad(method=GradCam(layer='norm'), samples=2)"


@pytest.mark.parametrize(
    ("args", "options", "error", "message"),
    [
        (("xray",), {}, saliency.UnknownName, "Did you mean 'xrai'"),
        (("gradient",), {"setps": 3}, saliency.UnknownName, "field of gradient 'setps'"),
        (("integrated_gradients",), {"setps": 3}, saliency.UnknownName, "Did you mean 'steps'"),
        (("gradient",), {"baseline": "black"}, saliency.UnknownName, "field of gradient 'baseline'"),
        (("gradient", 4), {}, saliency.BadTarget, r"4 classes \(0 to 3\), got target 4"),
        (("gradient", "cow"), {}, saliency.BadTarget, "pass labels"),
        (("gradient", "dgo"), {"labels": LABELS}, saliency.UnknownName, "Did you mean 'dog'"),
        (("grad_cam",), {"layer": "blok"}, saliency.UnknownName, "Did you mean 'block'"),
        (("integrated_gradients",), {"baseline": np.zeros((3, 3))}, saliency.BadShape, r"\(24, 20, 3\), got \(3, 3\)"),
        (("integrated_gradients",), {"steps": 0}, saliency.BadField, "1 to 10000, got 0"),
        (("gradient",), {"batch_size": 0}, saliency.BadField, "batch_size"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_invalid_arguments_are_refused(net: torch.nn.Module, args: Any, options: Any, error: Any, message: str) -> None:
    """Bad input gets an error that names what was expected, what came and the way out."""
    with pytest.raises(error, match=message):
        explain(net, *args, **options)


def test_all_errors_have_their_base_and_their_built_in() -> None:
    """Every error can be caught as SaliencyError, and as the built-in that fits."""
    errors = [getattr(saliency, name) for name in saliency.__all__]
    errors = [each for each in errors if isinstance(each, type) and issubclass(each, Exception)]

    assert len(errors) >= 10
    for error in errors:
        assert issubclass(error, saliency.SaliencyError)
        built_in = (ValueError, TypeError, RuntimeError, ImportError)
        assert issubclass(error, built_in) or error is saliency.SaliencyError


def test_cancel_leaves_a_clear_error(net: torch.nn.Module) -> None:
    """A cancelled explanation raises Cancelled after the current batch."""
    reported: list[int] = []
    with pytest.raises(saliency.Cancelled):
        explain(
            net,
            "smooth_grad",
            batch_size=5,
            progress=lambda done, total: reported.append(done),
            cancelled=lambda: len(reported) == 2,
        )

    assert reported == [5, 10]


def test_progress_is_one_bar(net: torch.nn.Module, capsys: pytest.CaptureFixture[str]) -> None:
    """By default one bar is shown, over all stages; with progress=False nothing is."""
    explain(net, "xrai", steps=4, progress=True)
    shown = capsys.readouterr().err
    explain(net, "xrai", steps=4)

    assert "XRAI" in shown
    assert "/8" in shown
    assert capsys.readouterr().err == ""


def test_predict_gives_the_top_classes(net: torch.nn.Module) -> None:
    """The best come first, with labels, and probabilities that sum to one over all classes."""
    found = saliency.predict(net, IMAGE, labels=LABELS)
    scores = black_box(net)(IMAGE[None].astype(np.float32) / 255)[0]

    assert [each.index for each in found] == np.argsort(-scores).tolist()
    assert [each.label for each in found] == [LABELS[each.index] for each in found]
    assert sum(each.shown for each in found) == pytest.approx(1)
    assert len(saliency.predict(net, IMAGE, top=2)) == 2
    assert found[0].score == pytest.approx(scores.max(), rel=1e-5)


def test_methods_lists_what_there_is() -> None:
    """The table has each method once, and reads as one."""
    table = saliency.methods()

    assert [each.id for each in table] == list(METHODS)
    assert repr(table).splitlines()[0].split() == ["id", "class", "needs", "images", "evaluated", "standing", "paper"]
    assert len(repr(table).splitlines()) == len(METHODS) + 1


def test_a_black_box_is_refused_what_it_cannot_answer(net: torch.nn.Module) -> None:
    """A plain function is explained by methods that need scores; others refuse at once.

    The function is batches one image at most, to know whose arrays it takes.
    """
    batches: list[int] = []

    def function(images: np.ndarray) -> np.ndarray:
        batches.append(len(images))
        return np.asarray(black_box(net)(images))

    scored = [name for name, cls in METHODS.items() if cls().needs is Model]
    for name, cls in METHODS.items():
        if name in scored:
            continue
        with pytest.raises(saliency.Unsupported, match=rf"only scores.*explained by {', '.join(scored)}\."):
            explain(function, cls)
    assert set(batches) <= {1}


def test_a_seed_repeats_and_another_differs(net: torch.nn.Module) -> None:
    """Noise comes from the seed alone, not from any global generator."""
    first = explain(net, "smooth_grad", samples=3, seed=1).mask
    np.random.seed(99)  # noqa: NPY002  # the very thing that must not matter
    torch.manual_seed(99)

    np.testing.assert_array_equal(explain(net, "smooth_grad", samples=3, seed=1).mask, first)
    assert not np.array_equal(explain(net, "smooth_grad", samples=3, seed=2).mask, first)


@pytest.mark.parametrize("model", [None, 3, "resnet", dict], ids=str)
def test_values_that_are_no_model_are_refused(model: Any) -> None:
    """The error lists the accepted kinds of models."""
    with pytest.raises(saliency.Unsupported, match="Expected a model"):
        explain(model)
