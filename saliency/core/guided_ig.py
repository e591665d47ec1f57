"""Gradients along a path that moves first where the gradient is small."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from saliency.core.base import INPUT_OUTPUT_GRADIENTS, CoreSaliency, floating
from saliency.core.called import CallModelFunction
from saliency.core.method import parameter
from saliency.core.paths import Met, Path
from saliency.errors import BadOutput, BadShape
from saliency.model.protocols import Differentiable, Ops
from saliency.session.baselines import Baseline, baseline_count
from saliency.session.samples import Originals
from saliency.session.session import Session

A = TypeVar("A")

EPSILON = 1e-9
"""Two distances this near each other, relatively or absolutely, are the same."""


@dataclass(eq=False, repr=False)
class GuidedIG(CoreSaliency):
    """Integrated Gradients along a path that moves the pixels of small gradient first (arXiv:2106.09788, algorithm 1).

    So noise in the saturated parts of the path gathers less. No pixel strays further than `max_dist` from the straight
    line, in shares of its way. Sums to f(image) - f(baseline) as the steps grow. `steps` forward and backward passes
    one after the other; many images walk in lock-step, and so does each target, on a path of its own.
    """

    id = "guided_ig"
    title = "Guided IG"
    paper = "arXiv:2106.09788"
    family = "paths"
    formula = (
        r"M = \int_0^1 \nabla f(\gamma)\, \gamma'\, d\alpha,\quad \gamma \text{ where } |\nabla f| \text{ is small}"
    )
    advice = (
        "Less noise than Integrated Gradients on deep networks. Its steps follow one another, so batches do not "
        "help, and the path depends on the model. Moving what has a small gradient first biases the sum: on trained "
        "networks most of the score's difference may be missed, and more steps do not always mend it."
    )
    needs = Differentiable
    images_only = False
    complete = True
    expected_keys: ClassVar[list[str]] = [INPUT_OUTPUT_GRADIENTS]

    steps: int = parameter(200, "nodes of the path", low=1, high=10_000)
    baseline: Baseline = parameter("black", "where the path begins; several are averaged")
    fraction: float = parameter(0.25, "share of the values, those of smallest gradient, that move", low=0, high=1)
    max_dist: float = parameter(0.02, "how far a value may stray from the straight line, as a share", low=0, high=1)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        baselines = baseline_count(self.baseline, tuple(images.shape))
        for walks in self._walked(images, session, self.steps):
            if session.streaming or walks[0].done == self.steps:
                yield session.ops.asarray(_masks(walks, baselines, len(walks) // (baselines * len(images))))

    def _walked(
        self,
        images: Any,
        session: Session[Any],
        steps: int,
        note: Callable[[int, Walk, float, Any], None] | None = None,
    ) -> Iterator[list[Walk]]:
        """The walks, by baseline, image and target, after each step.

        Args:
            note: told of each walk, before each of its steps: its number, itself, the score and the gradient where it
                stands.
        """
        ops = session.ops
        ends = ops.tohost(images).astype(np.float64)
        starts = [np.broadcast_to(ops.tohost(each), ends.shape) for each in self.beginnings(images, session)]
        ways = [way for each in starts for way in zip(each, ends, strict=True)]

        def step(walk: int, answer: Any, target: int, row: int) -> None:
            gradient = answer.gradients[target, row]
            if note is not None:
                note(walk, walks[walk], float(ops.tohost(answer.scores[target, row])), gradient[None])
            walks[walk].advance(ops.tohost(gradient))

        def ask(points: list[np.ndarray]) -> Iterator[tuple[slice, Any]]:
            return session.gradients(Originals(ops, ops.asarray(np.stack(points))))

        # on the first step all targets stand at the baseline together
        walks: list[Walk] = []
        targets = 1
        for rows, answer in ask([start for start, _ in ways]):
            targets = int(answer.gradients.shape[0])
            for i, (start, end) in enumerate(ways[rows]):
                for target in range(targets):
                    walks.append(Walk(start, end, steps, self.fraction, self.max_dist))
                    step(len(walks) - 1, answer, target, i)
        yield walks
        for _ in range(1, steps):
            for rows, answer in ask([walk.point() for walk in walks]):
                for i in range(rows.stop - rows.start):
                    step(rows.start + i, answer, (rows.start + i) % targets, i)
            yield walks

    def paths(self, images: Any, session: Session[Any], steps: int) -> list[Path[Any]]:
        """See :class:`~saliency.core.paths.Walkable`: found by walking, one for each target."""
        alphas = np.linspace(0, 1, steps)
        places: dict[int, list[np.ndarray]] = {}
        met: dict[int, list[Met]] = {}

        def note(number: int, walk: Walk, score: float, gradient: Any) -> None:
            places.setdefault(number, []).append(walk.alphas.astype(np.float32))
            met.setdefault(number, []).append(Met(float(alphas[walk.done]), score, gradient))

        *_, walks = self._walked(images, session, steps - 1, note)
        baselines = baseline_count(self.baseline, tuple(images.shape))
        targets = len(walks) // (baselines * len(images))
        return [
            Wandering(session.ops, walk, [*places[i], walk.alphas], met[i], i // targets % len(images), i % targets)
            for i, walk in enumerate(walks)
        ]

    def remedy(self) -> str:
        nearer = "try a smaller max_dist, which keeps nearer to the straight line, or " if self.max_dist else "try "
        return f"{nearer}steps={4 * self.steps}"

    def cost(self, shape: tuple[int, ...]) -> int:
        """Of one target."""
        return shape[0] * self.steps * baseline_count(self.baseline, shape)

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        x_baseline: Any = None,
        x_steps: int = 200,
        fraction: float = 0.25,
        max_dist: float = 0.02,
    ) -> np.ndarray:
        """PAIR's Guided IG: one call with a batch of one a step.

        Args:
            x_value: (H, W, C), or any shape.
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: handed through.
            x_baseline: where the path begins, shape of `x_value`; zeros by default.
            x_steps: nodes of the path.
            fraction: share of the values that move at once.
            max_dist: how far they may stray from the straight line; 0 walks the line itself.

        Returns:
            float64, shape of `x_value`; zeros where it is the baseline, without a call.
        """
        image = np.asarray(x_value)
        baseline = np.zeros_like(image) if x_baseline is None else np.asarray(x_baseline)
        assert baseline.shape == image.shape, f"x_baseline must have the shape {image.shape}, got {baseline.shape}"
        self._refuse_fields()
        gradient = self._get_grad_func(call_model_function, call_model_args, floating(image))
        return guided_ig_impl(image, baseline, gradient, x_steps, fraction, max_dist)

    def _get_grad_func(
        self, call_model_function: CallModelFunction, call_model_args: Any = None, dtype: Any = np.float64
    ) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from a point to the gradient there, by PAIR's name.

        Args:
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: handed through.
            dtype: of the points that the model is fed.
        """
        model = self._model(call_model_function, call_model_args, dtype)

        def gradient(point: np.ndarray) -> np.ndarray:
            return model.gradients(model.ops.asarray(point[None])).gradients[0, 0]

        return gradient


