"""The smallest strength of a corruption that changes the model's answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from saliency import checks
from saliency.api.prepare import prepare
from saliency.attacks.attacked import Attacked
from saliency.attacks.corruptions import CORRUPTIONS, Corruption, noise
from saliency.attacks.gradient import Attack
from saliency.attacks.results import StrengthCurve
from saliency.errors import BadArgument, BadShape, SaliencyError
from saliency.pictures.presets import Preprocess
from saliency.session.session import Progress

FGSM = "fgsm"
MOST_FGSM = 1.0
"""The largest ε."""

MOST_POINTS = 10_000


def minimal_strength(
    model: Any,
    image: Any,
    corruption: str | Callable[[np.ndarray, float], np.ndarray] = "blur",
    target: Any = None,
    *,
    to: Any = None,
    most: float | None = None,
    points: int = 17,
    tolerance: float = 0.002,
    seed: int = 0,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    batch_size: int | str = "auto",
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
) -> StrengthCurve:
    """Find the smallest strength of a corruption at which the model's answer changes.

    Equally spaced strengths are evaluated first, and the first change among them is then located by bisection. A change
    that appears and disappears between two of these points is not found.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`.
        corruption: a name of :data:`CORRUPTIONS`; or "fgsm", see :func:`fgsm`, with ε as its strength; or a function
            from the picture (H, W, C) in 0–1, at its own size, and a strength to the changed picture.
        target: see :func:`saliency.counterfactual`.
        to: see :func:`saliency.counterfactual`.
        most: the largest strength, up to that of the corruption, which is the default; for a function any number but 0,
            1 by default.
        points: number of strengths, from 0 to `most`.
        tolerance: width, as a share of `most`, below which the bisection ends; 0 for none beyond rounding.
        seed: seed of "noise".
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: a callable (images evaluated, images in total).
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        shared: see :func:`saliency.explain`.

    Raises:
        BadArgument: the corruption has no effect on the model's input.
        BadShape: a function returns another shape.
        BadTarget: the target is not the model's answer, or there is no such class.
    """
    if not callable(corruption):
        checks.choice(corruption, "corruption", (*CORRUPTIONS, FGSM))
    else:
        checks.function(corruption, "corruption", ("picture", "strength"))
    largest = None if most is None else float(checks.number(most, "most", *_range(corruption)))
    if largest == 0:
        raise BadArgument("most is 0, at which a corruption has no effect: pass the largest strength to try.")
    points = checks.whole(points, "points", 2, MOST_POINTS)
    tolerance, seed = float(checks.number(tolerance, "tolerance", 0, 1)), checks.whole(seed, "seed", 0)
    checks.callbacks(progress=progress, cancelled=cancelled, shared=shared)
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    options = {"batch_size": batch_size, "progress": progress, "cancelled": cancelled, "shared": shared}
    attacked = Attacked(prepared, target, to, **options, total=points - 1)
    name, unit, limit, build = _of(corruption, attacked, seed)
    return _Scan(attacked, build, limit if largest is None else largest).curve(name, unit, points, tolerance)


def _range(corruption: Any) -> tuple[float | None, float | None]:
    """Return the range of the largest strength."""
    if callable(corruption):
        return None, None
    return 0, MOST_FGSM if corruption == FGSM else CORRUPTIONS[corruption].most


def _of(corruption: Any, attacked: Attacked, seed: int) -> tuple[str, str, float, Callable[[float], np.ndarray]]:
    """Return name, unit, largest strength, and the function from a strength to the model's input."""
    if corruption == FGSM:
        attack = Attack(attacked, None)
        direction = np.sign(attack.gradient(np.zeros_like(attack.start)))
        return "FGSM", "of 0–1 (ε)", MOST_FGSM, lambda strength: attack.fed(attack.within(strength * direction))
    if callable(corruption):
        title = str(getattr(corruption, "__name__", type(corruption).__name__))
        known = Corruption(corruption, 1.0, "(strength)")
    else:
        title, known = corruption, CORRUPTIONS[corruption]
        if corruption == "noise":
            known = known._replace(change=partial(noise, seed=seed))
    picture = attacked.picture
    low, span = picture.low, (picture.high - picture.low) or 1.0
    unit = np.asarray((picture.values.astype(np.float64) - low) / span)

    def build(strength: float) -> np.ndarray:
        found = _changed(known, title, unit, strength)
        try:
            return picture.enter(low + span * np.clip(found, 0, 1))
        except SaliencyError:
            raise
        except Exception as error:
            raise BadArgument(f"preprocess fails on the picture with {title} of {strength:.3g}: {error!r}.") from error

    return title, known.unit, known.most, build


def _changed(corruption: Corruption, name: str, picture: np.ndarray, strength: float) -> np.ndarray:
    """Return a corrupted picture; that of a user's function is checked."""
    try:
        found = checks.array(corruption.change(picture.copy(), strength), f"the result of {name}")
    except SaliencyError:
        raise
    except Exception as error:
        raise BadArgument(f"The corruption {name} fails at strength {strength:.3g}: {error!r}.") from error
    if found.shape != picture.shape:
        raise BadShape(f"The corruption {name} must return a picture {picture.shape}, got {found.shape}.")
    return found


class _Scan:
    """The evaluation of strengths.

    Args:
        attacked: the model, the picture and the goal.
        build: from a strength to the model's input.
        most: the largest strength.
    """

    def __init__(self, attacked: Attacked, build: Callable[[float], np.ndarray], most: float) -> None:
        self.attacked, self.build, self.most = attacked, build, most
        self.known: dict[float, np.ndarray] = {0.0: attacked.before}

    def evaluate(self, strengths: Sequence[float]) -> np.ndarray:
        """Evaluate strengths; return whether each reaches the goal."""
        unknown = [each for each in strengths if each not in self.known]
        if unknown:
            outputs = self.attacked.outputs(len(unknown), lambda i: self.build(unknown[i]))
            self.known.update(zip(unknown, outputs, strict=True))
        return self.attacked.goal.reached(np.stack([self.known[each] for each in strengths]))

    def curve(self, name: str, unit: str, points: int, tolerance: float) -> StrengthCurve:
        """Scan, then bisect."""
        goal = self.attacked.goal
        at = [self.most * i / (points - 1) for i in range(points)]
        if np.array_equal(self.build(at[-1]), self.attacked.picture.fed):
            raise BadArgument(
                f"{name} has no effect: at {at[-1]:.3g} {unit}, the model's input is the same as for the picture."
            )
        reached = self.evaluate(at)
        crossing = None
        if reached.any():
            crossing = self._located(at, int(reached.argmax()), tolerance)
        order = sorted(self.known, key=abs)
        outputs = np.stack([self.known[each] for each in order])
        changed = goal.reached(outputs)
        below = [each for each, yes in zip(order, changed, strict=True) if not yes]
        unchanged = at[-1] if crossing is None else max((s for s in below if abs(s) < abs(crossing)), key=abs)
        return StrengthCurve(
            corruption=name,
            unit=unit,
            label=goal.label,
            strength=crossing,
            unchanged=unchanged,
            strengths=np.array(order),
            values=goal.shown(outputs),
            reached=changed,
            answers=(
                goal.answer(self.attacked.before),
                goal.answer(self.known[unchanged if crossing is None else crossing]),
            ),
            percent=goal.percent,
            calls=self.attacked.calls,
            notes=self.attacked.notes,
        )

    def _located(self, at: Sequence[float], first: int, tolerance: float) -> float:
        """Return the strength of the first change, by bisection between the point before it and that point."""
        low, high = at[first - 1], at[first]
        while abs(high - low) > max(tolerance, 1e-9) * abs(self.most):
            middle = (low + high) / 2
            low, high = (low, middle) if self.evaluate([middle])[0] else (middle, high)
        return high
