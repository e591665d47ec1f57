"""The fields of methods, as controls: what they are, what they may be, and what a change would cost."""

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
"""Values by the names of fields; `"method.steps"` is the field `steps` of the method inside."""

KINDS = {"int": "whole", "float": "number", "str": "text"}
"""Controls by a field's type."""

PRESET_FACTOR = 2
"""By what factor a field must change the cost to be part of a preset."""

LARGEST = 2**53
"""Numbers beyond are not exact in JavaScript."""

SCALE_FACTOR = 4
"""What a whole number is multiplied with, or divided by, for presets."""


LAYER = "layer"
"""The field that names a layer, or several, in every method that has it."""


class Layers(NamedTuple):
    """What a field that names layers may name."""

    names: tuple[str, ...]
    automatic: str
    """The one that is read where none is named."""


def described(
    method: saliency.Method, reference: saliency.Method, layers: Layers | None = None
) -> list[dict[str, Any]]:
    """The fields of a method for controls, those of the method inside it after its own.

    Args:
        method: whose values are told.
        like: whose values are the defaults.
        layers: of the model, where they are known.

    Returns:
        of each its `name`, `kind` ("whole", "number", "flag", "choice", "names", "text", or "fixed" for what no control
        can say), `value`, `default`, `optional` (whether it may be null, for automatic), `automatic` (what that is),
        `low`, `high`, `choices` and `help`.
    """
    return [_control(name, field, defaults) for name, field, defaults in _walk(method, reference, layers)]


def changed(method: saliency.Method, values: Fields, layers: Layers | None = None) -> saliency.Method:
    """The method with some fields set.

    Args:
        method: the one on offer.
        values: plain ones, as JSON has them.
        layers: of the model, where they are known: then none but these can be named.

    Raises:
        SaliencyError: no such field, or a value it cannot have.
    """
    known = {name: field for name, field, _ in _walk(method, method, layers)}
    for name, value in values.items():
        if name not in known:
            raise saliency.UnknownName(f"{method!r} has no field {summary(name)}. It has: {', '.join(known)}.")
        method = _set(method, name.split("."), _plain(name, known[name], value))
    return method


def presets(method: saliency.Method, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """Fields for a quick and for a thorough run: of whole numbers those that make it cheaper, or dearer.

    Args:
        method: with its defaults.
        shape: of the image, (1, H, W, C).
    """
    cost = method.cost(shape)
    found = []
    for name, costlier in (("quick", False), ("thorough", True)):
        values: dict[str, Any] = {}
        for field, told, _ in _walk(method, method):
            for value in _scaled(told):
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
    """The first sentence of what is said of its class."""
    return (
        (inspect.getdoc(type(method)) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "").replace("`", "")
    )


def reads_layers(method: saliency.Method) -> bool:
    """Whether a field of it, or of the method inside it, names a layer."""
    return any(name.rpartition(".")[2] == LAYER for name, *_ in _walk(method, method))


def _walk(
    method: saliency.Method, reference: saliency.Method, layers: Layers | None = None
) -> Iterator[tuple[str, Mapping[str, Any], Any]]:
    """Each field by its dotted name, as the engine describes it, with its default."""
    defaults = {each["name"]: each["value"] for each in saliency.described(reference)}
    types = {each.name: str(each.type).split(" | ") for each in fields(method)}
    inside = []
    for field in saliency.described(method):
        value, default = field["value"], defaults[field["name"]]
        told = {"low": None, "high": None, "choices": None, "help": "", **field, "types": types[field["name"]]}
        if isinstance(value, saliency.Method):
            same = isinstance(default, type(value))
            inside.append((field["name"], value, default if same else value))
        elif field["name"] == LAYER and layers is not None:
            yield field["name"], {**told, "choices": layers.names, "automatic": layers.automatic}, default
        else:
            yield field["name"], told, default
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
    """Which control a field gets: by its type, where it may be several by the value it has."""
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
    """Of what a field's value is chosen."""
    return FILLS if "Baseline" in field["types"] and _kind(field) == "names" else field["choices"]


def _listed(value: Any) -> list[str] | None:
    """Several names, or one, as a list."""
    return [value] if isinstance(value, str) else None if value is None else list(value)


def _all_in(value: Any, names: Sequence[str]) -> bool:
    """Whether a value is one of some names, or several, and nothing else."""
    several = [value] if isinstance(value, str) else value
    return (
        isinstance(several, list | tuple)
        and bool(several)
        and all(isinstance(each, str) and each in names for each in several)
    )


def _plain(name: str, field: Mapping[str, Any], value: Any) -> Any:
    """A value of JSON as the field wants it.

    Raises:
        BadField: of another kind.
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
            # of other choices the method itself tells
            return value
        case "names" if isinstance(value, list) and _all_in(value, _choices(field) or ()):
            return value[0] if len(value) == 1 else tuple(value)
    among = f" There is: {', '.join(field['choices'])}." if "automatic" in field else ""
    raise saliency.BadField(f"{name} cannot be {_summary(value)}.{among}")


def _set(method: saliency.Method, path: Sequence[str], value: Any) -> saliency.Method:
    first, *rest = path
    if rest:
        inner = {each["name"]: each["value"] for each in saliency.described(method)}[first]
        value = _set(inner, rest, value)
    return method.but(**{first: value})


def _scaled(field: Mapping[str, Any]) -> list[int]:
    """A whole number by a factor more, and less, within its bounds."""
    value = field["value"]
    if _kind(field) != "whole" or not value:
        return []
    low = -math.inf if field["low"] is None else field["low"]
    high = math.inf if field["high"] is None else field["high"]
    several = (value * SCALE_FACTOR, max(1, round(value / SCALE_FACTOR)))
    return [each for each in several if low <= each <= high and each != value]


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number that JavaScript has too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _summary(value: Any) -> str:
    return f"array of shape {value.shape}" if isinstance(value, np.ndarray) else summary(value)


class Controls:
    """What the methods on offer may be set to.

    Args:
        offered: by their ids, as they are without any change.
        shape: of the image, (1, H, W, C).
        layers: gives those of the models, as far as they are known.
    """

    def __init__(
        self,
        offered: Mapping[str, saliency.Method],
        shape: tuple[int, ...],
        layers: Callable[[], Layers | None] = lambda: None,
    ) -> None:
        self._offered, self._shape, self._layers = dict(offered), shape, layers

    def reads_layers(self, method_id: str) -> bool:
        """Whether a method has a field that names layers."""
        return reads_layers(self._offered[method_id])

    def method(self, method_id: str, values: Fields) -> saliency.Method:
        """A method with some fields set; see :func:`changed`."""
        return changed(self._offered[method_id], values, self._layers())

    def cost(self, method_id: str, values: Fields) -> int:
        """How many images it asks; 0 where only the model's answer can tell."""
        method = self.method(method_id, values)
        return 0 if beyond(method) else method.cost(self._shape)

    def different(self, method_id: str, values: Fields) -> dict[str, Any]:
        """Of the values those that are not the method's own anyway.

        Raises:
            SaliencyError: see :func:`changed`.
        """
        fields_now = described(self.method(method_id, values), self._offered[method_id], self._layers())
        return {each["name"]: each["value"] for each in fields_now if each["value"] != each["default"]}

    def described(self, rid: str, method_id: str, values: Fields, timing: TimeEstimator) -> Message:
        """A `described`: the controls of a method with some values, and what a run with them would cost."""
        offered, problem = self._offered[method_id], ""
        try:
            method = self.method(method_id, values)
            # what fits no image of this size is reported when the cost is computed
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
