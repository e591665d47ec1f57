"""What is measured: the methods at their budget, and the metrics of a scene."""

from __future__ import annotations

from saliency import testbed
from saliency.api.check import CONTRAST, REPORTED
from saliency.api.recommend import at_cost
from saliency.core.catalogue import METHODS
from saliency.core.layer_paths import LayerPathMethod
from saliency.core.method import Method
from saliency.metrics import ROAD, SRG, Metric, RelevanceRankAccuracy

BUDGET = 256
"""Number of images that a method may evaluate for one mask."""

LARGE_BUDGET = 64
"""The same on networks for photographs, which are a hundred times as large as the others."""

LARGE = ("imagenet", "photographs", "coco")
"""The groups of beds of these networks."""

RERUNS = 2
"""Number of scenes of a bed on which metrics are measured that run the method again."""

LARGE_RERUNS = 1
"""The same on networks for photographs."""

REMOVAL: dict[str, Metric] = {"srg": SRG(levels=16), "road": ROAD(shares=(0.1, 0.3, 0.5))}

SANITY: dict[str, Metric] = {**CONTRAST, "mprt": REPORTED["mprt"].but(draws=1)}
"""As in a verdict. Each scene shuffles the weights in its own way."""

BESIDE_PEERS = (*REMOVAL, "random_logit")
"""Metrics of peers, on the scenes where methods run again."""

LOCALISATION: dict[str, Metric] = {"relevance_rank_accuracy": RelevanceRankAccuracy()}

KINDS = ("removal", "interventions", "class contrast", "weight shuffling")
"""Kinds of causal measures; each has the same weight in a standing."""

_KIND = {
    **dict.fromkeys(REMOVAL, "removal"),
    "random_logit": "class contrast",
    "mprt": "weight shuffling",
    **dict.fromkeys(LOCALISATION, "localisation"),
}


OF_LAYERS = tuple(name for name, cls in METHODS.items() if issubclass(cls, LayerPathMethod))
"""Methods of the units of a layer. They answer which units matter, or where one looks, and are not ranked."""


def kind_of(metric: str) -> str:
    """Return the kind of a metric, one of :data:`KINDS` or "localisation"."""
    return _KIND.get(metric, "interventions")


def metrics_of(bed: testbed.Bed, scene: testbed.Scene, index: int) -> dict[str, Metric]:
    """Return the metrics that are measured on a scene, by id.

    Args:
        bed: the bed.
        scene: its scene.
        index: the index of the scene; metrics that run the method again are measured on the first ones only.
    """
    found = {**REMOVAL, **bed.measures(scene), **SANITY, **(LOCALISATION if scene.truth is not None else {})}
    reruns = LARGE_RERUNS if bed.group in LARGE else RERUNS
    return {name: each for name, each in found.items() if index < reruns or not each.needs_method}


def budget_of(bed: testbed.Bed) -> int:
    """Return the number of images that a method may evaluate for one mask on a bed."""
    return LARGE_BUDGET if bed.group in LARGE else BUDGET


def methods_for(shape: tuple[int, int, int], budget: int = BUDGET) -> tuple[dict[str, Method], dict[str, str]]:
    """Return every method of the image at its budget for pictures (H, W, C), by id; and why others are left out."""
    found, left_out = {}, {}
    for name, cls in METHODS.items():
        if name in OF_LAYERS:
            continue
        fitted = within_budget(cls(), (1, *shape), budget)
        if fitted is None:
            left_out[name] = f"needs more than {budget} images"
        else:
            found[name] = fitted
    return found, left_out


def within_budget(method: Method, shape: tuple[int, ...], budget: int) -> Method | None:
    """Return a method with fewer samples, steps or windows where it would evaluate too many images; None without any.

    Args:
        method: the method.
        shape: (1, H, W, C).
        budget: number of images.
    """
    found = at_cost(method, shape, budget)
    if found is None and method.id == "occlusion":
        # windows further apart until they are side by side, then larger ones
        sizes = [(15, stride) for stride in range(8, 16)] + [(size, size) for size in range(16, max(shape))]
        windows = (method.but(size=size, stride=stride) for size, stride in sizes)
        found = next((each for each in windows if each.cost(shape) <= budget), None)
    return found
