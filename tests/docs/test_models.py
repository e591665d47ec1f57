"""docs/models.md: its recipes run, and its table of capabilities × models matches the models.

After an intended change, such as a new adapter: ``python tests/docs/test_models.py`` rewrites the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import saliency
from saliency.core.catalogue import METHODS
from saliency.model.protocols import capability
from tests.api.test_layers import made
from tests.nets import black_box, picture, small_net

GUIDE = Path(__file__).parents[2] / "docs" / "models.md"
RECIPES = re.findall(r"^## (.+?)\n.*?```python\n(.+?)```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
TABLE = re.compile(r"(?<=<!-- the table -->\n).*(?=<!-- end of the table -->)", re.DOTALL)


class Classifier:
    """A classifier with scikit-learn's interface."""

    def fit(self, rows: np.ndarray, names: list[str]) -> Classifier:
        """Store the names and the number of features."""
        self.classes_, self.n_features_in_ = np.array(names), rows.shape[1]
        return self

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        """Return probabilities, (N, 2)."""
        return np.stack([1 - rows.mean(1), rows.mean(1)], 1)


def onnx_bytes(height: int, width: int) -> bytes:
    """Return a model (N, 3, H, W) -> (N, 4): the mean square of the channels, and a linear layer."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Mul", ["image", "image"], ["square"]),
        helper.make_node("ReduceMean", ["square", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["scores"]),
    ]
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([2, 3]), "axes")]
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, height, width])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", 4])
    graph = helper.make_graph(nodes, "tiny", [given], [scores], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(("name", "recipe"), RECIPES, ids=[name for name, _ in RECIPES])
def test_each_recipe_of_the_guide_works(
    name: str, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every block of docs/models.md runs unchanged, and explains the picture."""
    for package in re.findall(r"^(?:import|from) ([\w, ]+)", recipe, re.MULTILINE)[0].split(", "):
        pytest.importorskip(package.split(" ")[0])
    monkeypatch.chdir(tmp_path)
    if name == "ONNX":
        Path("model.onnx").write_bytes(onnx_bytes(32, 32))
    torch.manual_seed(0)
    if name == "Keras 3":
        __import__("keras").utils.set_random_seed(0)
    images = np.stack([picture(32, 32, seed=seed) / 255 for seed in (0, 1)])
    known: dict[str, Any] = {"image": picture(32, 32), "images": images, "Classifier": Classifier}
    exec(recipe, known)  # our own documentation

    exp = known["exp"]
    assert np.isfinite(exp.mask).all()
    assert exp.mask.any() or "the mask is zero everywhere" in exp.notes[-1]


def test_there_is_a_recipe_for_each_framework() -> None:
    """Every framework has a recipe, and no recipe has more than six lines."""
    frameworks = {"PyTorch", "Hugging Face", "Keras 3", "TensorFlow", "JAX", "Flax", "Equinox", "ONNX"}
    assert frameworks <= dict(RECIPES).keys()
    for name, recipe in RECIPES:
        assert len([line for line in recipe.splitlines() if line and "import" not in line]) <= 6, name


def saved_model() -> Any:
    """Return the small CNN, saved and loaded."""
    import tempfile

    import tensorflow as tf

    from tests.adapters import same_net

    with tempfile.TemporaryDirectory() as folder:
        net = same_net.tf_module(same_net.weights())
        tf.saved_model.save(net, folder, signatures=net.__call__)
        return tf.saved_model.load(folder)


def session() -> Any:
    """Return a session of ONNX Runtime."""
    import onnxruntime

    return onnxruntime.InferenceSession(onnx_bytes(24, 20), providers=["CPUExecutionProvider"])


def same(name: str, **options: Any) -> Callable[[], Any]:
    """Return a function that builds the small CNN of that name in `tests.adapters.same_net`."""

    def make() -> Any:
        from tests.adapters import same_net

        return getattr(same_net, name)(same_net.weights(), **options)

    return make


def jax_function() -> Any:
    """Return (f, params)."""
    from tests.adapters import same_net

    return same_net.pure_jax, same_net.weights()


MODELS: dict[str, Callable[[], Any]] = {
    "torch": small_net,
    "torch transformer": made,
    "function of torch": lambda: saliency.adapt(small_net().forward, framework="torch"),
    "Keras": same("keras"),
    "TensorFlow": same("tf_module"),
    "SavedModel": saved_model,
    "JAX": jax_function,
    "Flax": same("linen"),
    "Equinox": same("equinox"),
    "function of NumPy": lambda: black_box(small_net()),
    "predict_proba": lambda: Classifier().fit(np.zeros((2, 24 * 20 * 3)), ["dark", "bright"]),
    "ONNX": session,
}
"""A model of every kind, in the order of the table."""


@lru_cache(None)
def adapted(kind: str) -> Any:
    """Return the adapted model of that kind, created once."""
    for package in {"Keras": ["keras"], "ONNX": ["onnx", "onnxruntime"], "Flax": ["flax"], "Equinox": ["equinox"]}.get(
        kind, ["tensorflow", "jax"] if kind in ("TensorFlow", "SavedModel", "JAX") else []
    ):
        pytest.importorskip(package)
    return saliency.adapt(MODELS[kind]())


def table() -> str:
    """Return the table: "yes", or the number of the model's reason, which is listed below it."""
    reasons: dict[str, int] = {}
    lines = [f"| the method needs | {' | '.join(MODELS)} |", "|---" * (1 + len(MODELS)) + "|"]
    for needs in dict.fromkeys(cls().needs for cls in METHODS.values()):
        cells = []
        for kind in MODELS:
            why = saliency.lacking(adapted(kind), needs)
            if why is not None:
                why = re.sub(r"^your \w+", "the model", why)  # one footnote for models of any class
            cells.append("yes" if why is None else str(reasons.setdefault(why, len(reasons) + 1)))
        lines.append(f"| {capability(needs)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"{number}. {why}" for why, number in reasons.items())]) + "\n"


def test_the_table_matches_the_models() -> None:
    """Each cell is "yes" or the model's reason. To update the table: python tests/docs/test_models.py."""
    found = TABLE.search(GUIDE.read_text(encoding="utf-8"))

    assert found is not None
    assert found[0] == table()


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_gives_its_reasons(kind: str) -> None:
    """A model supports every capability that some method needs, or gives the reason."""
    model = adapted(kind)
    for needs in {cls().needs for cls in METHODS.values()}:
        lacks = any(each in model.lacks for each in needs.__mro__)
        assert lacks or isinstance(model, needs), f"{kind} gives no reason for {needs.__name__}"


if __name__ == "__main__":
    text = GUIDE.read_text(encoding="utf-8")
    GUIDE.write_text(TABLE.sub(lambda _: table(), text), encoding="utf-8")
