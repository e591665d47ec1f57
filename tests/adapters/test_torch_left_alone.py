"""Explaining does not change torch modules, their modes, weights and other graphs."""

import copy
import gc
import threading
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import saliency
from saliency.adapters.torch.working_copy import WorkingCopy
from tests.nets import SmallNet, everything, picture, same, small_net

IMAGE = picture()


def explain(net: Any, method: Any = "gradient", target: Any = 1, **options: Any) -> Any:
    """Explain class 1 of the picture, without a bar."""
    return saliency.explain(net, IMAGE, method, target, **{"progress": False, **options})


class Uncopyable(SmallNet):
    """Keeps something that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = threading.Lock()


METHODS = [
    "gradient",
    "integrated_gradients",
    "grad_cam",
    "occlusion",
    "smooth_grad",
    "lrp",
    "deep_lift",
    "ablation_cam",
]
FEW = {"integrated_gradients": {"steps": 4}, "occlusion": {"size": 8, "stride": 8}, "smooth_grad": {"samples": 3}}


class TestTheModelIsLeftAsItWas:
    """Parameters, buffers, where they lie and how, modes, hooks, random state: after success, error and cancel."""

    @pytest.fixture(params=["copied", "uncopyable"])
    def net(self, request: pytest.FixtureRequest) -> nn.Module:
        torch.manual_seed(0)
        net = Uncopyable() if request.param == "uncopyable" else small_net()
        net.train()
        net.head.eval()
        net.stem.weight.requires_grad_(False)
        net.block.weight.grad = torch.ones_like(net.block.weight)
        net.block.weight.data = net.block.weight.data.to(memory_format=torch.channels_last)
        return net

    @pytest.mark.parametrize("method", METHODS)
    def test_after_success(self, net: nn.Module, method: str) -> None:
        """Every method leaves the model as it was."""
        before = everything(net)
        explain(net, method, **FEW.get(method, {}))

        assert same(everything(net), before)

    @pytest.mark.parametrize("method", METHODS)
    def test_after_an_error_inside_the_model(self, net: nn.Module, method: str) -> None:
        """An exception in the middle of a forward pass undoes everything on its way out."""

        def explode(*_: Any) -> None:
            raise ZeroDivisionError("boom")

        handle = net.head.register_forward_pre_hook(explode)  # type: ignore[union-attr]
        before = everything(net)
        with pytest.raises(ZeroDivisionError, match="boom"):
            explain(net, method, **FEW.get(method, {}))

        assert same(everything(net), before)
        handle.remove()

    def test_after_a_cancel(self, net: nn.Module) -> None:
        """A cancelled run leaves the model as it was."""
        before = everything(net)
        reported: list[int] = []
        with pytest.raises(saliency.Cancelled):
            explain(
                net,
                "smooth_grad",
                batch_size=2,
                progress=lambda done, _: reported.append(done),
                cancelled=lambda: len(reported) > 1,
            )

        assert same(everything(net), before)

    def test_it_is_explained_in_eval_mode(self, net: nn.Module) -> None:
        """A model in training mode gives the mask of the same model in eval mode, and a note says so."""
        exp = explain(net)

        assert any("training mode" in note for note in exp.notes)
        still = copy.deepcopy(net) if not isinstance(net, Uncopyable) else net
        np.testing.assert_allclose(explain(still.eval()).mask, exp.mask, atol=1e-7)


def test_a_training_cell_beside_is_not_disturbed() -> None:
    """While explanations run in a thread, a training loop stays in training mode and takes its steps."""
    net = small_net().train()
    optimiser = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9)
    stop, errors, made = threading.Event(), [], []

    def work() -> None:
        try:
            while not stop.is_set():
                made.append(explain(net, "grad_cam"))
                made.append(explain(net, "integrated_gradients", steps=4))
        except Exception as error:  # noqa: BLE001  # reported below, in the test's own thread
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    modes = set()
    images = torch.rand(4, 3, 16, 16)
    try:
        for _ in range(4000):
            optimiser.zero_grad()
            scores = net(images)
            modes |= {part.training for part in net.modules()}
            scores.square().sum().backward()
            optimiser.step()
            if len(made) >= 6 or errors:
                break
    finally:
        stop.set()
        worker.join()

    assert errors == []
    assert modes == {True}
    assert len(made) >= 6
    assert int(net.norm.num_batches_tracked or 0) > 0


def test_the_copy_follows_the_weights() -> None:
    """Weights written after adapting are used, and the version changes with them."""
    net = small_net()
    model = saliency.adapt(net)
    version, before = model.version, explain(model).mask
    with torch.no_grad():
        net.head.weight.mul_(2)

    assert model.version != version
    np.testing.assert_allclose(explain(model).mask, 2 * before, rtol=1e-5)


def test_the_weights_are_looked_at_once_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound model compares the user's module when it is bound, and not at each call; an unbound one at each call."""
    net = small_net()
    prepared = saliency.prepare(net, [IMAGE])
    looks: list[object] = []
    renew = WorkingCopy.renew

    def counted(working: WorkingCopy) -> bool:
        looks.append(working)
        return renew(working)

    monkeypatch.setattr(WorkingCopy, "renew", counted)

    bound = prepared.adapted.at([1])
    first = bound.outputs(prepared.images)
    assert bound.outputs(prepared.images).equal(first)
    assert len(looks) == 1
    net.head = nn.Linear(net.head.in_features, net.head.out_features)
    assert not prepared.adapted.at([1]).outputs(prepared.images).equal(first)
    looks.clear()
    prepared.adapted.outputs(prepared.images)
    assert len(looks) == 1


def test_an_explained_model_can_be_collected() -> None:
    """Nothing holds a model after its explanation."""
    net = small_net()
    explain(net, "grad_cam")
    seen = weakref.ref(net)
    del net
    gc.collect()

    assert seen() is None
