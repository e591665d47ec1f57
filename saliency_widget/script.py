"""Scripts that compute and draw what a widget shows, with the same numbers and pictures, without a widget."""

from __future__ import annotations

import base64
import textwrap
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency_widget import phrases
from saliency_widget.pictures.drawing import LONGEST_OUTLINE, LUMA, SHADE, View, selection_of
from saliency_widget.pictures.maps import COLD, GRAIN, region_count
from saliency_widget.pictures.placement import Placement
from saliency_widget.pictures.selection import of_mask
from saliency_widget.work.concepts import CROPS, OUTSIDE, Region
from saliency_widget.work.examples import COUNT
from saliency_widget.work.inputs import ADDED

LARGEST_ARRAY = 64
"""Maximum size of an array that is written out; a method with a larger one is taken from :data:`METHODS`."""

MOST_RUNS = 200
"""Maximum number of run lengths that are written out; a mask with more is compressed."""

METHODS = "methods"
"""Name of the dict of methods that cannot be written in one line, by their ids in the widget."""

SIDE = 3.2, 3.5
"""Width and height in inches of one of several pictures, with its caption."""


class ConceptTest(NamedTuple):
    """A test of concepts."""

    layer: str
    regions: Sequence[Region]
    """The brushed regions."""
    given: bool
    """Whether concepts were given to the widget."""
    random: bool
    """Whether random images were given to the widget."""
    size: int
    """Side of the crops of regions."""
    maps: bool
    """Whether the layer has a grid."""


class Part(NamedTuple):
    """One cell of a script."""

    name: str
    """Names in which it differs from other cells."""
    model: str
    """Python expression for the model."""
    image: str
    """Python expression for the image."""
    id: str
    """Id of the method in the widget."""
    method: saliency.Method
    target: int | str | None
    """None for the top class, if its index is not known."""
    options: Sequence[str]
    """Further arguments of :func:`saliency.explain`, as Python source."""
    explanation: saliency.Explanation | None
    """None if it is not computed."""
    placement: Placement
    size: tuple[int, int]
    """Height and width of the shown picture."""
    checked: bool
    """Whether its verdict was measured."""
    changes: Sequence[tuple[str, str, float | None]]
    """Kind, fill and the class or value to reach, of each smallest change that was computed."""
    layers: Sequence[tuple[str, str]]
    """Layer and method of each ranking of channels that was computed."""
    tests: Sequence[ConceptTest]
    """The tests of concepts that were made."""
    training: str
    """Python expression for the index of training images that was asked; empty if none was."""

    def arguments(self, model: str, image: str) -> str:
        """Return the arguments of :func:`saliency.explain` as Python source."""
        written = expression(self.method) or f"{METHODS}[{self.id!r}]"
        return ", ".join([model, image, written, f"target={self.target!r}", *self.options])

    @property
    def covers(self) -> bool:
        """Whether the model's view covers the whole picture."""
        x, y, width, height = self.placement.rectangle
        return x < 1 and y < 1 and x + width > self.size[1] - 1 and y + height > self.size[0] - 1


def recipe(parts: Sequence[Part], view: View, columns: int) -> str:
    """Return a script that computes the explanations and the selection of each (`kept`), and draws the pictures.

    Args:
        parts: the cells on the screen, row by row.
        view: how they are shown.
        columns: number of cells in a row.
    """
    single = len(parts) == 1
    body = _heat(parts, view) if view.mode == "heat" else _area(parts, view)
    lines = _lines(view, "last" in body)
    show = phrases.SHOW.format(lines=lines, title='f"{found.caption}\\n{found.label}"' if single else "name")
    text = _single(parts[0], body, show) if single else _several(parts, columns, f"{body}{show}")
    if single and view.live and view.mode == "area":
        options = [each for each in parts[0].options if not each.startswith("batch_size")]
        text += phrases.WHAT_IF.format(fill=view.fill, options="".join(f", {each}" for each in options))
    others = f"{_checks(parts)}{_changes(parts)}{_channels(parts)}{_concepts(parts)}{_examples(parts)}"
    return f"{_head(parts, text)}{text}{others}\nplt.show()\n"


