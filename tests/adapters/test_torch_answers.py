"""Outputs of torch modules, and errors for missing scores or gradients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import saliency
from tests.nets import Wrapped, picture, small_net

IMAGE = picture()


def explain(net: Any, method: Any = "gradient", target: Any = 1, **options: Any) -> Any:
    """Explain class 1 of the picture, without a bar."""
    return saliency.explain(net, IMAGE, method, target, **{"progress": False, **options})


@dataclass
class Output:
    """As Hugging Face returns it."""

    logits: Tensor
    hidden: None = None


class Pair(NamedTuple):
    """As Inception returns it."""

    logits: Tensor
    aux: Tensor


@pytest.mark.parametrize(
    "after",
    [
        lambda s: (s[0, 0], s),
        lambda s: [None, s],
        lambda s: {"logits": s, "aux": s[:, :1]},
        lambda s: {"anything": s},
        Output,
        lambda s: Pair(s, s * 0),
        lambda s: s[:, :, None, None],
    ],
    ids=["tuple", "list", "dict", "dict of one", "dataclass", "named tuple", "1×1 map"],
)
def test_the_scores_are_found_in_what_a_model_returns(after: Callable[[Tensor], Any]) -> None:
    """Tuples, mappings, dataclasses and 1×1 maps give the mask of the bare scores."""
    np.testing.assert_allclose(explain(Wrapped(after)).mask, explain(small_net()).mask, atol=1e-7)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (lambda s: {"features": s, "count": s.argmax(1)}, r"mapping with 'features': a tensor of shape \(1, 4\)"),
        (lambda s: s[:, :, None, None].expand(-1, -1, 3, 3), r"a tensor of shape \(1, 4, 3, 3\)"),
        (lambda s: "cat", "a str"),
    ],
    ids=["dict", "map", "text"],
)
def test_the_error_for_outputs_without_scores_shows_how_to_name_them(
    after: Callable[[Tensor], Any], message: str
) -> None:
    """The error describes the output and offers target=lambda; such a target then works."""
    with pytest.raises(saliency.BadOutput, match=rf"{message}.*target=lambda"):
        explain(Wrapped(after))


def test_a_target_reads_any_output() -> None:
    """A callable is handed the model's own output, whatever it is."""
    net = Wrapped(lambda s: {"boxes": s, "kind": s * 2})

    np.testing.assert_allclose(
        explain(net, target=lambda out: out["kind"][:, 1]).mask, 2 * explain(small_net()).mask, rtol=1e-5
    )


def test_a_target_without_one_number_per_image_is_refused() -> None:
    """The shape that is needed and the one that came are named."""
    with pytest.raises(saliency.BadTarget, match=r"shape \(1,\), got a tensor of shape \(1, 4\)"):
        explain(small_net(), target=lambda out: out)


class TestSoftmax:
    """Heads that end in a softmax."""

    @pytest.mark.parametrize(
        "after",
        [nn.Softmax(-1), lambda s: s.softmax(1), lambda s: functional.softmax(s, dim=1)],
        ids=["module", "method", "function"],
    )
    def test_the_logit_is_explained_where_it_can_be_reached(self, after: Callable[[Tensor], Tensor]) -> None:
        """A softmax at the end is looked through, and the notes say so."""
        exp = explain(Wrapped(after))

        np.testing.assert_allclose(exp.mask, explain(small_net()).mask, atol=1e-7)
        assert "the model ends in a softmax: explained the logit" in exp.notes
        assert exp.score == pytest.approx(explain(small_net()).score, rel=1e-5)

    def test_predictions_are_the_model_s_own_probabilities(self) -> None:
        """predict() does not squash probabilities again."""
        found = saliency.predict(Wrapped(nn.Softmax(-1)), IMAGE)

        assert sum(each.shown for each in found) == pytest.approx(1, abs=1e-5)
        assert found[0].probability == pytest.approx(found[0].score)

    def test_an_unreachable_logit_is_noted(self) -> None:
        """Probabilities made by hand are explained as they are, and the notes say so."""
        exp = explain(Wrapped(lambda s: s.exp() / s.exp().sum(1, keepdim=True)))

        assert any("explained the probability" in note for note in exp.notes)


class Cut(nn.Module):
    """SmallNet whose way from image to score is cut in some way."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.net, self.how = small_net(), how

    def forward(self, x: Tensor) -> Tensor:
        match self.how:
            case "no_grad":
                with torch.no_grad():
                    return self.net(x)
            case "detach":
                return self.net(x.detach() * 1)
            case "numpy":
                return self.net(torch.tensor(x.detach().numpy()))
            case "integer":
                return self.net(x.round().long().float())
            case _:
                return self.net(torch.zeros_like(x))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no_grad", "gradients are switched off"),
        ("detach", r"at detach\(\).*detached from the graph"),
        ("numpy", "detached|does not depend"),
        ("integer", "integers have no gradient"),
        ("constant", "does not depend"),
    ],
)
def test_the_error_for_a_missing_gradient_gives_the_reason(how: str, message: str) -> None:
    """The error names where in the model, and how, the way from the image to the score is cut."""
    with pytest.raises(saliency.NoGradient, match=message):
        explain(Cut(how))


def test_the_error_for_a_missing_gradient_at_a_layer_gives_the_reason() -> None:
    """A model that switches gradients off has none at its layers either."""
    with pytest.raises(saliency.NoGradient, match="gradients are switched off"):
        explain(Cut("no_grad"), "grad_cam", layer="net.block")
