"""Find the concepts of a class by factorising crops of its images: :func:`craft` (CRAFT, arXiv:2211.10154)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.api.prepare import Prepared, prepare
from saliency.concepts.basis import cut_at
from saliency.concepts.factors import NMF, SemiNMF
from saliency.core.sobol import jansen, sequence
from saliency.datasets.features import LayerRead
from saliency.datasets.sources import source_of
from saliency.errors import BadImage, BadShape
from saliency.model.inputs import Inputs
from saliency.model.protocols import Cut
from saliency.pictures.placement import onto
from saliency.pictures.presets import Preprocess
from saliency.results.tables import aligned
from saliency.session.consistency import size_for
from saliency.session.samples import Originals
from saliency.session.session import Session

FACTORS: dict[str, type[NMF]] = {"nmf": NMF, "semi_nmf": SemiNMF}

PATCH = 64 / 224
"""Side of a crop as a share of the smaller side of the model's input."""

OVERLAP = 0.8
"""Distance of neighbouring crops, as a share of their side."""

LEAST = 10
"""Smallest number of images."""

SHOWN, SIDE = 10, 64
"""Number of crops that show a concept, and their largest side in pixels."""


class Crop(NamedTuple):
    """A crop that shows a concept."""

    image: str
    """Name or number of the image."""
    box: tuple[int, int, int, int]
    """Top, left, bottom, right in pixels of the model's input, half-open."""
    coordinate: float
    """How much of the concept it contains."""
    pixels: np.ndarray
    """The crop, (side, side, 3) uint8, at most 64×64."""


@dataclass(frozen=True)
class Craft:
    """The concepts of a class; prints as a table.

    Attributes:
        basis: the concepts as a basis of the layer, for :func:`saliency.concepts.attribute`.
        importance: total Sobol index of each concept, mean over images, (r,).
        spread: standard error of the importance over images, (r,).
        coordinates: of the images at the places of the layer, (N, h, w, r); (N, places, r) for a layer without a grid.
        crops: for each concept, the crops with most of it.
        error: ‖h − z W‖ / ‖h‖ of the images' values.
        agreement: share of the images whose top class is the same from the decoded values.
        layer: name of the layer.
        label: name of the class.
        names: of the images.
        notes: the settings used, in sentences.
    """

    basis: NMF
    importance: np.ndarray
    spread: np.ndarray
    coordinates: np.ndarray
    crops: tuple[tuple[Crop, ...], ...]
    error: float
    agreement: float
    layer: str
    label: str
    names: tuple[str, ...]
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def order(self) -> np.ndarray:
        """The concepts by falling importance."""
        return np.argsort(-self.importance, kind="stable")

    def __str__(self) -> str:
        places = tuple(range(1, self.coordinates.ndim - 1))
        most = self.coordinates.max(places)
        rows = [("concept", "importance", "images with most of it")]
        for i in self.order:
            best = ", ".join(self.names[j] for j in np.argsort(-most[:, i])[:3])
            rows.append((str(i), f"{self.importance[i]:.3f} ± {self.spread[i]:.3f}", best))
        below = (
            f"{self.label} at {self.layer}: {len(self.names)} images, reconstruction error {100 * self.error:.0f} %, "
            f"predictions agree in {100 * self.agreement:.0f} %"
        )
        return "\n".join([aligned(rows), below])

    __repr__ = __str__

    def montage(self, concept: int) -> np.ndarray:
        """Return the crops that show a concept side by side, (64, 64 * n, 3) uint8.

        Raises:
            BadField: there is no such concept.
        """
        concept = checks.whole(concept, "concept", 0, len(self.crops) - 1)
        tiles = []
        for each in self.crops[concept]:
            rows, columns = (np.linspace(0, n - 1, SIDE).round().astype(int) for n in each.pixels.shape[:2])
            tiles.append(each.pixels[rows][:, columns])
        return np.concatenate(tiles, 1)


