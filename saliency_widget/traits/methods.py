"""The methods a widget offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import saliency
from saliency_widget.protocol.summary import brief
from saliency_widget.traits.timing import Pace

FAVOURITES = ("xrai", "integrated_gradients", "smooth_grad", "grad_cam", "gradient", "occlusion")
"""What is offered first where nothing is asked for: regions, paths, noise, a layer, the gradient, and scores alone."""

Named = str | saliency.Method | type[saliency.Method]


class Choice(NamedTuple):
    """One method on offer."""

    id: str
    """Its name in messages: the method's own, numbered where it is offered twice."""
    name: str
    method: saliency.Method
    lacks: str
    """Why this model cannot answer it; empty where it can."""
    favourite: bool
    """Whether it stands before the others."""

    def spec(self, shape: tuple[int, ...], lacks: Sequence[str]) -> dict[str, Any]:
        """What the browser is told, for an image of shape (1, H, W, C) and what each model lacks."""
        return {
            "id": self.id,
            "name": self.name,
            "cost": Pace().images(self.method, shape),
            "paper": self.method.paper,
            "family": "" if self.favourite else self.method.family,
            "lacks": list(lacks),
        }


def choose(
    methods: Iterable[Named] | None,
    model: saliency.Adapted[Any],
    picture: saliency.Picture,
    fields: Mapping[str, Any],
) -> list[Choice]:
    """The methods on offer.

    Args:
        methods: ids, values or classes; None for all there are, :data:`FAVOURITES` first and the others by family.
        model: judges what it can answer.
        picture: what would be explained.
        fields: values for every method that has such a field.

    Raises:
        UnknownName: an id that no method has.
        BadField: no method has such a field, or nothing was chosen.
    """
    wanted = _all() if methods is None else [methods] if isinstance(methods, str) else list(methods)
    found = [_set_all(_with_layer_names(_method(each), model), fields) for each in wanted]
    if not found:
        raise saliency.BadField("methods is empty: name at least one, or leave it out.")
    for name in fields:
        if not any(_set(method, name, fields[name]) for method in found):
            raise saliency.BadField(f"{name} is given, but none of these methods has such a field: {found}.")
    distinct = list({method.key(): method for method in found}.values())
    ids = [method.id for method in distinct]
    return [
        Choice(
            id=method.id if (rank := ids[:i].count(method.id)) == 0 else f"{method.id}-{rank + 1}",
            name=_name(method, ids.count(method.id) > 1),
            method=method,
            lacks=_lacks(method, model, picture),
            favourite=methods is not None or method.id in FAVOURITES,
        )
        for i, method in enumerate(distinct)
    ]


def first_available(choices: Sequence[Choice]) -> str:
    """Id of the first method the model can answer, or simply the first."""
    return next((each.id for each in choices if not each.lacks), choices[0].id)


def _all() -> list[Named]:
    """Every method there is, in the order in which they are offered."""
    rest = [each for each in saliency.methods() if each.id not in FAVOURITES]
    families = list(dict.fromkeys(each.family for each in rest))
    return [*FAVOURITES, *(each.id for each in sorted(rest, key=lambda each: families.index(each.family)))]


def _method(named: Any) -> saliency.Method:
    if isinstance(named, saliency.Method):
        return named
    if isinstance(named, type) and issubclass(named, saliency.Method):
        return named()
    known = {each.id: each.cls for each in saliency.methods()}
    if not isinstance(named, str) or named not in known:
        raise saliency.UnknownName(f"There is no method {brief(named)}. There is: {', '.join(known)}.")
    return known[named]()


def _with_layer_names(method: saliency.Method, model: saliency.Adapted[Any]) -> saliency.Method:
    """The method with the name of its layer where it was given as a module, also of a method inside it."""
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
    """The method with a field set, its own or that of a method inside it; None where there is no such field."""
    own = {each["name"]: each["value"] for each in saliency.described(method)}
    if name in own:
        return method.but(**{name: value})
    for field, inner in own.items():
        if isinstance(inner, saliency.Method) and (changed := _set(inner, name, value)) is not None:
            return method.but(**{field: changed})
    return None


def _name(method: saliency.Method, several: bool) -> str:
    """What it is called on the screen; with what is not at its default where there are several of the kind."""
    changed = repr(method).partition("(")[2].removesuffix(")")
    return f"{method.title} ({changed})" if several and changed else method.title


def _lacks(method: saliency.Method, model: saliency.Adapted[Any], picture: saliency.Picture) -> str:
    if saliency.lacking(model, method.needs) is None:
        return ""
    try:
        # refused before anything is asked, in the engine's own words
        saliency.explain(model, picture, method, target=0, progress=False)
    except saliency.Unsupported as error:
        return str(error)
    return ""
