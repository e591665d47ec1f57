from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("tensorflow")

SCRIPT = """
import tensorflow.compat.v1 as tf
tf.disable_v2_behavior()
import numpy as np
import saliency.tf1 as saliency

x = tf.placeholder(tf.float32, (None, 2))
train = tf.placeholder_with_default(False, ())
w = tf.get_variable("w", initializer=[1.0, -2.0])
both = tf.cond(train, lambda: tf.nn.relu(x * w), lambda: 2.0 * tf.nn.relu(x * w))
y = tf.reduce_sum(both * [1.0, -1.0], 1)
graph = tf.get_default_graph()
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    made = [each(graph, session, y[0], x) for each in (saliency.GradientSaliency, saliency.GuidedBackprop)]
    assert w.dtype._is_ref_dtype and graph.get_operation_by_name("w").type == "VariableV2"
    assert any(op.type == "Merge" for op in graph.get_operations())
    print([each.GetMask(np.array([3.0, -1.0]), feed).tolist() for each in made for feed in (None, {train: True})])
"""


def test_a_program_of_version_1_works_unchanged(checkout: Path) -> None:
    """With version 2 switched off (v1 shapes, ref variables, v1 control flow, default graph) the masks are right."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], cwd=checkout, check=False, capture_output=True, text=True
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[[2.0, 4.0], [1.0, 2.0], [2.0, 0.0], [1.0, 0.0]]"
