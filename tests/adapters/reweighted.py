"""What copies of a model with other weights are like, as facts for tests in any process."""

from __future__ import annotations

from typing import Any

import numpy as np


def facts(model: Any, image: np.ndarray) -> dict[str, Any]:
    """Return the facts about class 1 of a model: names, and scores of the model and of its copies.

    Args:
        model: of any framework.
        image: (1, H, W, C).
    """
    import saliency
    from saliency.metrics.shuffling import shuffled

    adapted: Any = saliency.adapt(model).at([1])
    images, version = adapted.ops.asarray(image), adapted.version
    before, layers = values(adapted), adapted.weighted_layers(images)
    plain = float(adapted.ops.tohost(adapted.scores(images))[0, 0])
    copied = shuffled(adapted, 0)
    after, by_layers = values(copied), adapted
    for layer in layers:
        by_layers = shuffled(by_layers, 0, [layer])
    scores = {
        "score": adapted,
        "of all": copied,
        "of each": by_layers,
        "of the last layer": shuffled(adapted, 0, layers[:1]),
        "of none": shuffled(adapted, 0, []),
    }
    found = {name: float(each.ops.tohost(each.scores(images))[0, 0]) for name, each in scores.items()}
    return {
        "layers": layers,
        "names": list(before),
        "first": plain,
        **found,
        "sorted": all(np.array_equal(np.sort(each, None), np.sort(after[name], None)) for name, each in before.items()),
        "shuffled": [name for name, each in before.items() if not np.array_equal(each, after[name])],
        "unchanged": all(np.array_equal(each, values(adapted)[name]) for name, each in before.items()),
        "version": adapted.version == version,
        "versions": len({each.version for each in scores.values()}),
    }


def values(adapted: Any) -> dict[str, np.ndarray]:
    """Return the values of every weight tensor, by name."""
    found: dict[str, np.ndarray] = {}

    def kept(name: str, array: np.ndarray) -> np.ndarray:
        found[name] = array
        return array

    adapted.reweighted(kept)
    return found


def check(found: dict[str, Any], layers: list[str], score: float) -> None:
    """Check the facts about a model whose layers, from the output back, and score are known."""
    assert list(found["layers"]) == layers
    assert found["sorted"]
    assert found["unchanged"]
    assert found["version"]
    assert found["versions"] == 5
    np.testing.assert_allclose([found["first"], found["score"], found["of none"]], score, rtol=1e-5)
    np.testing.assert_allclose(found["of each"], found["of all"], rtol=1e-5)
    assert min(abs(found["of all"] - score), abs(found["of the last layer"] - score)) > 1e-4 * abs(score)
