"""The inputs of a widget: its models and images, each with a name and an index, and the methods on offer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency_widget.pictures import drawing
from saliency_widget.pictures.placement import Placement, find_placement
from saliency_widget.protocol.cells import Pair
from saliency_widget.protocol.messages import readable
from saliency_widget.protocol.requests import TOP, index_of
from saliency_widget.protocol.summary import summary
from saliency_widget.protocol.values import MOST_CELLS
from saliency_widget.traits.methods import MethodLike, OfferedMethod, offered_methods
from saliency_widget.work.picture import PICTURE_SIDE, ShownPicture
from saliency_widget.work.subject import Subject

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
    pictures: Sequence[ShownPicture]
    """By the index of the image."""
    subjects: Mapping[Pair, Subject]
    placements: Mapping[Pair, Placement]
    """Placement of the maps in the shown picture."""
    shape: tuple[int, ...]
    """Shape (1, H, W, C) of the first image as the first model is fed it."""
    spec: Mapping[str, Any]
    """The trait `spec` without its title."""
    expressions: Mapping[str, Sequence[str]]
    """By "models" and "images": the Python expression for each, in scripts."""


class Options(NamedTuple):
    """The arguments of the widget, as they were given."""

    methods: Iterable[MethodLike] | None
    labels: Sequence[str] | None
    preprocess: Any
    fields: Mapping[str, Any]
    batch_size: int | str
    activation: str
    output: Any = None

    def arguments(self, model: int) -> list[str]:
        """Return the arguments of :func:`saliency.explain` that follow model and image, as Python source.

        Args:
            model: index of the model.
        """
        each = f"preprocess[{model}]" if isinstance(self.preprocess, list | tuple) else "preprocess"
        own = self.preprocess[model] if isinstance(self.preprocess, list | tuple) else self.preprocess
        written = each
        if isinstance(own, str | saliency.Preprocessing):
            written = repr(own) if isinstance(own, str) else f"saliency.{own!r}"
        given = {
            "labels=labels": self.labels is not None,
            f"preprocess={written}": own is not None,
            "batch_size=batch_size": self.batch_size != "auto",
            f"activation={self.activation!r}": self.activation != "auto",
            "output=output" if callable(self.output) else f"output={self.output!r}": self.output is not None,
        }
        return [argument for argument, is_given in given.items() if is_given]

    def adapted(self, model: Any, image: Callable[[], np.ndarray]) -> saliency.Adapted[Any]:
        """Return one of the models, adapted with these options."""
        options = {"activation": self.activation, "output": self.output}
        return saliency.adapt(model, labels=self.labels, image=image, **options)


def read_inputs(model: Any, img: Any, options: Options) -> Inputs:
    """Read the images as the models will see them, and find the methods that each model supports.

    Args:
        model: one model, a list of models, or a dict by name.
        img: one image, a list of images, or a dict by name.
        options: the other arguments of the widget.

    Raises:
        SaliencyError: an image cannot be read, a model is not one, or a method, field or label is unknown.
    """
    models, images = _named(model, _model_name), _named(img, _image_name)
    preprocess = _preprocess_of_each(options.preprocess, len(models))
    adapted = _adapt(models.values(), next(iter(images.values())), preprocess, options)
    pictures = {
        (m, i): _read(each, preprocess[m], adapted[m])
        for m in range(len(models))
        for i, each in enumerate(images.values())
    }
    methods = _methods_of_each(adapted, [pictures[m, 0] for m in range(len(models))], options)
    shown = [_shown(pictures[0, i], i) for i in range(len(images))]
    placements = {(m, i): _placement(picture, shown[i]) for (m, i), picture in pictures.items()}
    # an adapted model that loaded its file is kept, so that the file is loaded once
    originals = [each if own.loaded is None else own for each, own in zip(models.values(), adapted, strict=True)]
    subjects = {
        (m, i): _subject(originals[m], picture, methods[m], placements[m, i], options)
        for (m, i), picture in pictures.items()
    }
    shape = pictures[0, 0].fed.shape
    spec = {
        "version": 2,
        "methods": [
            each.spec(shape, [of_model[at].unsupported for of_model in methods]) for at, each in enumerate(methods[0])
        ],
        "models": list(models),
        "images": [_image_spec(name, each) for name, each in zip(images, shown, strict=True)],
        "notes": _notes(list(models), adapted, list(images), pictures),
    }
    return Inputs(
        models=tuple(models),
        images=tuple(images),
        labels=adapted[0].labels,
        methods=methods[0],
        pictures=shown,
        subjects=subjects,
        placements=placements,
        shape=shape,
        spec=spec,
        expressions={
            "models": _expressions(model, "model", "models"),
            "images": _expressions(img, "img", "images"),
        },
    )


def with_image(before: Inputs, img: Any, name: str | None, options: Options) -> Inputs:
    """Return inputs with one more image.

    Args:
        before: the inputs without it.
        img: the image.
        name: its name; by default the name of its file, or its number. A number is appended to a name in use.
        options: the arguments of the widget.

    Raises:
        SaliencyError: the image cannot be read.
    """
    count, at = len(before.models), len(before.images)
    models = [before.subjects[m, 0] for m in range(count)]
    preprocess = _preprocess_of_each(options.preprocess, count)
    adapted = _adapt([each.model for each in models], img, preprocess, options)
    pictures = [_read(img, own, each) for own, each in zip(preprocess, adapted, strict=True)]
    shown = _shown(pictures[0], at)
    placements = {(m, at): _placement(picture, shown) for m, picture in enumerate(pictures)}
    subjects = {
        (m, at): replace(models[m], picture=picture, placement=placements[m, at]) for m, picture in enumerate(pictures)
    }
    unique = _unique(readable(_image_name(img, at) if name is None else name), before.images)
    images = [*before.expressions["images"], f"{ADDED}[{unique!r}]"]
    return before._replace(
        images=(*before.images, unique),
        pictures=[*before.pictures, shown],
        subjects={**before.subjects, **subjects},
        placements={**before.placements, **placements},
        spec={**before.spec, "images": [*before.spec["images"], _image_spec(unique, shown)]},
        expressions={**before.expressions, "images": images},
    )


def _adapt(
    models: Iterable[Any], image: Any, preprocess: Sequence[Any], options: Options
) -> list[saliency.Adapted[Any]]:
    """Adapt each model.

    A function of a framework is evaluated once to find whose arrays it takes; no other model is called here.
    """
    return [options.adapted(model, partial(_fed, image, own)) for model, own in zip(models, preprocess, strict=True)]


def _methods_of_each(
    adapted: Sequence[saliency.Adapted[Any]], pictures: Sequence[saliency.Picture], options: Options
) -> list[list[OfferedMethod]]:
    """Return the methods on offer for each model, judged by its first picture."""
    fields = dict(options.fields)
    if (layer := fields.get("layer")) is not None:
        fields["layer"] = names = _layer_names(layer, adapted)
        for each in adapted:
            # raises for a name that the model does not have
            each.at([0], [names] if isinstance(names, str) else names)
    methods = None if options.methods is None else _listed(options.methods)
    return [offered_methods(methods, each, picture, fields) for each, picture in zip(adapted, pictures, strict=True)]


def _shown(picture: saliency.Picture, index: int) -> ShownPicture:
    return ShownPicture(drawing.shrunk(picture.shown, PICTURE_SIDE), index)


def _placement(picture: saliency.Picture, shown: ShownPicture) -> Placement:
    return find_placement(picture.placement, picture.fed.shape[1:3], picture.shown.shape[:2], shown.size)


def _subject(
    model: Any, picture: saliency.Picture, methods: Sequence[OfferedMethod], placement: Placement, options: Options
) -> Subject:
    return Subject(
        model=model,
        picture=picture,
        methods={each.id: each for each in methods},
        placement=placement,
        labels=options.labels,
        batch_size=options.batch_size,
        activation=options.activation,
        output=options.output,
    )


def _image_spec(name: str, shown: ShownPicture) -> dict[str, Any]:
    """Return the entry of an image in the trait `spec`."""
    return {"name": name, "size": list(shown.size)}


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
    raise saliency.UnknownName(f"There is no {what} {summary(wanted)}; there is: {', '.join(names)}.")


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
        several = {"models": inputs.models, "images": inputs.images}
        axes = {name: list(range(len(names))) for name, names in several.items() if len(names) > 1}
        favourites = [each.id for each in inputs.methods if each.favourite and not each.unsupported]
        axes = axes or {"methods": favourites[:MOST_CELLS]}
    return {name: axis for name, axis in axes.items() if axis}


def _named(given: Any, name_of: Callable[[Any, int], str]) -> dict[str, Any]:
    """Return one or several models or images by name; a number is appended to a repeated name."""
    if isinstance(given, Mapping):
        items = [(readable(name), each) for name, each in given.items()]
    elif _is_several(given):
        items = [(name_of(each, i), each) for i, each in enumerate(given)]
    else:
        items = [(name_of(given, 0), given)]
    if not items:
        raise saliency.BadField("Expected at least one model and one image, got an empty list.")
    names = [name for name, _ in items]
    return {
        name if names.count(name) == 1 else f"{name} {names[: i + 1].count(name)}": each
        for i, (name, each) in enumerate(items)
    }


def _is_several(given: Any) -> bool:
    # a tuple is a single JAX model: (f, weights), or (module, variables)
    return isinstance(given, list) and not (given and isinstance(given[0], int | float | list | tuple))


def _expressions(given: Any, one: str, several: str) -> list[str]:
    """Return the Python expression for each model or image, in terms of the argument as it was given."""
    if isinstance(given, Mapping):
        return [f"{several}[{name!r}]" for name in given]
    return [f"{several}[{i}]" for i in range(len(given))] if _is_several(given) else [one]


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


def _fed(img: Any, preprocess: Any) -> np.ndarray:
    """Return the input array of a model that is not adapted yet."""
    return _read(img, preprocess, None).fed


def _read(img: Any, preprocess: Any, model: saliency.Adapted[Any] | None) -> saliency.Picture:
    """Read an image for a model, or without one."""
    if model is not None:
        picture: saliency.Picture = saliency.picture_for(img, preprocess, model)
        return picture
    return img if isinstance(img, saliency.Picture) else saliency.read(img, preprocess)


def _notes(
    models: list[str],
    adapted: Sequence[saliency.Adapted[Any]],
    images: list[str],
    pictures: Mapping[Pair, saliency.Picture],
) -> list[str]:
    """Return the notes on automatic settings; one that does not hold for all pairs names the pairs it holds for."""
    notes: dict[str, list[str]] = {}
    for m, model in enumerate(models):
        for i, image in enumerate(images):
            who = [model] * (len(models) > 1) + [image] * (len(images) > 1)
            for note in (*pictures[m, i].notes, *adapted[m].notes):
                notes.setdefault(note, []).append(", ".join(who))
    everyone = len(models) * len(images)
    return [note if len(whose) == everyone else f"{'; '.join(whose)}: {note}" for note, whose in notes.items()]
