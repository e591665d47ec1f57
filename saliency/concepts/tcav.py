"""Test concepts with activation vectors: :class:`TCAV` (arXiv:1711.11279)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.concepts.cav import CAV, CLASSIFIERS, LEAST, fit_cav, flat
from saliency.datasets.features import Features, LayerRead, Reader, collected, features
from saliency.errors import BadField, BadImage, BadShape, Cancelled, brief
from saliency.pictures.placement import onto
from saliency.pictures.presets import Preprocess
from saliency.results.run import LayerPlace
from saliency.results.tables import aligned

POOLINGS = ("mean", "none")

EQUAL = 1e-3
"""Largest difference of the values of equal images, as a share of each value's standard deviation."""

FEWEST = 20
"""Smallest number of random sets: with fewer, the null band is too uncertain."""


class ConceptScore(NamedTuple):
    """What is found about one concept at one layer, for images of a class."""

    concept: str
    layer: str
    score: float
    """Share of the images whose score of the class rises in the concept's direction, mean over random sets."""
    score_band: tuple[float, float]
    """95 % of the shares of random sets."""
    sensitivity: float
    """Mean directional derivative, as a share of the mean length of the gradient: from -1 to 1."""
    band: tuple[float, float]
    """The interval in which the sensitivity of a random set is in 95 % of cases."""
    p: float
    """Two-sided p-value of the sensitivity among random sets, multiplied by the number of tests (Bonferroni)."""
    significant: bool
    accuracy: float
    """Balanced accuracy of the classifiers on held-out images, 0.5 for chance."""
    stability: float
    """Mean cosine between the directions of different random sets."""


@dataclass(frozen=True)
class ConceptScores:
    """The scores of concepts for a class; prints as a table with the null bands.

    Attributes:
        rows: one for each concept and layer.
        label: name of the class.
        images: number of images of the class.
        sets: number of random sets.
        alpha: level of the test, after the correction for several tests.
        notes: the settings used, in sentences.
    """

    rows: tuple[ConceptScore, ...]
    label: str
    images: int
    sets: int
    alpha: float
    notes: tuple[str, ...] = field(default=(), repr=False)

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, concept: str) -> ConceptScore:
        """Return the first row of a concept."""
        for each in self.rows:
            if each.concept == concept:
                return each
        raise KeyError(concept)

    def __str__(self) -> str:
        head = "concept", "layer", "TCAV", "random 95 %", "sensitivity", "random 95 %", "p", "accuracy", "stability"
        lines = [head, *map(_cells, self.rows)]
        below = (
            f"{self.images} images of {self.label}, {self.sets} random sets; * significant at {self.alpha:g} after "
            "Bonferroni's correction"
        )
        return "\n".join([aligned(lines), below])

    __repr__ = __str__


def _cells(row: ConceptScore) -> tuple[str, ...]:
    """Return a row of the table as text."""
    return (
        row.concept,
        row.layer,
        f"{100 * row.score:.0f} %",
        "{:.0f}–{:.0f} %".format(*(100 * end for end in row.score_band)),
        f"{row.sensitivity:+.3f}{' *' if row.significant else ''}",
        "{:+.3f} to {:+.3f}".format(*row.band),
        f"{row.p:.2g}",
        f"{100 * row.accuracy:.0f} %",
        f"{row.stability:.2f}",
    )


class ConceptMap(NamedTuple):
    """One concept in one image."""

    concept: str
    layer: str
    sensitivity: float
    """Directional derivative as a share of the length of the gradient, mean over random sets."""
    band: tuple[float, float]
    """The interval in which the sensitivity of a random set is in 95 % of cases, for this image."""
    presence: np.ndarray
    """How far the values at each place point in the concept's direction, (h, w)."""
    contribution: np.ndarray
    """Presence times the directional derivative at each place, (h, w)."""
    placement: np.ndarray
    size: tuple[int, int]

    def on_picture(self, what: str = "presence", smooth: bool = True) -> np.ndarray:
        """Return a map on the picture's own pixels, (H, W).

        Args:
            what: "presence" or "contribution".
            smooth: whether to interpolate between places.
        """
        checks.choice(what, "map", ("presence", "contribution"))
        return onto(getattr(self, what), self.placement, self.size, checks.flag(smooth, "smooth"))


