"""The interpretation of a model's outputs, and the activation that has already been applied to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from saliency.errors import BadField, BadOutput
from saliency.model.protocols import Target
from saliency.targets import ClassScore, Complement, are_probabilities, names_of, probabilities, single_logit

ACTIVATIONS = ("auto", "softmax", "sigmoid", "none")
"""The values of ``activation=``."""

Meaning = Literal["classes", "labels", "binary", "value"]

Operator = Literal["softmax", "log_softmax", "sigmoid", "linear"]


class Ending(NamedTuple):
    """The last operator of a model's program, as far as an adapter can see it."""

    operator: Operator | None = None
    """None where the program is hidden, or its last operator does not determine the meaning of the outputs."""
    reached: bool = False
    """Whether the logits before it can be read and differentiated."""


@dataclass(frozen=True)
class Head:
    """The meaning of outputs (N, K), and how they are shown and explained.

    ``meaning`` is one of

    * "classes": exclusive classes, one output each;
    * "labels": independent labels, one output each;
    * "binary": two exclusive classes that share one output, that of class 1;
    * "value": numbers in their own unit.
    """

    meaning: Meaning
    apply: Literal["softmax", "sigmoid", "none"]
    """The activation that turns outputs into probabilities; "none" where they are probabilities already, or values."""
    to_logits: bool
    """Whether targets read the logits before the model's own activation."""
    note: str
    """The decision, as a sentence."""
    guessed: bool = False
    """Whether the decision is based on the range of the numbers."""

    def count(self, width: int) -> int:
        """Return the number of targets of outputs (N, `width`)."""
        return 2 if self.meaning == "binary" else width

    def names(self, labels: Sequence[str] | None, width: int) -> Sequence[str] | None:
        """Return the names of the targets: the labels, else ImageNet's for 1,000 classes, or "value"."""
        if self.meaning != "value":
            return names_of(labels, width)
        return ("value",) if labels is None and width == 1 else labels

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs (..., K) as one score per target: (-z, z) or (1 - p, p) of a binary output."""
        if self.meaning != "binary":
            return outputs
        other = -outputs if self.apply == "sigmoid" else 1 - outputs
        return np.concatenate([other, outputs], -1)

    def shares(self, outputs: np.ndarray) -> np.ndarray | None:
        """Return the probabilities of outputs (..., K), one per target; None where they are values."""
        if self.meaning == "value":
            return None
        # computed from the scores, so that both classes of a binary output keep their precision
        return probabilities(self.scores(outputs), self.apply)

    def shown(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs (..., K) in the form to show: probabilities, or values in their own unit."""
        shares = self.shares(outputs)
        return outputs if shares is None else shares

    def target(self, index: int) -> int | Target:
        """Return the function of the outputs that is explained for the target `index`."""
        if self.meaning != "binary":
            return index
        if self.to_logits or self.apply == "sigmoid":
            return single_logit(index)
        return ClassScore(0) if index else Complement(0)


def decide(outputs: np.ndarray, ending: Ending, labels: int | None = None, activation: str = "auto") -> Head:
    """Decide what outputs (N, K) mean.

    Considered in this order: `activation`, the program's last operator, the number of labels, the shape. The range of
    the numbers is the last resort, and never decides for a single output without two labels.

    Args:
        outputs: outputs of one or more images.
        ending: the program's last operator.
        labels: number of class names; None without any.
        activation: "softmax" or "sigmoid": outputs are logits, and the activation is applied; "none": outputs are
            shown as they are; or "auto".

    Raises:
        BadField: a softmax over one output.
        BadOutput: one output that was declared a probability is outside of 0–1.
    """
    ending = _confirmed(ending, outputs)
    if outputs.shape[1] == 1:
        return _of_one(outputs, ending, labels, activation)
    return _of_several(outputs, ending, activation)


def _confirmed(ending: Ending, outputs: np.ndarray) -> Ending:
    """Return the ending, unless the numbers contradict it, as for a softmax over another axis."""
    sums = np.exp(outputs) if ending.operator == "log_softmax" else outputs
    match ending.operator:
        case "softmax" | "log_softmax":
            fits = bool(np.allclose(sums.sum(-1), 1, atol=2e-2))  # half precision
        case "sigmoid":
            fits = _within(outputs)
        case _:
            fits = True
    return ending if fits else Ending()


def _within(outputs: np.ndarray) -> bool:
    return bool(((outputs >= 0) & (outputs <= 1)).all())


