"""Who is asked, and about what: one model or several, one image or several, each with its name and its index."""

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
from saliency_widget.pictures.placement import Place, find_place
from saliency_widget.protocol.cells import Pair
from saliency_widget.protocol.messages import readable
from saliency_widget.protocol.requests import TOP, index_of
from saliency_widget.protocol.summary import brief
from saliency_widget.protocol.values import MOST_CELLS
from saliency_widget.traits.methods import Choice, Named, choose
from saliency_widget.work.picture import PICTURE_SIDE, Exhibit
from saliency_widget.work.subject import Subject

ADDED = "added"
"""What images that came later are called in Python, by their names."""


class Cast(NamedTuple):
    """What a widget is about."""

    models: tuple[str, ...]
    """Their names."""
    images: tuple[str, ...]
    """Their names."""
    labels: Sequence[str] | None
    choices: Sequence[Choice]
    """The methods on offer, as the first model stands to them."""
    exhibits: Sequence[Exhibit]
    """By the index of the image."""
    subjects: Mapping[Pair, Subject]
    places: Mapping[Pair, Place]
    """Where maps lie."""
    shape: tuple[int, ...]
    """Of what the first model is fed of the first image, (1, H, W, C)."""
    spec: Mapping[str, Any]
    """What the browser is told of all this, but for its title."""
    terms: Mapping[str, Sequence[str]]
    """By "models" and "images": what each is in Python, by how they were given."""


class Asked(NamedTuple):
    """What was passed to the widget, as it came."""

    methods: Iterable[Named] | None
    labels: Sequence[str] | None
    preprocess: Any
    fields: Mapping[str, Any]
    batch_size: int | str
    activation: str
    output: Any = None

    def given(self, model: int) -> list[str]:
        """What was given beside one of the models and an image, as arguments of :func:`saliency.explain`."""
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
        """One of the models, whose outputs are read as was said."""
        read_as = {"activation": self.activation, "output": self.output}
        return saliency.adapt(model, labels=self.labels, image=image, **read_as)


def cast(model: Any, img: Any, asked: Asked) -> Cast:
    """Read the images as the models will see them, and find what each model can answer.

    Args:
        model: one, a list of them, or a dict by name.
        img: one image, a list of them, or a dict by name.
        asked: the rest.

    Raises:
        SaliencyError: an image cannot be read, a model is none, a method, field or label is unknown.
    """
    models, images = _named(model, _model_name), _named(img, _image_name)
    preprocess = _each(asked.preprocess, len(models))
    first = next(iter(images.values()))
    adapted = [
        # a function that uses a framework is asked once whose arrays it takes; no other model is asked here
        asked.adapted(each, partial(_fed, first, own))
        for each, own in zip(models.values(), preprocess, strict=True)
    ]
    pictures = {
        (m, i): _read(each, preprocess[m], adapted[m])
        for m in range(len(models))
        for i, each in enumerate(images.values())
    }
    fields = dict(asked.fields)
    if (layer := fields.get("layer")) is not None:
        fields["layer"] = names = _layer_names(layer, adapted)
        for each in adapted:
            # refuses a name the model does not have
            each.at([0], [names] if isinstance(names, str) else names)
    methods = None if asked.methods is None else _listed(asked.methods)
    choices = [choose(methods, each, pictures[m, 0], fields) for m, each in enumerate(adapted)]
    smalls = [drawing.shrunk(pictures[0, i].shown, PICTURE_SIDE) for i in range(len(images))]
    subjects, places = {}, {}
    for (m, i), picture in pictures.items():
        place = find_place(picture.placement, picture.fed.shape[1:3], picture.shown.shape[:2], smalls[i].shape[:2])
        places[m, i] = place
        by_id = {each.id: each for each in choices[m]}
        # the model of a file is loaded once
        original = list(models.values())[m] if adapted[m].loaded is None else adapted[m]
        options = asked.labels, asked.batch_size, asked.activation, asked.output
        subjects[m, i] = Subject(original, picture, by_id, place, *options)
    shape = pictures[0, 0].fed.shape
    spec = {
        "version": 2,
        "methods": [each.spec(shape, [of[at].lacks for of in choices]) for at, each in enumerate(choices[0])],
        "models": list(models),
        "images": [{"name": name, "size": list(small.shape[:2])} for name, small in zip(images, smalls, strict=True)],
        "notes": _notes(list(models), adapted, list(images), pictures),
    }
    return Cast(
        models=tuple(models),
        images=tuple(images),
        labels=adapted[0].labels,
        choices=choices[0],
        exhibits=[Exhibit(small, i) for i, small in enumerate(smalls)],
        subjects=subjects,
        places=places,
        shape=shape,
        spec=spec,
        terms={"models": _terms(model, "model", "models"), "images": _terms(img, "img", "images")},
    )


def _layer_names(layer: Any, models: Sequence[saliency.Adapted[Any]]) -> Any:
    """The name of a layer, or the names of several, of which each may be given as a module of one of the models."""
    for each in models[:-1]:
        try:
            return each.layer_name(layer)
        except saliency.UnknownName:
            continue
    return models[-1].layer_name(layer)