class Directions(NamedTuple):
    """The directions of one layer, with the null set."""

    concepts: Mapping[str, np.ndarray]
    """(sets, D) for each concept."""
    pairs: np.ndarray
    """(sets, sets, D): the direction from the second random set to the first; antisymmetric."""
    accuracy: Mapping[str, float]
    failed: int
    """Number of classifiers that did not converge."""
    size: int
    """Number of images of each set."""


class TCAV:
    """Whether a model's score of a class depends on concepts, which images of them define.

    For each concept, linear classifiers tell its images from each of `sets` random sets, in the values of a layer. A
    concept matters for a class if the score rises, or falls, in the direction of its classifiers by more than in the
    direction of the random sets themselves: a random set compared with the others gives the null distribution. The
    test is on the sensitivity (the mean directional derivative), because the share of images, the TCAV score, is 0 or 1
    for any direction after the last non-linearity.

    Args:
        model: see :func:`saliency.adapt`; or its result.
        concepts: for each name the images of a concept, see :func:`saliency.features`, or their :class:`Features` at
            the one layer; at least 10, better 50. For a region of a picture see :func:`crops`.
        random: images without a common concept, from which the random sets are drawn without overlap: at least 10 times
            `sets`; or a list of `sets` collections.
        layers: one layer, or several, by name or as modules.
        sets: number of random sets, at least 20.
        classifier: see :func:`fit_cav`.
        pooling: "mean" over the places of the layer, or "none": all values, as in the paper, which needs images of one
            size and much memory.
        alpha: level of the test.
        seed: seed of the random sets and of the classifiers.
        preprocess: see :func:`saliency.explain`.
        progress: see :func:`saliency.features`.
        cancelled: called between model calls and between classifiers; when it returns true,
            :class:`saliency.Cancelled` is raised.
        **options: `labels`, `activation`, `output`, `framework`, `batch_size`, see :func:`saliency.features`.

    Raises:
        BadImage: a concept has fewer than 10 images, random sets overlap, or there are too few random images.
        UnknownName: there is no such layer.
        Unsupported: the model provides no gradients at a layer.
    """

    _cancelled: Callable[[], bool] | None = None

    def __init__(
        self,
        model: Any,
        concepts: Mapping[str, Any],
        random: Any,
        layers: Any = None,
        *,
        sets: int = 20,
        classifier: str = "logistic",
        pooling: str = "mean",
        alpha: float = 0.05,
        seed: int = 0,
        preprocess: Preprocess | None = None,
        progress: Any = False,
        cancelled: Callable[[], bool] | None = None,
        **options: Any,
    ) -> None:
        checks.callbacks(cancelled=cancelled)
        given: Any = concepts
        if not isinstance(given, Mapping) or not given:
            raise BadField(f"concepts must be a dict from name to images, {{'stripes': […]}}, got {brief(concepts)}.")
        self.model, self._preprocess, self._options = model, preprocess, options
        self.sets = checks.whole(sets, "sets", FEWEST)
        self.classifier = checks.choice(classifier, "classifier", CLASSIFIERS)
        self.pooling = checks.choice(pooling, "pooling", POOLINGS)
        self.alpha = checks.number(alpha, "alpha", 1e-9, 0.5)
        self.seed = checks.whole(seed, "seed", 0)
        self._cancelled = cancelled
        self.notes: list[str] = []
        self.directions: dict[str, Directions] = {}
        listed = list(layers) if isinstance(layers, list | tuple) else [layers]
        collections = {name: _twice(each) for name, each in concepts.items()}
        several = isinstance(random, list | tuple) and len(random) >= FEWEST and not _is_image(random[0])
        pool = [_twice(each) for each in random] if several else [_twice(random)]

        def read(images: Any, layer: Any) -> Features:
            if isinstance(images, Features):
                return images
            calls = {"progress": progress, "cancelled": cancelled}
            return features(model, images, layer, pooling=pooling, preprocess=preprocess, **calls, **options)

        for layer in listed:
            of_concepts = {name: read(each, layer) for name, each in collections.items()}
            of_random = [read(each, layer) for each in pool]
            name = of_random[0].layer
            if other := {each.layer for each in [*of_concepts.values(), *of_random]} - {name}:
                raise BadField(f"Features must be of one layer, got {name!r} and {', '.join(map(repr, other))}.")
            self.notes += [each for each in of_random[0].notes if each not in self.notes]
            self.directions[name] = self._fit({each: found.values for each, found in of_concepts.items()},
                                              [each.values for each in of_random])  # fmt: skip

    def __repr__(self) -> str:
        names = ", ".join(next(iter(self.directions.values())).concepts)
        return f"TCAV({names} at {', '.join(self.directions)}; {self.sets} random sets, {self.classifier})"

    def scores(self, images: Any, target: Any, *, progress: Any = False) -> ConceptScores:
        """Return how a class depends on the concepts, over images of the class.

        Args:
            images: images of the class, see :func:`saliency.features`.
            target: index or label of the class, or a callable, see :func:`saliency.explain`.
            progress: see :func:`saliency.features`.

        Raises:
            BadTarget: there is no such class.
        """
        rows: list[ConceptScore] = []
        label, count = "", 0
        tests = sum(len(each.concepts) for each in self.directions.values())
        for layer, directions in self.directions.items():
            reader = Reader(layer, self._slopes, _required(target))
            slopes, _, _ = collected(self.model, images, reader, self._preprocess, self._model_options(),
                                     progress=progress, **self._call_options())  # fmt: skip
            label, count = reader.label, len(slopes)
            rows += scores_of(directions, slopes, layer, self.alpha, tests)
        return ConceptScores(tuple(rows), label, count, self.sets, self.alpha, tuple(self.notes))

    def maps(self, image: Any, target: Any) -> list[ConceptMap]:
        """Return for one image each concept's sensitivity, with its null band, and where the concept is.

        Args:
            image: see :func:`saliency.explain`.
            target: see :meth:`scores`.

        Raises:
            BadImage: a layer has no grid on the image.
        """
        found: list[ConceptMap] = []
        for layer, directions in self.directions.items():
            places: list[LayerRead] = []

            def keep(read: LayerRead, places: list[LayerRead] = places) -> np.ndarray:
                places.append(read)
                return self._slopes(read)

            reader = Reader(layer, keep, _required(target))
            slopes, _, _ = collected(self.model, [image], reader, self._preprocess, self._model_options(),
                                     **self._call_options())  # fmt: skip
            (one,) = places
            if one.grid is None:
                raise BadImage(f"The layer {layer!r} has no grid on the image, so that its concepts have no map.")
            assert one.gradients is not None
            values, gradients = one.at_places(one.values)[0], one.at_places(one.gradients)[0]
            picture = reader.picture
            placement = LayerPlace(one.grid, one.before).placement(picture)
            _, null = _statistics(directions.pairs, slopes)
            band = _band(null.sum(1) / (len(null) - 1))
            for name, vectors in directions.concepts.items():
                mean = vectors.mean(0)
                vector = (mean / np.linalg.norm(mean)).reshape(-1, values.shape[-1])
                if len(vector) > 1:  # of unpooled values, tokens without a position precede the places
                    vector = vector[one.before : one.before + len(values)]
                presence = (values * vector).sum(-1)
                contribution = presence * (gradients * vector).sum(-1)
                _, sensitivity = _statistics(vectors, slopes)
                found.append(
                    ConceptMap(
                        name, layer, float(sensitivity.mean()), band, presence.reshape(one.grid),
                        contribution.reshape(one.grid), placement, (picture.values.shape[0], picture.values.shape[1])
                    )
                )  # fmt: skip
        return found

    def _slopes(self, read: LayerRead) -> np.ndarray:
        """Return the gradient that directions are multiplied with, (n, D): with pooling, summed over places."""
        assert read.gradients is not None
        if self.pooling == "mean":
            return np.asarray(read.at_places(read.gradients).sum(1))
        return read.gradients.reshape(len(read.gradients), -1)

    def _model_options(self) -> dict[str, Any]:
        return {name: each for name, each in self._options.items() if name != "batch_size"}

    def _call_options(self) -> dict[str, Any]:
        return {name: each for name, each in self._options.items() if name == "batch_size"}

    def _fit(self, concepts: Mapping[str, np.ndarray], random: Sequence[np.ndarray]) -> Directions:
        """Return the directions of concepts, and of random sets, at one layer."""
        rows = {name: flat(each, f"The concept {name!r}") for name, each in concepts.items()}
        size = min(map(len, rows.values()))
        sets = self._random_sets([np.asarray(each, np.float64).reshape(len(each), -1) for each in random], size)
        _require_apart(rows, sets)
        size = min(map(len, sets))
        draw = np.random.default_rng([self.seed, 1])
        failed, directions, accuracy = 0, dict[str, np.ndarray](), dict[str, float]()
        for name, each in rows.items():
            cavs = [
                self._cav(each[draw.permutation(len(each))[:size]], other, self.seed + i)
                for i, other in enumerate(sets)
            ]
            directions[name] = np.stack([each.vector for each in cavs])
            accuracy[name] = float(np.mean([each.accuracy for each in cavs]))
            failed += sum(not each.converged for each in cavs)
        pairs = np.zeros((len(sets), len(sets), sets[0].shape[1]), np.float32)
        for i in range(len(sets)):
            for j in range(i + 1, len(sets)):
                cav = self._cav(sets[i], sets[j], self.seed + i)
                pairs[i, j], pairs[j, i] = cav.vector, -cav.vector
                failed += not cav.converged
        if failed:
            self.notes.append(
                f"{failed} of {len(sets) * (len(rows) + (len(sets) - 1) / 2):.0f} classifiers did not converge: their "
                "directions are uncertain. Pass more images, or classifier='mean_difference'"
            )
        self.notes.append(
            f"{len(sets)} random sets of {size} images each; directions in the values "
            f"{'averaged over places' if self.pooling == 'mean' else 'of all places'}"
        )
        return Directions(directions, pairs, accuracy, failed, size)

    def _cav(self, concept: np.ndarray, others: np.ndarray, seed: int) -> CAV:
        if self._cancelled is not None and self._cancelled():
            raise Cancelled("The test of concepts was cancelled.")
        return fit_cav(concept, others, self.classifier, seed=seed)

    def _random_sets(self, random: Sequence[np.ndarray], size: int) -> list[np.ndarray]:
        """Return the random sets: as given, or disjoint parts of one collection.

        Raises:
            BadImage: there are too few images.
        """
        if len(random) > 1:
            self.sets = len(random)
            for i, rows in enumerate(random):
                flat(rows, f"The random set {i}")
            count = min(size, *(len(rows) for rows in random))
            return [rows[:count] for rows in random]
        (pool,) = random
        count = min(size, len(pool) // self.sets)
        if count < LEAST:
            raise BadImage(
                f"{self.sets} random sets without overlap need at least {LEAST * self.sets} images, {LEAST} for each, "
                f"got {len(pool)}: pass more random images"
                f"{f', or sets={FEWEST}' if self.sets > FEWEST else ''}."
            )
        order = np.random.default_rng([self.seed, 0]).permutation(len(pool))
        return [pool[order[i * count : (i + 1) * count]] for i in range(self.sets)]


def scores_of(
    directions: Directions, slopes: np.ndarray, layer: str, alpha: float = 0.05, tests: int | None = None
) -> list[ConceptScore]:
    """Return the scores of concepts from their directions and the gradients of images of a class.

    Args:
        directions: of the concepts and of random sets.
        slopes: (N, D), the gradient of the class's score by the layer, for each image.
        layer: name of the layer.
        alpha: level of the test.
        tests: number of tests by which p-values are multiplied; by default the number of concepts.
    """
    from scipy import stats

    shares, null = _statistics(directions.pairs, slopes)
    count = len(null)
    # of each random set against all others; the diagonal is zero
    null = null.sum(1) / (count - 1)
    off = ~np.eye(count, dtype=bool)
    null_scores = (shares * off).sum(1) / (count - 1)
    band, wide = _band(null), float(null.std(ddof=1)) * np.sqrt(1 + 1 / count)
    low, high = (float(end) for end in np.percentile(null_scores, [2.5, 97.5]))
    rows = []
    for name, vectors in directions.concepts.items():
        share, sensitivity = (float(each.mean()) for each in _statistics(vectors, slopes))
        away = abs(sensitivity - float(null.mean()))
        p = float(2 * stats.t.sf(away / wide, count - 1)) if wide > 0 else float(away == 0)
        p = min(1.0, p * (tests or len(directions.concepts)))
        cosines = vectors @ vectors.T
        rows.append(
            ConceptScore(
                name, layer, share, (low, high), sensitivity, band, p,
                p < alpha, directions.accuracy.get(name, float("nan")),
                float((cosines.sum() - np.trace(cosines)) / (count * (count - 1)))
            )
        )  # fmt: skip
    return rows


def _statistics(vectors: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for directions (…, D) the share of images with a positive derivative, and the sensitivity, (…)."""
    derivatives = slopes.astype(np.float64) @ vectors.reshape(-1, vectors.shape[-1]).astype(np.float64).T
    length = float(np.linalg.norm(slopes, axis=1).mean()) or 1.0
    shape = vectors.shape[:-1]
    return (derivatives > 0).mean(0).reshape(shape), (derivatives.mean(0) / length).reshape(shape)


def _band(null: np.ndarray) -> tuple[float, float]:
    """Return the interval that contains 95 % of further values, from a sample of a normal distribution."""
    from scipy import stats

    wide = float(stats.t.ppf(0.975, len(null) - 1) * null.std(ddof=1) * np.sqrt(1 + 1 / len(null)))
    return float(null.mean()) - wide, float(null.mean()) + wide


def _require_apart(concepts: Mapping[str, np.ndarray], sets: Sequence[np.ndarray]) -> None:
    """Raise BadImage if two random sets, or a concept and a random set, share an image."""
    random, owner = np.concatenate(list(sets)), np.repeat(np.arange(len(sets)), [len(each) for each in sets])
    for i, j in _equal(random, random):
        if owner[i] != owner[j]:
            raise BadImage(
                f"The random sets {owner[i]} and {owner[j]} share an image, so that they are not independent: pass "
                "sets without overlap, or one collection without repeated images."
            )
    for name, rows in concepts.items():
        if shared := len({i for i, _ in _equal(rows, random)}):
            raise BadImage(f"{shared} images of the concept {name!r} are also in the random images: remove them there.")


def _equal(rows: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the numbers of rows and of others that are equal up to rounding, as a share of each value's spread."""
    spread = np.maximum(others.std(0), 1e-5 * np.abs(others).max(initial=1e-300))
    # equal rows have equal projections, so that few pairs are compared
    line = np.random.default_rng(0).normal(size=others.shape[1]) / spread / np.sqrt(others.shape[1])
    places, theirs = rows @ line, others @ line
    order = np.argsort(theirs)
    first = np.searchsorted(theirs[order], places - EQUAL)
    last = np.searchsorted(theirs[order], places + EQUAL)
    for i in range(len(rows)):
        for j in order[first[i] : last[i]]:
            if np.abs((rows[i] - others[j]) / spread).max() < EQUAL:
                yield i, int(j)


def _twice(images: Any) -> Any:
    """Return a collection that can be read for each layer, a stream as a list."""
    stream = hasattr(images, "__next__")
    return list(images) if stream else images


def _is_image(value: Any) -> bool:
    """Return whether the first item of a list is an image, not a collection of them."""
    shape = getattr(value, "shape", None)
    return type(value).__module__.startswith("PIL") or (shape is not None and len(shape) < 4) or (
        isinstance(value, tuple) and len(value) == 2
    )  # fmt: skip


def _required(target: Any) -> Any:
    if target is None:
        raise BadShape("target must be the class whose score is tested: an index, a label or a callable.")
    return target
