"""Copies of the variables that a TensorFlow graph writes to, so that calls do not change the user's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import tensorflow as tf

READING = frozenset({"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape", "VarIsInitializedOp"})
"""Operators that only read the variable of their handle."""

READ_ONLY = "_read_only_resource_inputs"
"""Attribute of operators that call functions: the inputs that are handles of variables that are only read."""

DRAWS = ("Random", "Multinomial", "ParameterizedTruncatedNormal", "StatelessRandom", "Rng")
"""Prefixes of the types of operators that draw random numbers."""


Instead = Mapping[int, Any]

NOTHING: Instead = MappingProxyType({})


class _Own(NamedTuple):
    """A variable that a graph writes to, and the copy that replaces it."""

    handle: Any
    copy: Any
    draws: bool
    """Whether it is the state of a random generator."""


class StatelessGraph:
    """A traced function that does not change the user's variables.

    Variables that it only reads are the user's own. Variables that it writes to are replaced by copies, which get the
    user's values before each call; states of random generators start as copies and then advance separately.

    Args:
        function: a concrete function was already created, for one signature.
    """

    def __init__(self, function: Any) -> None:
        self._function = function
        self._owned: list[_Own] = []
        variables = {id(each.handle): each for each in function.graph.variables}
        captured = []
        for handle, placeholder in function.graph.captures:
            variable = variables.get(id(handle))
            if variable is None or not _is_written(placeholder):
                captured.append(handle)
                continue
            own = _Own(handle, copy_of(variable), _is_random_state(variable))
            self._owned.append(own)
            captured.append(own.copy.handle)
        if self._owned:
            function.set_external_captures(captured)

    @property
    def graph(self) -> Any:
        """The traced graph."""
        return self._function.graph

    @property
    def draws(self) -> bool:
        """Whether the graph draws random numbers."""
        return any(each.draws for each in self._owned) or any(map(_draws, self.graph.get_operations()))

    def __call__(self, *arguments: Any, instead: Instead = NOTHING) -> Any:
        """Call the function; `instead` holds, by the id of a variable's handle, another variable to read."""
        for each in self._owned:
            if not each.draws:
                other = instead.get(id(each.handle))
                handle = each.handle if other is None else other.handle
                each.copy.assign(tf.raw_ops.ReadVariableOp(resource=handle, dtype=each.copy.dtype))
        if not instead:
            return self._function(*arguments)
        captured = self._function.captured_inputs
        replaced = [instead[id(each)].handle if id(each) in instead else each for each in captured]
        self._function.set_external_captures(replaced)
        try:
            return self._function(*arguments)
        finally:
            self._function.set_external_captures(captured)


def copy_of(variable: Any) -> Any:
    """Return a new variable with the same value."""
    with tf.init_scope():
        return tf.Variable(variable.read_value(), trainable=False, shape=variable.shape, dtype=variable.dtype)


def _is_written(placeholder: Any) -> bool:
    """Return whether any operator may write to the variable of a handle."""
    return any(i not in _read_by(each) for each in placeholder.consumers() for i in _inputs(each, placeholder))


def _inputs(operator: Any, tensor: Any) -> Iterator[int]:
    return (i for i, each in enumerate(operator.inputs) if each is tensor)


def _read_by(operator: Any) -> range | list[int]:
    """Return the indices of an operator's inputs whose variables it only reads."""
    if operator.type in READING:
        return range(len(operator.inputs))
    known = READ_ONLY in operator.node_def.attr
    return list(operator.get_attr(READ_ONLY)) if known else []


def _is_random_state(variable: Any) -> bool:
    return any(name in variable.name for name in ("StateVar", "seed_generator_state"))


def _draws(operator: Any) -> bool:
    return operator.op_def is not None and operator.op_def.is_stateful and operator.type.startswith(DRAWS)


class FixedGraphs:
    """A function that can only be traced for fixed batch sizes: a :class:`StatelessGraph` for each of the most recent.

    Args:
        function: a ``tf.function``.
    """

    MOST = 8

    def __init__(self, function: Any) -> None:
        self._function, self._graphs = function, OrderedDict[Any, StatelessGraph]()

    def graph(self, *arguments: Any) -> StatelessGraph:
        """Return the graph for tensors of these shapes, for any number of classes."""
        wanted = tuple(
            tf.TensorSpec([None] if each.dtype == tf.int32 else each.shape, each.dtype) for each in arguments
        )
        if wanted not in self._graphs:
            # a new function, since a shared one would cache every graph
            traced = tf.function(self._function, autograph=False).get_concrete_function(*wanted)
            self._graphs[wanted] = StatelessGraph(traced)
        self._graphs.move_to_end(wanted)
        while len(self._graphs) > self.MOST:
            self._graphs.popitem(last=False)
        return self._graphs[wanted]

    @property
    def draws(self) -> bool:
        """Whether the graph draws random numbers."""
        return any(each.draws for each in self._graphs.values())

    def __call__(self, *arguments: Any, instead: Instead = NOTHING) -> Any:
        return self.graph(*arguments)(*arguments, instead=instead)


def graph_of(function: Callable[..., Any], images: Any, *beside: Any, with_classes: bool = True) -> Any:
    """Trace `function` for batches of any size; if that fails, for the size of `images`."""
    classes = [tf.TensorSpec([None], tf.int32)] if with_classes else []
    try:
        wanted, *more = (tf.TensorSpec((None, *each.shape[1:]), each.dtype) for each in (images, *beside))
        return StatelessGraph(tf.function(function, autograph=False).get_concrete_function(wanted, *classes, *more))
    except (TypeError, ValueError) as error:
        if type(error).__module__.startswith("saliency"):
            raise
    fixed = FixedGraphs(function)
    fixed.graph(images, *(tf.constant([0], tf.int32) for _ in classes), *beside)
    return fixed
