"""DeepExplain's eight methods, over rows (see :mod:`saliency.deepexplain.rows`)."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from saliency.core.method import Method, parameter
from saliency.core.quadrature import nodes
from saliency.deepexplain import fetches
from saliency.deepexplain.errors import BadParameter, DeepExplainError
from saliency.deepexplain.fetches import Build, Fetches
from saliency.deepexplain.rows import RowModel, packed
from saliency.model.protocols import Differentiable
from saliency.session.samples import PerImage, StraightPath
from saliency.session.session import Session, originals

Shapes = Sequence[tuple[int, ...]]
"""The shape of each input, without the batch axis."""


@dataclass(eq=False, repr=False)
class Attribution(Method):
    """A method over rows: called with rows (N, D), it yields attributions (1, n, columns)."""

    build: ClassVar[Build] = staticmethod(fetches.scores)
    """Builds the tensors that it needs."""
    several: ClassVar[bool] = False
    """Whether it supports several inputs."""

    def feed(self, fetches: Fetches, shapes: Shapes) -> dict[Any, Any]:
        """Return additional values to feed."""
        return {}

    def found(self, shapes: Shapes) -> Shapes:
        """Return the shapes of the attributions, one for each input."""
        return shapes


@dataclass(eq=False, repr=False)
class GradientMethod(Attribution):
    """A method based on gradients; `build` defines their kind."""

    needs = Differentiable
    build: ClassVar[Build] = staticmethod(fetches.gradients)
    several: ClassVar[bool] = True


@dataclass(eq=False, repr=False)
class DummyZero(GradientMethod):
    """The gradient with all activations blocked: zero if there are any. For tests."""

    id = "zero"
    build: ClassVar[Build] = staticmethod(fetches.zeroed)

    def __call__(self, rows: Any, session: Session[Any]) -> Iterator[Any]:
        yield _gradient(rows, session)[1]


@dataclass(eq=False, repr=False)
class Saliency(GradientMethod):
    """The absolute value of the gradient (arXiv:1312.6034)."""

    id = "saliency"

    def __call__(self, rows: Any, session: Session[Any]) -> Iterator[Any]:
        yield np.abs(_gradient(rows, session)[1])


@dataclass(eq=False, repr=False)
class GradientTimesInput(GradientMethod):
    """The gradient times the input (arXiv:1605.01713)."""

    id = "grad*input"

    def __call__(self, rows: Any, session: Session[Any]) -> Iterator[Any]:
        yield _gradient(rows, session)[1] * rows


@dataclass(eq=False, repr=False)
class EpsilonLRP(GradientTimesInput):
    """Relevance by the epsilon rule, at activations (arXiv:1711.06104, table 1; doi:10.1371/journal.pone.0130140)."""

    id = "elrp"
    build: ClassVar[Build] = staticmethod(fetches.epsilon_lrp)

    epsilon: float = parameter(1e-4, "stabilizer ε, added to the input of an activation, away from zero", low=0)

    def __post_init__(self) -> None:
        if not self.epsilon > 0:
            raise BadParameter(f"LRP epsilon must be greater than zero, got {self.epsilon!r}.")
        super().__post_init__()

    def feed(self, fetches: Fetches, shapes: Shapes) -> dict[Any, Any]:
        return {fetches.parameters[0]: self.epsilon}


@dataclass(eq=False, repr=False)
class IntegratedGradients(GradientMethod):
    """Mean gradient along the line from the baseline to the input, times their difference (arXiv:1703.01365)."""

    id = "intgrad"

    steps: int = parameter(100, "number of steps", low=1)
    baseline: Any = parameter(None, "start of the path, of one example's shape, one for each input; zeros by default")

    def __call__(self, rows: Any, session: Session[Any]) -> Iterator[Any]:
        start = _baseline_rows(self.baseline, rows, session)
        alphas, weights = nodes(self.steps, "riemann_right")
        path = StraightPath(session.ops, start, rows, alphas)
        for total, seen in session.summed_gradients(path, weights):
            yield total / seen * path.difference[: total.shape[1]]

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.steps


@dataclass(eq=False, repr=False)
class DeepLIFTRescale(GradientMethod):
    """DeepLIFT by its Rescale rule (arXiv:1704.02685, section 3.5.1), as a changed gradient (arXiv:1711.06104)."""

    id = "deeplift"
    build: ClassVar[Build] = staticmethod(fetches.rescaled)

    baseline: Any = parameter(None, "reference input, of one example's shape, one for each input; zeros by default")

    def __call__(self, rows: Any, session: Session[Any]) -> Iterator[Any]:
        scores, gradient = _gradient(rows, session)
        mask = gradient * (rows - _baseline_rows(self.baseline, rows, session))
        if scores is not None:
            _warn_of_gap(mask.sum(-1), scores, np.abs(mask).sum(-1), _row_model(session).fetches.curved)
        yield mask

    def feed(self, fetches: Fetches, shapes: Shapes) -> dict[Any, Any]:
        return dict(zip(fetches.parameters, _baselines(self.baseline, shapes), strict=True))


@dataclass(eq=False, repr=False)
class Occlusion(Attribution):
    """Decrease of the output when a window is set to zero, averaged over windows and per value of a window.

    (arXiv:1311.2901, section 4.2.) It needs one forward pass per window, and one for the example.
    """

    id = "occlusion"

    window_shape: Sequence[int] | None = parameter(None, "extent along each axis of an example; one value by default")
    step: int = parameter(1, "stride of the window along all axes", low=1)

    def __call__(self, rows: Any, session: Session[Any]) -> Iterator[Any]:
        (shape,) = _row_model(session).shapes
        windows = self.windows(shape)

        def keep(which: slice) -> np.ndarray:
            kept = np.ones((which.stop - which.start, *shape), bool)
            first = max(which.start, 1)  # the first copy is unchanged
            for i, window in enumerate(windows[first - 1 : which.stop - 1], first - which.start):
                kept[i : i + 1, *window] = False
            return kept.reshape(len(kept), -1)

        scores = _kept_scores(rows, session, 1 + len(windows), keep)
        total = np.zeros((len(rows), *shape))
        covered = np.zeros(shape)
        for i, window in enumerate(windows):
            drop = scores[:, 0] - scores[:, i + 1]
            total[:, *window] += drop.reshape(-1, *(1,) * len(shape))
            covered[window] += total[0][window].size
        with np.errstate(invalid="ignore"):
            mask = total / covered
        if not covered.all():
            warnings.warn(
                f"Occlusion left nan: windows of {self.window_shape} that move by {self.step} cover only "
                f"{np.count_nonzero(covered)} of {covered.size} values. Take a smaller step, or a window that fits.",
                stacklevel=2,
            )
        yield mask.reshape(1, len(rows), -1)

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * (1 + len(self.windows(shape[1:])))

    def windows(self, shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
        """Return all windows within an example."""
        window = (1,) * len(shape) if self.window_shape is None else tuple(self.window_shape)
        if len(window) != len(shape) or any(
            not 1 <= side <= length for side, length in zip(window, shape, strict=True)
        ):
            raise BadParameter(
                f"window_shape must give an extent for each axis of an example {shape}, of at most its length; "
                f"got {self.window_shape}."
            )
        starts = (range(0, length - side + 1, self.step) for side, length in zip(window, shape, strict=True))
        return [
            tuple(slice(first, first + side) for first, side in zip(corner, window, strict=True))
            for corner in itertools.product(*starts)
        ]


@dataclass(eq=False, repr=False)
class ShapleySampling(Attribution):
    """Mean decrease of the output as features become zero one by one, in random orders (doi:10.1016/j.cor.2008.04.004).

    n features need `samples` * (n - 1) + 2 forward passes. The orders are drawn from the global ``np.random``, and are
    the same for all examples.
    """

    id = "shapley_sampling"

    samples: int = parameter(5, "random orders", low=1)
    sampling_dims: Sequence[int] | None = parameter(
        None, "axes along which features are separate, with the batch as axis 0; all others by default"
    )

    def __call__(self, rows: Any, session: Session[Any]) -> Iterator[Any]:
        (shape,) = _row_model(session).shapes
        features = self.features(shape)
        count = int(features.max()) + 1
        # as DeepExplain draws, so that a seed repeats
        orders = np.array([np.random.permutation(count) for _ in range(self.samples)])  # noqa: NPY002
        turns = np.argsort(orders)
        inner = max(count - 1, 1)

        def keep(which: slice) -> np.ndarray:
            # with all features; with none; then, for each order, without the first 1 … n - 1
            order, gone = np.divmod(np.arange(which.start, which.stop) - 2, inner)
            kept = turns[order.clip(0)] > gone[:, None]
            at = np.arange(which.start, which.stop)
            kept[at == 0], kept[at == 1] = True, False
            return kept[:, features]

        scores = _kept_scores(rows, session, 2 + self.samples * (count - 1), keep)
        chain = np.empty((len(rows), self.samples, count + 1))
        chain[:, :, 0], chain[:, :, -1] = scores[:, :1], scores[:, 1:2]
        chain[:, :, 1:-1] = scores[:, 2:].reshape(len(rows), self.samples, count - 1)
        losses = chain[:, :, :-1] - chain[:, :, 1:]
        yield np.take_along_axis(losses, turns[None], 2).mean(1)[None]

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * (2 + self.samples * int(self.features(shape[1:]).max()))

    def features(self, shape: tuple[int, ...]) -> np.ndarray:
        """Return the feature index of each value of an example, flat."""
        dims = self._dims(shape)
        sizes = [shape[dim] for dim in dims]
        numbers, at = np.arange(np.prod(sizes, dtype=int)).reshape(sizes), np.indices(shape)
        return np.broadcast_to(numbers[tuple(at[dim] for dim in dims)], shape).ravel()

    def found(self, shapes: Shapes) -> Shapes:
        (shape,) = shapes
        return [tuple(shape[dim] for dim in self._dims(shape))]

    def _dims(self, shape: tuple[int, ...]) -> list[int]:
        """Return the sampled axes of an example."""
        if self.sampling_dims is None:
            return list(range(len(shape)))
        dims = list(self.sampling_dims)
        if 0 in dims:
            raise DeepExplainError("Cannot sample batch dimension: remove 0 from sampling_dims")
        if not dims or len(set(dims)) < len(dims) or not all(1 <= dim <= len(shape) for dim in dims):
            raise DeepExplainError(f"sampling_dims must be different numbers from 1 to {len(shape)}, got {dims}.")
        return [dim - 1 for dim in dims]


METHODS: Mapping[str, type[Attribution]] = {
    method.id: method
    for method in (
        DummyZero,
        Saliency,
        GradientTimesInput,
        IntegratedGradients,
        EpsilonLRP,
        DeepLIFTRescale,
        Occlusion,
        ShapleySampling,
    )
}
"""The methods by DeepExplain's names."""


