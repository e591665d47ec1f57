"""The methods a widget offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import saliency
from saliency_widget.protocol.summary import summary
from saliency_widget.traits.formulas import plain
from saliency_widget.traits.timing import TimeEstimator

FAVOURITES = ("xrai", "integrated_gradients", "smooth_grad", "grad_cam", "gradient", "occlusion")
"""The methods at the top of the list: regions, paths, noise, a layer, the gradient, and scores alone."""

ATTENTION = saliency.AttentionRollout.needs
"""The capability that only transformers have."""

MethodLike = str | saliency.Method | type[saliency.Method]


class OfferedMethod(NamedTuple):
    """A method on offer."""

    id: str
    """Its id in messages: the method's own, with a number if the method is offered twice."""
    name: str
    method: saliency.Method
    unsupported: str
    """Why this model does not support it; empty if it does."""
    favourite: bool
    """Whether it is listed before the others."""

    def spec(self, shape: tuple[int, ...], unsupported: Sequence[str]) -> dict[str, Any]:
        """Return the method's entry in the trait `spec`.

        Args:
            shape: shape (1, H, W, C) of the image.
            unsupported: for each model the reason why it does not support the method, or an empty string.
        """
        return {
            "id": self.id,
            "name": self.name,
            "cost": TimeEstimator().images(self.method, shape),
            "paper": self.method.paper,
            "formula": plain(self.method.formula),
            "advice": self.method.advice,
            "family": "" if self.favourite else self.method.family,
            "standing": _standings().get(type(self.method)),
            "lacks": list(unsupported),
        }


def offered_methods(
    methods: Iterable[MethodLike] | None,
    prepared: saliency.Prepared,
    fields: Mapping[str, Any],
) -> list[OfferedMethod]:
    """Return the methods on offer.

    Args:
        methods: ids, values or classes; None for every method, :data:`FAVOURITES` first and the others by family.
        prepared: the model that must support them, with the picture that would be explained.
        fields: values for every method that has such a field.

    Raises:
        UnknownName: no method has this id.
        BadField: no method has such a field, or `methods` is empty.
    """
    wanted = _all() if methods is None else [methods] if isinstance(methods, str) else list(methods)
    found = [_set_all(_with_layer_names(_method(each), prepared.adapted), fields) for each in wanted]
    if not found:
        raise saliency.BadField("methods is empty: pass at least one method, or None for all.")
    for name in fields:
        if not any(_set(method, name, fields[name]) for method in found):
            raise saliency.BadField(f"{name} is given, but none of these methods has a field of that name: {found}.")
    distinct = list({method.key(): method for method in found}.values())
    ids = [method.id for method in distinct]
    return [
        OfferedMethod(
            id=method.id if (rank := ids[:i].count(method.id)) == 0 else f"{method.id}-{rank + 1}",
            name=_name(method, ids.count(method.id) > 1),
            method=method,
            unsupported=_unsupported_reason(method, prepared),
            favourite=methods is not None or method.id in FAVOURITES,
        )
        for i, method in enumerate(distinct)
    ]


def offered_alone(method_id: str, method: saliency.Method) -> OfferedMethod:
    """Return a method whose maps exist already, under its id."""
    return OfferedMethod(method_id, method.title, method, "", True)


def first_choices(methods: Sequence[OfferedMethod], named: bool) -> list[str]:
    """Return the ids of the methods that may be shown first, the best first.

    Of methods that the user named these are the ones that the model supports, or the first if it supports none. Else
    they are the methods that "auto" chooses from, by their standing on the leaderboard, then the others. Whether the
    model has the layers that a method reads shows only when it is called: then the next one is shown.

    Args:
        methods: the methods on offer.
        named: whether the user named them.
    """
    supported = [each.id for each in methods if not each.unsupported]
    if named:
        return supported or [methods[0].id]
    transformer = any(each.method.needs is ATTENTION and not each.unsupported for each in methods)
    best = [each.id for each in saliency.methods().automatic(transformer) if each.id in supported]
    return list(dict.fromkeys([*best, *supported])) or [methods[0].id]


@cache
def _standings() -> dict[type[saliency.Method], float]:
    """Return the standing of each method on the leaderboard, where it was measured."""
    return {each.cls: each.evidence.standing for each in saliency.methods() if each.evidence is not None}


def _all() -> list[MethodLike]:
    """Return the ids of every method, in the order in which they are offered."""
    rest = [each for each in saliency.methods() if each.id not in FAVOURITES and not each.cls.over_layer]
    families = list(dict.fromkeys(each.family for each in rest))
    return [*FAVOURITES, *(each.id for each in sorted(rest, key=lambda each: families.index(each.family)))]


def _method(given: Any) -> saliency.Method:
    if isinstance(given, saliency.Method):
        return given
    if isinstance(given, type) and issubclass(given, saliency.Method):
        return given()
    known = {each.id: each.cls for each in saliency.methods()}
    if not isinstance(given, str) or given not in known:
        raise saliency.UnknownName(f"There is no method {summary(given)}. Available: {', '.join(known)}.")
    return known[given]()


def _with_layer_names(method: saliency.Method, model: saliency.Adapted[Any]) -> saliency.Method:
    """Return the method with a layer that was given as a module replaced by its name, also in an inner method."""
    for each in saliency.described(method):
        name, value = each["name"], each["value"]
        if isinstance(value, saliency.Method):
            method = method.but(**{name: _with_layer_names(value, model)})
        elif name == "layer" and value is not None:
            method = method.but(layer=model.layer_name(value))
    return method


def _set_all(method: saliency.Method, fields: Mapping[str, Any]) -> saliency.Method:
    for name, value in fields.items():
        method = _set(method, name, value) or method
    return method


def _set(method: saliency.Method, name: str, value: Any) -> saliency.Method | None:
    """Return the method with a field of it, or of an inner method, set; None if there is no such field."""
    own = {each["name"]: each["value"] for each in saliency.described(method)}
    if name in own:
        return method.but(**{name: value})
    for field, inner in own.items():
        if isinstance(inner, saliency.Method) and (changed := _set(inner, name, value)) is not None:
            return method.but(**{field: changed})
    return None


def _name(method: saliency.Method, several: bool) -> str:
    """Return the title of a method; with its changed parameters if several methods of this class are offered."""
    changed = repr(method).partition("(")[2].removesuffix(")")
    return f"{method.title} ({changed})" if several and changed else method.title


def _unsupported_reason(method: saliency.Method, prepared: saliency.Prepared) -> str:
    if method.over_layer:
        return f"{method.title} attributes to the channels of a layer: saliency.explain(model, image, {method.id!r})."
    if saliency.lacking(prepared.adapted, method.needs) is None:
        return ""
    try:
        # raises before the model is called
        saliency.explain(prepared.adapted, prepared.picture, method, target=0, progress=False)
    except saliency.Unsupported as error:
        return str(error)
    return ""
