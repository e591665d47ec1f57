"""Relevance, propagated layer by layer by rules of one's choice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from saliency.core.relevance import AlphaBeta, Box, Epsilon, Flat, Gamma, WSquare, layerwise
from saliency.errors import Unsupported
from saliency.method import Method, parameter
from saliency.model import Rewirable
from saliency.rules import Composite, Rule
from saliency.samples import Compared
from saliency.session import Session, originals

COMPOSITES = (
    "auto",
    "epsilon",
    "gamma",
    "z_plus",
    "alpha_beta",
    "w_square",
    "flat",
    "epsilon_plus",
    "epsilon_gamma_box",
    "epsilon_alpha2_beta1_flat",
    "attention",
)

FIRST = ("auto", "same", "flat", "w_square", "box")


@dataclass(eq=False, repr=False)
class LRP(Method):
    """The score, handed back layer by layer, to each input its share (doi:10.1371/journal.pone.0130140).

    `composite` says which rule holds where: one rule everywhere ("epsilon", "gamma", "z_plus", "alpha_beta",
    "w_square", "flat"), or "epsilon_plus" (z⁺ for convolutions, ε for dense layers), "epsilon_gamma_box" (γ, ε, and zᴮ
    at the pixels), "epsilon_alpha2_beta1_flat" (α2β1, ε, and flat at the pixels), "attention" (γ with AttnLRP's rules,
    arXiv:2402.05602), or a :class:`saliency.rules.Composite` of one's own. A batch norm is one layer with the weights
    before it, a residual sum shares by contribution. The relevance sums to the score, less what biases and `epsilon`
    absorb. One forward and backward pass an image; "box" shows the model black and white too.
    """

    id = "lrp"
    title = "LRP"
    paper = "doi:10.1371/journal.pone.0130140"
    needs = Rewirable
    images_only = False
    sign = "signed"
    family = "backward rules"
    formula = r"R_i = \sum_j \frac{x_i \, \rho(w_{ij})}{\epsilon + \sum_{i'} x_{i'}\, \rho(w_{i'j})}\, R_j"
    advice = (
        "One backward pass, low noise, and a sum that means something. Which composite fits depends on the network: "
        "epsilon_plus for those with convolutions, attention for transformers, gamma to tune. Variants of LRP may be "
        "covered by patents in some places."
    )

    composite: Any = parameter("auto", "which rule holds where; auto looks for attention", choices=COMPOSITES)
    first: str = parameter("auto", "the rule at the pixels; auto is the composite's own", choices=FIRST)
    epsilon: float = parameter(1e-6, "how much of cancelled contributions is absorbed", low=1e-12, high=1e6)
    gamma: float = parameter(0.25, "by how much the γ rule favours what speaks for", low=0, high=1e6)
    alpha: float = parameter(2.0, "the α rule's share of what speaks for; against: 1 - α", low=1, high=100)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops, rules = session.ops, self.rules(images, session)
        samples: Any = originals(session, images)
        if rules.references:
            # the pixels lie between black and white, in what units ever the model is fed
            black, white = (session.baselines(name, images)[0] for name in ("black", "white"))
            low = -ops.maximum(-black, -white)
            samples = Compared(ops, images, [(low, ops.maximum(black, white))])
        done: list[Any] = []
        for _, answer in session.gradients(samples, rules):
            # every rule is linear in what comes back: relevance starts at one, and is the score's in the end
            scores: Any = answer.scores
            shape = (*(int(n) for n in scores.shape), *(1,) * (len(images.shape) - 1))
            done.append(answer.gradients * ops.reshape(scores, shape))
            yield ops.concat(done, 1)

    def rules(self, images: Any, session: Session[Any]) -> Composite:
        """Which operator follows which rule."""
        if isinstance(self.composite, Composite):
            return self.composite
        name = self.composite
        if name == "auto":
            model = session.model
            if not isinstance(model, Rewirable):
                raise Unsupported(f"{type(model).__name__} follows no rules on the way back.")
            with model.lock:
                attends = "matmul" in model.operators(images[:1])
            name = "attention" if attends else "epsilon_plus"
            session.notes.append(f"composite: {name}, as the model has {'attention' if attends else 'no attention'}")
        return self._composite(name)

    def _composite(self, name: str) -> Composite:
        eps = self.epsilon
        one: dict[str, Rule] = {
            "epsilon": Epsilon(eps),
            "gamma": Gamma(self.gamma, eps),
            "z_plus": AlphaBeta(1.0, eps),
            "alpha_beta": AlphaBeta(self.alpha, eps),
            "w_square": WSquare(eps),
            "flat": Flat(eps),
            "box": Box(eps),
        }
        convolution, dense, first = {
            "epsilon_plus": ("z_plus", "epsilon", "same"),
            "epsilon_gamma_box": ("gamma", "epsilon", "box"),
            "epsilon_alpha2_beta1_flat": ("alpha_beta", "epsilon", "flat"),
            "attention": ("gamma", "gamma", "same"),
        }.get(name, (name, name, "same"))
        first = first if self.first == "auto" else self.first
        return layerwise(
            one[convolution],
            Gamma(0.2 * self.gamma, eps) if name == "attention" else one[dense],
            None if first == "same" else one[first],
            references=2 if first == "box" else 0,
            epsilon=eps,
        )
