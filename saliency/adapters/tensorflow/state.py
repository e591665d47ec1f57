"""The variables that a TensorFlow graph writes to, replaced by copies, so that a call changes nothing of the user's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import tensorflow as tf

READING = frozenset({"ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape", "VarIsInitializedOp"})
"""Operators that only read the variable whose handle they take."""

READ_ONLY = "_read_only_resource_inputs"
"""Attribute of operators that call functions: which of their inputs are handles of variables that are only read."""

DRAWS = ("Random", "Multinomial", "ParameterizedTruncatedNormal", "StatelessRandom", "Rng")
"""How the types of operators that draw random numbers begin."""


class _Own(NamedTuple):
    """A variable that a graph writes to, and the copy that takes its place."""

    handle: Any
    copy: Any
    draws: bool
    """Whether it is the state of a random generator."""


class StatelessGraph:
    """A traced function that leaves the user's variables as they are.

    Variables that it only reads are the user's own. It has copies of those that it writes to, which take over the
    user's values before each call; states of random generators begin as the user's and go on by themselves.

    Args:
        function: with ``get_concrete_function`` called already, for one signature.
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
            own = _Own(handle, _copy_of(variable), _is_random_state(variable))
            self._owned.append(own)
            captured.append(own.copy.handle)
        if self._owned:
            function.set_external_captures(captured)

    @property
    def graph(self) -> Any:
        """The graph that was traced."""
        return self._function.graph

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers."""
        return any(each.draws for each in self._owned) or any(map(_draws, self.graph.get_operations()))

    def __call__(self, *arguments: Any) -> Any:
        for each in self._owned:
            if not each.draws:
                each.copy.assign(tf.raw_ops.ReadVariableOp(resource=each.handle, dtype=each.copy.dtype))
        return self._function(*arguments)


def _copy_of(variable: Any) -> Any:
    with tf.init_scope():
        return tf.Variable(variable.read_value(), trainable=False, shape=variable.shape, dtype=variable.dtype)


def _is_written(placeholder: Any) -> bool:
    """Whether any operator may write to the variable whose handle this is."""
    return any(i not in _read_by(each) for each in placeholder.consumers() for i in _inputs(each, placeholder))


def _inputs(operator: Any, tensor: Any) -> Iterator[int]:
    return (i for i, each in enumerate(operator.inputs) if each is tensor)


def _read_by(operator: Any) -> range | list[int]:
    """Which of an operator's inputs it only reads, if they are handles."""
    if operator.type in READING:
        return range(len(operator.inputs))
    known = READ_ONLY in operator.node_def.attr
    return list(operator.get_attr(READ_ONLY)) if known else []


def _is_random_state(variable: Any) -> bool:
    return any(name in variable.name for name in ("StateVar", "seed_generator_state"))


def _draws(operator: Any) -> bool:
    return operator.op_def is not None and operator.op_def.is_stateful and operator.type.startswith(DRAWS)


class FixedGraphs:
    """A function that can only be traced for a batch of one size: a :class:`StatelessGraph` for each of the last few.

    Args:
        function: a ``tf.function``.
    """

    MOST = 8

    def __init__(self, function: Any) -> None:
        self._function, self._graphs = function, OrderedDict[Any, StatelessGraph]()

    def graph(self, *arguments: Any) -> StatelessGraph:
        """The graph for tensors of these shapes; of classes, there may be any number."""
        wanted = tuple(
            tf.TensorSpec([None] if each.dtype == tf.int32 else each.shape, each.dtype) for each in arguments
        )
        if wanted not in self._graphs:
            # a function of its own: it would keep every graph
            traced = tf.function(self._function, autograph=False).get_concrete_function(*wanted)
            self._graphs[wanted] = StatelessGraph(traced)
        self._graphs.move_to_end(wanted)
        while len(self._graphs) > self.MOST:
            self._graphs.popitem(last=False)
        return self._graphs[wanted]

    @property
    def draws(self) -> bool:
        """Whether it draws random numbers."""
        return any(each.draws for each in self._graphs.values())

    def __call__(self, *arguments: Any) -> Any:
        return self.graph(*arguments)(*arguments)


def graph_of(function: Callable[..., Any], images: Any, *beside: Any, with_classes: bool = True) -> Any:
    """`function` traced for batches of any size; for this very size where it cannot be for any."""
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
