"""The base of adapters whose framework traces a call and compiles it: JAX's and TensorFlow's."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from saliency.adapters.answers import Arrays, static
from saliency.adapters.base import GridAdapter
from saliency.adapters.calls import Calls, CompiledCalls
from saliency.adapters.outputs import Choice
from saliency.model.protocols import Target
from saliency.rules import Composite


@dataclass
class TracedCalls:
    """The calls of a model with bound targets and layers, as functions to trace; it does not refer to the model.

    A subclass has one method for each of :class:`~saliency.adapters.calls.Calls`, and ``outputs``.

    Args:
        source: how the framework calls the model.
        bound: the targets.
        names: names of the bound layers.
        to_logits: whether targets read the logits before the model's last activation.
        dtype: of the results.
        rules: of the backward pass.
        choice: selects the output to explain.
    """

    source: Any
    bound: Sequence[Target]
    names: Sequence[str]
    to_logits: bool
    dtype: Any
    rules: Composite | None
    choice: Choice


C = TypeVar("C", bound=TracedCalls)


class TracedModel(GridAdapter, Generic[C]):
    """An adapter that runs compiled calls. A subclass sets the class of its calls and compiles them."""

    eager = False
    traced: type[C]
    arrays: ClassVar[Arrays]
    source: Any
    _dtype: Any

    def _to_trace(self) -> C:
        """Return the calls with the present targets, layers and rules."""
        choice = self._choice(self.arrays)
        return self.traced(self.source, self._targets, self._layers, self._to_logits, self._dtype, self._rules, choice)

    @property
    def _calls(self) -> Calls:
        return CompiledCalls(self.traced, self._run)

    def _run(self, call: Callable[..., Any], images: Any, *beside: Any) -> Any:
        """Run a method of `traced`, compiled once for each bound state."""
        raise NotImplementedError

    def _state(self, call: Callable[..., Any]) -> tuple[Hashable, ...]:
        """Return what a compiled call depends on besides its arguments; class scores depend on the output alone."""
        bound = (
            () if call.__name__ == "outputs" else (static(self._targets), self._layers, self._to_logits, self._rules)
        )
        return (call, self._choice(self.arrays), *bound)
