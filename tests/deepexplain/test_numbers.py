"""Types and first axes: float64 where the examples are, static first axes, and TensorFlow 2 switched off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saliency.deepexplain import DeepExplain
from saliency.deepexplain.methods import METHODS
from saliency.errors import BadOutput
from tests.frameworks import lazy

tf, v1 = lazy("tensorflow"), lazy("tensorflow.compat.v1")
pytestmark = pytest.mark.needs("tensorflow")

XS = np.random.default_rng(0).normal(size=(5, 4))
WEIGHTS = np.random.default_rng(1).normal(size=(4, 3))

SWITCHED_OFF = """
import numpy as np, tensorflow as tf
tf.compat.v1.disable_v2_behavior()
from tests.deepexplain.test_numbers import METHODS, XS, explained
for method in METHODS:
    print(method, explained(method).sum())
"""


def explained(method: str, length: int | None = None, mixing: bool = False, dtype: Any = None, xs: Any = XS) -> Any:
    """The attributions of a rectified product, of examples that do or do not depend on each other."""
    with tf.Graph().as_default(), v1.Session() as session:
        X = v1.placeholder(dtype or tf.float32, (length, 4))
        x = X - tf.reduce_mean(X, 0) if mixing else X
        T = tf.nn.relu(x @ v1.constant(WEIGHTS, dtype or tf.float32))
        with DeepExplain(session=session) as de:
            return de.explain(method, T, X, xs)


@pytest.mark.parametrize("method", METHODS)
def test_attributions_are_as_wide_as_the_examples(method: str) -> None:
    """float64 of float64 examples or a float64 graph, else float32."""
    assert explained(method).dtype == np.float64
    assert explained(method, dtype=tf.float64, xs=XS.astype(np.float32)).dtype == np.float64
    assert explained(method, xs=XS.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("length", [5, 8])
@pytest.mark.parametrize("method", [name for name in METHODS if name != "shapley_sampling"])
def test_a_static_first_axis_changes_no_number(method: str, length: int) -> None:
    """Five examples in a graph of five or eight have the numbers of a graph of any length."""
    np.testing.assert_allclose(explained(method, length), explained(method), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["saliency", "grad*input", "intgrad", "occlusion"])
def test_examples_that_depend_on_each_other_must_fill_the_axis(method: str) -> None:
    """Filling up would change their numbers: refused with the two ways out; a full batch is explained."""
    with pytest.raises(BadOutput, match="Give 8 examples, or build the graph with None"):
        explained(method, 8, mixing=True)
    assert np.isfinite(explained(method, 5, mixing=True)).all()


def test_it_works_with_tensorflow_2_switched_off(checkout: Path) -> None:
    """Under `disable_v2_behavior()` every method has the same sums: shapes hold Dimensions then."""
    run = subprocess.run(
        [sys.executable, "-c", SWITCHED_OFF],
        cwd=checkout,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = {name: float(total) for name, total in map(str.split, run.stdout.splitlines())}

    assert found.keys() == METHODS.keys()
    for method, total in found.items():
        assert total == pytest.approx(explained(method).sum(), rel=1e-4)
