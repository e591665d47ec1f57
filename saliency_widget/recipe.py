"""The view as Python that needs no widget: to be pasted into a script, where it gives the same numbers and picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import saliency
from saliency_widget.drawing import LUMA, SHADE, View, selection_of, sign_of
from saliency_widget.maps import maps_of, region_count
from saliency_widget.picked import of_mask
from saliency_widget.place import Place

LARGEST_ARRAY = 64
"""Numbers of an array that are written out; a larger one is left to whoever has it."""

HEAD = """\
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

import saliency

# {given}: as they were given to the widget
found = saliency.explain(
    model, img, {method}, target={target!r},{options}
    progress=False,
)
"""

AREA = """
kept = {kept}
light = replace(found, mask=kept.astype(np.float32)).on_picture() > 0.5
shown = np.where(light[..., None], found.picture, found.picture + ({shade} - found.picture.astype(float)) * {opacity})
"""

HEAT = """
values = {values}
strength = {strength}
low, high = {ends}
share = np.clip((values - low) / (high - low), 0, 1){gamma}
colours = plt.get_cmap({colormap!r}, {length})(share)
colours[strength < np.float32(np.percentile(strength, {threshold})), 3] = 0
colours = replace(found, mask=colours.astype(np.float32)).on_picture()
grey = (found.picture @ np.array({luma}))[..., None]
shown = grey + (colours[..., :3] * 255 - grey) * colours[..., 3:] * {opacity}
"""

GAMMA = {
    False: "share = share ** {gamma}",
    True: "share = (1 + np.sign(2 * share - 1) * np.abs(2 * share - 1) ** {gamma}) / 2",
}
"""The colour scale bent, the signed one on both sides of zero."""

TAIL = """
figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
axes.imshow(np.rint(shown).astype(np.uint8))
axes.set_title(f"{found.caption}\\n{found.label}", fontsize="small")
axes.set_axis_off()
"""


def recipe(
    explanation: saliency.Explanation, method: saliency.Method, view: View, place: Place, given: Sequence[str]
) -> str:
    """A script that gives the explanation, what is selected of it (`kept`), and the picture as it is shown (`shown`).

    Args:
        explanation: what is shown.
        method: that gave it.
        view: how it is looked at.
        place: where it lies.
        given: which of "labels", "preprocess" and "batch_size" the widget was given.
    """
    written = expression(method)
    names = ["model", "img", *given] + ["method"] * (written is None)
    options = "".join(f" {name}={name}," for name in given)
    head = HEAD.format(
        given=", ".join(names),
        method=written or "method",
        target=explanation.target,
        options=f"\n   {options}" if options else "",
    )
    return head + (_heat(explanation, view) if view.mode == "heat" else _area(explanation, view, place)) + TAIL


def expression(method: saliency.Method) -> str | None:
    """A method as it would be written in Python; None where that cannot be said in a line."""
    if getattr(saliency, type(method).__name__, None) is not type(method):
        return None
    fields = {name: _value(value) for name, value in method.changed().items()}
    if None in fields.values():
        return None
    return f"saliency.{type(method).__name__}({', '.join(f'{name}={value}' for name, value in fields.items())})"


def _value(value: Any) -> str | None:
    if isinstance(value, saliency.Method):
        return expression(value)
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()}, {value.dtype.name!r})" if value.size <= LARGEST_ARRAY else None
    if isinstance(value, list | tuple):
        parts = [_value(each) for each in value]
        if None in parts:
            return None
        inside = ", ".join(str(part) for part in parts)
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(parts) == 1)})"
    return repr(value) if value is None or isinstance(value, str | int | float | bool) else None


def _area(explanation: saliency.Explanation, view: View, place: Place) -> str:
    shade = f"np.array({list(SHADE)})"
    return AREA.format(kept=_kept(explanation, view, place), shade=shade, opacity=view.opacity)


def _kept(explanation: saliency.Explanation, view: View, place: Place) -> str:
    regions = explanation.regions
    if regions is not None and "regions" in view.picked:
        return f"np.isin(found.regions.ranks, {view.picked['regions']})"
    if "runs" in view.picked:
        picked = of_mask(selection_of(explanation, view, place))
        runs, shape = picked["runs"], picked["shape"]
        return f"np.repeat(np.arange({len(runs)}) % 2 == 1, {runs}).reshape({shape})"
    if regions is not None:
        return f"found.regions.ranks < {region_count(regions.table, view.region, view.keep)}"
    values = _values(explanation, "positive" if sign_of(view, explanation.sign) == "signed" else view.sign)
    return f"(values := {values}) >= np.float32(np.percentile(values, {round(100 - view.keep, 1)}))"


def _heat(explanation: saliency.Explanation, view: View) -> str:
    sign = sign_of(view, explanation.sign)
    signed = sign == "signed"
    strength = _values(explanation, "absolute") if signed else "values"
    maps = maps_of(explanation)
    # nearly everywhere the 99th percentile; where that is no more than the bottom of the scale, the maximum
    table = maps.values_table if sign == "positive" else maps.strength_table
    low = max(0.0, float(table[0]))
    top = 99 if float(table[990]) > low else 100
    ends = f"max(0, values.min()), np.percentile(values, {top})"
    return HEAT.format(
        values=_values(explanation, "positive" if signed else sign),
        strength=strength,
        ends=f"-np.percentile(strength, {top}), np.percentile(strength, {top})" if signed else ends,
        gamma="" if view.gamma == 1 else f"\n{GAMMA[signed].format(gamma=view.gamma)}",
        colormap="RdBu_r" if signed else view.colormap,
        length=255 if signed else 256,
        threshold=view.threshold,
        luma=LUMA,
        opacity=view.opacity,
    )


def _values(explanation: saliency.Explanation, sign: str) -> str:
    """One number a pixel."""
    sign = explanation.sign if sign == "auto" else sign
    mask = "np.abs(found.mask)" if sign == "absolute" else "found.mask"
    return f"{mask}.sum(2)" if explanation.mask.ndim == 3 else mask
