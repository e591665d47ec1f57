"""The inputs of a widget: its models and images, each with a name and an index, and the methods on offer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency_widget.pictures.placement import Placing
from saliency_widget.protocol.cells import Pair
from saliency_widget.protocol.messages import readable
from saliency_widget.protocol.requests import TOP, index_of
from saliency_widget.protocol.summary import summary
from saliency_widget.protocol.values import MOST_CELLS
from saliency_widget.traits.methods import OfferedMethod, offered_methods
from saliency_widget.work.collection import Collection, collected, distinct, is_collection, several
from saliency_widget.work.concepts import Concepts, checked_concepts
from saliency_widget.work.examples import checked_index
from saliency_widget.work.options import Options
from saliency_widget.work.picture import ShownPicture
from saliency_widget.work.subject import Subject

LISTED = 20
"""Maximum number of names in an error."""

ADDED = "added"
"""Name of the dict that holds the images that were added later, in scripts."""


class Inputs(NamedTuple):
    """The models, images and methods of a widget."""

    models: tuple[str, ...]
    """Names of the models."""
    images: tuple[str, ...]
    """Names of the images."""
    labels: Sequence[str] | None
    methods: Sequence[OfferedMethod]
    """The methods on offer, with the support of the first model."""
    pictures: Mapping[int, ShownPicture]
    """By the index of the image; in a gallery, those that were opened."""
    subjects: Mapping[Pair, Subject]
    placings: Mapping[Pair, Placing]
    """Placement of the maps in the shown picture."""
    shape: tuple[int, ...]
    """Shape (1, H, W, C) of the first image as the first model is fed it."""
    spec: Mapping[str, Any]
    """The trait `spec` without its title and its images."""
    expressions: Mapping[str, Sequence[str]]
    """By "models" and "images": the Python expression for each, in scripts."""
    collection: Collection | None = None
    """The pictures of a gallery."""

    @property
    def image_specs(self) -> list[Any] | dict[int, Any]:
        """The images of the trait `spec`; in a gallery those that were opened, by their indices."""
        specs = {i: each.spec(self.images[i]) for i, each in self.pictures.items()}
        return list(specs.values()) if self.collection is None else specs


UNREADABLE = (saliency.SaliencyError, OSError, ValueError)
"""Errors of a picture that cannot be read."""


def read_inputs(
    model: Any, img: Any, options: Options, truth: Any = None, shown: int | None = None, many: bool = False
) -> Inputs:
    """Read the images as the models will see them, and find the methods that each model supports.

    Args:
        model: one model, a list of models, or a dict by name.
        img: one image, a list of images, or a dict by name.
        options: the other arguments of the widget.
        truth: the true class of each image of a gallery.
        shown: index of the image of a gallery that is opened first; by default the first that can be read.
        many: whether even few images are a gallery.

    Raises:
        SaliencyError: an image cannot be read, a model is not one, or a method, field or label is unknown.
    """
    if many or is_collection(img, truth):
        return _read_gallery(model, img, options, truth, shown)
    return _read(model, _named(img, _image_name), _expressions(img, "img", "images"), options)


def _read_gallery(model: Any, img: Any, options: Options, truth: Any, shown: int | None) -> Inputs:
    """Return the inputs of a gallery, of which one picture is open: the others are read when they are seen."""
    collection = collected(img, _image_name)
    first, image = _first(collection, shown)
    names = collection.names
    plain = isinstance(img, list | Mapping) or hasattr(img, "shape")
    expressions = (
        _expressions_of(img, len(names), "images")
        if plain
        else [f"saliency.collection(images).at({i})[0]" for i in range(len(names))]
    )
    inputs = _read(model, {names[first]: image}, expressions, options, first)
    # the labels are known once a model is adapted
    collection.judge(inputs.labels, truth)
    return inputs._replace(images=tuple(names), collection=collection)


def _first(collection: Collection, shown: int | None) -> tuple[int, Any]:
    """Return the index and the image of the picture that is opened first.

    Raises:
        BadField: there is no picture of that index.
        Exception: the error of the first picture, if none can be read.
    """
    if shown is not None:
        index = saliency.checks.whole(shown, "image_index", 0, len(collection) - 1)
        return index, collection.image(index)
    error: Exception | None = None
    for i in range(len(collection)):
        try:
            image = collection.image(i)
            saliency.thumbnail(image, 16)
        except UNREADABLE as reason:
            error = error or reason
        else:
            return i, image
    raise error or saliency.BadImage("There are no pictures: the collection is empty.")


def _read(
    model: Any, images: Mapping[str, Any], expressions: Sequence[str], options: Options, start: int = 0
) -> Inputs:
    """Return the inputs of some images.

    Args:
        model: see :func:`read_inputs`.
        images: the images by name.
        expressions: the Python expression for each image of the widget.
        options: see :func:`read_inputs`.
        start: index of the first of them.
    """
    models = _named(model, _model_name)
    preprocess, index = _preprocess_of_each(options.preprocess, len(models)), checked_index(options.index, len(models))
    given, random = checked_concepts(options.concepts, options.random)
    concepts = [Concepts(given, random, own) for own in preprocess]
    image, *others = images.values()
    # each model is adapted once, with the first image
    first = [options.prepared(each, image, own) for each, own in zip(models.values(), preprocess, strict=True)]
    prepared = {
        (m, start + i): each
        for m, own in enumerate(first)
        for i, each in enumerate([own, *(own.with_image(other, preprocess[m]) for other in others)])
    }
    pictures = {pair: _picture(each) for pair, each in prepared.items()}
    adapted = [each.adapted for each in first]
    methods = _methods_of_each(first, options)
    shown = {i: ShownPicture(picture.shown, i) for (m, i), picture in pictures.items() if m == 0}
    placings = {(m, i): Placing(picture, shown[i].size) for (m, i), picture in pictures.items()}
    # an adapted model that loaded its file is kept, so that the file is loaded once
    originals = [each if own.loaded is None else own for each, own in zip(models.values(), adapted, strict=True)]
    subjects = {
        (m, i): Subject(
            originals[m],
            picture,
            {each.id: each for each in methods[m]},
            placings[m, i],
            options,
            list(images.values())[i - start],
            index[m],
            concepts[m],
        )
        for (m, i), picture in pictures.items()
    }
    shape = pictures[0, start].fed.shape
    spec = {
        "version": 2,
        "methods": [
            each.spec(shape, [of_model[at].unsupported for of_model in methods]) for at, each in enumerate(methods[0])
        ],
        "models": list(models),
        "notes": _notes(list(models), dict(zip(shown, images, strict=True)), prepared),
        "concepts": list(given),
        "index": [each is not None for each in index],
    }
    return Inputs(
        models=tuple(models),
        images=tuple(images),
        labels=adapted[0].labels,
        methods=methods[0],
        pictures=shown,
        subjects=subjects,
        placings=placings,
        shape=shape,
        spec=spec,
        expressions={"models": _expressions(model, "model", "models"), "images": expressions},
    )


def with_image(before: Inputs, img: Any, name: str | None, options: Options) -> Inputs:
    """Return inputs with one more image, the last.

    Args:
        before: the inputs without it.
        img: the image.
        name: its name; by default the name of its file, or its number. A number is appended to a name in use.
        options: the arguments of the widget.

    Raises:
        SaliencyError: the image cannot be read.
    """
    unique = _unique(readable(_image_name(img, len(before.images)) if name is None else name), before.images)
    expressions = {**before.expressions, "images": [*before.expressions["images"], f"{ADDED}[{unique!r}]"]}
    after = before._replace(images=(*before.images, unique), expressions=expressions)
    return opened(after, len(before.images), img, options)


def opened(before: Inputs, at: int, img: Any, options: Options) -> Inputs:
    """Return inputs with one of their images read.

    Args:
        before: the inputs.
        at: index of the image.
        img: the image.
        options: the arguments of the widget.

    Raises:
        SaliencyError: the image cannot be read.
    """
    count = len(before.models)
    others = {m: subject for (m, _), subject in before.subjects.items()}
    preprocess = _preprocess_of_each(options.preprocess, count)
    prepared = [options.prepared(others[m].model, img, preprocess[m]) for m in range(count)]
    pictures = [_picture(each) for each in prepared]
    shown = ShownPicture(pictures[0].shown, at)
    placings = {(m, at): Placing(picture, shown.size) for m, picture in enumerate(pictures)}
    subjects = {
        (m, at): replace(others[m], picture=picture, placing=placings[m, at], image=img)
        for m, picture in enumerate(pictures)
    }
    return before._replace(
        pictures={**before.pictures, at: shown},
        subjects={**before.subjects, **subjects},
        placings={**before.placings, **placings},
    )


def without_image(before: Inputs, at: int) -> Inputs:
    """Return inputs in which an image is no longer read; it keeps its index."""

    def kept(pairs: Mapping[Pair, Any]) -> dict[Pair, Any]:
        return {pair: each for pair, each in pairs.items() if pair[1] != at}

    return before._replace(
        pictures={i: each for i, each in before.pictures.items() if i != at},
        subjects=kept(before.subjects),
        placings=kept(before.placings),
    )


def _methods_of_each(prepared: Sequence[saliency.Prepared], options: Options) -> list[list[OfferedMethod]]:
    """Return the methods on offer for each model, judged by its first picture."""
    adapted, fields = [each.adapted for each in prepared], dict(options.fields)
    if (layer := fields.get("layer")) is not None:
        fields["layer"] = names = _layer_names(layer, adapted)
        for each in adapted:
            # raises for a name that the model does not have
            each.at([0], [names] if isinstance(names, str) else names)
    methods = None if options.methods is None else _listed(options.methods)
    return [offered_methods(methods, each, fields) for each in prepared]


def _picture(prepared: saliency.Prepared) -> saliency.Picture:
    """Return the picture that was prepared.

    Raises:
        BadImage: a list of inputs was prepared.
    """
    if not isinstance(prepared.picture, saliency.Picture):
        raise saliency.BadImage(
            "Expected a picture, got a list of inputs. The widget shows pictures; for a model of several inputs call "
            "saliency.explain(model, [a, b])."
        )
    return prepared.picture


def _unique(name: str, names: Sequence[str]) -> str:
    """Return a name with a number appended if it is in use."""
    if name not in names:
        return name
    return f"{name} {sum(each == name or each.startswith(f'{name} ') for each in names) + 1}"


def _layer_names(layer: Any, models: Sequence[saliency.Adapted[Any]]) -> Any:
    """Return the name of a layer, or of several; each may be given as a module of one of the models."""
    for each in models[:-1]:
        try:
            return each.layer_name(layer)
        except saliency.UnknownName:
            continue
    return models[-1].layer_name(layer)


def index_in(names: Sequence[str], wanted: int | str, what: str) -> int:
    """Return the index of a model or an image given by name or index.

    Raises:
        UnknownName: there is no such name or index.
    """
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool) and 0 <= wanted < len(names):
        return int(wanted)
    more = f", … ({len(names):,} in all)" if len(names) > LISTED else ""
    raise saliency.UnknownName(f"There is no {what} {summary(wanted)}. Available: {', '.join(names[:LISTED])}{more}.")


def grid_of(
    inputs: Inputs,
    methods: Iterable[str] = (),
    targets: Iterable[int | str] = (),
    models: Iterable[int | str] = (),
    images: Iterable[int | str] = (),
) -> dict[str, list[Any]]:
    """Return the value of the trait `grid` for the named items; by default everything of which there are several.

    Raises:
        SaliencyError: a label or name is unknown.
    """
    axes: dict[str, list[Any]] = {
        "methods": _listed(methods),
        "targets": [
            TOP if isinstance(each, int) and each == TOP else index_of(each, inputs.labels)
            for each in _listed(targets, "targets")
        ],
        "models": [index_in(inputs.models, each, "model") for each in _listed(models, "models")],
        "images": [index_in(inputs.images, each, "image") for each in _listed(images, "images")],
    }
    if not any(axes.values()):
        several_of = {"models": range(len(inputs.models)), "images": inputs.pictures}
        axes = {name: list(which)[:MOST_CELLS] for name, which in several_of.items() if len(which) > 1}
        favourites = [each.id for each in inputs.methods if each.favourite and not each.unsupported]
        axes = axes or {"methods": favourites[:MOST_CELLS]}
    return {name: axis for name, axis in axes.items() if axis}


def _named(given: Any, name_of: Callable[[Any, int], str]) -> dict[str, Any]:
    """Return one or several models or images by name; a number is appended to a repeated name."""
    if isinstance(given, Mapping):
        items = [(readable(name), each) for name, each in given.items()]
    elif several(given):
        items = [(name_of(each, i), each) for i, each in enumerate(given)]
    else:
        items = [(name_of(given, 0), given)]
    if not items:
        raise saliency.BadField("Expected at least one model and one image, got an empty list.")
    return dict(zip(distinct([name for name, _ in items]), (each for _, each in items), strict=True))


def _expressions(given: Any, one: str, many: str) -> list[str]:
    """Return the Python expression for each model or image, in terms of the argument as it was given."""
    return _expressions_of(given, len(given), many) if isinstance(given, Mapping) or several(given) else [one]


def _expressions_of(given: Any, count: int, many: str) -> list[str]:
    """Return the Python expression for each of several models or images."""
    return [f"{many}[{key!r}]" for key in (given if isinstance(given, Mapping) else range(count))]


def _model_name(model: Any, _index: int) -> str:
    if isinstance(model, str | os.PathLike):
        return readable(Path(model).stem)
    return str(getattr(model, "__name__", type(model).__name__))


def _image_name(image: Any, index: int) -> str:
    """Return the name of the image's file without its folder, or the image's number."""
    if isinstance(image, str | os.PathLike):
        return readable(Path(image).stem)
    file = getattr(image, "filename", "")
    return readable(Path(file).stem) if isinstance(file, str) and file else f"image {index + 1}"


def _preprocess_of_each(preprocess: Any, models: int) -> Sequence[Any]:
    """Return the preprocess of each model; one that is not a list is used for all."""
    if not isinstance(preprocess, list | tuple):
        return [preprocess] * models
    if len(preprocess) != models:
        raise saliency.BadField(f"Expected one preprocess for each of {models} models, got {len(preprocess)}.")
    return preprocess


def _listed(given: Any, what: str = "methods") -> list[Any]:
    """Return one value, or several, as a list."""
    if isinstance(given, str | saliency.Method | type):
        return [given]
    return saliency.checks.several(given, what)


def _notes(models: Sequence[str], images: Mapping[int, str], prepared: Mapping[Pair, saliency.Prepared]) -> list[str]:
    """Return the notes on automatic settings; one that does not hold for all pairs names the pairs it holds for."""
    notes: dict[str, list[str]] = {}
    for m, model in enumerate(models):
        for i, image in images.items():
            who = [model] * (len(models) > 1) + [image] * (len(images) > 1)
            for note in (*prepared[m, i].picture.notes, *prepared[m, i].adapted.notes):
                notes.setdefault(note, []).append(", ".join(who))
    everyone = len(models) * len(images)
    return [note if len(whose) == everyone else f"{'; '.join(whose)}: {note}" for note, whose in notes.items()]
