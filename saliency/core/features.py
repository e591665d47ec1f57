"""What methods share that keep and remove whole features of an image, and look at nothing but scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from saliency.core.method import Method, parameter
from saliency.pictures.regions import NO_REGION, Regions, region_table
from saliency.pictures.segments import SEGMENTERS, Segments, count_of, labelled, split
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.masks import FeatureMasks, Masked
from saliency.session.samples import own
from saliency.session.session import Session

A = TypeVar("A")

SHOWINGS = 24
"""Into how many parts a streamed run is cut at most: each estimates everything anew."""


class Attribution(NamedTuple):
    """What each feature is worth, as far as is known."""

    values: np.ndarray
    """(k, d)."""
    errors: np.ndarray | None = None
    """(k, d): their standard errors; None where nothing was drawn at random."""


class Game(Generic[A]):
    """One image as a game of its features: a coalition is worth the score of the image that shows no other features.

    Args:
        image: (1, H, W, C).
        covers: what is shown in place of absent features, (1, H, W, C) each; a coalition's worth is the mean over them.
        labels: (H, W), the feature of each pixel, -1 for none.
    """

    def __init__(self, session: Session[A], image: A, covers: list[A], labels: np.ndarray) -> None:
        self.session, self.image, self.covers, self.labels = session, image, covers, labels
        self.players = int(labels.max()) + 1

    def worth(self, coalitions: np.ndarray) -> Iterator[np.ndarray]:
        """The worth of the first m coalitions, (k, m) in float64, for ever larger m: at last of all.

        Args:
            coalitions: (n, d) with n > 0, bool; or shares in [0, 1] of how much of a feature is shown.
        """
        each = len(self.covers)
        masks = FeatureMasks(self.session.ops, self.labels, np.repeat(coalitions, each, axis=0))
        copies = Masked(self.session.ops, self.image, self.covers, masks, each * len(coalitions))
        said: list[np.ndarray] = []
        shown = 0
        for rows, scores in self.session.scores(copies):
            said.append(np.asarray(self.session.ops.tohost(scores), np.float64))
            share = rows.stop / len(copies)
            if rows.stop == len(copies) or (self.session.streaming and rows.stop >= each and shown < share * SHOWINGS):
                shown = int(share * SHOWINGS) + 1
                known = np.concatenate(said, 1)
                known = known[:, : rows.stop // each * each]
                yield known.reshape(len(known), -1, each).mean(2)

    def ask(self, coalitions: np.ndarray) -> np.ndarray:
        """The worth of all coalitions (n, d), (k, n)."""
        *_, all_ = self.worth(coalitions)
        return all_


def named_parts(what: str, default: str) -> str:
    """What is said of a field of segments, by the name that stands first."""
    *names, last = (repr(each) for each in sorted(SEGMENTERS, key=lambda name: name != default))
    whole = "a label map (H, W), bool masks (H, W) that share no pixel, or a function picture -> one of these"
    return f"{what}: {', '.join(names)} or {last}, {whole}"


@dataclass(eq=False, repr=False)
class FeatureMethod(Method):
    """A method that says what each feature of an image is worth, by keeping some and removing the others.

    A pixel shows the value of its feature; a pixel in no feature shows zero, and is never removed. The features are
    ranked by their values in ``Explanation.regions``. Needs scores only.
    """

    sign = "signed"

    segments: Segments = parameter("slic", named_parts("the features", "slic"), choices=SEGMENTERS)
    features: int = parameter(50, "how many features a named segmentation makes", low=1, high=65_000)
    baseline: Baseline = parameter("mean", "what is shown in place of a feature; several are averaged")

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        """Ever better attributions to the features of one image; the last one is the answer."""
        raise NotImplementedError

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops, covers = session.ops, session.baselines(self.baseline, images)
        maps: list[np.ndarray] = []
        done: list[tuple[np.ndarray, Attribution]] = []
        for i in range(int(images.shape[0])):
            image = images[i : i + 1]
            game: Game[Any] = Game(session, image, [own(each, i) for each in covers], self.labels(image, session))
            for found in self.attribute(game):
                if session.streaming:
                    so_far = [*done, (game.labels, found)]
                    _tell_errors(so_far, session)
                    yield ops.asarray(np.stack([*maps, spread(found.values, game.labels)], 1))
            done.append((game.labels, found))
            maps.append(spread(found.values, game.labels))
        _tell_errors(done, session)
        session.details["regions"] = _by_target([_ranked(labels, found) for labels, found in done])
        session.details["attributed"] = np.stack([found.values.sum(1) for _, found in done], 1)
        yield ops.asarray(np.stack(maps, 1))

    def labels(self, image: Any, session: Session[Any]) -> np.ndarray:
        """The feature of each pixel of one image (1, H, W, C): (H, W), -1 for none."""
        picture = session.ops.tohost(image)[0]
        session.check()
        return labelled(split(picture, self.segments, self.features), picture.shape[:2])

    def players(self, shape: tuple[int, ...]) -> int:
        """How many features an image of (B, H, W, C) has."""
        return count_of(self.segments, self.features, (shape[1], shape[2]))

    def questions(self, coalitions: int) -> int:
        """How many images are asked for so many coalitions."""
        return coalitions * baseline_count(self.baseline)

    def beginnings(self, images: Any, session: Session[Any]) -> list[Any]:
        """The images without any feature: the baseline, and what lies in no feature."""
        covers = super().beginnings(images, session)
        if isinstance(self.segments, str):
            return covers
        nothing = []
        for i in range(int(images.shape[0])):
            labels = self.labels(images[i : i + 1], session)
            none = FeatureMasks(session.ops, labels, np.zeros((1, int(labels.max()) + 1)))
            nothing.append([Masked(session.ops, images[i : i + 1], [own(c, i)], none, 1)[slice(0, 1)] for c in covers])
        return [session.ops.concat(list(each)) for each in zip(*nothing, strict=True)]


@dataclass(eq=False, repr=False)
class SensitivityMethod(FeatureMethod):
    """How much features matter, whether for or against: by default the cells of a grid."""

    sign = "positive"

    segments: Segments = parameter("grid", named_parts("the features", "grid"), choices=SEGMENTERS)
    features: int = parameter(64, "how many features a named segmentation makes", low=1, high=10_000)


def spread(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(k, d) laid on the pixels of their features, (k, H, W); zero where there is none."""
    padded = np.concatenate([values, np.zeros((len(values), 1))], 1)
    return padded[:, labels]


def _tell_errors(done: list[tuple[np.ndarray, Attribution]], session: Session[Any]) -> None:
    """Leave the standard errors, (k, B, H, W), where they are looked for; or none."""
    session.details.pop("standard_error", None)
    errors = [spread(found.errors, labels) for labels, found in done if found.errors is not None]
    if len(errors) == len(done):
        session.details["standard_error"] = np.stack(errors, 1)


def _ranked(labels: np.ndarray, found: Attribution) -> list[Regions]:
    """The features of one image as regions, by falling value, for each target."""
    ranked = []
    for values in found.values:
        order = np.argsort(-values, kind="stable")
        ranks = np.append(np.argsort(order), NO_REGION).astype(np.uint16)
        ranked.append(region_table(ranks[labels], values[order].tolist()))
    return ranked


def _by_target(regions: list[list[Regions]]) -> list[list[Regions]]:
    return [list(each) for each in zip(*regions, strict=True)]