class Kept(PerImage[np.ndarray]):
    """Copies of rows in which some values are set to zero.

    Args:
        each: copies of each row.
        keep: (which copies) -> (n, width), true where a value stays.
    """

    def __init__(self, ops: Any, rows: np.ndarray, each: int, keep: Callable[[slice], np.ndarray]) -> None:
        super().__init__(ops, rows, each)
        self.keep = keep

    def copies(self, image: int, which: slice) -> np.ndarray:
        kept = self.keep(which)
        rows = np.repeat(self.images[image : image + 1], len(kept), 0)
        rows[:, : kept.shape[1]][~kept] = 0  # the weights after them are kept
        return rows


def _row_model(session: Session[Any]) -> RowModel:
    assert isinstance(session.model, RowModel)
    return session.model


def _kept_scores(rows: np.ndarray, session: Session[Any], each: int, keep: Callable[[slice], np.ndarray]) -> np.ndarray:
    """Return the scores (N, each) of the copies of each row."""
    found = [scores[0] for _, scores in session.scores(Kept(session.ops, rows, each, keep))]
    return np.concatenate(found).reshape(len(rows), each).astype(np.float64)


def _gradient(rows: np.ndarray, session: Session[Any]) -> tuple[np.ndarray | None, np.ndarray]:
    """Return scores (1, N), if there are any, and gradients (1, N, D)."""
    answers = [answer for _, answer in session.gradients(originals(session, rows))]
    scores = None if answers[0].scores is None else np.concatenate([each.scores for each in answers], 1)
    return scores, np.concatenate([each.gradients for each in answers], 1)