class Wandering(Generic[A]):
    """A walk of Guided IG as a :class:`~saliency.core.paths.Path`: straight between the places where it was asked.

    Args:
        walk: that has arrived.
        places: how far each value had come, at each step and at the end.
        met: what was met at each step.
        image: to which of the images it leads.
        target: for which it was found.
    """

    def __init__(
        self, ops: Ops[A], walk: Walk, places: list[np.ndarray], met: Sequence[Met], image: int, target: int
    ) -> None:
        self.ops, self.start, self.way = ops, walk.start, walk.way
        self.places, self.met, self.image = places, met, image
        self.target: int | None = target

    def points(self, alphas: np.ndarray) -> Any:
        """See :class:`~saliency.core.paths.Path`."""
        return self.ops.asarray(np.stack([self.start + self._come(alpha) * self.way for alpha in alphas]))

    def ways(self, alphas: np.ndarray) -> Any:
        """See :class:`~saliency.core.paths.Path`."""
        come = np.stack([self._come(alpha) for alpha in alphas])
        return self.ops.asarray(np.diff(come, axis=0) * self.way)

    def _come(self, alpha: float) -> np.ndarray:
        """How far each value has come."""
        at = alpha * (len(self.places) - 1)
        before = min(int(at), len(self.places) - 2)
        here, there = self.places[before], self.places[before + 1]
        return (here + (at - before) * (there - here)).reshape(self.way.shape)


