"""Controls of the parameters (fields) of methods: their values, limits and cost."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency_widget.protocol.messages import Message, message
from saliency_widget.protocol.summary import summary
from saliency_widget.protocol.values import FILLS
from saliency_widget.traits.timing import TimeEstimator, beyond

Fields = Mapping[str, Any]
"""Values by the names of fields; `"method.steps"` is the field `steps` of the inner method."""

KINDS = {"int": "whole", "float": "number", "str": "text"}
"""Kinds of controls by the type of a field."""

PRESET_FACTOR = 2
"""Minimum factor by which a field changes the cost if it is part of a preset."""

LARGEST = 2**53
"""Largest number that is exact in JavaScript."""

SCALE_FACTOR = 4
"""Factor by which presets multiply or divide a whole number."""


LAYER = "layer"
"""Name of the field for layers in every method that reads one."""


class Layers(NamedTuple):
    """Layers of a model that a field may name."""

    names: tuple[str, ...]
    automatic: str
    """The layer that is used if none is named."""


def described(
    method: saliency.Method, reference: saliency.Method, layers: Layers | None = None
) -> list[dict[str, Any]]:
    """Return the fields of a method for controls, followed by those of its inner method.

    Args:
        method: the method with the current values.
        reference: the method with the default values.
        layers: layers of the model, if known.

    Returns:
        For each field its `name`, `kind` ("whole", "number", "flag", "choice", "names", "text", or "fixed" if it has no
        control), `value`, `default`, `optional` (whether null, for automatic, is valid), `automatic` (the automatic
        value), `low`, `high`, `choices` and `help`.
    """
    return [_control(name, field, defaults) for name, field, defaults in _walk(method, reference, layers)]


def changed(method: saliency.Method, values: Fields, layers: Layers | None = None) -> saliency.Method:
    """Return a method with some fields set.

    Args:
        method: the method on offer.
        values: values as JSON has them, by the names of fields.
        layers: layers of the model, if known: then no others are valid.

    Raises:
        SaliencyError: there is no such field, or a value is invalid.
    """
    known = {name: field for name, field, _ in _walk(method, method, layers)}
    for name, value in values.items():
        if name not in known:
            raise saliency.UnknownName(f"{method!r} has no field {summary(name)}. It has: {', '.join(known)}.")
        method = _set(method, name.split("."), _plain(name, known[name], value))
    return method


def presets(method: saliency.Method, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return presets for a quick and a thorough run: whole numbers that lower, or raise, the cost.

    Args:
        method: the method with its defaults.
        shape: shape (1, H, W, C) of the image.
    """
    cost = method.cost(shape)
    found = []
    for name, costlier in (("quick", False), ("thorough", True)):
        values: dict[str, Any] = {}
        for field, entry, _ in _walk(method, method):
            for value in _scaled(entry):
                try:
                    other = changed(method, {field: value}).cost(shape)
                except saliency.SaliencyError:
                    continue
                if other >= PRESET_FACTOR * cost if costlier else 0 < other <= cost / PRESET_FACTOR:
                    values[field] = value
                    break
        if values:
            found.append({"name": name, "fields": values, "cost": changed(method, values).cost(shape)})
    return found


def about(method: saliency.Method) -> str:
    """Return the first paragraph of the docstring of a method's class."""
    return (
        (inspect.getdoc(type(method)) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "").replace("`", "")
    )


def reads_layers(method: saliency.Method) -> bool:
    """Return whether a field of a method, or of its inner method, names a layer."""
    return any(name.rpartition(".")[2] == LAYER for name, *_ in _walk(method, method))


def _walk(
    method: saliency.Method, reference: saliency.Method, layers: Layers | None = None
) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Yield the dotted name of each field, its description by the engine, and its default."""
    defaults = {each["name"]: each["value"] for each in saliency.described(reference)}
    types = {each.name: str(each.type).split(" | ") for each in fields(method)}
    inside = []
    for field in saliency.described(method):
        value, default = field["value"], defaults[field["name"]]
        entry = {"low": None, "high": None, "choices": None, "help": "", **field, "types": types[field["name"]]}
        if isinstance(value, saliency.Method):
            same = isinstance(default, type(value))
            inside.append((field["name"], value, default if same else value))
        elif field["name"] == LAYER and layers is not None:
            yield field["name"], {**entry, "choices": layers.names, "automatic": layers.automatic}, default
        else:
            yield field["name"], entry, default
    for name, value, default in inside:
        for inner, field, inner_default in _walk(value, default, layers):
            yield f"{name}.{inner}", field, inner_default


def _control(name: str, field: Mapping[str, Any], default: Any) -> dict[str, Any]:
    kind, value = _kind(field), field["value"]
    names = kind == "names"
    return {
        "name": name,
        "kind": kind,
        "value": _summary(value) if kind == "fixed" else _listed(value) if names else value,
        "default": _summary(default) if kind == "fixed" else _listed(default) if names else default,
        "optional": "None" in field["types"],
        "automatic": field.get("automatic", ""),
        "low": field["low"],
        "high": field["high"],
        "choices": None if (choices := _choices(field)) is None else list(choices),
        "help": field["help"],
    }


def _kind(field: Mapping[str, Any]) -> str:
    """Return the kind of a field's control: by its type, or by its value if the type allows several."""
    value, types = field["value"], field["types"]
    if isinstance(value, bool):
        return "flag"
    if "Baseline" in types:
        return "names" if _all_in(value, FILLS) else "fixed"
    if "automatic" in field:
        return "names" if "Sequence[str]" in types else "choice"
    if field["choices"] is not None and isinstance(value, str | None):
        return "choice"
    if isinstance(value, str):
        return "text"
    if value is None or isinstance(value, int | float):
        return next((kind for plain, kind in KINDS.items() if plain in types), "fixed")
    return "fixed"