def joined(before: Cast, img: Any, name: str | None, asked: Asked) -> Cast:
    """The same with one more image.

    Args:
        before: as it was.
        img: the image.
        name: of it; by default a file's own, or its number. One that is taken gets a number.
        asked: what the widget was asked for.

    Raises:
        SaliencyError: the image cannot be read.
    """
    count, at = len(before.models), len(before.images)
    models = [before.subjects[m, 0] for m in range(count)]
    preprocess = _each(asked.preprocess, count)
    adapted = [asked.adapted(each.model, partial(_fed, img, own)) for each, own in zip(models, preprocess, strict=True)]
    pictures = {(m, at): _read(img, preprocess[m], adapted[m]) for m in range(count)}
    small = drawing.shrunk(pictures[0, at].shown, PICTURE_SIDE)
    subjects, places = dict(before.subjects), dict(before.places)
    for (m, i), picture in pictures.items():
        place = find_place(picture.placement, picture.fed.shape[1:3], picture.shown.shape[:2], small.shape[:2])
        places[m, i] = place
        subjects[m, i] = replace(models[m], picture=picture, place=place)
    wanted = readable(_image_name(img, at) if name is None else name)
    taken = sum(each == wanted or each.startswith(f"{wanted} ") for each in before.images)
    called = f"{wanted} {taken + 1}" if wanted in before.images else wanted
    images = [*before.spec["images"], {"name": called, "size": list(small.shape[:2])}]
    return before._replace(
        images=(*before.images, called),
        exhibits=[*before.exhibits, Exhibit(small, at)],
        subjects=subjects,
        places=places,
        spec={**before.spec, "images": images},
        terms={**before.terms, "images": [*before.terms["images"], f"{ADDED}[{called!r}]"]},
    )


def index_in(names: Sequence[str], wanted: int | str, what: str) -> int:
    """The index of a model or an image that Python names.

    Raises:
        UnknownName: no such name or index.
    """
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool) and 0 <= wanted < len(names):
        return int(wanted)
    raise saliency.UnknownName(f"There is no {what} {brief(wanted)}; there is: {', '.join(names)}.")


def grid_of(
    cast: Cast,
    methods: Iterable[str] = (),
    targets: Iterable[int | str] = (),
    models: Iterable[int | str] = (),
    images: Iterable[int | str] = (),
) -> dict[str, list[Any]]:
    """What Python names, as the trait `grid` has it; where nothing is named, all that there are several of.

    Raises:
        SaliencyError: a label or name is unknown.
    """
    axes: dict[str, list[Any]] = {
        "methods": _listed(methods),
        "targets": [
            TOP if isinstance(each, int) and each == TOP else index_of(each, cast.labels)
            for each in _listed(targets, "targets")
        ],
        "models": [index_in(cast.models, each, "model") for each in _listed(models, "models")],
        "images": [index_in(cast.images, each, "image") for each in _listed(images, "images")],
    }
    if not any(axes.values()):
        several = {"models": cast.models, "images": cast.images}
        axes = {name: list(range(len(names))) for name, names in several.items() if len(names) > 1}
        favourites = [each.id for each in cast.choices if each.favourite and not each.lacks]
        axes = axes or {"methods": favourites[:MOST_CELLS]}
    return {name: axis for name, axis in axes.items() if axis}


def _named(given: Any, name_of: Callable[[Any, int], str]) -> dict[str, Any]:
    """One or several things, by their names; names that are not unique get a number."""
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
    # a tuple is one model of JAX: (f, weights), or (module, variables)
    return isinstance(given, list) and not (given and isinstance(given[0], int | float | list | tuple))


def _terms(given: Any, one: str, several: str) -> list[str]:
    """What each of some things is in Python, where they are passed on as they were given."""
    if isinstance(given, Mapping):
        return [f"{several}[{name!r}]" for name in given]
    return [f"{several}[{i}]" for i in range(len(given))] if _is_several(given) else [one]


def _model_name(model: Any, _index: int) -> str:
    if isinstance(model, str | os.PathLike):
        return readable(Path(model).stem)
    return str(getattr(model, "__name__", type(model).__name__))


def _image_name(image: Any, index: int) -> str:
    """A file's own name, never its folder."""
    if isinstance(image, str | os.PathLike):
        return readable(Path(image).stem)
    file = getattr(image, "filename", "")
    return readable(Path(file).stem) if isinstance(file, str) and file else f"image {index + 1}"


def _each(preprocess: Any, models: int) -> Sequence[Any]:
    """One for each model, where one is given for all."""
    if not isinstance(preprocess, list | tuple):
        return [preprocess] * models
    if len(preprocess) != models:
        raise saliency.BadField(f"Expected one preprocess for each of {models} models, got {len(preprocess)}.")
    return preprocess


def _listed(given: Any, what: str = "methods") -> list[Any]:
    """One name, or several, as a list."""
    if isinstance(given, str | saliency.Method | type):
        return [given]
    return saliency.checks.several(given, what)


def _fed(img: Any, preprocess: Any) -> np.ndarray:
    return _read(img, preprocess, None).fed


def _read(img: Any, preprocess: Any, model: saliency.Adapted[Any] | None) -> saliency.Picture:
    """An image as a model is fed it, or as any would be as long as none is known."""
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
    """What was decided for the user; where there are several, with the name of what it was decided for."""
    notes: dict[str, list[str]] = {}
    for m, model in enumerate(models):
        for i, image in enumerate(images):
            who = [model] * (len(models) > 1) + [image] * (len(images) > 1)
            for note in (*pictures[m, i].notes, *adapted[m].notes):
                notes.setdefault(note, []).append(", ".join(who))
    everyone = len(models) * len(images)
    return [note if len(whose) == everyone else f"{'; '.join(whose)}: {note}" for note, whose in notes.items()]
