from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import saliency
from saliency.model import CAPABILITY
from tests.nets import black_box, picture, small_net

GUIDE = Path(__file__).parent.parent / "docs" / "models.md"
RECIPES = re.findall(r"^## (.+?)\n.*?```python\n(.+?)```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


class Classifier:
    """As scikit-learn's are."""

    def fit(self, rows: np.ndarray, names: list[str]) -> Classifier:
        """Remember names and features."""
        self.classes_, self.n_features_in_ = np.array(names), rows.shape[1]
        return self

    def predict_proba(self, rows: np.ndarray) -> np.ndarray:
        """(N, 2)."""
        return np.stack([1 - rows.mean(1), rows.mean(1)], 1)


@pytest.mark.parametrize(("name", "recipe"), RECIPES, ids=[name for name, _ in RECIPES])
def test_each_recipe_of_the_guide_works(name: str, recipe: str) -> None:
    """Every block of docs/models.md runs as it stands, and explains the picture."""
    if name == "Hugging Face":
        pytest.importorskip("transformers")
    torch.manual_seed(0)
    images = np.stack([picture(32, 32, seed=seed) / 255 for seed in (0, 1)])
    known: dict[str, Any] = {"image": picture(32, 32), "images": images, "Classifier": Classifier}
    exec(recipe, known)  # our own documentation

    assert np.isfinite(known["exp"].mask).all()


def test_the_guide_s_table_is_what_the_models_say() -> None:
    """Each cell is "yes" or the model's own sentence."""
    net = small_net()
    models = {
        "torch module": net,
        "torch function": saliency.adapt(net.forward, framework="torch"),
        "NumPy function": black_box(net),
        "predict_proba": Classifier().fit(np.zeros((2, 4)), ["dark", "bright"]),
    }
    lines = GUIDE.read_text(encoding="utf-8").splitlines()
    assert f"| model | {' | '.join(CAPABILITY.values())} |" in lines
    for name, model in models.items():
        adapted = saliency.adapt(model)
        told = [saliency.lacking(adapted, needs) or "yes" for needs in CAPABILITY]
        assert f"| {name} | {' | '.join(told)} |" in lines
