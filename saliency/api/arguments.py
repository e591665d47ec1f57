"""Read the arguments of :func:`saliency.evaluate`: images, methods, metrics, targets and objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from saliency import checks
from saliency.api.methods import not_over_image
from saliency.core.catalogue import METHODS
from saliency.core.method import Method, as_method
from saliency.core.parameters import Parameters
from saliency.errors import BadField, BadImage, BadShape, BadTarget, brief
from saliency.metrics.catalogue import METRICS
from saliency.metrics.metric import Attribution, Metric
from saliency.results.explanation import Explanation

T = TypeVar("T")
P = TypeVar("P", bound=Parameters)


def images_of(images: Any) -> tuple[bool, list[Any]]:
    """Return whether several images were passed, and the list of them."""
    if isinstance(images, list | tuple):
        if not images:
            raise BadField("images is an empty list: pass at least one image.")
        if inputs := next((each for each in images if isinstance(each, list | tuple)), None):
            raise BadImage(
                f"Metrics need pictures with rows and columns, got {brief(inputs)}, the inputs of one example."
            )
        return True, list(images)
    shape: Any = getattr(images, "shape", ())
    if len(shape) == 1:  # paths, in an array or a Series
        return True, list(images)
    if len(shape) == 4 and shape[0] > 1:
        return True, [images[i : i + 1] for i in range(shape[0])]
    return False, [images]


def _listed(given: Any, what: str, count: int, error: type[Exception] = BadField) -> list[Any]:
    """Return a list with one entry for each image."""
    found = given.tolist() if what == "targets" and hasattr(given, "tolist") else list(given)
    if len(found) != count:
        raise error(f"{what} has {len(found)} entries for {count} images: pass one for each image.")
    return found


def targets_of(targets: Any, count: int) -> list[Any]:
    """Return the target of each image."""
    listed = isinstance(targets, list | tuple) or len(getattr(targets, "shape", ())) == 1
    return _listed(targets, "targets", count, BadTarget) if listed else [targets] * count


def objects_of(masks: Any, count: int, several: bool) -> list[Any]:
    """Return the object in each image."""
    if masks is None:
        return [None] * count
    if not several:
        return [masks[0] if isinstance(masks, list | tuple) and len(masks) == 1 else masks]
    if not (isinstance(masks, list | tuple) or len(getattr(masks, "shape", ())) == 3):
        raise BadShape(f"masks must be a list with one mask, box or None for each image, got {brief(masks)}.")
    return _listed(masks, "masks", count, BadShape)


def subjects_of(methods: Any, count: int, several: bool) -> Mapping[str, Method | Sequence[Any]]:
    """Return methods, or masks for each image, by name."""
    if not isinstance(methods, Mapping):
        return _by_id(methods, "methods", _method)
    named = {checks.text(name, "A name in methods"): each for name, each in methods.items()}
    return _some(
        {name: _subject(each, f"methods[{name!r}]", count, several) for name, each in named.items()}, "methods"
    )


def metrics_of(metrics: Any) -> Mapping[str, Metric]:
    """Return metrics by name."""
    if not isinstance(metrics, Mapping):
        return _by_id(metrics, "metrics", _metric)
    return _some({checks.text(name, "A name in metrics"): _metric(each) for name, each in metrics.items()}, "metrics")


def _subject(given: Any, what: str, count: int, several: bool) -> Method | Sequence[Any]:
    """Return a method, or a list with one mask for each image."""
    if isinstance(given, str | Method | type):
        return _method(given)
    array = hasattr(given, "shape")
    if not several and (isinstance(given, Explanation) or array):
        return [given]
    if isinstance(given, list | tuple) or array:
        return _listed(given, what, count)
    raise BadField(f"{what} must be a method, or a list of one mask for each image, got {brief(given)}.")


def _method(given: Any) -> Method:
    """Return the method for an id, a class or an instance."""
    if isinstance(given, str):
        given = METHODS[checks.choice(given, "method", METHODS)]
    if isinstance(given, Explanation | np.ndarray):
        raise BadField("Masks need a name: pass methods={'mine': [mask, …]}, with one mask for each image.")
    method = as_method(given, "methods")
    if (why := not_over_image(method)) is not None:
        raise BadField(f"{why}.")
    return method


def _metric(given: Any) -> Metric:
    """Return the metric for an id, a class or an instance."""
    if isinstance(given, str):
        return METRICS[checks.choice(given, "metric", METRICS)]()
    made = given() if isinstance(given, type) and issubclass(given, Metric) else given
    if not isinstance(made, Metric):
        raise BadField(f"metrics must be metrics, such as saliency.metrics.SRG(levels=16), got {brief(given)}.")
    return made


def _by_id(given: Any, what: str, read: Callable[[Any], P]) -> dict[str, P]:
    """Return one value or several by their id, or by their expression where fields differ from the defaults."""
    one = isinstance(given, str | Parameters | type)
    values = [read(each) for each in ([given] if one else checks.several(given, what))]
    names = [repr(each) if each.changed() or not each.id else each.id for each in values]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadField(f"{what} contains {twice} twice: pass each once, or a dict from names.")
    return _some(dict(zip(names, values, strict=True)), what)


def _some(named: dict[str, T], what: str) -> dict[str, T]:
    """Return the values; raise if there is none."""
    if not named:
        raise BadField(f"{what} is empty: pass at least one id; see saliency.methods() and saliency.metrics.table().")
    return named


def attribution_of(given: Any) -> Attribution:
    """Return a mask of the user's own."""
    if given is None:
        raise BadField("There is no mask of this image.")
    if isinstance(given, Explanation):
        return Attribution.of(given)
    return Attribution(checks.array(given, "The mask"))
