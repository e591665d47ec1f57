"""Base of the perturbation methods that keep and remove whole segments of an image, and use only scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Self, TypeVar

import numpy as np

from saliency.core.method import Method, parameter
from saliency.core.stopping import Stopping, growing, store_notes, until_parameter
from saliency.errors import BadField, brief
from saliency.pictures.regions import NO_REGION, Regions, region_table
from saliency.pictures.segments import SEGMENTERS, Segments, count_of, labelled, split
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.masks import FeatureMasks, Masked
from saliency.session.samples import own
from saliency.session.session import Session

A = TypeVar("A")

SHOWINGS = 24
"""Maximum number of partial results: each recomputes the whole estimate."""


class Attribution(NamedTuple):
    """The estimated value of each segment."""

    values: np.ndarray
    """(k, d)."""
    errors: np.ndarray | None = None
    """(k, d): their standard errors; None for methods that do not sample."""


class Game(Generic[A]):
    """One image as a cooperative game of its segments.

    The value of a coalition is the score of the image that shows only its segments.

    Args:
        image: (1, H, W, C).
        covers: replacements of absent segments, (1, H, W, C) each; a coalition's value is the mean over them.
        labels: (H, W), the segment of each pixel, -1 for none.
    """

    def __init__(self, session: Session[A], image: A, covers: list[A], labels: np.ndarray) -> None:
        self.session, self.image, self.covers, self.labels = session, image, covers, labels
        self.players = int(labels.max()) + 1
        self.notes: list[list[str]] = []
        """For each target, notes on the number of coalitions evaluated."""

    def worth(self, coalitions: np.ndarray, stops: Sequence[int] = ()) -> Iterator[np.ndarray]:
        """Yield the values of the first m coalitions, (k, m) in float64, for growing m, finally for all.

        Args:
            coalitions: (n, d) with n > 0, bool; or the degree in [0, 1] to which each segment is visible.
            stops: increasing numbers m < n that are yielded whatever the batch size, before more are evaluated.
        """
        each, total = len(self.covers), len(self.covers) * len(coalitions)
        values: list[np.ndarray] = []
        first = shown = 0
        for stop in (*stops, len(coalitions)):
            masks = FeatureMasks(self.session.ops, self.labels, np.repeat(coalitions[first:stop], each, axis=0))
            copies = Masked(self.session.ops, self.image, self.covers, masks, each * (stop - first))
            for rows, scores in self.session.scores(copies):
                values.append(np.asarray(self.session.ops.tohost(scores), np.float64))
                reached = first * each + rows.stop
                partial = self.session.streaming and reached >= each and shown < reached / total * SHOWINGS
                if rows.stop == len(copies) or partial:
                    shown = int(reached / total * SHOWINGS) + 1
                    known = np.concatenate(values, 1)[:, : reached // each * each]
                    yield known.reshape(len(known), -1, each).mean(2)
            first = stop

    def skip(self, coalitions: int) -> None:
        """Subtract coalitions that are not evaluated from the expected number of images."""
        self.session.expect(-coalitions * len(self.covers))

    def evaluate(self, coalitions: np.ndarray) -> np.ndarray:
        """Return the values of all coalitions (n, d), (k, n)."""
        *_, all_ = self.worth(coalitions)
        return all_


def named_parts(what: str, default: str) -> str:
    """Return the help text of a field for segments, with its default first."""
    *names, last = (repr(each) for each in sorted(SEGMENTERS, key=lambda name: name != default))
    whole = "a label map (H, W), bool masks (H, W) that share no pixel, or a function picture -> one of these"
    return f"{what}: {', '.join(names)} or {last}, {whole}"


@dataclass(eq=False, repr=False)
class FeatureMethod(Method):
    """A method that estimates the value of each segment of an image by keeping some and removing the others.

    A pixel shows the value of its segment; a pixel in no segment is zero, and is never removed. The segments are ranked
    by their values in ``Explanation.regions``. Needs scores only.
    """

    sign = "signed"

    segments: Segments = parameter("slic", named_parts("Segments", "slic"), choices=SEGMENTERS)
    features: int = parameter(50, "Number of segments of a named segmentation", low=1, high=65_000)
    baseline: Baseline = parameter("mean", "Replacement of removed segments; several are averaged")

    def attribute(self, game: Game[Any]) -> Iterator[Attribution]:
        """Yield progressively refined attributions to the segments of one image; the last is final."""
        raise NotImplementedError

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        ops, covers = session.ops, session.baselines(self.baseline, images)
        maps: list[np.ndarray] = []
        notes: list[list[list[str]]] = []
        done: list[tuple[np.ndarray, Attribution]] = []
        for i in range(int(images.shape[0])):
            image = images[i : i + 1]
            game: Game[Any] = Game(session, image, [own(each, i) for each in covers], self.labels(image, session))
            with session.of_pictures(np.array([i])):
                for found in self.attribute(game):
                    if session.streaming:
                        so_far = [*done, (game.labels, found)]
                        _store_errors(so_far, session)
                        yield ops.asarray(np.stack([*maps, spread(found.values, game.labels)], 1))
            done.append((game.labels, found))
            notes.append(game.notes)
            maps.append(spread(found.values, game.labels))
        _store_errors(done, session)
        if all(notes):
            store_notes(session, notes)
        session.details["regions"] = _by_target([_ranked(labels, found) for labels, found in done])
        session.details["attributed"] = np.stack([found.values.sum(1) for _, found in done], 1)
        yield ops.asarray(np.stack(maps, 1))

    def labels(self, image: Any, session: Session[Any]) -> np.ndarray:
        """Return the segment of each pixel of one image (1, H, W, C): (H, W), -1 for none."""
        picture = session.ops.tohost(image)[0]
        session.check()
        return labelled(split(picture, self.segments, self.features), picture.shape[:2])

    def players(self, shape: tuple[int, ...]) -> int:
        """Return the number of segments of an image (B, H, W, C)."""
        return count_of(self.segments, self.features, (shape[1], shape[2]))

    def on_values(self, channels: int) -> Self:
        """Return the method with each channel of the layer as one segment; its images are then (N, K, 1, places)."""
        if not isinstance(self.segments, str) or self.segments != type(self)().segments:
            raise BadField(
                f"At a layer, each of its channels is one segment: omit segments, got {brief(self.segments)}."
            )
        return self.but(segments=np.arange(channels)[:, None])

    def evaluations(self, coalitions: int) -> int:
        """Return the number of images evaluated for a number of coalitions."""
        return coalitions * baseline_count(self.baseline)

    def beginnings(self, images: Any, session: Session[Any]) -> list[Any]:
        """Return the images without any segment: the baseline, with the pixels in no segment."""
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
class SamplingMethod(FeatureMethod):
    """A method that estimates values in units of the score from random coalitions, and may stop early."""

    until: float | None = until_parameter()

    def estimates(
        self,
        game: Game[Any],
        coalitions: np.ndarray,
        estimate: Callable[[np.ndarray], Attribution | None],
        unit: int,
        least: int,
    ) -> Iterator[Attribution]:
        """Yield estimates from growing numbers of coalitions, until all, or until the errors are within `until`.

        Args:
            game: the image.
            coalitions: (n, d): none, all, then random ones.
            estimate: from the values (k, m) of the first m coalitions to the attribution; None if they are too few.
            unit: number of coalitions that are drawn together.
            least: number of these units before the first comparison.
        """
        count = len(coalitions)
        stops = [] if self.until is None else [2 + unit * n for n in growing(least, -(-(count - 2) // unit))]
        stopping: Stopping | None = None
        for worth in game.worth(coalitions, stops):
            found, used = estimate(worth), worth.shape[1]
            if found is None:
                continue
            if self.until is not None and used in (*stops, count):
                if stopping is None:
                    stopping = Stopping(self.until, worth[:, 1] - worth[:, 0], count, "coalitions")
                found = Attribution(*stopping(used, *found))
                game.notes = stopping.notes
            yield found
            if stopping is not None and stopping.done:
                game.skip(count - used)
                return


@dataclass(eq=False, repr=False)
class SensitivityMethod(FeatureMethod):
    """A method that measures the unsigned influence of segments, by default the cells of a grid."""

    sign = "positive"

    segments: Segments = parameter("grid", named_parts("Segments", "grid"), choices=SEGMENTERS)
    features: int = parameter(64, "Number of segments of a named segmentation", low=1, high=10_000)


def spread(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Spread values (k, d) over the pixels of their segments, (k, H, W); zero where there is none."""
    padded = np.concatenate([values, np.zeros((len(values), 1))], 1)
    return padded[:, labels]


def _store_errors(done: list[tuple[np.ndarray, Attribution]], session: Session[Any]) -> None:
    """Store the standard errors, (k, B, H, W), in the session's auxiliary results; or none."""
    session.details.pop("standard_error", None)
    errors = [spread(found.errors, labels) for labels, found in done if found.errors is not None]
    if len(errors) == len(done):
        session.details["standard_error"] = np.stack(errors, 1)


def _ranked(labels: np.ndarray, found: Attribution) -> list[Regions]:
    """Return the segments of one image as regions, by falling value, for each target."""
    ranked = []
    for values in found.values:
        order = np.argsort(-values, kind="stable")
        ranks = np.append(np.argsort(order), NO_REGION).astype(np.uint16)
        ranked.append(region_table(ranks[labels], values[order].tolist()))
    return ranked


def _by_target(regions: list[list[Regions]]) -> list[list[Regions]]:
    return [list(each) for each in zip(*regions, strict=True)]
