"""Look up a method by name, and list the methods."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from saliency.core.catalogue import METHODS, XRAI, IntegratedGradients, Rise
from saliency.core.method import Method, as_method
from saliency.errors import UnknownName, Unsupported, unknown
from saliency.model.protocols import Adapted, Differentiable, capability, lacking
from saliency.results.tables import MethodInfo, MethodTable

READABLE = 12
"""Maximum number of methods named in an error."""


def methods() -> MethodTable:
    """Return a table of the methods: id, class, the capability they need, their cost, and the paper."""
    found = []
    for name, cls in METHODS.items():
        method = cls()
        needs, cost = capability(method.needs), method.cost((1, 224, 224, 3))
        found.append(MethodInfo(name, cls, cls.title, needs, cost, cls.paper, cls.family, cls.advice))
    return MethodTable(found)


def chosen(
    method: str | Method | type[Method], adapted: Adapted[Any], notes: list[str], no_picture: bool = False
) -> Method:
    """Return the method for a name, with a note in `notes` if it was chosen automatically.

    Args:
        method: an instance, a class, an id, or "auto".
        adapted: the model.
        notes: receives the note.
        no_picture: whether the inputs are no pictures.
    """
    if not isinstance(method, str):
        return as_method(method, "method")
    if method == "auto":
        gives = lacking(adapted, Differentiable) is None
        found = IntegratedGradients() if no_picture else XRAI() if gives else Rise()
        notes.append(f"method: {found.title}, as the model provides {'gradients' if gives else 'only scores'}")
        return found
    if method not in METHODS:
        raise unknown("method", method, ["auto", *METHODS])
    return METHODS[method]()


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
