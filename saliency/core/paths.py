"""Paths from a baseline to an image, and their evaluation.

A path is a value that returns its point at any alpha. The choice of steps (even, or finer where the score changes) and
the use of the gradients (Integrated Gradients, IDGI, Integrated Decision Gradients) are separate from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from saliency.model.protocols import Ops
from saliency.session.samples import column, evenly
from saliency.session.session import Session

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)

PORTION = 8
"""Number of paths evaluated together: the gradients of each stay in memory until they have been used."""


NEAREST = 1e-5
"""Minimal distance between steps: float32 could not separate closer ones in a bright picture."""


class Path(Protocol[A_co]):
    """A path from a baseline (alpha = 0) to one image (alpha = 1)."""

    image: int
    """Index of the image it leads to."""
    target: int | None
    """The only target the path is for; None if it serves all."""
    met: Sequence[Evaluation]
    """Evaluations made while the path was computed."""

    def points(self, alphas: np.ndarray) -> A_co:
        """Return its point at each alpha, (n, H, W, C)."""

    def ways(self, alphas: np.ndarray) -> A_co:
        """Return the differences from each alpha to the next, (n - 1, H, W, C)."""


@dataclass
class Evaluation:
    """A point of a path, with the model's score and gradient of one target."""

    alpha: float
    score: float
    gradient: Any
    """(1, H, W, C)."""
    slope: float | None = None
    """The slope of the score in alpha, once computed."""
    square: float | None = None
    """Sum of the squared gradient, once computed."""


@dataclass
class Trail(Generic[A]):
    """The evaluations on a path for one target, in order of evaluation."""

    path: Path[A]
    met: list[Evaluation] = field(default_factory=list)

    def sorted(self) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """Return alphas (n,), scores (n,) and gradients, from the baseline to the image."""
        along = sorted(self.met, key=lambda each: each.alpha)
        return (
            np.array([each.alpha for each in along]),
            np.array([each.score for each in along]),
            [each.gradient for each in along],
        )


class Line(Generic[A]):
    """The straight line from a baseline to one of the images.

    Args:
        baseline: (1, H, W, C).
        images: (B, H, W, C).
        image: index of the image.
    """

    target: int | None = None
    met: Sequence[Evaluation] = ()

    def __init__(self, ops: Ops[A], baseline: Any, images: Any, image: int) -> None:
        self.ops, self.image = ops, image
        self.start, self.difference = baseline, images[image : image + 1] - baseline

    def points(self, alphas: np.ndarray) -> Any:
        """See :class:`Path`."""
        return self.start + column(self.ops, alphas, self.difference) * self.difference

    def ways(self, alphas: np.ndarray) -> Any:
        """See :class:`Path`."""
        return column(self.ops, np.diff(alphas), self.difference) * self.difference


class Visits(Generic[A]):
    """Points of several paths as samples, grouped by path."""

    each = 1
    image_major = False

    def __init__(self, ops: Ops[A], paths: Sequence[Path[A]], alphas: Sequence[np.ndarray]) -> None:
        self.ops, self.paths, self.alphas = ops, paths, alphas
        self.counts = [len(each) for each in alphas]
        self.first = np.cumsum([0, *self.counts])
        self.owners = np.repeat(np.arange(len(paths)), self.counts)
        one: Any = paths[0].points(np.zeros(1))
        self.shape = tuple(int(n) for n in one.shape[1:])

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, rows: slice) -> Any:
        parts: list[Any] = []
        for i in np.unique(self.owners[rows]):
            begin = max(0, rows.start - self.first[i])
            parts.append(self.paths[i].points(self.alphas[i][begin : rows.stop - self.first[i]]))
        return parts[0] if len(parts) == 1 else self.ops.concat(parts)


class Walkable(Protocol):
    """A method that integrates gradients along paths."""

    steps: int

    def paths(self, images: Any, session: Session[Any], steps: int) -> list[Path[Any]]:
        """Return the paths from each baseline to each of `images` (B, H, W, C).

        Args:
            steps: number of even steps, at least 2, for paths that need model calls to be computed.
        """


Choose = Callable[[Trail[Any]], Sequence[float]]
"""Returns the next alphas at which to evaluate a path, given its evaluations so far; none to stop."""


def rising(most: int) -> Choose:
    """Return a rule that adds steps where the score changes most between neighbours, up to `most` steps."""

    def choose(trail: Trail[Any]) -> list[float]:
        alphas, scores, _ = trail.sorted()
        rises = np.abs(np.diff(scores))
        worth = [i for i in np.argsort(-rises, kind="stable") if rises[i] > 0 and alphas[i + 1] - alphas[i] > NEAREST]
        count = min(most - len(alphas), max(1, len(alphas) // 4))
        return [float(alphas[i] + alphas[i + 1]) / 2 for i in worth[: max(0, count)]]

    return choose


def walked(
    session: Session[A], paths: Sequence[Path[A]], steps: int, choose: Choose | None = None
) -> Iterator[list[dict[int, Trail[A]]]]:
    """Evaluate each path at `steps` even steps from end to end, then at the steps chosen for each target.

    A point that several targets need is evaluated once.

    Args:
        session: runs the model.
        paths: the paths; evaluations made while one was computed are reused.
        steps: at least 2.
        choose: chooses additional steps; none by default.

    Yields:
        the evaluations of each path for each target: after each batch if partial results are wanted, otherwise once.
        Paths not reached yet have none.
    """
    trails: list[dict[int, Trail[A]]] = [
        {} if path.target is None else {path.target: Trail(path, list(path.met))} for path in paths
    ]
    # both ends first, then evenly spread: any prefix represents the whole path
    even = np.linspace(0, 1, steps)[[0, steps - 1, *(i for i in evenly(steps) if 0 < i < steps - 1)]]
    wanted: list[dict[float, set[int] | None]] = []
    for path in paths:
        known = {each.alpha for each in path.met}
        wanted.append({float(alpha): None for alpha in even if float(alpha) not in known})
    while any(wanted):
        for _ in _evaluate(session, paths, wanted, trails):
            if session.streaming:
                yield trails
        wanted = [{} for _ in paths]
        for pending, each in zip(wanted, trails, strict=True):
            for target, trail in each.items():
                for alpha in () if choose is None else choose(trail):
                    pending.setdefault(float(alpha), set()).add(target)  # type: ignore[union-attr]  # none is None here
    yield trails


def _evaluate(
    session: Session[A],
    paths: Sequence[Path[A]],
    wanted: Sequence[dict[float, set[int] | None]],
    trails: list[dict[int, Trail[A]]],
) -> Iterator[None]:
    """Evaluate the wanted points and store the results; yield after each batch."""
    places = [(i, alpha, targets) for i, each in enumerate(wanted) for alpha, targets in each.items()]
    visits = Visits(session.ops, paths, [np.array(list(each)) for each in wanted])
    for rows, answer in session.gradients(visits):
        scores, gradients = session.ops.tohost(answer.scores), answer.gradients  # type: ignore[arg-type]
        for row, (i, alpha, targets) in enumerate(places[rows]):
            own = paths[i].target
            of = range(len(scores)) if targets is None else targets
            for target in of if own is None else (own,):
                trail = trails[i].setdefault(target, Trail(paths[i]))
                gradient: Any = gradients[target, row : row + 1]  # type: ignore[index]  # any framework's array
                trail.met.append(Evaluation(alpha, float(scores[target, row]), gradient))
        yield