def _checks(parts: Sequence[Part]) -> str:
    """Return the code that measures the verdicts that were measured in the widget."""
    calls = [
        phrases.CHECK.format(arguments=", ".join([*names, found, *part.options]))
        for part, names, found in _named(parts)
        if part.checked
    ]
    return f"{phrases.CHECKS}{''.join(calls)}" if calls else ""


def _changes(parts: Sequence[Part]) -> str:
    """Return the code that computes the smallest changes that were computed in the widget."""
    calls = [
        phrases.CHANGE.format(
            arguments=", ".join(
                [*names, repr(part.target), f"kind={kind!r}", *goal, f"fill={fill!r}", f"order={found}", *part.options]
            )
        )
        for part, names, found in _named(parts)
        for kind, fill, to in part.changes
        for goal in [[] if to is None else [f"to={to!r}"]]
    ]
    return f"{phrases.CHANGES}{''.join(calls)}" if calls else ""


def _channels(parts: Sequence[Part]) -> str:
    """Return the code that ranks the channels of the layers that were chosen in the widget."""
    calls = [
        phrases.CHANNEL.format(
            arguments=", ".join([*names, repr(by), f"target={part.target!r}", f"at={layer!r}", *part.options])
        )
        for part, names, _ in _named(parts)
        for layer, by in part.layers
    ]
    return f"{phrases.CHANNELS}{''.join(calls)}" if calls else ""


def _concepts(parts: Sequence[Part]) -> str:
    """Return the code that tests the concepts that were tested in the widget."""
    calls = [_concept_test(part, names, each) for part, names, _ in _named(parts) for each in part.tests]
    return f"{phrases.CONCEPTS}{''.join(calls)}" if calls else ""


