"""The tables of docs/migrating.md for Captum and CAM libraries are correct.

For DeepExplain see tests/deepexplain, for PAIR tests/pair.
"""

from __future__ import annotations

import copy
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import saliency
from tests.frameworks import lazy

captum, attr = lazy("captum"), lazy("captum.attr")
pytestmark = pytest.mark.needs("captum")

PAGE = Path(__file__).resolve().parents[2] / "docs/migrating.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("# Coming from Captum")[2].partition("\n# ")[0]
ROWS, UNITS, ATTACKS, CONCEPTS, TRAINING = (
    re.findall(r"^\| `(.+?)` \| `(.+?)` \|(.*)\|$", part, re.MULTILINE)
    for part in re.split(
        "Layers and neurons; the position|Attacks and corruptions; `p`|Concepts; `folder`|Training images; `Index`",
        SECTION,
    )
)


class Net(nn.Module):
    """A network for which Captum is correct: it errs for max-pooling directly after ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act, self.pool = nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        self.last = nn.Conv2d(5, 5, 3, padding=1)
        self.head = nn.Linear(5 * 6 * 5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.last(self.act(self.conv(x)))).flatten(1))


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Return the names that the table uses: Captum's and ours."""
    torch.manual_seed(0)
    net = Net().double().eval()
    x, b = (torch.rand(1, 3, 12, 10, dtype=torch.float64, requires_grad=True) for _ in range(2))
    several = torch.rand(4, 3, 12, 10, dtype=torch.float64)
    mask = torch.arange(12)[:, None] // 6 * 2 + torch.arange(10) // 5
    given = {"net": net, "x": x, "b": b, "several": several, "mask": mask}
    ours = {"explain": saliency.explain, "saliency": saliency, **given}
    return {name: getattr(attr, name) for name in attr.__all__} | ours


def test_every_row_is_read() -> None:
    """The test reads every row of the table."""
    read = sum(map(len, (ROWS, UNITS, ATTACKS, CONCEPTS, TRAINING)))
    assert read == len(re.findall(r"^\| `", SECTION, re.MULTILINE))
    assert len(ROWS) >= 13


def test_every_class_of_layers_and_neurons_has_a_row() -> None:
    """Each Layer… and Neuron… class of Captum is in the table of layers."""
    section = SECTION.partition("Layers and neurons; the position")[2].partition("Intended differences")[0]
    classes = [
        name for name in attr.__all__ if re.match("Layer|Neuron|InternalInf", name) and "Attribution" not in name
    ]

    assert len(classes) > 15
    assert [name for name in classes if not re.search(rf"`{name}\b", section)] == []


