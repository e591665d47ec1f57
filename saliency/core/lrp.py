"""Relevance, propagated layer by layer by rules of one's choice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from saliency.core.method import Method, parameter
from saliency.core.relevance import AlphaBeta, Box, Epsilon, Flat, Gamma, WSquare, layerwise
from saliency.errors import BadField, BadOutput, Unsupported, brief
from saliency.model.protocols import Rewirable
from saliency.rules import STABILIZER, Composite, Rule
from saliency.session.samples import Compared
from saliency.session.session import Session, originals

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


CAUSES = {
    "convolution": "biases and batch norms",
    "dense": "biases and batch norms",
    STABILIZER: "the stabilizer ε",
}
"""What a note calls the causes of a ledger."""

LEAST = 0.01
"""Share of the score from which on a cause is named."""

NOTED, REFUSED = 1e3, 1e6
"""How many times the score relevance may sum to, taken positive: float32 has seven digits, which cancel."""

REMEDY = "Take a larger epsilon, as 0.01, or the composite 'epsilon_plus', which adds nothing of both signs."


@dataclass(eq=False, repr=False)
class LRP(Method):
    """The score, handed back layer by layer, to each input its share (doi:10.1371/journal.pone.0130140).

    `composite` says which rule holds where: one rule everywhere ("epsilon", "gamma", "z_plus", "alpha_beta",
    "w_square", "flat"), or "epsilon_plus" (z⁺ for convolutions, ε for dense layers), "epsilon_gamma_box" (γ, ε, and zᴮ
    at the pixels), "epsilon_alpha2_beta1_flat" (α2β1, ε, and flat at the pixels), "attention" (γ with AttnLRP's rules,
    arXiv:2402.05602), or a :class:`saliency.rules.Composite` of one's own. A batch norm is one layer with the weights
    before it, a residual sum shares by contribution. The relevance sums to the score, less what biases and `epsilon`
    absorb: in a deep network with batch norms that is nearly all of it, and a note says how much. The map is a share of
    what is left: its shape can be read, its size cannot. `exp.gap` is the sum less the score. One forward and backward
    pass an image; "box" shows the model black and white too.
    """

    id = "lrp"
    title = "LRP"
    paper = "doi:10.1371/journal.pone.0130140"
    needs = Rewirable
    images_only = False
    complete = True
    sign = "signed"
    family = "backward rules"
    formula = r"R_i = \sum_j \frac{x_i \, \rho(w_{ij})}{\epsilon + \sum_{i'} x_{i'}\, \rho(w_{i'j})}\, R_j"
    advice = (
        "One backward pass and low noise. In deep networks biases and batch norms absorb nearly all of the score: read "
        "the shape of the map, not its size. Which composite fits depends on the network: "
        "epsilon_plus for those with convolutions, attention for transformers, gamma to tune. Variants of LRP may be "
        "covered by patents in some places."
    )

    composite: Any = parameter("auto", "which rule holds where; auto looks for attention", choices=COMPOSITES)
    first: str = parameter("auto", "the rule at the pixels; auto is the composite's own", choices=FIRST)
    epsilon: float = parameter(1e-6, "how much of cancelled contributions is absorbed", low=1e-12, high=1e6)
    gamma: float = parameter(0.25, "by how much the γ rule favours what speaks for", low=0, high=1e6)
    alpha: float = parameter(2.0, "the α rule's share of what speaks for; against: 1 - α", low=1, high=100)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.composite, str | Composite):
            raise BadField(
                f"LRP.composite must be one of {', '.join(COMPOSITES)}, or a Composite, got {brief(self.composite)}."
            )

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops, rules = session.ops, self.rules(images, session)
        samples: Any = originals(session, images)
        if rules.references:
            # the pixels lie between black and white, in what units ever the model is fed
            black, white = (session.baselines(name, images)[0] for name in ("black", "white"))
            low = -ops.maximum(-black, -white)
            samples = Compared(ops, images, [(low, ops.maximum(black, white))])
        done: list[Any] = []
        losses: list[list[list[list[str]]]] = []
        for _, answer in session.gradients(samples, rules):
            # every rule is linear in what comes back: relevance starts at one, and is the score's in the end
            scores: Any = answer.scores
            shape = (*(int(n) for n in scores.shape), *(1,) * (len(images.shape) - 1))
            done.append(answer.gradients * ops.reshape(scores, shape))
            losses.append(self._losses(answer, session))
            # by target, then by image
            session.details["losses"] = [
                [each for part in parts for each in part] for parts in zip(*losses, strict=True)
            ]
            yield ops.concat(done, 1)

    def beginnings(self, images: Any, session: Session[Any]) -> list[Any]:
        return []

    def _losses(self, answer: Any, session: Session[Any]) -> list[list[list[str]]]:
        """Return the notes on what was conserved, by target and image.

        Raises:
            BadOutput: contributions cancelled until rounding is all that is left.
        """
        ops = session.ops
        axes = tuple(range(2, len(answer.gradients.shape)))
        kept, size = ops.tohost(ops.sum(answer.gradients, axes)), ops.tohost(ops.sum(ops.abs(answer.gradients), axes))
        lost = {cause: ops.tohost(each) for cause, each in (answer.lost or {}).items()}
        own = not isinstance(self.composite, Composite)
        notes: list[list[list[str]]] = []
        for k, scores in enumerate(ops.tohost(answer.scores)):
            causes = {cause: float(each[k]) for cause, each in lost.items()}
            notes.append([])
            for score, share, total in zip(scores, kept[k], size[k], strict=True):
                if total > REFUSED:
                    raise BadOutput(
                        f"LRP's relevance grew to {total:.1g} times the score: contributions of both signs cancelled "
                        f"in some layer, and what is left is rounding. {REMEDY}"
                    )
                notes[-1].append([conserved(float(score), float(share), causes, own)])
                if total > NOTED:
                    notes[-1][-1].append(f"relevance of both signs is {total:,.0f} times the score: {REMEDY}")
        return notes

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


def conserved(score: float, share: float, lost: Mapping[str, float], biased: bool = True) -> str:
    """Return, as a sentence, how much of a score arrived at the image and what became of the rest.

    Args:
        score: that was handed back.
        share: of it, that arrived.
        lost: shares of it by cause, see :class:`saliency.rules.Ledger`; empty where nobody counted.
        biased: whether operators with weights lose by their biases alone, as by the rules of :mod:`saliency.core`.
    """
    parts: dict[str, float] = {}
    for cause, each in lost.items():
        name = CAUSES.get(cause, cause) if biased or cause == STABILIZER else f"operators of the kind {cause}"
        parts[name] = parts.get(name, 0.0) + each
    if lost:
        parts["padding and operators without a rule"] = 1 - share - sum(lost.values())
    told = [
        f"{each * score:.3g} by {name}"
        for name, each in sorted(parts.items(), key=lambda part: -abs(part[1]))
        if abs(each) >= LEAST
    ]
    absorbed = f": absorbed {', '.join(told)}" if told else ""
    percent = f"{100 * share:,.0f}" if abs(share) >= 0.1 else f"{100 * share:.2g}"
    return f"LRP conserves {percent} % of the score {score:.3g}{absorbed}"