def _concept_test(part: Part, names: tuple[str, str], test: ConceptTest) -> str:
    """Return the code of a test of concepts: its regions, the crops of these, and the scores."""
    masks = {f"region_{i}": each for i, each in enumerate(test.regions, 1)}
    concepts, pictures = dict[str, list[str]](), dict[str, list[str]]()
    for name, each in masks.items():
        crop = f"*saliency.concepts.crops({each.expression}, {name}, {CROPS}, size={test.size})"
        concepts.setdefault(each.name, []).append(crop)
        pictures.setdefault(each.expression, []).append(name)
    written = ["**concepts"] * test.given + [f"{name!r}: [{', '.join(each)}]" for name, each in concepts.items()]
    count = -(-OUTSIDE // max(len(pictures), 1))
    rest = [
        f"*saliency.concepts.crops_outside({picture}, [{', '.join(several)}], {count}, size={test.size})"
        for picture, several in pictures.items()
    ]
    subject = {"image": names[1], "target": part.target}
    text = phrases.CONCEPT.format(
        regions="".join(f"{_mask(each.mask, name)}\n" for name, each in masks.items()),
        model=names[0],
        concepts=f"{{{', '.join(written)}}}",
        random="random" if test.random else f"[{', '.join(rest)}]",
        layer=test.layer,
        options="".join(f"    {each},\n" for each in part.options),
        **subject,
    )
    return text + phrases.CONCEPT_MAP.format(**subject) if test.maps else text


def _examples(parts: Sequence[Part]) -> str:
    """Return the code that finds the training images for and against each answer for which they were found."""
    calls = [
        phrases.EXAMPLE.format(index=part.training, arguments=f"{names[1]}, {part.target!r}, {COUNT}")
        for part, names, _ in _named(parts)
        if part.training
    ]
    return f"{phrases.EXAMPLES}{''.join(dict.fromkeys(calls))}" if calls else ""


def _named(parts: Sequence[Part]) -> list[tuple[Part, tuple[str, str], str]]:
    """Return each part with the script's names of its model and image, and of its explanation."""
    if len(parts) == 1:
        return [(parts[0], ("model", "img"), "found")]
    return [(part, (part.model, part.image), f"cells[{i}][1]") for i, part in enumerate(parts)]


def expression(method: saliency.Method) -> str | None:
    """Return a method as a Python expression; None if it cannot be written in one line."""
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


def _head(parts: Sequence[Part], text: str) -> str:
    """Return the imports, the functions that the script calls, and a comment on the names it does not define."""
    kept = {"outline(": phrases.OUTLINE, "contours(": phrases.CONTOURS, "measured(": phrases.MEASURED}
    functions = [function for name, function in kept.items() if name in text]
    if "outline(" in text or "contours(" in text:
        functions.insert(0, phrases.AT)
    fill = {"{longest}": str(LONGEST_OUTLINE // 4), "{grain}": str(GRAIN), "{cold}": "#" + bytes(COLD).hex()}
    written = "\n\n".join(functions)
    for name, value in fill.items():
        written = written.replace(name, value)
    standard = ["import base64", "import zlib"] * ("zlib." in text) + ["from dataclasses import replace"]
    others = ["import matplotlib.pyplot as plt", "import numpy as np"]
    others += ["from scipy.ndimage import uniform_filter"] * ("uniform_filter(" in written)
    imports = "\n\n".join("\n".join(each) for each in (standard, others, ["import saliency"]))
    return f"{imports}\n\n\n{written}\n\n{_sources(parts)}" if written else f"{imports}\n\n{_sources(parts)}"


def _sources(parts: Sequence[Part]) -> str:
    """Return a comment on the names that the script does not define."""
    terms = [term for part in parts for term in (part.model, part.image, *_also(part)) if term]
    roots = [term.partition("[")[0] for term in terms]
    written = [option.split("=", 1) for part in parts for option in part.options]
    options = [name for name, value in written if value.partition("[")[0] == name]
    given = list(dict.fromkeys(each for each in (*roots, *options) if each != ADDED))
    added = dict.fromkeys(term for term in terms if term.startswith(ADDED))
    own = dict.fromkeys(part.id for part in parts if expression(part.method) is None)
    comments = [
        f"# {', '.join(given)}: as they were given to the widget",
        *(f"# {term}: the picture that was added under this name; load it as it was then" for term in added),
        *(f"# {METHODS}[{each!r}]: the method that was given to the widget, and has this id there" for each in own),
    ]
    return "\n".join(comments) + "\n"


def _also(part: Part) -> list[str]:
    """Return what else of the widget's arguments the code of a part names."""
    regions = [region.expression for test in part.tests for region in test.regions]
    given = ["concepts" if any(each.given for each in part.tests) else ""]
    given += ["random" if any(each.random for each in part.tests) else ""]
    return [*regions, *given, part.training]


def _single(part: Part, body: str, show: str) -> str:
    names = [f"{name} = {term}\n" for name, term in (("model", part.model), ("img", part.image)) if name != term]
    arguments = part.arguments("model", "img")
    return phrases.SINGLE.format(names="".join(names), arguments=arguments, body=body, show=show)


def _several(parts: Sequence[Part], columns: int, body: str) -> str:
    calls = [
        f"    ({part.name!r}, saliency.explain({part.arguments(part.model, part.image)}, progress=False)),\n"
        for part in parts
    ]
    rows = -(-len(parts) // columns)
    return phrases.SEVERAL.format(
        calls="".join(calls),
        rows=rows,
        columns=columns,
        size=f"({SIDE[0] * columns:.1f}, {SIDE[1] * rows:.1f})",
        body=textwrap.indent(body, "    "),
    )


def _lines(view: View, regions: bool) -> str:
    if view.mode == "heat":
        return "contours(axes, found, values, low, high)\n" if view.contours else ""
    return 'outline(axes, found, kept, "white")\n' + 'outline(axes, found, last, "#ffa02e")\n' * regions


def _area(parts: Sequence[Part], view: View) -> str:
    """Return the code of the area view: it computes `kept` and darkens the rest of the picture."""
    ways = [way for way in (_by_hand(parts, view), _by_region(parts, view)) if way is not None]
    branches = [(condition, code) for condition, code, _ in ways]
    if not any(everywhere for *_, everywhere in ways):
        branches.append(("", phrases.KEEP.format(values=_values(view), percentile=round(100 - view.keep, 1))))
    else:
        # a way that applies to all cells needs no other after it
        first = next(at for at, (*_, everywhere) in enumerate(ways) if everywhere)
        branches = branches[: first + 1]
    if len(branches) == 1:
        kept = branches[0][1]
    else:
        words = ["if", *["elif"] * (len(branches) - 2)]
        kept = "".join(
            f"{word} {condition}:\n{textwrap.indent(code, '    ')}\n"
            for word, (condition, code) in zip(words, branches[:-1], strict=True)
        )
        kept += f"else:\n{textwrap.indent(branches[-1][1], '    ')}"
        if "last" in kept:
            kept = f"last = np.zeros((1, 1), bool)\n{kept}"
    return phrases.AREA.format(kept=kept, shade=list(SHADE), opacity=view.opacity)


Way = tuple[str, str, bool]
"""A condition, the code that computes `kept`, and whether the condition holds for all cells."""


def _by_hand(parts: Sequence[Part], view: View) -> Way | None:
    """Return the code of a mask selected by hand, for the cells whose maps have its shape."""
    if "runs" not in view.picked:
        return None
    fitting = [part for part in parts if part.explanation is not None and _fits(part, view)]
    if not fitting or fitting[0].explanation is None:
        return None
    mask = selection_of(fitting[0].explanation, view, fitting[0].placement)
    return f"found.mask.shape[:2] == {mask.shape}", _mask(mask, "kept"), len(fitting) == len(parts)


def _mask(mask: np.ndarray, name: str) -> str:
    """Return the code that sets a variable to a mask."""
    runs = of_mask(mask)["runs"]
    if len(runs) <= MOST_RUNS:
        return phrases.RUNS.format(name=name, count=len(runs), runs=runs, shape=mask.shape)
    text = base64.b85encode(zlib.compress(np.packbits(mask).tobytes(), 9)).decode()
    return phrases.DEFLATED.format(name=name, text=text, count=mask.size, shape=mask.shape)


def _fits(part: Part, view: View) -> bool:
    assert part.explanation is not None
    shape = part.explanation.mask.shape[:2]
    upright = part.placement.upright(shape)
    return list(view.picked["shape"]) == list(shape if upright is None else upright.shape)


def _by_region(parts: Sequence[Part], view: View) -> Way | None:
    """Return the code that keeps whole regions, for the cells with regions."""
    tables = [None if part.explanation is None else part.explanation.regions for part in parts]
    have = [table is not None for table in tables]
    unknown = [part.explanation is None for part in parts]
    if not any(have) and not any(unknown):
        return None
    if "regions" in view.picked:
        code = f"kept = np.isin(found.regions.ranks, {view.picked['regions']})"
    elif view.region > 0 or (len(parts) == 1 and tables[0] is not None):
        count = view.region if tables[0] is None else region_count(tables[0].table, view.region, view.keep)
        code = f"kept, last = found.regions.ranks < {count}, found.regions.ranks == {count - 1}"
    elif view.keep > 0:
        code = phrases.NEAREST.format(share=round(view.keep / 100, 4))
    else:
        code = "kept = np.zeros(found.regions.ranks.shape, bool)"
    return "found.regions is not None", code, all(have)


def _values(view: View) -> str:
    """Return an expression for the values whose largest are kept."""
    if view.sign == "auto":
        return "found.salience()"
    return "np.abs(np.atleast_3d(found.mask)).sum(2)" if view.sign == "absolute" else "np.atleast_3d(found.mask).sum(2)"


def _heat(parts: Sequence[Part], view: View) -> str:
    """Return the code of the heat view: it draws the map over the grey picture."""
    signs = {part.method.sign if view.sign == "auto" else view.sign for part in parts}
    sign = repr(*signs) if len(signs) == 1 else "found.sign"
    signed, unsigned = '"RdBu_r", 255', f"{view.colormap!r}, 256"
    if signs == {"signed"}:
        colormap, gamma = signed, phrases.GAMMA["signed"]
    elif "signed" not in signs:
        colormap, gamma = unsigned, phrases.GAMMA["unsigned"]
    else:
        colormap, gamma = f'*(({signed}) if found.sign == "signed" else ({unsigned}))', phrases.GAMMA["either"]
    shared = ""
    if view.scale == "shared" and len(parts) > 1:
        each, alike = (sign, "") if len(signs) == 1 else ("each.sign", " if each.sign == found.sign")
        shared = phrases.SHARED.format(each=each, alike=alike)
    return phrases.HEAT.format(
        sign=sign,
        shared=shared,
        gamma="" if view.gamma == 1 else gamma.format(gamma=view.gamma),
        colormap=colormap,
        threshold=round(view.threshold, 1),
        smooth=view.smooth,
        crop="" if all(part.covers for part in parts) else phrases.CROP.format(shade=[*SHADE, 255]),
        luma=LUMA,
        opacity=view.opacity,
    )
