"""Layer-wise relevance propagation (LRP), with a choice of rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from saliency.core.method import Method, parameter
from saliency.core.relevance import AlphaBeta, Box, Epsilon, Flat, Gamma, WSquare, layerwise
from saliency.errors import BadField, BadOutput, Unsupported, brief
from saliency.model.names import subject_of
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
"""The names of a ledger's causes in a note."""

LEAST = 0.01
"""Minimal share of the score for a cause to be named."""

NOTED, REFUSED = 1e3, 1e6
"""Maximum sum of absolute relevance as a multiple of the score: float32 has seven digits, which cancel."""

REMEDY = "Use a larger epsilon, such as 0.01, or the composite 'epsilon_plus', which does not mix signs."


@dataclass(eq=False, repr=False)
class LRP(Method):
    """The score, propagated back layer by layer in shares of the contributions (doi:10.1371/journal.pone.0130140).

    `composite` maps layer types to rules: one rule everywhere ("epsilon", "gamma", "z_plus", "alpha_beta", "w_square",
    "flat"), or "epsilon_plus" (z⁺ for convolutions, ε for dense layers), "epsilon_gamma_box" (γ, ε, and zᴮ at the
    pixels), "epsilon_alpha2_beta1_flat" (α2β1, ε, and flat at the pixels), "attention" (γ with AttnLRP's rules,
    arXiv:2402.05602), or your own :class:`saliency.rules.Composite`. A batch norm is folded into the layer before it
    (canonization); a residual sum distributes relevance by contribution. The relevance sums to the score minus what
    biases and `epsilon` absorb: in a deep network with batch norms that is nearly all of it, as a note reports. The map
    then shows how the remainder is distributed: interpret its shape, not its size. `exp.gap` is the sum minus the
    score. Cost: one forward and backward pass per image; "box" also evaluates black and white images.
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
        "One backward pass and low noise. In deep networks biases and batch norms absorb nearly all of the score: "
        "interpret the shape of the map, not its size. The best composite depends on the network: epsilon_plus for "
        "convolutional networks, attention for transformers, gamma to tune. Variants of LRP may be covered by patents "
        "in some countries."
    )

    composite: Any = parameter("auto", "Map from layer types to rules; auto depends on attention", choices=COMPOSITES)
    first: str = parameter("auto", "Rule at the pixels; auto is the composite's own", choices=FIRST)
    epsilon: float = parameter(1e-6, "Stabilizer ε", low=1e-12, high=1e6)
    gamma: float = parameter(0.25, "γ rule: additional weight of positive contributions", low=0, high=1e6)
    alpha: float = parameter(2.0, "α rule: weight of positive contributions; of negative ones: 1 - α", low=1, high=100)

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
            # the pixels are between black and white, in the units of the model's input
            black, white = (session.baselines(name, images)[0] for name in ("black", "white"))
            low = -ops.maximum(-black, -white)
            samples = Compared(ops, images, [(low, ops.maximum(black, white))])
        done: list[Any] = []
        losses: list[list[list[list[str]]]] = []
        for _, answer in session.gradients(samples, rules):
            # every rule is linear in the relevance: it starts at one and is multiplied by the score at the end
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

    def on_values(self, channels: int) -> Self:
        """Return the method without a rule at the pixels, which are not reached."""
        if self.first not in ("auto", "same"):
            raise BadField(f"first={self.first!r} is a rule at the pixels, and relevance stops at the layer: omit it.")
        if isinstance(self.composite, Composite):
            return self.but(composite=replace(self.composite, first=None, references=0))
        return self.but(first="same")

    def _losses(self, answer: Any, session: Session[Any]) -> list[list[list[str]]]:
        """Return the notes on conservation, by target and image.

        Raises:
            BadOutput: contributions cancelled so far that only rounding errors are left.
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
                        f"in some layer, and only rounding errors are left. {REMEDY}"
                    )
                notes[-1].append([conserved(float(score), float(share), causes, own)])
                if total > NOTED:
                    notes[-1][-1].append(f"the sum of absolute relevance is {total:,.0f} times the score: {REMEDY}")
        return notes

    def rules(self, images: Any, session: Session[Any]) -> Composite:
        """Return the composite for these images."""
        if isinstance(self.composite, Composite):
            return self.composite
        name = self.composite
        if name == "auto":
            model = session.model
            if not isinstance(model, Rewirable):
                raise Unsupported(f"{subject_of(model)} does not support rules on the backward pass.")
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
    """Return a sentence on how much of a score arrived at the image and where the rest was lost.

    Args:
        score: the score that was propagated.
        share: the share of it that arrived.
        lost: shares of it by cause, see :class:`saliency.rules.Ledger`; empty if losses were not recorded.
        biased: whether operators with weights lose relevance only by their biases, as under this package's own rules.
    """
    parts: dict[str, float] = {}
    for cause, each in lost.items():
        name = CAUSES.get(cause, cause) if biased or cause == STABILIZER else f"operators of the kind {cause}"
        parts[name] = parts.get(name, 0.0) + each
    if lost:
        parts["padding and operators without a rule"] = 1 - share - sum(lost.values())
    losses = [
        f"{each * score:.3g} by {name}"
        for name, each in sorted(parts.items(), key=lambda part: -abs(part[1]))
        if abs(each) >= LEAST
    ]
    absorbed = f": absorbed {', '.join(losses)}" if losses else ""
    percent = f"{100 * share:,.0f}" if abs(share) >= 0.1 else f"{100 * share:.2g}"
    return f"LRP conserves {percent} % of the score {score:.3g}{absorbed}"
