"""Find the method that a name means, and list the methods there are."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from saliency.core.catalogue import METHODS, XRAI, IntegratedGradients, Rise
from saliency.core.method import Method, as_method
from saliency.errors import UnknownName, Unsupported, unknown
from saliency.model.protocols import Adapted, Differentiable, capability, lacking
from saliency.results.tables import MethodInfo, MethodTable

READABLE = 12
"""How many methods an error may name."""


def methods() -> MethodTable:
    """The methods there are: id, class, what they need of a model, what they cost, where they come from."""
    found = []
    for name, cls in METHODS.items():
        method = cls()
        needs, cost = capability(method.needs), method.cost((1, 224, 224, 3))
        found.append(MethodInfo(name, cls, cls.title, needs, cost, cls.paper, cls.family, cls.advice))
    return MethodTable(found)


def chosen(
    method: str | Method | type[Method], adapted: Adapted[Any], notes: list[str], no_picture: bool = False
) -> Method:
    """The method that was meant, told in `notes` where it was decided here.

    Args:
        method: a value, a class, a name, or "auto".
        adapted: the model.
        notes: added to.
        no_picture: whether inputs are explained that are none.
    """
    if not isinstance(method, str):
        return as_method(method, "method")
    if method == "auto":
        gives = lacking(adapted, Differentiable) is None
        found = IntegratedGradients() if no_picture else XRAI() if gives else Rise()
        notes.append(f"method: {found.title}, as the model gives {'gradients' if gives else 'only scores'}")
        return found
    if method not in METHODS:
        raise unknown("method", method, ["auto", *METHODS])
    return METHODS[method]()


def with_field(method: Method, name: str, value: Any) -> Method:
    """The method with a field set, its own or that of the method inside it."""
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


def unsupported(method: Method, adapted: Adapted[Any], why: str, several: bool = False) -> Unsupported:
    """The error that says why the model cannot answer the method, and what it can be explained by."""
    needed = f"{type(method).__name__} needs {capability(method.needs)}: {why}"
    return Unsupported(f"{needed}. {offered(adapted, several, method.family)}")


def offered(adapted: Adapted[Any], several: bool, family: str = "") -> str:
    """What the model can be explained by, in a sentence: of many methods those of a family, and the first."""
    made = [cls() for cls in METHODS.values()]
    can = [each.id for each in made if lacking(adapted, each.needs) is None and not (several and each.images_only)]
    if not can:
        return "No other method takes such inputs."
    what = "These take inputs of any shape:" if several else "This model can be explained by"
    if len(can) <= READABLE:
        return f"{what} {', '.join(can)}."
    near = sorted(can, key=lambda name: METHODS[name].family != family)[: READABLE // 2]
    return f"{what} {', '.join(near)} and {len(can) - len(near)} more (saliency.methods() tells them all)."
