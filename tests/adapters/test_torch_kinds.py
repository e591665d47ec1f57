"""No explanation changes anything of a torch model, of whatever kind, or of the process around it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import saliency
from saliency.core.catalogue import METHODS
from tests.adapters.torch_kinds import KINDS, Lora, state_of
from tests.nets import few, picture, same, small_net

IMAGE = picture()
FAMILIES = {cls().family: name for name, cls in reversed(METHODS.items()) if cls().family != "attention"}


def run(model: Any, method: str, **options: Any) -> Any:
    """Explain, or None where the model lacks what the method needs."""
    quick = METHODS[method](**few(METHODS[method], IMAGE.shape))
    try:
        return saliency.explain(model, IMAGE, quick, 1, **{"progress": False, **options})
    except saliency.SaliencyError as error:
        if isinstance(error, saliency.Cancelled):
            raise
        return None


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    torch.manual_seed(3)
    yield
    torch._dynamo.reset()


def stop_at(call: int) -> Any:
    """A progress function that raises at the k-th call."""
    done: list[int] = []

    def progress(*_: Any) -> None:
        done.append(1)
        if len(done) >= call:
            raise ZeroDivisionError("stopped on purpose")

    return progress


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changes(kind: str) -> None:
    """After gradients, a CAM and a perturbation method, and after an error, everything is bit-identical."""
    model = KINDS[kind]()
    before = state_of(model)
    found = [run(model, method) for method in ("gradient", "grad_cam", "occlusion")]
    with pytest.raises(ZeroDivisionError):
        run(model, "occlusion", batch_size=2, progress=stop_at(2))

    assert same(state_of(model), before)
    assert any(each is not None for each in found)


@pytest.mark.long
@pytest.mark.parametrize("outcome", ["success", "error", "cancel", "interrupt"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changes_however_it_ends(kind: str, family: str, outcome: str) -> None:
    """A method of every family leaves everything bit-identical, whether it succeeds, fails or is stopped."""
    model, method = KINDS[kind](), FAMILIES[family]
    before = state_of(model)
    if outcome == "success":
        run(model, method)
    elif outcome == "interrupt":
        interrupted(lambda: run(model, method))
    else:
        done: list[int] = []
        stops: dict[str, Any] = {
            "error": {"progress": stop_at(2)},
            "cancel": {"progress": lambda *_: done.append(1), "cancelled": lambda: len(done) > 1},
        }
        with suppress(ZeroDivisionError, saliency.Cancelled):
            run(model, method, batch_size=1, **stops[outcome])

    assert same(state_of(model), before)


def interrupted(call: Any) -> None:
    """Press Ctrl-C once at a random moment of a call."""
    delay = float(np.random.default_rng().uniform(1e-4, 0.03))
    before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, delay)
    try:
        call()
        while signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.pause()  # the call was over sooner
    except KeyboardInterrupt:
        pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_low_rank_weights_are_not_merged() -> None:
    """A model with LoRA layers gives the same output again and again, and its weights are not written to."""
    net = KINDS["LoRA in training"]()
    weight = net.block.conv.weight.detach().clone()
    scores = [run(net, "gradient").score for _ in range(3)]

    assert scores == [scores[0]] * 3
    assert torch.equal(net.block.conv.weight, weight)
    assert any("train() and eval() of Lora are not called" in note for note in run(net, "gradient").notes)
    assert isinstance(net.block, Lora)
    np.testing.assert_allclose(run(net.eval(), "gradient").score, scores[0], rtol=1e-5)


def test_buffers_are_those_of_today() -> None:
    """A model adapted before training is explained with the batch-norm statistics that it has now."""
    net: Any = small_net()
    adapted = saliency.adapt(net)
    run(adapted, "gradient")
    net.norm.running_mean += 0.5

    assert run(adapted, "gradient").score == pytest.approx(run(net, "gradient").score, abs=1e-6)
    assert run(net, "gradient").score != pytest.approx(run(small_net(), "gradient").score, abs=1e-3)


@pytest.mark.parametrize("change", ["weight", "part", "attribute", "mode", "hook"])
def test_what_is_replaced_is_seen(change: str) -> None:
    """Weights, parts, attributes, modes and hooks that the user replaces or adds are those of the next run."""
    net: Any = nn.Sequential(nn.LeakyReLU(0.1), nn.Dropout(0.5), small_net()).eval()
    adapted = saliency.adapt(net)
    before = run(adapted, "gradient").score
    if change == "weight":
        net[2].head.weight.data = 2 * net[2].head.weight.data
    elif change == "part":
        net[0] = nn.Softplus()
    elif change == "attribute":
        net[0] = nn.LeakyReLU(0.1)
        net[0].negative_slope = -1.0
        net[2].head.bias.data.add_(1)
    elif change == "hook":
        net[2].register_forward_hook(lambda *call: 2 * call[2])
    else:
        net[1].train()

    assert run(adapted, "gradient").score != before


def test_dropout_that_was_left_on_stays_on() -> None:
    """In a model in eval mode each part keeps its mode; in one in training mode none is in training."""
    kept, all_off = KINDS["Monte Carlo dropout"](), KINDS["dropout"]()

    assert any("draws random numbers" in note for note in run(kept, "gradient").notes)
    assert not any("draws random numbers" in note for note in run(all_off, "gradient").notes)


def test_weights_are_not_copied() -> None:
    """Working on a model takes no second copy of its weights, only of its buffers."""
    net: Any = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    net.register_buffer("small", torch.zeros(4))
    net.register_buffer("large", torch.zeros(17 * 2**20))
    net.large.add_(0)
    adapted: Any = saliency.adapt(net.eval())
    working = adapted._working.module

    assert working[0].weight.data_ptr() == net[0].weight.data_ptr()
    assert working.large.data_ptr() == net.large.data_ptr()
    assert working.small.data_ptr() != net.small.data_ptr()
    assert any("each is above 64 MiB: large" in note for note in adapted.notes)


def test_lazy_modules_are_refused() -> None:
    """Weights that do not exist yet are named, with the line that makes them."""
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
    with pytest.raises(saliency.Unsupported, match=r"1\.weight.*Call it once: model\(torch\.zeros"):
        run_or_raise(net)


def run_or_raise(model: Any) -> Any:
    """Explain by the gradient."""
    return saliency.explain(model, IMAGE, "gradient", 1, progress=False)


def test_parts_that_cannot_be_copied_are_named() -> None:
    """A scripted part is switched in place for each call, and a note says so."""
    notes = run_or_raise(KINDS["scripted part"]()).notes

    assert any("RecursiveScriptModule cannot be copied: switched to eval mode" in note for note in notes)


def trained(methods: Sequence[str], every: int) -> list[torch.Tensor]:
    """Return the weights after 200 training steps, with an explanation before every n-th backward pass."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Dropout(0.2), small_net()).train()
    optimiser = torch.optim.SGD(net.parameters(), 1e-2, momentum=0.9)
    adapted = saliency.adapt(net)
    for step in range(200):
        optimiser.zero_grad()
        loss = net(torch.rand(4, 3, 24, 20)).square().sum()
        if methods and step % every == 0:
            run(adapted, methods[step // every % len(methods)])
        loss.backward()
        optimiser.step()
    return list(net.state_dict().values())


def test_training_beside_gives_the_same_weights() -> None:
    """A training loop of 200 steps ends at the same weights, to the last bit, with explanations between its steps."""
    assert all(map(torch.equal, trained(["gradient", "grad_cam"], 20), trained([], 1)))


@pytest.mark.long
def test_training_beside_every_family_gives_the_same_weights() -> None:
    """The same with a method of every family in turn, one at each step."""
    assert all(map(torch.equal, trained(list(FAMILIES.values()), 1), trained([], 1)))


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_weights_of_400_mb_are_not_copied(checkout: Path) -> None:
    """Adapting and explaining a model with 400 MB of weights takes less than a tenth of them."""
    code = """
import numpy as np, torch, saliency
from torch import nn
from tests.adapters.explained_200_times import resident
torch.set_num_threads(1)
ends = [nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(5), nn.Flatten(), nn.Linear(100, 10000), nn.Linear(10000, 10000)]
net = nn.Sequential(*ends).train()
image = np.zeros((16, 16, 3), np.float32)
saliency.explain(nn.Sequential(*ends[:4]), image, "occlusion", 1, size=8, progress=False)
before = resident()
exp = saliency.explain(net, image, "occlusion", 1, size=8, batch_size=1, progress=False)
print(resident() - before)
"""
    env = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=280
    )
    assert float(done.stdout) < 40
