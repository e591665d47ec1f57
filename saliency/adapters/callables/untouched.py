"""Call a function without changing the models that it refers to."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np

from saliency.adapters.callables.closure import held


def left_alone(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function wrapped so that calls do not change the models that it refers to.

    torch modules are replaced by copies. Variables of Keras, TensorFlow and Flax models are restored after each call.
    """
    kept = [each for each in held(function) if not isinstance(each, type)]
    kept += [inner for each in kept for inner in held(getattr(each, "python_function", None))]
    contexts = [context for each in kept if (context := _put_back(each)) is not None]
    if contexts:
        return functools.partial(_within, contexts, function)
    if "torch" in sys.modules and any(hasattr(each, "named_modules") for each in kept):
        from saliency.adapters.torch.function import on_a_copy

        return on_a_copy(function)
    return function


def _within(contexts: list[Callable[[], AbstractContextManager[None]]], function: Any, images: Any) -> Any:
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context())
        return function(images)


def _put_back(model: Any) -> Callable[[], AbstractContextManager[None]] | None:
    """Return a context that restores a model after a call; None if calls cannot change the object."""
    if any(base.__module__.startswith("flax.nnx") for base in type(model).__mro__):
        return functools.partial(_attributes_put_back, model)
    if hasattr(model, "trainable_variables"):
        return functools.partial(_values_put_back, _variables(model))
    return None


def _variables(model: Any) -> list[Any]:
    """Return the variables of a Keras model or a ``tf.Module`` that a call may write to."""
    if hasattr(model, "stateless_call"):
        return list(model.non_trainable_variables)
    generators = [sys.modules["tensorflow"].random.get_global_generator(), *vars(model).values()]
    states = (getattr(each, "state", None) for each in generators)
    return [*model.variables, *(each for each in states if hasattr(each, "assign"))]


@contextmanager
def _values_put_back(variables: list[Any]) -> Iterator[None]:
    before = [np.array(each.numpy()) for each in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            if not np.array_equal(np.asarray(variable.numpy()), value, equal_nan=value.dtype.kind in "fc"):
                variable.assign(value)


@contextmanager
def _attributes_put_back(module: Any) -> Iterator[None]:
    """Restore the attributes of an nnx module and its parts, and the values of its variables."""
    import jax
    from flax import nnx

    before = [(part, dict(vars(part))) for _, part in nnx.iter_modules(module)]
    state = jax.tree.map(lambda each: each, nnx.state(module))
    try:
        yield
    finally:
        for part, attributes in before:
            vars(part).clear()
            vars(part).update(attributes)
        nnx.update(module, state)
