"""Backward passes of a traced program by rules, operator by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from saliency.adapters.traced.finder import Program, nodes_of
from saliency.adapters.traced.operators import Node, Values, Work, opened
from saliency.model.protocols import Ops
from saliency.rules import LINEAR, Change, Composite, Ledger


class Call:
    """A call of one operator; implements :class:`saliency.rules.Operator`.

    Args:
        node: the operator.
        values: the program's values for the image.
        references: its values for each reference.
        first: whether no operator with weights is between it and the image.
        ops: the array functions of its framework.
        ledger: counts the relevance that the rule's stabilizer absorbs.
    """

    nonnegative = False  # a traced program has no values

    def __init__(
        self,
        node: Node,
        values: Values,
        references: Sequence[Values],
        first: bool,
        ops: Ops[Any],
        ledger: Ledger | None = None,
    ) -> None:
        self.ledger = ledger
        self.kind, self.axis, self.first, self.ops = node.kind or "", node.axis, first, ops
        self._node, self._values = node, values
        self.references = tuple(self._inputs(each) for each in references)

    @property
    def x(self) -> Any:
        """Its input, or a tuple of two."""
        return self._inputs(self._values)

    def _inputs(self, values: Values) -> Any:
        found = tuple(values[slot] for slot in self._node.takes)
        return found if len(found) > 1 else found[0]

    def __call__(self, x: Any, weights: Change | None = None, bias: Change | None = None) -> tuple[Any, Any]:
        """See :class:`saliency.rules.Operator`."""
        several = isinstance(x, tuple)

        def run(*inputs: Any) -> list[Any]:
            return [self._node.run(inputs, self._values, weights, bias)]

        (y,), back = self._node.work.vjp(run, x if several else (x,))
        return y, lambda relevance: back([relevance]) if several else back([relevance])[0]


class Rewired:
    """A program whose backward pass follows rules.

    Args:
        program: of weights and images.
        work: the functions of its framework.
        wanted: slots of the scores.
        rules: map operators to rules.
        ops: the array functions of its framework.
    """

    def __init__(self, program: Program, work: Work, wanted: set[Any], rules: Composite, ops: Ops[Any]) -> None:
        self.program, self.ops, self._rules = program, ops, rules
        ruled = {kind for kind, _ in rules.rules}
        norms = "normalization" in ruled or not rules.opens
        self._nodes = nodes_of(program, work, wanted, folds=rules.folds, norms=norms)
        if rules.opens:
            self._nodes = [
                part
                for i, node in enumerate(self._nodes)
                for part in ([node] if node.kind in ruled else opened(node, ("inside", i)))
            ]
        self._behind: set[Any] = set()
        for node in self._nodes:
            node.first = self._behind.isdisjoint(node.takes)
            if not node.first or node.kind in LINEAR:
                self._behind.update(node.gives)

    @property
    def kinds(self) -> Counter[str]:
        """Number of operators of each kind between the images and the scores."""
        return Counter(node.kind for node in self._nodes if node.kind)

    @property
    def unknown(self) -> set[str]:
        """Names of operators of unknown kind that do more than move values."""
        return {node.name for node in self._nodes if node.unknown}

    def notes(self) -> list[str]:
        """Return notes on operators that the rules do not cover."""
        return self._rules.notes(self.unknown)

    def require(self) -> None:
        """Raise Unsupported if the rules match no operator."""
        self._rules.require(self.kinds, self.unknown)

    def back(self, values: Values, references: Sequence[Values], relevance: Values) -> tuple[Any, dict[str, Any]]:
        """Return the relevance of the images, and the relevance lost by cause, if the rules count it.

        Args:
            values: the program's values for the images.
            references: its values for each of the references.
            relevance: by slot, its relevance from the scores.
        """
        ledger = Ledger() if self._rules.accounts else None
        found, values = dict(relevance), self._filled(values)
        references = [self._filled(each) for each in references]
        for node in reversed(self._nodes):
            if not any(slot in found for slot in node.gives):
                continue
            call = Call(node, values, references, node.first, self.ops, ledger)
            rule = self._rules.rule(call) if node.kind else None
            if rule is None:
                relevances = node.plain(values, [found.pop(slot, None) for slot in node.gives])
            else:
                arrived = found.pop(node.gives[-1])
                relevances = rule(call, call.x, arrived)
                relevances = relevances if isinstance(relevances, tuple) else (relevances,)
                if ledger is not None:
                    ledger.passed(call, arrived, relevances)
            for slot, each in zip(node.takes, relevances, strict=True):
                found[slot] = found[slot] + each if slot in found else each
        images = self.program.images
        back = found[images] if images in found else values[images] * 0.0
        return back, {} if ledger is None else ledger.lost

    def _filled(self, values: Values) -> Values:
        """Return the values with the intermediate values of decomposed operators."""
        found = dict(values)
        for node in self._nodes:
            if node.gives[0] not in found:
                found[node.gives[0]] = node.run([found[slot] for slot in node.takes], found, None, None)
        return found
