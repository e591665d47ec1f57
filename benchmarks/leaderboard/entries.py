"""What is measured: the methods at their budget, and the metrics of a scene."""

from __future__ import annotations

from collections.abc import Mapping

from saliency import testbed
from saliency.api.check import CONTRAST, REPORTED
from saliency.api.recommend import at_cost
from saliency.core.catalogue import METHODS
from saliency.core.layer_paths import LayerPathMethod
from saliency.core.method import Method
from saliency.metrics import ROAD, SRG, Metric, RelevanceRankAccuracy

BUDGET = 256
"""Number of images that a method may evaluate for one mask."""

RERUNS = 2
"""Number of scenes of a bed on which metrics are measured that run the method again."""

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
    return {name: each for name, each in found.items() if index < RERUNS or not each.needs_method}


def methods_for(shape: tuple[int, int, int]) -> tuple[dict[str, Method], dict[str, str]]:
    """Return every method of the image at its budget for pictures (H, W, C), by id; and why others are left out."""
    found, left_out = {}, {}
    for name, cls in METHODS.items():
        if name in OF_LAYERS:
            continue
        fitted = within_budget(cls(), (1, *shape))
        if fitted is None:
            left_out[name] = f"needs more than {BUDGET} images"
        else:
            found[name] = fitted
    return found, left_out


def within_budget(method: Method, shape: tuple[int, ...]) -> Method | None:
    """Return a method with fewer samples, steps or windows where it would evaluate too many images; None without any.

    Args:
        method: the method.
        shape: (1, H, W, C).
    """
    found = at_cost(method, shape, BUDGET)
    if found is None and method.id == "occlusion":
        # windows further apart, at most side by side
        strides: Mapping[int, Method] = {each: method.but(stride=each) for each in range(8, 16)}
        found = next((each for each in strides.values() if each.cost(shape) <= BUDGET), None)
    return found