class Walk:
    """One path of Guided IG: how far each value has come, and what it gathered. In float64, on the host.

    A value stands at start + alpha * (end - start). In each step the whole picture comes 1 / steps of its way nearer to
    the end, in L1 distance; the values of smallest gradient go first, each as far as it may.

    Args:
        start: any shape.
        end: the same shape.
        steps: of the walk.
        fraction: share of the values that move at once.
        max_dist: how far an alpha may differ from the straight line's.
    """

    def __init__(self, start: np.ndarray, end: np.ndarray, steps: int, fraction: float, max_dist: float) -> None:
        self.start = np.asarray(start, np.float64)
        self.way = np.asarray(end, np.float64) - self.start
        self.steps, self.done, self.max_dist = steps, 0, max_dist
        self.lengths = np.abs(self.way).ravel()
        self.whole = float(self.lengths.sum())
        # a value without a way has arrived
        self.alphas, self.gathered = (self.lengths == 0).astype(np.float64), np.zeros(self.way.size)
        self.rank = int(np.floor(fraction * (self.way.size - 1)))

    def point(self) -> np.ndarray:
        """Where it stands."""
        return self.start + self.alphas.reshape(self.way.shape) * self.way

    def mask(self) -> np.ndarray:
        """The gradients times the ways gone so far."""
        return self.gathered.reshape(self.way.shape) * self.way

    def advance(self, gradient: np.ndarray) -> None:
        """Take one step.

        Args:
            gradient: where it stands.

        Raises:
            BadShape: the gradient is of another shape than the image.
            BadOutput: it is not finite, so that its values cannot be ranked.
        """
        if gradient.shape != self.way.shape:
            raise BadShape(f"The gradient must have the image's shape {self.way.shape}, got {gradient.shape}.")
        if not np.isfinite(gradient).all():
            raise BadOutput(
                f"In step {self.done + 1} of {self.steps} the gradient holds NaN or infinite values, by which Guided "
                "IG cannot choose a way. Check the model on this image (overflow, log of zero)."
            )
        self.done += 1
        alphas = self._moved(np.abs(gradient).ravel())
        self.gathered += (alphas - self.alphas) * gradient.ravel()
        self.alphas = alphas

    def _moved(self, magnitudes: np.ndarray) -> np.ndarray:
        """The alphas after this step."""
        line = self.done / self.steps
        nearest, furthest = max(line - self.max_dist, 0.0), min(line + self.max_dist, 1.0)
        target = self.whole * (1 - line)
        alphas = np.maximum(self.alphas, nearest)
        ahead = float(np.einsum("i,i", self.lengths, 1 - alphas)) - target
        # those that may move no more count as infinite, and so come last
        magnitudes[alphas >= furthest] = np.inf
        while ahead > EPSILON * max(1.0, target):
            moving = self._smallest(magnitudes)
            if not moving.size:
                break
            rooms = furthest - alphas[moving]
            room = float(np.einsum("i,i", self.lengths[moving], rooms))
            if ahead <= room:
                alphas[moving] += rooms * (ahead / room)
                break
            # not enough: all of them go as far as they may, and others follow; at least one, so this comes to an end
            alphas[moving] = furthest
            magnitudes[moving] = np.inf
            ahead -= room
        return alphas

    def _smallest(self, magnitudes: np.ndarray) -> np.ndarray:
        """Where the magnitudes are finite and at most their quantile over all values."""
        threshold = smallest(magnitudes, self.rank)
        return np.flatnonzero(magnitudes <= threshold if np.isfinite(threshold) else np.isfinite(magnitudes))


def smallest(values: np.ndarray, rank: int) -> Any:
    """The value (n,) that has `rank` smaller ones before it: ``np.partition(values, rank)[rank]``.

    A sorted sample tells between which two values to look, so that few need sorting. Where it tells wrong, all do.
    """
    step = len(values) // 4096 | 1
    if step > 8:
        sample = np.sort(values[::step])
        at, margin = rank // step, 2 * math.isqrt(len(sample))
        low, high = sample[max(0, at - margin)], sample[min(len(sample) - 1, at + margin)]
        before = rank - np.count_nonzero(values < low)
        between = values[(values >= low) & (values <= high)]
        if 0 <= before < len(between):
            return np.partition(between, before)[before]
    return np.partition(values, rank)[rank]


def _masks(walks: list[Walk], baselines: int, targets: int) -> np.ndarray:
    """The means over the baselines, (k, B, H, W, C)."""
    masks = np.stack([walk.mask() for walk in walks])
    several = masks.reshape(baselines, -1, targets, *masks.shape[1:])
    return np.asarray(np.moveaxis(several.mean(0), 1, 0))


def guided_ig_impl(
    x_input: Any,
    x_baseline: Any,
    grad_func: Callable[[np.ndarray], Any],
    steps: int = 200,
    fraction: float = 0.25,
    max_dist: float = 0.02,
) -> np.ndarray:
    """PAIR's Guided IG of a plain gradient function.

    Args:
        x_input: where the path ends, any shape.
        x_baseline: where it begins.
        grad_func: from a point, float64, to the gradient there.
        steps: how often it is asked.
        fraction: share of the values that move at once.
        max_dist: how far they may stray from the straight line.

    Returns:
        float64, shape of `x_input`; zeros where it is the baseline, without asking.
    """
    walk = Walk(np.asarray(x_baseline), np.asarray(x_input), steps, fraction, max_dist)
    for _ in range(steps if walk.whole > 0 else 0):
        walk.advance(np.asarray(grad_func(walk.point())))
    return walk.mask()


def l1_distance(x1: Any, x2: Any) -> Any:
    """Sum of absolute differences."""
    return np.abs(np.asarray(x1) - np.asarray(x2)).sum()


def translate_x_to_alpha(x: Any, x_input: Any, x_baseline: Any) -> np.ndarray:
    """How far each value has come from the baseline to the input, as a share of its way; NaN where there is none."""
    way = np.asarray(x_input) - np.asarray(x_baseline)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(way != 0, (np.asarray(x) - x_baseline) / way, np.nan))


def translate_alpha_to_x(alpha: float, x_input: Any, x_baseline: Any) -> Any:
    """The point a share of the way from the baseline to the input; the share must be 0 to 1."""
    assert 0 <= alpha <= 1, f"alpha must be 0 to 1, got {alpha}"
    return np.asarray(x_baseline) + (np.asarray(x_input) - np.asarray(x_baseline)) * alpha
