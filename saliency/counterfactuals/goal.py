"""When the answer of a model counts as changed, and how near its outputs are to that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from saliency import checks
from saliency.errors import BadArgument, BadTarget
from saliency.metrics.metric import in_words
from saliency.model.head import Head
from saliency.model.protocols import Ops, Target
from saliency.model.resolve import Resolved, resolved_index
from saliency.targets import LogOdds, label_of

TINY = 1e-300
"""The probability used for one that is zero, so that it has a logarithm."""


@dataclass(frozen=True)
class Goal:
    """What outputs are to reach: another answer, or with `hold` the same one.

    The answer is

    * for exclusive classes the top class; another one is any, or the class `to`;
    * for independent labels whether the target's probability is at least 0.5;
    * for values and functions whether the number `to` is reached.

    Attributes:
        head: how the outputs are interpreted; None for a function, of which outputs (n, 1) are the values.
        names: names of the classes.
        target: index of the class, label or value.
        label: its name.
        to: the class or number to reach; None for any other answer.
        rise: whether the value, or the label's probability, is to rise.
        hold: whether the answer is not to change.
    """

    head: Head | None
    names: Sequence[str] | None
    target: int
    label: str
    to: float | None = None
    rise: bool = False
    hold: bool = False

    @property
    def percent(self) -> bool:
        """Whether the target has a probability."""
        return self.head is not None and self.head.meaning != "value"

    @property
    def exclusive(self) -> bool:
        """Whether the answer is one of several classes."""
        return self.head is not None and self.head.meaning in ("classes", "binary")

    def reached(self, outputs: np.ndarray) -> np.ndarray:
        """Return whether outputs (n, K) reach the goal, (n,) bool."""
        if self.exclusive:
            top = self._scores(outputs).argmax(1)
            changed = top != self.target if self.to is None else top == self.to
        elif self.percent:
            changed = (self.shown(outputs) >= 0.5) == self.rise
        else:
            changed = self._signed(self.shown(outputs) - self._number) >= 0
        return np.asarray(changed != self.hold)

    def margins(self, outputs: np.ndarray) -> np.ndarray:
        """Return how far outputs (n, K) are beyond the goal, (n,), negative before it: in logits where possible."""
        if self.exclusive:
            scores = self._scores(outputs)
            if self.head is not None and self.head.apply == "none":
                # differences of log-probabilities are those of the logits
                scores = np.log(np.maximum(scores, TINY))
            index = self.target if self.to is None else int(self.to)
            ahead = scores[:, index] - np.delete(scores, index, axis=1).max(1)
            margins = -ahead if self.to is None else ahead
        elif self.percent:
            shares = np.clip(self.shown(outputs), TINY, 1 - 1e-16)
            margins = self._signed(np.log(shares) - np.log1p(-shares))
        else:
            margins = self._signed(self.shown(outputs) - self._number)
        return np.asarray(-margins if self.hold else margins)

    def shown(self, outputs: np.ndarray) -> np.ndarray:
        """Return the target's probability, or value, of outputs (n, K), (n,)."""
        return np.asarray((outputs if self.head is None else self.head.shown(outputs))[:, self.target])

    def answer(self, outputs: np.ndarray) -> str:
        """Return the answer that outputs (K,) give, in words."""
        shown = self.shown(outputs[None]) if self.head is None else self.head.shown(outputs)
        index = int(self._scores(outputs).argmax()) if self.exclusive else self.target
        number = in_words(float(shown[0 if self.head is None else index]), percent=self.percent)
        return f"{self.name(index)!r} ({number})"

    def name(self, index: int) -> str:
        """Return the name of a class."""
        return self.label if index == self.target else label_of(index, self.names)

    def ascent(self, ops: Ops[Any]) -> tuple[int | Target | None, int]:
        """Return the function of the outputs whose gradient, times the sign, leads to the goal.

        None stands for the target itself, where that is a function.
        """
        rises = self.to is not None if self.exclusive else self.rise
        sign = 1 if rises != self.hold else -1
        if self.head is None:
            return None, sign
        index = int(self.to) if self.exclusive and self.to is not None else self.target
        if self.head.meaning == "classes" and (self.head.apply == "softmax" or self.head.to_logits):
            return LogOdds(index, ops), sign
        return self.head.target(index), sign

    def _scores(self, outputs: np.ndarray) -> np.ndarray:
        assert self.head is not None
        return self.head.scores(outputs)

    @property
    def _number(self) -> float:
        return 0.0 if self.to is None else self.to

    def _signed(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values if self.rise else -values)


def goal_of(target: Resolved, to: Any, head: Head, names: Sequence[str] | None, outputs: np.ndarray) -> Goal:
    """Return the goal of changing the answer to a picture.

    Args:
        target: the explained target.
        to: a class, by index or label; for values and functions a number; None for any other answer.
        head: how the outputs are interpreted.
        names: names of the classes.
        outputs: the model's outputs for the picture, (K,); for a function, its value, (1,).

    Raises:
        BadTarget: the answer to the picture is not the target, or is `to` already.
        BadArgument: `to` is missing, or does not fit the outputs.
    """
    if not isinstance(target.name, int):
        return _of_value(Goal(None, None, 0, target.label), to, outputs)
    goal = Goal(head, names, target.name, target.label)
    if head.meaning == "value":
        return _of_value(goal, to, outputs)
    if head.meaning == "labels":
        if to is not None:
            raise BadArgument(
                "to applies to exclusive classes and values. These outputs are independent labels, each of which is "
                "on or off: pass the label that is to change as target."
            )
        return replace(goal, rise=bool(goal.shown(outputs[None])[0] < 0.5))
    top = int(head.scores(outputs).argmax())
    if to is None:
        if goal.target != top:
            raise BadTarget(
                f"The model's answer to this picture is {goal.answer(outputs)}, not {target.label!r}: omit target, or "
                f"pass to={goal.target} to look for the change to that class."
            )
        return goal
    wanted = resolved_index(to, head, outputs, names)
    if wanted == top:
        raise BadTarget(f"to is {goal.name(wanted)!r}, which is the model's answer to this picture already.")
    return replace(goal, to=wanted)


def _of_value(goal: Goal, to: Any, outputs: np.ndarray) -> Goal:
    value = float(goal.shown(outputs[None])[0])
    if to is None:
        raise BadArgument(
            f"The output {goal.label!r} is a value, {value:.4g}, and no class that could change: pass to=…, the number "
            "that it is to reach."
        )
    number = float(checks.number(to, "to, where the output is a value,"))
    if number == value:
        raise BadArgument(f"to is {number:.4g}, which is the value of {goal.label!r} for this picture already.")
    return replace(goal, to=number, rise=number > value)