def _choices(field: Mapping[str, Any]) -> Sequence[str] | None:
    """Return the values among which a field is chosen."""
    return FILLS if "Baseline" in field["types"] and _kind(field) == "names" else field["choices"]


def _listed(value: Any) -> list[str] | None:
    """Return one name, or several, as a list."""
    return [value] if isinstance(value, str) else None if value is None else list(value)


def _all_in(value: Any, names: Sequence[str]) -> bool:
    """Return whether a value is one or several of some names."""
    several = [value] if isinstance(value, str) else value
    return (
        isinstance(several, list | tuple)
        and bool(several)
        and all(isinstance(each, str) and each in names for each in several)
    )


def _plain(name: str, field: Mapping[str, Any], value: Any) -> Any:
    """Return a JSON value as the type of the field.

    Raises:
        BadField: the value is of another kind.
    """
    if value is None and "None" in field["types"]:
        return None
    match _kind(field):
        case "flag" if isinstance(value, bool):
            return value
        case "whole" if _is_number(value) and value == int(value):
            return int(value)
        case "number" if _is_number(value):
            return value
        case "text" if isinstance(value, str):
            return value
        case "choice" if isinstance(value, str) and ("automatic" not in field or value in field["choices"]):
            # other choices are checked by the method itself
            return value
        case "names" if isinstance(value, list) and _all_in(value, _choices(field) or ()):
            return value[0] if len(value) == 1 else tuple(value)
    among = f" Expected one of: {', '.join(field['choices'])}." if "automatic" in field else ""
    raise saliency.BadField(f"{name} cannot be {_summary(value)}.{among}")


def _set(method: saliency.Method, path: Sequence[str], value: Any) -> saliency.Method:
    first, *rest = path
    if rest:
        inner = {each["name"]: each["value"] for each in saliency.described(method)}[first]
        value = _set(inner, rest, value)
    return method.but(**{first: value})


def _scaled(field: Mapping[str, Any]) -> list[int]:
    """Return a whole number multiplied and divided by :data:`SCALE_FACTOR`, within its limits."""
    value = field["value"]
    if _kind(field) != "whole" or not value:
        return []
    low = -math.inf if field["low"] is None else field["low"]
    high = math.inf if field["high"] is None else field["high"]
    several = (value * SCALE_FACTOR, max(1, round(value / SCALE_FACTOR)))
    return [each for each in several if low <= each <= high and each != value]


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number that is exact in JavaScript."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _summary(value: Any) -> str:
    return f"array of shape {value.shape}" if isinstance(value, np.ndarray) else summary(value)


class Controls:
    """Parameters of the methods on offer.

    Args:
        offered: the methods as they were offered, by id.
        shape: shape (1, H, W, C) of the image.
        layers: returns the known layers of the models.
    """

    def __init__(
        self,
        offered: Mapping[str, saliency.Method],
        shape: tuple[int, ...],
        layers: Callable[[], Layers | None] = lambda: None,
    ) -> None:
        self._offered, self._shape, self._layers = dict(offered), shape, layers

    def reads_layers(self, method_id: str) -> bool:
        """Return whether a method has a field that names layers."""
        return reads_layers(self._offered[method_id])

    def method(self, method_id: str, values: Fields) -> saliency.Method:
        """Return a method with some fields set; see :func:`changed`."""
        return changed(self._offered[method_id], values, self._layers())

    def cost(self, method_id: str, values: Fields) -> int:
        """Return how many images a method evaluates; 0 if that depends on the model's output."""
        method = self.method(method_id, values)
        return 0 if beyond(method) else method.cost(self._shape)

    def different(self, method_id: str, values: Fields) -> dict[str, Any]:
        """Return the values that differ from those of the method as it was offered.

        Raises:
            SaliencyError: see :func:`changed`.
        """
        fields_now = described(self.method(method_id, values), self._offered[method_id], self._layers())
        return {each["name"]: each["value"] for each in fields_now if each["value"] != each["default"]}

    def described(self, rid: str, method_id: str, values: Fields, timing: TimeEstimator) -> Message:
        """Return a `described`: the controls of a method with some values, and the cost of a run with them."""
        offered, problem = self._offered[method_id], ""
        try:
            method = self.method(method_id, values)
            # computing the cost raises for values that do not fit the size of the image
            cost = timing.images(method, self._shape)
        except saliency.SaliencyError as reason:
            method, problem, cost = offered, str(reason), timing.images(offered, self._shape)
        return message(
            "described",
            rid,
            method=method_id,
            about=about(offered),
            advice=offered.advice,
            paper=offered.paper,
            fields=described(method, offered, self._layers()),
            presets=presets(offered, self._shape),
            cost=cost,
            beyond="" if cost else beyond(method),
            seconds=timing.seconds(method, cost) or None,
            problem=problem,
        )