def craft(
    model: Any,
    images: Any,
    target: Any,
    layer: Any = None,
    *,
    rank: int = 10,
    basis: str = "nmf",
    patch: int | None = None,
    designs: int = 32,
    evaluated: int = 16,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    batch_size: int | str = "auto",
    cancelled: Callable[[], bool] | None = None,
) -> Craft:
    """Return the concepts of a class: directions of a layer that crops of its images share, by their importance.

    Crops of all images are fed to the model; the mean values of the layer for each are factorised. The coordinates of
    whole images are found at each place by non-negative least squares. The importance of a concept is its total Sobol
    index: the share of the score's variance that involves it, where all concepts fade at random.

    Args:
        model: see :func:`saliency.adapt`; or its result.
        images: at least 10, better 100 images that the model assigns to the class, see :func:`saliency.explain_each`;
            all must be fed at one size.
        target: index or label of the class, or a callable, see :func:`saliency.explain`.
        layer: its name, or the module itself; it must cut the model. By default the last layer with a spatial grid.
        rank: number of concepts.
        basis: "nmf", of a layer without negative values, such as after a ReLU; or "semi_nmf".
        patch: side of the crops in pixels of the model's input; by default 64 at 224.
        designs: number of random designs of the Sobol indices; each evaluates rank + 2 images.
        evaluated: number of images on which the importance is measured.
        seed: seed of the factorisation and of the designs.
        labels: names of the model's classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images per model call.
        cancelled: see :func:`saliency.explain`.

    Raises:
        BadImage: there are too few images.
        BadShape: images are fed at different sizes.
        MissingPackage: scikit-learn is not installed.
        Unsupported: the layer has negative values, or does not cut the model.
    """
    factors = FACTORS[checks.choice(basis, "basis", FACTORS)]
    rank, seed = checks.whole(rank, "rank", 1), checks.whole(seed, "seed", 0)
    designs, evaluated = checks.whole(designs, "designs", 2), checks.whole(evaluated, "evaluated", 1)
    checks.callbacks(cancelled=cancelled)
    options = {"batch_size": checks.batch_size(batch_size), "cancelled": cancelled}
    model_options = {"framework": framework, "activation": activation, "output": output}
    found = Found(model, images, target, layer, patch, preprocess, {**model_options, "labels": labels}, options)
    made = factors.fit(found.crop_values(), rank, seed)
    coordinates, error, agreement, important = found.whole(made, designs, evaluated, seed)
    notes = [
        *found.notes,
        f"importance measured on {len(important)} of {len(coordinates)} images, {designs} designs each",
        f"relative error of the factorisation of {len(found.boxes)} crops: {100 * made.error:.0f} %",
    ]
    if not made.converged:
        notes.append("the factorisation did not converge: pass more images, or a smaller rank")
    if agreement < 0.9:
        notes.append(
            f"from the decoded values the model predicts the same class for only {100 * agreement:.0f} % of the images:"
            " the concepts do not represent its decision well. Use a larger rank"
        )
    spread = important.std(0, ddof=1) / np.sqrt(len(important)) if len(important) > 1 else np.zeros(important.shape[1])
    return Craft(
        made, important.mean(0), spread, coordinates, found.shown(made), error, agreement, found.cut.layer, found.label,
        tuple(found.names), tuple(notes),
    )  # fmt: skip