def _explained(ending: Ending) -> str:
    return "the logit" if ending.reached else "the probability (its logits cannot be reached)"


def _of_one(outputs: np.ndarray, ending: Ending, labels: int | None, activation: str) -> Head:
    """Decide the meaning of one output: the logit or probability of class 1 of two, or of one label, or a value."""
    if activation == "softmax":
        raise BadField(
            "activation='softmax' needs at least two outputs, but the model has one, whose softmax is always 1. "
            "For the logit of two classes pass activation='sigmoid', for a probability or a value activation='none'."
        )
    meaning: Meaning = "labels" if labels == 1 else "binary"
    probability = "p of its one label" if labels == 1 else "p of class 1, 1 − p of class 0"
    logit = "z of its one label" if labels == 1 else "z of class 1, −z of class 0"
    if ending.operator == "sigmoid":
        twice = ", which is not applied twice" if activation == "sigmoid" else ""
        note = f"the model ends in a sigmoid{twice}, {probability}: explained {_explained(ending)}"
        return Head(meaning, "none", ending.reached, note)
    if activation == "none" and labels == 2:
        if not _within(outputs):
            raise BadOutput(
                "activation='none' with two labels means that the model's one output is a probability, but it is "
                f"{float(outputs[(outputs < 0) | (outputs > 1)][0]):.4g}. "
                "For the logit of two classes pass activation='sigmoid', for a value omit labels."
            )
        return Head("binary", "none", False, f"one output, explained as the probability {probability}")
    if activation == "auto" and labels == 2 and ending.operator is None and _within(outputs):
        note = (
            f"one output within 0–1 and two labels: explained as the probability {probability}; "
            "if it is a logit, pass activation='sigmoid'"
        )
        return Head("binary", "none", False, note, guessed=True)
    if activation == "sigmoid" or (activation == "auto" and labels == 2):
        return Head(meaning, "sigmoid", False, f"one output, explained as the logit {logit}")
    if activation == "none":
        return Head("value", "none", False, "one output, explained as a value")
    hidden = ending.operator is None and _within(outputs)
    other = "probability of two classes, pass labels" if hidden else "logit of two classes, pass activation='sigmoid'"
    return Head("value", "none", False, f"one output, explained as a value; if it is the {other}")


def _of_several(outputs: np.ndarray, ending: Ending, activation: str) -> Head:
    """Decide the meaning of several outputs: exclusive classes, independent labels, or values."""
    width = outputs.shape[1]
    match activation, ending.operator:
        case (("auto" | "none" | "softmax"), "softmax"):
            twice = ", which is not applied twice" if activation == "softmax" else ""
            note = f"the model ends in a softmax{twice}: explained {_explained(ending)}"
            return Head("classes", "none", ending.reached, note)
        case (("auto" | "none" | "sigmoid"), "sigmoid"):
            twice = ", which are not applied twice" if activation == "sigmoid" else ""
            note = f"the model ends in sigmoids{twice}, {width} independent labels: explained {_explained(ending)}"
            return Head("labels", "none", ending.reached, note)
        case (("auto" | "softmax"), "log_softmax"):
            what = "the logit" if ending.reached else "the log-probability (its logits cannot be reached)"
            return Head("classes", "softmax", ending.reached, f"the model ends in a log-softmax: explained {what}")
        case (("auto" | "none" | "softmax"), None) if are_probabilities(outputs):
            note = f"{width} outputs that sum to 1, as after a softmax: explained the probability"
            return Head("classes", "none", False, note, guessed=True)
        case "auto", None if _within(outputs):
            note = (
                f"{width} outputs within 0–1 that do not sum to 1: explained as probabilities of independent labels; "
                "if they are logits, pass activation='softmax' or 'sigmoid'"
            )
            return Head("labels", "none", False, note, guessed=True)
        case "sigmoid", _:
            return Head("labels", "sigmoid", False, f"{width} outputs, explained as logits of independent labels")
        case (("auto" | "softmax"), _):
            otherwise = "" if activation == "softmax" else " (of independent labels: activation='sigmoid')"
            return Head("classes", "softmax", False, f"{width} outputs, explained as logits of classes{otherwise}")
    if _within(outputs):
        return Head("labels", "none", False, f"{width} outputs, explained as probabilities")
    return Head("value", "none", False, f"{width} outputs, explained as values")
