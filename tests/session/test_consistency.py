"""Models whose outputs for an image are not its own: they depend on the rest of the batch, or on chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import saliency
from saliency.session.consistency import size_for
from tests.nets import CLASSES, picture, small_net

IMAGE = picture()


class Changed(nn.Module):
    """A small net whose input or output goes through a function."""

    def __init__(self, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.net, self.before, self.after = small_net(), before, after

    def forward(self, x: Tensor) -> Any:
        out = self.net(x if self.before is None else self.before(x))
        return out if self.after is None else self.after(out)


def norm_in_training() -> nn.Module:
    """In eval mode, but for its batch norm."""
    net = small_net()
    net.norm.train()
    return net


def attending(x: Tensor) -> Tensor:
    """Every image a mixture of all in the batch."""
    rows = x.flatten(1)
    return (torch.softmax(rows @ rows.T / rows.shape[1], 1) @ rows).view_as(x)


DEPENDENT: dict[str, Callable[[], Any]] = {
    "batch norm": norm_in_training,
    "mean of the batch": lambda: Changed(lambda x: x - x.mean()).eval(),
    "attention": lambda: Changed(attending).eval(),
    "scores less their mean": lambda: Changed(after=lambda out: out - out.mean(0) + out.sum(1, keepdim=True)).eval(),
}


def explained(net: Any, method: str = "occlusion", **options: Any) -> Any:
    """Without a bar."""
    fields = {"size": 8, "stride": 8} if method == "occlusion" else {}
    return saliency.explain(net, IMAGE, method, 1, progress=False, **{**fields, **options})


@pytest.mark.parametrize("kind", DEPENDENT)
def test_batch_dependence_is_noted_and_mended(kind: str) -> None:
    """Images are evaluated one at a time for any batch size, and a note reports it."""
    exp = explained(DEPENDENT[kind](), batch_size=8)
    net, fed = DEPENDENT[kind](), IMAGE.astype(np.float32) / 255
    with torch.no_grad():
        alone = float(net(torch.from_numpy(fed.transpose(2, 0, 1)[None]))[0, 1])
        hidden = fed.copy()
        hidden[:8, :8] = 0
        less = float(net(torch.from_numpy(hidden.transpose(2, 0, 1)[None].copy()))[0, 1])

    assert any("depend on the rest of the batch" in note for note in exp.notes)
    assert exp.calls == exp.images
    assert exp.score == pytest.approx(alone, rel=1e-4)
    assert exp.mask[0, 0] == pytest.approx(alone - less, rel=1e-2, abs=1e-4)


def test_the_batch_size_is_one_where_images_depend_on_each_other() -> None:
    """The size that is given holds for other models only."""
    fed = (IMAGE[None] / 255).astype(np.float32)
    alone, together = (saliency.adapt(net) for net in (norm_in_training(), small_net()))

    assert (size_for(alone, fed), size_for(alone, fed, 8)) == (1, 1)
    assert (size_for(together, fed), size_for(together, fed, 8)) == ("auto", 8)


def test_chance_is_noted() -> None:
    """Outputs that change from call to call are noted with their size; batches stay."""
    net = nn.Sequential(nn.Dropout(0.5), small_net()).eval()
    net[0].train()
    exp = explained(net, batch_size=6)

    assert any("change from call to call" in note for note in exp.notes)
    assert exp.calls < exp.images


@pytest.mark.parametrize("net", [small_net(), small_net().double(), small_net().bfloat16()], ids=["32", "64", "b16"])
def test_consistent_models_are_not_noted(net: Any) -> None:
    """Rounding is no dependence."""
    assert not any("batch" in note or "call to call" in note for note in explained(net).notes)


COUNTS: list[int] = []


class Counted(nn.Module):
    """A small net that counts its calls in a global, which is not copied."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small_net()

    def forward(self, x: Tensor) -> Tensor:
        COUNTS.append(len(x))
        out: Tensor = self.net(x)
        return out


def test_it_is_checked_once_and_counted_in_no_figure() -> None:
    """Three calls of one or two images for a model, however often it is explained; none of them in the explanation."""
    net, prepared = Counted(), IMAGE / 255
    COUNTS.clear()
    first = explained(net, "gradient", preprocess=lambda _: prepared)
    once = len(COUNTS)
    explained(net, "gradient", preprocess=lambda _: prepared)

    assert COUNTS[:3] == [2, 2, 1]
    assert len(COUNTS) - once == once - 3
    assert first.images == first.calls == 1


def test_modes_that_change_are_checked_again() -> None:
    """A model whose batch norm is put into eval mode is no longer explained one image at a time."""
    net = norm_in_training()
    assert any("rest of the batch" in note for note in explained(net).notes)

    assert not any("rest of the batch" in note for note in explained(net.eval()).notes)


def test_a_model_of_one_image_is_explained_one_at_a_time() -> None:
    """A model that fails on two images, as some exported ones do."""

    def one(x: Tensor) -> Tensor:
        assert len(x) == 1, "one at a time"
        return x

    exp = explained(Changed(one).eval())

    assert any("fails on two images" in note and "one at a time" in note for note in exp.notes)
    assert exp.calls == exp.images


@pytest.mark.parametrize(
    "after",
    [lambda out: out.T, lambda out: out.reshape(1, -1), lambda out: out @ out.T, lambda out: out[:, : 1 + len(out)]],
    ids=["classes first", "one row", "of pairs", "as many classes as images"],
)
def test_wrong_axes_are_refused(after: Any) -> None:
    """A wrong batch axis, and a number of classes that changes with the batch."""
    with pytest.raises(saliency.BadOutput, match=r"for one image and .* for two.*\(N, classes\)"):
        explained(Changed(after=after).eval())
    assert CLASSES > 2


def test_classes_first_are_refused_in_predict() -> None:
    """Outputs with classes first are refused by predict, which calls the model with one image."""
    with pytest.raises(saliency.BadOutput, match=r"for one image\. The first axis must be the batch"):
        saliency.predict(Changed(after=lambda out: out.T).eval(), IMAGE)
