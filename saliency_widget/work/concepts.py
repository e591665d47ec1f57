"""Concepts and their test: those that were given to the widget, and regions that were brushed in it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

import saliency
from saliency_widget.pictures.selection import NAME_LENGTH

CROPS, OUTSIDE = 30, 200
"""Number of crops of a brushed region, and of the rest of the pictures, where no random images are given."""

LARGEST_CROP = 256
"""Maximum side of a crop in pixels."""

KEPT = 4
"""Number of fitted sets of directions that are kept."""

PARTS = 1000
"""Progress within one collection of images."""


class Region(NamedTuple):
    """A region of a picture that is an example of a concept."""

    name: str
    image: Any
    """The picture, as it was given to the widget."""
    mask: np.ndarray
    """The region, bool (H, W), on the picture's own pixels."""
    expression: str
    """Python expression for the picture."""

    @property
    def key(self) -> Hashable:
        """Identifies the region."""
        return self.name, self.expression, self.mask.shape, self.mask.tobytes()


@dataclass
class Calls:
    """How collections of images are read on a model's thread."""

    batch_size: int | str
    progress: Callable[[int, int], None]
    cancelled: Callable[[], bool]
    shared: Callable[[], bool]


@dataclass
class Concepts:
    """The concepts of one model; the values of their images at a layer are read once.

    Attributes:
        given: for each name the images of a concept.
        random: images without a common concept, or None.
        preprocess: of all images, as for the model's pictures.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    random: Any = None
    preprocess: Any = None
    _features: dict[tuple[Hashable, ...], saliency.Features] = field(default_factory=dict)
    _tests: OrderedDict[Hashable, saliency.concepts.TCAV] = field(default_factory=OrderedDict)

    def test(
        self, adapted: saliency.Adapted[Any], layer: str, regions: Sequence[Region], size: int, calls: Calls
    ) -> saliency.concepts.TCAV:
        """Return the directions of all concepts at a layer.

        Args:
            adapted: the model.
            layer: its name; "" for the automatic one.
            regions: the brushed regions; those of one name are one concept.
            size: side of their crops in pixels.
            calls: how images are read.

        Raises:
            BadField: there are no concepts, or two have one name.
            BadImage: a concept or the random images have too few images.
        """
        key = adapted.version, layer, size, tuple(each.key for each in regions)
        if key not in self._tests:
            self._tests[key] = self._fitted(adapted, layer, regions, size, calls)
        self._tests.move_to_end(key)
        while len(self._tests) > KEPT:
            self._tests.popitem(last=False)
        return self._tests[key]

    def _fitted(
        self, adapted: saliency.Adapted[Any], layer: str, regions: Sequence[Region], size: int, calls: Calls
    ) -> saliency.concepts.TCAV:
        self._features = {known: each for known, each in self._features.items() if known[0] == adapted.version}
        brushed: dict[str, list[Region]] = {}
        for each in regions:
            brushed.setdefault(each.name, []).append(each)
        if both := set(self.given) & set(brushed):
            raise saliency.BadField(f"There is a concept called {min(both)!r} already: choose another name.")
        if not self.given and not brushed:
            raise saliency.BadField(
                "There is no concept to test: brush a region, or pass concepts={'stripes': […]}, random=[…]."
            )
        count = 1 + len(self.given) + len(brushed)

        def read(name: str, images: Any, part: int, key: Hashable) -> saliency.Features:
            if isinstance(images, saliency.Features):
                return images
            known = adapted.version, layer, name, key
            if known not in self._features:
                wanted = replace(calls, progress=lambda done, total: calls.progress(*_within(part, count, done, total)))
                self._features[known] = self._read(name, adapted, images, layer, wanted)
            return self._features[known]

        random = self.random if self.random is not None else outside(regions, size)
        key = None if self.random is not None else (size, *(each.key for each in regions))
        others = read("", random, 0, key)
        read_concepts = {
            name: read(name, images, part, None) for part, (name, images) in enumerate(self.given.items(), 1)
        }
        for part, (name, several) in enumerate(brushed.items(), 1 + len(self.given)):
            of_name = size, *(each.key for each in several)
            read_concepts[name] = read(name, crops_of(several, size), part, of_name)
        found = saliency.concepts.TCAV(
            adapted, read_concepts, others, layer or others.layer, preprocess=self.preprocess, cancelled=calls.cancelled
        )
        found.notes += self._notes(brushed)
        return found

    def _read(
        self, name: str, adapted: saliency.Adapted[Any], images: Any, layer: str, calls: Calls
    ) -> saliency.Features:
        """Return the values of images at a layer.

        Raises:
            SaliencyError: with the name of the concept.
        """
        try:
            return saliency.features(
                adapted,
                images,
                layer or None,
                preprocess=self.preprocess,
                batch_size=calls.batch_size,
                progress=calls.progress,
                cancelled=calls.cancelled,
                shared=calls.shared,
            )
        except (saliency.Cancelled, saliency.Unsupported, saliency.UnknownName):
            raise
        except saliency.SaliencyError as error:
            what = f"concept {name!r}" if name else "random images"
            raise type(error)(f"The {what}: {error}") from error

    def _notes(self, brushed: Mapping[str, Sequence[Region]]) -> list[str]:
        notes = [
            f"“{name}” is {CROPS * len(several)} overlapping crops of one picture, of one light and background: brush "
            "the same in other pictures, under the same name, before you conclude more"
            for name, several in brushed.items()
            if len({each.expression for each in several}) == 1
        ]
        if self.random is None:
            notes.append(
                f"random images: {OUTSIDE} overlapping crops of the rest of the brushed pictures; images of other "
                "pictures are better, SaliencyWidget(…, random=folder)"
            )
        return notes


def checked_concepts(concepts: Any, random: Any) -> tuple[dict[str, Any], Any]:
    """Return the concepts and the random images, streams as lists.

    Raises:
        BadArgument: one of the two is missing.
        BadField: the concepts are no dict from name to images.
    """
    if concepts is not None and (not isinstance(concepts, Mapping) or not concepts):
        raise saliency.BadField(
            f"concepts must be a dict from name to images, {{'stripes': […]}}, got {type(concepts).__name__}."
        )
    if concepts is not None and random is None:
        raise saliency.BadArgument(
            "concepts= needs random=, images without a common concept to compare with: a folder or a list of at least "
            "200."
        )
    for name in concepts or {}:
        if not isinstance(name, str) or not 1 <= len(name) <= NAME_LENGTH:
            raise saliency.BadField(
                f"The name of a concept must be text of 1 to {NAME_LENGTH} characters, got {str(name)[:NAME_LENGTH]!r}."
            )
    return {name: _twice(images) for name, images in (concepts or {}).items()}, _twice(random)


def crops_of(regions: Sequence[Region], size: int) -> list[Any]:
    """Return the crops of the regions of one concept."""
    return [crop for each in regions for crop in saliency.concepts.crops(each.image, each.mask, CROPS, size=size)]


def outside(regions: Sequence[Region], size: int) -> list[Any]:
    """Return crops of the rest of the pictures in which regions were brushed, as many of each."""
    pictures: dict[str, list[Region]] = {}
    for each in regions:
        pictures.setdefault(each.expression, []).append(each)
    count = -(-OUTSIDE // len(pictures))
    return [
        crop
        for several in pictures.values()
        for crop in saliency.concepts.crops_outside(several[0].image, [each.mask for each in several], count, size=size)
    ]


def _within(part: int, parts: int, done: int, total: int) -> tuple[int, int]:
    """Return the progress of all collections from that of one, whose total is 0 where it is unknown."""
    return PARTS * part + (PARTS * done // total if total else 0), PARTS * (parts + 1)


def _twice(images: Any) -> Any:
    """Return a collection that can be read for each layer, a stream as a list."""
    return list(images) if hasattr(images, "__next__") else images


def crop_size(fed: Sequence[int]) -> int:
    """Return the side of crops for a model that is fed pictures of (height, width)."""
    return min(*fed, LARGEST_CROP)


def maps_of(test: saliency.concepts.TCAV, image: Any, target: int | str) -> list[saliency.concepts.ConceptMap]:
    """Return the maps of the concepts; none for a layer without a grid on the picture."""
    with suppress(saliency.BadImage):
        return test.maps(image, target)
    return []