class Found:
    """The images of a class and their crops, at a layer of a model. For the arguments see :func:`craft`."""

    def __init__(
        self, model: Any, images: Any, target: Any, layer: Any, patch: int | None, preprocess: Preprocess | None,
        model_options: dict[str, Any], options: dict[str, Any],
    ) -> None:  # fmt: skip
        self.names: list[str] = []
        self.fed: list[np.ndarray] = []
        self._thumbnails: list[np.ndarray] = []
        first: Prepared | None = None
        for item in source_of(images).stream():
            image, _ = item.read()
            one = prepare(model, [image], preprocess=preprocess, **model_options) if first is None else (
                first.with_image(image, preprocess))  # fmt: skip
            first = first or one
            self._add(item.id, one)
        if first is None or len(self.fed) < LEAST:
            raise BadImage(f"Concepts of a class need at least {LEAST} of its images, got {len(self.fed)}.")
        if target is None:
            raise BadImage("target must be the class of the images: an index, a label or a callable.")
        self.cut, self.label, notes = cut_at(first, layer, target)
        self.notes = list(notes)
        self.ops = first.adapted.ops
        size = size_for(first.adapted, self.fed[0], options.get("batch_size", "auto"))
        self._options = {**options, "batch_size": size}
        height, width = self.fed[0].shape[1:3]
        side = round(PATCH * min(height, width)) if patch is None else patch
        self.side = checks.whole(side, "patch", 2, min(height, width))
        step = max(1, int(OVERLAP * self.side))
        self._corners = [
            (top, left)
            for top in range(0, height - self.side + 1, step)
            for left in range(0, width - self.side + 1, step)
        ]
        self.boxes = [(i, *corner) for i in range(len(self.fed)) for corner in self._corners]
        self._values = np.empty(0)

    def _add(self, name: str, one: Prepared) -> None:
        """Keep an image: its input of the model, and a small picture of that input."""
        if isinstance(one.picture, Inputs):
            raise BadImage("Concepts are of pictures, one input each, not of multi-input models.")
        fed = one.picture.fed
        if self.fed and fed.shape != self.fed[0].shape:
            raise BadShape(
                f"All images must be fed at one size, got {self.fed[0].shape[1:3]} and {fed.shape[1:3]} for {name!r}: "
                "use a preprocess with a size, such as preprocess='0..1 224'."
            )
        self.names.append(name)
        self.fed.append(fed)
        self._thumbnails.append(_input_as_picture(one.picture))

    def _head(self, images: np.ndarray) -> np.ndarray:
        """Return the layer's values for inputs of the model (n, H, W, C), (n, …, K)."""
        session: Session[Any] = Session(self.cut.head, **self._options)
        samples = Originals(self.ops, self.ops.asarray(images))
        return np.concatenate([each for _, each in session.outputs(samples)])

    def _places(self, values: np.ndarray) -> np.ndarray:
        """Return values (n, …, r) at the places of the layer, (n, places, r)."""
        return LayerRead(values, None, self.cut.grid, self.cut.before).at_places(values)

    def crop_values(self) -> np.ndarray:
        """Return the mean values of the layer for all crops, (crops, K)."""
        height, width = self.fed[0].shape[1:3]
        down, across = _interpolation(self.side, height), _interpolation(self.side, width)
        found = []
        for fed in self.fed:
            cut = np.stack([fed[0, t : t + self.side, s : s + self.side] for t, s in self._corners])
            resized = np.einsum("hp,npqc,wq->nhwc", down, cut, across, optimize=True).astype(np.float32)
            found.append(self._places(self._head(resized)).mean(1))
        self._values = np.concatenate(found)
        return self._values

    def whole(self, basis: NMF, designs: int, evaluated: int, seed: int) -> tuple[np.ndarray, float, float, np.ndarray]:
        """Return the coordinates of the images, the relative error, the agreement, and the importance by image."""
        chosen = set(np.linspace(0, len(self.fed) - 1, min(evaluated, len(self.fed))).round().astype(int).tolist())
        coordinates, important = [], []
        missed = length = 0.0
        same = []
        for i, fed in enumerate(self.fed):
            values = self._head(fed)
            z = basis.encode(values)
            decoded = basis.decode(z)
            missed += float(((values - decoded) ** 2).sum())
            length += float((values**2).sum())
            tail: Session[Any] = Session(self.cut.tail, **self._options)
            both = self.ops.asarray(np.concatenate([values, decoded]).astype(np.float32))
            tops = np.concatenate([each for _, each in tail.outputs(Originals(self.ops, both))]).argmax(1)
            same.append(tops[0] == tops[1])
            if i in chosen:
                important.append(total_indices(self.cut, basis, z[0], designs, seed + i, self._options))
            coordinates.append(self._places(z)[0])
        found = np.stack(coordinates).astype(np.float32)
        grid = self.cut.grid
        return (
            found if grid is None else found.reshape(len(found), *grid, -1),
            float(np.sqrt(missed / max(length, 1e-300))), float(np.mean(same)), np.stack(important),
        )  # fmt: skip

    def shown(self, basis: NMF) -> tuple[tuple[Crop, ...], ...]:
        """Return for each concept the crops with most of it, at most one of each image where there are enough."""
        coordinates = basis.encode(self._values)
        return tuple(tuple(self._best(coordinates[:, i])) for i in range(coordinates.shape[1]))

    def _best(self, coordinates: np.ndarray) -> Iterator[Crop]:
        order = [int(i) for i in np.argsort(-coordinates, kind="stable") if coordinates[i] > 0]
        firsts: dict[int, int] = {}
        for i in order:
            firsts.setdefault(self.boxes[i][0], i)
        kept = sorted(firsts.values(), key=lambda i: -coordinates[i])[:SHOWN]
        for i in kept:
            image, top, left = self.boxes[i]
            box = top, left, top + self.side, left + self.side
            pixels = self._thumbnails[image][top : box[2], left : box[3]]
            step = max(1, -(-self.side // SIDE))
            yield Crop(self.names[image], box, float(coordinates[i]), pixels[::step, ::step])


def total_indices(
    cut: Cut[Any], basis: Any, coordinates: np.ndarray, designs: int, seed: int, options: dict[str, Any] | None = None
) -> np.ndarray:
    """Return the total Sobol index of each concept of one image, (r,): its share of the variance of the score.

    Args:
        cut: the model, cut at the layer.
        basis: decodes coordinates.
        coordinates: of the image, (…, r).
        designs: number of random designs.
        seed: seed of the designs.
        options: of the session.
    """
    count = coordinates.shape[-1]
    points = sequence(2 * count, designs, seed)
    first, second = points[:, :count], points[:, count:]
    mixed = np.where(np.eye(count, dtype=bool), second[:, None], first[:, None])
    masks = np.concatenate([first[:, None], second[:, None], mixed], 1).reshape(-1, count)
    session: Session[Any] = Session(cut.tail, **(options or {}))
    faded = Faded(cut.tail.ops, basis, coordinates, masks)
    scores = np.concatenate([session.ops.tohost(each)[0] for _, each in session.scores(faded)])
    return np.asarray(jansen(scores.reshape(1, designs, 2 + count).astype(np.float64)).values[0])


class Faded:
    """The values of a layer with concepts faded, decoded only when sliced; see :class:`saliency.session.Samples`."""

    def __init__(self, ops: Any, basis: Any, coordinates: np.ndarray, masks: np.ndarray) -> None:
        self._ops, self._basis, self._coordinates, self._masks = ops, basis, coordinates, masks
        self.each = len(masks)
        self.shape = tuple(basis.decode(coordinates).shape)

    def __len__(self) -> int:
        return self.each

    def __getitem__(self, rows: slice) -> Any:
        masks = self._masks[rows]
        masks = masks.reshape(len(masks), *(1,) * (self._coordinates.ndim - 1), -1)
        return self._ops.asarray(self._basis.decode(self._coordinates * masks).astype(np.float32))


def _interpolation(small: int, large: int) -> np.ndarray:
    """Return the matrix (large, small) of linear interpolation between the centres of pixels."""
    at = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    low = np.minimum(np.floor(at).astype(int), max(small - 2, 0))
    share = at - low
    found = np.zeros((large, small))
    found[np.arange(large), low] += 1 - share
    found[np.arange(large), np.minimum(low + 1, small - 1)] += share
    return found


def _input_as_picture(picture: Any) -> np.ndarray:
    """Return the part of a picture that the model is fed, in the size of its input, (H, W, 3) uint8."""
    height, width = picture.fed.shape[1:3]
    turn = picture.placement
    inverse = np.linalg.inv(turn[:, :2])
    back = np.column_stack([inverse, -inverse @ turn[:, 2]])
    shown = onto(picture.shown.astype(np.float32), back, (height, width), True)
    return np.clip(np.rint(shown), 0, 255).astype(np.uint8)
