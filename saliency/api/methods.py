"""Look up a method by name, and list the methods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from saliency.core.catalogue import METHODS, FeatureAblation, IntegratedGradients
from saliency.core.evidence import WAITED, automatic, evidence
from saliency.core.method import Method, as_method
from saliency.errors import UnknownName, Unsupported, unknown
from saliency.model.protocols import Adapted, Attentive, Differentiable, capability, lacking
from saliency.results.tables import MethodInfo, MethodTable

READABLE = 12
"""Maximum number of methods named in an error."""


def methods() -> MethodTable:
    """Return a table of the methods: id, class, the capability they need, cost, standing on the leaderboard, and paper.

    The standing is the share of the other methods that a method beats on average; see docs/leaderboard.md.
    """
    found, known = [], evidence()
    for name, cls in METHODS.items():
        method = cls()
        needs, cost = capability(method.needs), method.cost((1, 224, 224, 3))
        about = cls.title, needs, cost, cls.paper, cls.family, cls.advice
        found.append(MethodInfo(name, cls, *about, known.get(name)))
    return MethodTable(found)


def named(method: str | Method | type[Method]) -> Method:
    """Return the method for an id, an instance or a class."""
    if not isinstance(method, str):
        return as_method(method, "method")
    if method not in METHODS:
        raise unknown("method", method, ["auto", *METHODS])
    return METHODS[method]()


def candidates(adapted: Adapted[Any], no_picture: bool = False) -> Iterator[tuple[Method, str]]:
    """Yield the methods that "auto" stands for, each with a note that says why, the best first.

    They are the methods of up to 64 images that stand highest on the leaderboard, as far as the model has what they
    need. The leaderboard has pictures only: for other inputs it is Integrated Gradients.

    Args:
        adapted: the model.
        no_picture: whether the inputs are no pictures.
    """
    if no_picture:
        yield IntegratedGradients(), f"method: {IntegratedGradients.title}, as the inputs are no pictures"
        return
    of_scores = "" if lacking(adapted, Differentiable) is None else ", as the model provides only scores"
    for name in automatic(transformer=lacking(adapted, Attentive) is None):
        method = METHODS[name]()
        if lacking(adapted, method.needs) is None:
            yield method, f"method: {method.title}, first on the leaderboard with up to {WAITED} images{of_scores}"
    yield FeatureAblation(), f"method: {FeatureAblation.title}, as it needs scores only"


def with_field(method: Method, name: str, value: Any) -> Method:
    """Return the method with a field set, its own or one of the method inside it."""
    own = {each.name for each in fields(method)}
    if name in own:
        return method.but(**{name: value})
    inner = [each for each in own if isinstance(getattr(method, each), Method)]
    for each in inner:
        try:
            return method.but(**{each: with_field(getattr(method, each), name, value)})
        except UnknownName:
            continue
    raise unknown(f"field of {method.id}", name, sorted(own))


def not_over_image(method: Method) -> str | None:
    """Return why a method gives no map of the image; None if it does."""
    if not method.over_layer:
        return None
    return (
        f"{type(method).__name__} attributes to the values of a layer, not to the image. It gives ranked channels and "
        f"their maps: saliency.explain(model, image, {method.id!r}).channels"
    )


def unsupported(method: Method, adapted: Adapted[Any], why: str, several: bool = False) -> Unsupported:
    """Return the error that states why the model does not support the method, and which methods it supports."""
    needed = f"{type(method).__name__} needs {capability(method.needs)}: {why}"
    return Unsupported(f"{needed}. {offered(adapted, several, method.family)}")


def offered(adapted: Adapted[Any], several: bool, family: str = "") -> str:
    """Return a sentence that lists the supported methods: of many, those of a family and the first ones."""
    made = [cls() for cls in METHODS.values()]
    can = [each.id for each in made if lacking(adapted, each.needs) is None and not (several and each.images_only)]
    if not can:
        return "No other method takes such inputs."
    what = "These take inputs of any shape:" if several else "This model can be explained by"
    if len(can) <= READABLE:
        return f"{what} {', '.join(can)}."
    near = sorted(can, key=lambda name: METHODS[name].family != family)[: READABLE // 2]
    return f"{what} {', '.join(near)} and {len(can) - len(near)} more (saliency.methods() lists them all)."