def _baselines(baseline: Any, shapes: Shapes) -> list[np.ndarray]:
    """Return one baseline for each input, of its shape.

    Raises:
        DeepExplainError: their number or a shape is wrong.
    """
    if baseline is None:
        return [np.zeros(shape) for shape in shapes]
    given = list(baseline) if len(shapes) > 1 else [baseline]
    if len(given) != len(shapes):
        raise DeepExplainError(f"There must be one baseline for each of {len(shapes)} inputs, got {len(given)}.")
    arrays = [np.asarray(each) for each in given]
    for array, shape in zip(arrays, shapes, strict=True):
        if array.shape != shape:
            raise DeepExplainError(
                f"The baseline must have the shape of one example, {shape}, without a batch axis; got {array.shape}."
            )
    return arrays


def _baseline_rows(baseline: Any, rows: np.ndarray, session: Session[Any]) -> np.ndarray:
    """Return rows (N, D) of the baselines, with the weights of each row unchanged."""
    model = _row_model(session)
    start = rows.copy()
    start[:, : model.width] = packed([each[None] for each in _baselines(baseline, model.shapes)], rows.dtype)
    return start


def _warn_of_gap(sums: np.ndarray, rises: np.ndarray, sizes: np.ndarray, curved: Sequence[str]) -> None:
    """Warn if attributions do not sum to f(x) - f(baseline), because operations keep their ordinary gradient."""
    gaps = np.abs(sums - rises)
    if not (bad := gaps > 0.01 * np.abs(rises) + 1e-4 * sizes).any():
        return
    why = f" at {', '.join(curved[:3])}{', …' if len(curved) > 3 else ''}" if curved else ""
    worst = float((gaps[bad] / np.maximum(np.abs(rises[bad]), 1e-12)).max())
    warnings.warn(
        f"deeplift's attributions miss f(x) - f(baseline) by up to {worst:.1%}: DeepExplain's rule is for activations, "
        f"and elsewhere{why} the ordinary gradient is used.",
        stacklevel=2,
    )
