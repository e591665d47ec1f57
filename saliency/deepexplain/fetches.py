"""The tensors that the session evaluates: scores, gradients, and gradients by each method's rules."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from saliency.deepexplain.copies import Part, Rule, again, obeying
from saliency.errors import BadOutput, NoGradient


class Fetches(NamedTuple):
    """Tensors to feed and to fetch."""

    inputs: Sequence[Any]
    """X, one or several."""
    weights: Any
    """Weights of T; of T's shape, ones unless fed."""
    scores: Any
    """(N,): T's weighted sum per example; None if it is not needed, or T has no batch axis."""
    gradients: Sequence[Any] = ()
    """Gradients by each input, (N, ...); empty if only scores are needed."""
    parameters: Sequence[Any] = ()
    """Placeholders of the rule, to be fed."""
    untouched: Sequence[str] = ()
    """Activations to which the rule is not applied, by type and name."""
    curved: Sequence[str] = ()
    """Other nonlinear operations, by type and name."""


Build = Callable[[Any, Any, Sequence[Any]], Fetches]
"""(graph, T, X) -> Fetches. It adds operations to the graph."""


def scores(graph: Any, target: Any, inputs: Sequence[Any]) -> Fetches:
    """Return the tensors for the scores, T.

    Raises:
        BadOutput: T has no batch axis.
    """
    if target.shape.rank == 0:
        raise BadOutput(
            f"T ({target.name}) is a single number for all examples. Methods that need scores take one entry of T "
            "per example, (N, …): the examples must be its first axis."
        )
    with _building(graph, "scores"):
        weights = _weights(target)
        return Fetches(inputs, weights, _per_example(target, weights))


def gradients(graph: Any, target: Any, inputs: Sequence[Any]) -> Fetches:
    """Return the tensors for TensorFlow's own gradient."""
    with _building(graph, "gradients"):
        part = Part(graph, target, inputs)
        if part.helps:
            # TensorFlow finds no gradient of a function that a session has run already
            target = part.copied({x.name: x for x in inputs}).target
        weights = _weights(target)
        return Fetches(inputs, weights, None, _gradients(target, inputs, weights))


def zeroed(graph: Any, target: Any, inputs: Sequence[Any]) -> Fetches:
    """Return the tensors for the gradient with all activations blocked."""
    import tensorflow as tf

    with _building(graph, "zero"):
        return _ruled(graph, target, inputs, lambda op, above: tf.zeros_like(above))


def epsilon_lrp(graph: Any, target: Any, inputs: Sequence[Any]) -> Fetches:
    """Return the tensors for ε-LRP: at activations, the gradient times out / (in + epsilon * sign(in)), sign(0) = 1.

    Feed epsilon.
    """
    import tensorflow as tf

    with _building(graph, "elrp"):
        epsilon = tf.compat.v1.placeholder(tf.float64, (), "epsilon")

        def rule(op: Any, above: Any) -> Any:
            entered = op.inputs[0]
            small = tf.cast(epsilon, entered.dtype)
            return above * op.outputs[0] / (entered + tf.where(entered >= 0, small, -small))

        return _ruled(graph, target, inputs, rule)._replace(parameters=[epsilon])


def rescaled(graph: Any, target: Any, inputs: Sequence[Any]) -> Fetches:
    """Return the tensors for DeepLIFT: at each activation, the gradient is Δout / Δin, differences to the baseline.

    If the two inputs are almost equal, it is the activation's own gradient half way between them. The scores are
    differences from those at the baseline. Feed one baseline for each input, without the examples' axis.
    """
    import tensorflow as tf

    with _building(graph, "deeplift"):
        baselines = [tf.compat.v1.placeholder(x.dtype, x.shape[1:], "baseline") for x in inputs]
        # repeated to the number of examples, so that both copies have the same batch axis
        repeated = {
            x.name: tf.broadcast_to(tf.expand_dims(one, 0), tf.shape(x))
            for x, one in zip(inputs, baselines, strict=True)
        }
        part = Part(graph, target, inputs)
        there = part.copied(repeated)
        here = part.copied({x.name: x for x in inputs}, obedient=True)
        partners = {op.name: other for op, other in zip(here.activations, there.activations, strict=True)}

        def rule(op: Any, above: Any) -> Any:
            other = partners[op.name]
            way = op.inputs[0] - other.inputs[0]
            far = tf.abs(way) > 1e-5
            slope = (op.outputs[0] - other.outputs[0]) / tf.where(far, way, tf.ones_like(way))
            half_way = 0.5 * (op.inputs[0] + other.inputs[0])
            (own,) = tf.compat.v1.gradients(again(op, half_way), half_way, grad_ys=above)
            return tf.where(far, above * slope, own)

        weights = _weights(here.target)
        return Fetches(
            inputs,
            weights,
            _per_example(here.target - there.target, weights),
            _gradients(here.target, inputs, weights, rule),
            baselines,
            part.untouched,
            part.curved,
        )


def _ruled(graph: Any, target: Any, inputs: Sequence[Any], rule: Rule) -> Fetches:
    part = Part(graph, target, inputs)
    copy = part.copied({x.name: x for x in inputs}, obedient=True).target
    weights = _weights(copy)
    gradients = _gradients(copy, inputs, weights, rule)
    return Fetches(inputs, weights, None, gradients, untouched=part.untouched, curved=part.curved)


@contextlib.contextmanager
def _building(graph: Any, what: str) -> Iterator[None]:
    """Name new operations, and clear the caller's control dependencies."""
    import tensorflow as tf

    with graph.as_default(), tf.control_dependencies(None), tf.name_scope(f"deepexplain/{what}/"):
        yield


def _weights(target: Any) -> Any:
    import tensorflow as tf

    return tf.compat.v1.placeholder_with_default(tf.ones_like(target), target.shape, "weights")


def _per_example(target: Any, weights: Any) -> Any:
    import tensorflow as tf

    if target.shape.rank == 0:
        return None
    weighted = target * weights
    return tf.reduce_sum(tf.reshape(weighted, tf.stack([tf.shape(weighted)[0], -1])), 1)


def _gradients(target: Any, inputs: Sequence[Any], weights: Any, rule: Rule | None = None) -> list[Any]:
    """Return the gradient of T's weighted sum by each input.

    Raises:
        NoGradient: there is no gradient.
    """
    import tensorflow as tf

    try:
        with obeying(rule) if rule is not None else contextlib.nullcontext():
            found = tf.compat.v1.gradients(target, list(inputs), grad_ys=weights, stop_gradients=list(inputs))
    except LookupError as error:  # an operation in between has no gradient
        raise NoGradient(f"T ({target.name}) cannot be differentiated: {error}") from error
    for x, gradient in zip(inputs, found, strict=True):
        if gradient is None:
            raise NoGradient(_no_gradient(target, x))
    return [tf.convert_to_tensor(gradient) for gradient in found]  # the gradient of a gather is IndexedSlices


def _no_gradient(target: Any, x: Any) -> str:
    if not x.dtype.is_floating:
        return (
            f"X ({x.name}) holds {x.dtype.name}, which has no gradient. "
            "Pass the output of the embedding that it indexes as X, and its values as xs."
        )
    return (
        f"T ({target.name}) does not depend on X ({x.name}) in a differentiable way: "
        "T must be computed from exactly that tensor, without rounding, argmax or integers in between."
    )
