"""Weights of TensorFlow models: the names of their variables, and their use in a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from saliency.adapters.tensorflow.trace import CALLS
from saliency.adapters.weights import Step, last_uses


def variables_of(model: Any) -> list[Any]:
    """Return every variable of a model, or of the functions of a SavedModel."""
    found = list(getattr(model, "variables", None) or ())
    if not found:
        functions = [*dict(getattr(model, "signatures", None) or {}).values()]
        functions += getattr(getattr(model, "__call__", None), "concrete_functions", ())  # noqa: B004
        found = list({id(each): each for function in functions for each in function.variables}.values())
    return found


def named_weights(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, variable) of every trainable variable of a floating type: "conv/kernel".

    Variables of a ``tf.Module`` are named by the attributes that hold them: several often have the same name.
    """
    counts = Counter[str]()
    held = {id(variable): path for path, variable in _attributes(model)}
    for variable in variables_of(model):
        if not variable.trainable or not tf.as_dtype(variable.dtype).is_floating:
            continue
        name = held.get(id(variable)) or str(variable.name).partition(":")[0]
        counts[name] += 1
        yield (name if counts[name] == 1 else f"{name}_{counts[name] - 1}"), variable


def _attributes(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield (path, variable) of every attribute of a ``tf.Module`` that is a variable."""
    if isinstance(model, tf.Module):
        found = model._flatten(predicate=lambda each: isinstance(each, tf.Variable), with_path=True)
        yield from (("/".join(map(str, path)), variable) for path, variable in found)


def last_uses_in(images: Any, scores: Any, handles: Mapping[int, str]) -> dict[str, int]:
    """Return, by name of each weight tensor that the scores depend on, the last operator that uses it.

    Args:
        images: in the graph.
        scores: in the graph.
        handles: the name by the id of the variable's handle.
    """
    graph = images.graph
    weights = {inner.name: [handles[id(handle)]] for handle, inner in graph.captures if id(handle) in handles}
    return last_uses(list(_steps(graph, graph.get_operations(), "")), weights, images.name, [scores.name])


def _steps(graph: Any, operators: Sequence[Any], prefix: str) -> Iterator[Step]:
    """Yield the steps of a graph and of the functions that it calls; slots are names of tensors after a prefix."""
    for each in operators:
        takes = [prefix + tensor.name for tensor in each.inputs]
        gives = [prefix + tensor.name for tensor in each.outputs]
        inner = _body(graph, each)
        if inner is None:
            yield set(takes), set(gives)
            continue
        inside = f"{prefix}{each.name}|"
        yield from (({outer}, {inside + tensor.name}) for outer, tensor in zip(takes, inner.inputs, strict=True))
        yield from _steps(inner, inner.get_operations(), inside)
        yield from (({inside + tensor.name}, {outer}) for outer, tensor in zip(gives, inner.outputs, strict=True))


def _body(graph: Any, operator: Any) -> Any:
    """Return the graph of the function that an operator calls; None for any other operator."""
    if operator.type not in CALLS:
        return None
    found = getattr(graph._get_function(operator.get_attr("f").name), "graph", None)
    fits = (
        found is not None and len(found.inputs) == len(operator.inputs) and len(found.outputs) == len(operator.outputs)
    )
    return found if fits else None