@pytest.mark.agreement
@pytest.mark.parametrize(("theirs", "ours", "otherwise"), UNITS, ids=[theirs for theirs, _, _ in UNITS])
def test_a_row_of_layers_holds(names: dict[str, Any], theirs: str, ours: str, otherwise: str) -> None:
    """Both sides run, and give the same numbers unless the row gives a reason."""

    def to(x: torch.Tensor) -> torch.Tensor:
        return x.detach().permute(0, 2, 3, 1)

    more: dict[str, Any] = {"torch": torch, "to": to, "unit": saliency.targets.unit}
    more["channels"] = torch.arange(5)[None, :, None, None]
    found = np.asarray(eval(ours, {**names, **more}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum warns of its hooks
        made = eval(theirs, {**names, **more})
    expected = (made[0] if isinstance(made, tuple) else made).detach()[0].permute(1, 2, 0).numpy()
    expected = expected[..., : found.shape[-1]]

    if "resized" not in otherwise:
        assert found.shape == expected.shape
    if "≠" not in otherwise:
        share = 0.01 if "≈" in otherwise else 1e-5
        np.testing.assert_allclose(found, expected, rtol=0, atol=share * np.abs(expected).max())


@pytest.mark.agreement
@pytest.mark.parametrize(("theirs", "ours", "otherwise"), ROWS, ids=[ours for _, ours, _ in ROWS])
def test_a_row_holds(names: dict[str, Any], theirs: str, ours: str, otherwise: str) -> None:
    """Both sides run, and give the same numbers unless the row gives a reason."""
    found = eval(ours, names).mask
    assert found.shape in ((12, 10, 3), (12, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum warns of its hooks
        expected = eval(theirs, names).detach()[0].permute(1, 2, 0).numpy()
    expected = expected if found.ndim == 3 else expected[:, :, 0]

    assert found.shape == expected.shape
    if "≠" not in otherwise:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(("theirs", "ours", "otherwise"), ATTACKS, ids=[ours for _, ours, _ in ATTACKS])
def test_a_row_of_attacks_holds(names: dict[str, Any], theirs: str, ours: str, otherwise: str) -> None:
    """Both sides run, and change the same values, or find the same strength, unless the row gives a reason."""
    robust, net, x = lazy("captum.robust"), names["net"], names["x"]
    classes = {name: getattr(robust, name) for name in ("FGSM", "PGD", "MinParamPerturbation", "AttackComparator")}
    there = {**names, **classes, "p": nn.Sequential(net, nn.Softmax(1)), "t": int(net(x).argmax())}
    found = eval(ours, there)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum sets gradients of x
        expected = eval(theirs, there)
    if "≠" in otherwise:
        return
    if not isinstance(found, np.ndarray):
        assert expected is not None
        assert found == pytest.approx(expected, abs=0.01)
        return
    moved = expected.detach()[0].permute(1, 2, 0).numpy()
    assert (moved != 0).mean() > 0.9
    # float32 may turn the sign of a gradient near zero
    assert np.isclose(found, moved, atol=1e-5)[moved != 0].mean() > 0.99


def test_every_class_of_training_images_has_a_row() -> None:
    """Each estimator of Captum is in the table of training images, or is named below it."""
    section = SECTION.partition("Training images; `Index`")[2].partition("Intended differences")[0]
    classes = [name for name in lazy("captum.influence").__all__ if not re.search("Base|DataInf", name)]

    assert [name for name in classes if not re.search(rf"`{name}\b", section)] == []


@pytest.fixture(scope="module")
def with_training(names: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the names that the table of training images uses."""
    theirs, folder, net = lazy("captum.influence"), tmp_path_factory.mktemp("training"), names["net"]
    draw = torch.Generator().manual_seed(1)
    train = [(torch.rand(3, 12, 10, dtype=torch.float64, generator=draw), i % 4) for i in range(8)]
    paths = [str(folder / f"{i}.pt") for i in range(2)]
    for i, path in enumerate(paths):
        torch.save({name: each * (1 + 0.1 * i) for name, each in net.state_dict().items()}, path)
    classes = {name: getattr(theirs, name) for name in theirs.__all__}
    ours = {"Index": partial(saliency.influence.Index, progress=False), "np": np, "torch": torch}
    losses = {"ce": nn.CrossEntropyLoss(reduction="none"), "total": nn.CrossEntropyLoss(reduction="sum")}
    given = {"train": train, "paths": paths, "t": torch.tensor([1]), "folder": str(folder)}
    return {**names, **classes, **ours, **losses, **given}


@pytest.mark.agreement
@pytest.mark.parametrize(("theirs", "ours", "otherwise"), TRAINING, ids=[theirs for theirs, _, _ in TRAINING])
def test_a_row_of_training_images_holds(with_training: dict[str, Any], theirs: str, ours: str, otherwise: str) -> None:
    """Both sides run, and give the same scores unless the row gives a reason."""
    found = np.asarray(eval(ours, with_training))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Captum warns of its batch size
        expected = eval(theirs, with_training).detach().numpy()

    assert found.shape == expected.shape
    if "≠" not in otherwise:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_tuple_of_inputs_is_a_list() -> None:
    """Two inputs of different ranks, each with its baseline, have the attributions of Captum's tuple."""

    class Two(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.tanh(x).sum((1, 2, 3))[:, None] * torch.sigmoid(y)

    x, y = (torch.rand(*shape, requires_grad=True) for shape in ((1, 3, 4, 5), (1, 2)))
    net = Two().eval()
    expected = attr.IntegratedGradients(net).attribute((x, y), (0.5, 0.0), target=1, n_steps=8)

    found = saliency.explain(
        net, [x, y], saliency.IntegratedGradients(steps=8, quadrature="gauss_legendre"), 1, baseline=[0.5, 0.0]
    )

    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.mask, theirs.detach()[0], atol=1e-5)


def test_the_code_runs(names: dict[str, Any]) -> None:
    """The section's code runs, and gives a mask and a small completeness error."""
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    there = {"model": names["net"], "image": names["x"]}
    exec(code, there)

    exp: Any = there["exp"]
    assert exp.mask.shape == (12, 10, 3)
    assert abs(exp.gap) < 1e-3


CAMS = re.findall(
    r"^\| `.+?` \| `(.+?)` \|.*\|$",
    PAGE.read_text(encoding="utf-8").partition("# Coming from torch-cam")[2],
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def with_cams(names: dict[str, Any]) -> dict[str, Any]:
    """Return the names that the table for torch-cam and pytorch-grad-cam uses."""
    images, targets = names["several"].float()[:2], [1, 2]
    exp = saliency.explain(names["net"], names["x"], "grad_cam", 1, layer="pool", progress=False)
    mask = np.ones((4, 4), bool)
    return {**names, "images": images, "targets": targets, "exp": exp, "np": np, "mask": mask}


@pytest.mark.parametrize("ours", CAMS)
def test_a_row_for_cam_libraries_runs(with_cams: dict[str, Any], ours: str) -> None:
    """The right side gives a map of the image's size, one map for each image, an overlay, or a target."""
    found = eval(ours, with_cams)
    if isinstance(found, saliency.Explanation):
        assert found.mask.shape == (12, 10)
    elif isinstance(found, list):
        assert [each.mask.shape for each in found] == [(12, 10)] * 2
    elif isinstance(found, np.ndarray):
        assert found.shape in ((12, 10), (12, 10, 3))
    else:
        assert callable(found)


@pytest.mark.parametrize("method", ["grad_cam", "hires_cam", "xgrad_cam", "layer_cam"])
def test_maps_are_those_of_cam_libraries(names: dict[str, Any], method: str) -> None:
    """Maps equal the formulas of the papers at a hooked layer, resized by torch's bilinear interpolation."""
    net, kept = names["net"], list[torch.Tensor]()
    handle = net.pool.register_forward_hook(lambda _module, _args, out: kept.append(out))
    scores = net(names["x"])[0]
    handle.remove()
    for target, score in enumerate(scores):
        activations, (gradient,) = kept[0], torch.autograd.grad(score, kept[0], retain_graph=True)
        product = gradient * activations
        weights = {
            "grad_cam": gradient.mean((2, 3), keepdim=True),
            "hires_cam": gradient,
            "xgrad_cam": product.sum((2, 3), keepdim=True) / activations.sum((2, 3), keepdim=True),
            "layer_cam": gradient.relu(),
        }[method]
        cam = (weights * activations).sum(1, keepdim=True).relu()
        resized = nn.functional.interpolate(cam, (12, 10), mode="bilinear", align_corners=False)
        expected = resized[0, 0].detach().numpy()
        fields: dict[str, Any] = {"relu": True} if method == "hires_cam" else {}
        found = saliency.explain(net, names["x"], method, target, layer="pool", progress=False, **fields).mask

        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(expected.max(), 1e-3))


@pytest.mark.agreement
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("theirs", "ours", "otherwise"), CONCEPTS, ids=[ours for _, ours, _ in CONCEPTS])
def test_a_row_of_concepts_holds(names: dict[str, Any], tmp_path: Path, theirs: str, ours: str, otherwise: str) -> None:
    """Both sides run; a score is a share of the images, and a direction is the same."""
    from captum.concept import TCAV, Concept
    from captum.concept._utils.classifier import DefaultClassifier
    from torch.utils.data import DataLoader, TensorDataset

    random = np.random.default_rng(0)
    torch.manual_seed(0)
    images = torch.tensor(random.random((230, 3, 12, 10))).float()  # Captum's classifier is of float32
    folder, pool = 0.5 * images[:12] + 0.5, images[12:]
    one, other = (random.normal((side, 0, 0), 0.1, (40, 3)) for side in (1, -1))

    def dataset_to_dataloader(given: torch.Tensor) -> Any:
        return DataLoader(list(given), 6)  # type: ignore[arg-type]

    def direction(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        made = DefaultClassifier()
        rows = torch.tensor(np.concatenate([one, other])).float()
        data = TensorDataset(rows, torch.tensor([0] * len(one) + [1] * len(other)))
        made.train_and_eval(DataLoader(data, 40, shuffle=True))
        weights = made.weights()[0]
        return np.asarray(weights / weights.norm())

    def tcav(net: Any, layers: list[str]) -> Any:
        return TCAV(net, layers, save_path=str(tmp_path))

    concepts = [Concept(i, name, dataset_to_dataloader(each)) for i, (name, each) in
                enumerate({"bright": folder, "dark": 0.5 * pool[:12]}.items())]  # fmt: skip
    x = images[:3].clone().requires_grad_()
    net = copy.deepcopy(names["net"]).float()
    given = {**names, "net": net, "folder": folder, "pool": pool, "one": one, "other": other, "direction": direction,
             "x": x, "TCAV": tcav, "Concept": Concept, "dataset_to_dataloader": dataset_to_dataloader,
             "bright": concepts[0], "dark": concepts[1]}  # fmt: skip
    found, expected = eval(ours, {**given, "x": x.detach()}), eval(theirs, given)

    if "≈" in otherwise:
        np.testing.assert_allclose(found, expected, atol=0.15)
    elif isinstance(found, saliency.Features):
        assert found.values.shape == (12, 5)
    else:
        assert 0 <= found <= 1
        assert 0 <= float(expected[0]) <= 1
