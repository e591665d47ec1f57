"""Gradients that pass a ReLU only where both they and its output are positive."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from saliency.errors import NoGradient
from saliency.tf1 import utils
from saliency.tf1.base import FeedDict, TF1Saliency

GRADIENT_NAME = "SaliencyWidgetGuidedRelu"
"""Name of the registered gradient: not "GuidedRelu", which many notebooks register."""


class GuidedBackprop(TF1Saliency):
    """The gradient, passed at each ReLU only where it and the output are positive (arXiv:1412.6806, eq. 4).

    Only operations of type Relu are changed. Those inside a ``tf.function``, and relatives such as Relu6, keep their
    own gradient.

    The part of the graph that y needs is copied into a separate graph with the variables' current values: later
    training has no effect. The user's graph gets no new operations, unless a variable is never read.

    Args:
        graph: see :class:`~saliency.tf1.base.TF1Saliency`.
        session: see :class:`~saliency.tf1.base.TF1Saliency`.
        y: see :class:`~saliency.tf1.base.TF1Saliency`.
        x: see :class:`~saliency.tf1.base.TF1Saliency`.
        tmp_ckpt_path: not used; PAIR writes the variables there.

    Attributes:
        guided_graph: the copy.
        guided_sess: its session.
        guided_grads_node: the gradient there.

    Raises:
        RuntimeError: y does not depend on x.
    """

    guided_relu_registered = False

    def __init__(
        self,
        graph: Any,
        session: Any,
        y: Any,
        x: Any,
        tmp_ckpt_path: str = "/tmp/guided_backprop_ckpt",
    ) -> None:
        super().__init__(graph, session, y, x)
        import tensorflow as tf

        _register_gradient()
        self._copied = _ancestors(y.op)
        if x.op.name not in self._copied:
            raise NoGradient(f"{y.name} does not depend on {x.name}: y must be computed from exactly that tensor.")
        whole = graph.as_graph_def()
        definition = tf.compat.v1.GraphDef(versions=whole.versions, library=whole.library)
        definition.node.extend(node for node in whole.node if node.name in self._copied)

        self.guided_graph = tf.Graph()
        with self.guided_graph.as_default(), self.guided_graph.gradient_override_map({"Relu": GRADIENT_NAME}):
            tf.graph_util.import_graph_def(definition, name="")
        copied_y, copied_x = (self.guided_graph.get_tensor_by_name(tensor.name) for tensor in (y, x))
        self.guided_grads_node = utils.gradient(self.guided_graph, copied_y, copied_x)
        if isinstance(self.guided_grads_node, NoGradient):
            raise self.guided_grads_node
        self.guided_sess = tf.compat.v1.Session(graph=self.guided_graph)
        _copy_variables(session, [graph.get_operation_by_name(name) for name in self._copied], self.guided_sess)

    def GetMask(self, x_value: Any, feed_dict: FeedDict = None) -> np.ndarray:
        """Return the mask of one image, of the shape of `x_value`.

        Args:
            x_value: without a batch axis.
            feed_dict: additional values to feed, by tensors of the user's graph or by their names; it is not changed.
        """
        feed = {}
        for key, value in (feed_dict or {}).items():
            tensor = self.graph.as_graph_element(key, allow_operation=False)
            if tensor.op.name in self._copied:
                feed[tensor.name] = value
        feed[self.x.name] = np.asarray(x_value)[None]
        return np.asarray(self.guided_sess.run(self.guided_grads_node, feed_dict=feed)[0])


def _register_gradient() -> None:
    """Register the gradient of a guided ReLU once per process: TensorFlow never removes registered names."""
    import tensorflow as tf

    if GuidedBackprop.guided_relu_registered:
        return

    def guided(op: Any, above: Any) -> Any:
        passes = tf.logical_and(above > 0, op.outputs[0] > 0)
        return above * tf.cast(passes, above.dtype)

    with contextlib.suppress(KeyError):  # this module was reloaded
        tf.RegisterGradient(GRADIENT_NAME)(guided)
    GuidedBackprop.guided_relu_registered = True


def _ancestors(last: Any) -> set[str]:
    """Return the names of the operations that an operation needs, including itself, and of colocated ones."""
    found, ahead = {last.name}, [last]
    while ahead:
        op = ahead.pop()
        places = [group.decode().removeprefix("loc:@") for group in op.colocation_groups()]
        before = [tensor.op for tensor in op.inputs]
        for each in (*before, *op.control_inputs, *map(op.graph.get_operation_by_name, places)):
            if each.name not in found:
                found.add(each.name)
                ahead.append(each)
    return found


def _copy_variables(session: Any, ops: list[Any], to: Any) -> None:
    """Copy the values of variables from a session to another session of a copy.

    In memory: without a file, which processes would share, and without constants, which are limited in size.
    """
    import tensorflow as tf

    by_reference = [op for op in ops if op.type in ("Variable", "VariableV2")]
    by_handle = [op for op in ops if op.type == "VarHandleOp"]
    values = session.run([op.outputs[0] for op in by_reference] + [_reading(op) for op in by_handle])
    with to.graph.as_default():
        fed, assignments = {}, []
        for op, value in zip(by_reference + by_handle, values, strict=True):
            copy = to.graph.get_tensor_by_name(op.outputs[0].name)
            new = tf.compat.v1.placeholder(value.dtype, value.shape)
            fed[new] = value
            if op.type == "VarHandleOp":
                assignments.append(tf.raw_ops.AssignVariableOp(resource=copy, value=new))
            else:
                assignments.append(tf.raw_ops.Assign(ref=copy, value=new, validate_shape=False))
        to.run(assignments, feed_dict=fed)


def _reading(handle: Any) -> Any:
    """Return a tensor with the value of a variable that runs nothing else; it exists except for raw variables."""
    import tensorflow as tf

    for op in handle.outputs[0].consumers():
        # a tensor with control inputs may wait for a training step
        if op.type == "ReadVariableOp" and not op.control_inputs:
            return op.outputs[0]
    with handle.graph.as_default(), tf.control_dependencies(None):
        return tf.raw_ops.ReadVariableOp(resource=handle.outputs[0], dtype=handle.get_attr("dtype"))
