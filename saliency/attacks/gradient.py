"""Adversarial attacks that follow the gradient: FGSM and PGD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from saliency import checks
from saliency.api.prepare import prepare
from saliency.attacks.attacked import Attacked
from saliency.attacks.picture_space import PictureSpace, space_of
from saliency.attacks.results import Adversarial
from saliency.errors import BadShape, NoGradient
from saliency.pictures.presets import Preprocess
from saliency.session.session import Progress

NORMS = ("linf", "l2")

MOST_STEPS = 10_000

RADII = {"linf": 8 / 255, "l2": 1.0}
"""The default radius by norm, in units of the picture."""


def fgsm(
    model: Any,
    image: Any,
    target: Any = None,
    *,
    epsilon: float = 8 / 255,
    to: Any = None,
    selection: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
) -> Adversarial:
    """Change every value of a picture by `epsilon` in the direction of the gradient's sign (arXiv:1412.6572).

    The gradient is that of the cross-entropy, computed from logits where these can be reached.

    Args:
        model: see :func:`saliency.adapt`.
        image: see :func:`saliency.explain`. The picture's black and white must be known: integers, or floats in 0–1 or
            0–255.
        target: see :func:`saliency.counterfactual`: the model's answer to the picture.
        epsilon: change of each value, 0–1, in units of the picture at the model's resolution.
        to: see :func:`saliency.counterfactual`: the answer that is looked for; by default any other one.
        selection: bool (h, w): the pixels that may change, at the resolution of the model's input; all by default.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`; it must scale each channel by fixed numbers.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.

    Raises:
        BadImage: black and white are not known, or the preprocessing is not affine.
        BadTarget: the target is not the model's answer, or there is no such class.
        NoGradient: the gradient is zero everywhere.
        Unsupported: the model provides no gradients.
    """
    epsilon = float(checks.number(epsilon, "epsilon", 0, 1))
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    attack = Attack(Attacked(prepared, target, to), selection)
    delta = attack.within(epsilon * np.sign(attack.gradient(np.zeros_like(attack.start))))
    return attack.result(f"FGSM with ε = {epsilon:.4g}", delta)


def pgd(
    model: Any,
    image: Any,
    target: Any = None,
    *,
    epsilon: float | None = None,
    norm: str = "linf",
    steps: int = 10,
    step: float | None = None,
    random_start: bool = True,
    seed: int = 0,
    to: Any = None,
    selection: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    activation: str = "auto",
    output: Any = None,
    framework: str | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
) -> Adversarial:
    """Follow the gradient in small steps, projected onto a ball around the picture (arXiv:1706.06083).

    Steps are of the gradient's sign for "linf", and of the gradient divided by its L2 norm for "l2".

    Args:
        model: see :func:`fgsm`.
        image: see :func:`fgsm`.
        target: see :func:`fgsm`.
        epsilon: radius of the ball in units of the picture; 8/255 for "linf" and 1 for "l2" by default.
        norm: "linf" or "l2".
        steps: number of steps; all are taken.
        step: length of a step in the same norm; 2.5 · epsilon / steps by default.
        random_start: whether to start at a point that is uniformly distributed in the ball, otherwise at the picture.
        seed: seed of the start.
        to: see :func:`fgsm`.
        selection: see :func:`fgsm`.
        labels: names of the classes.
        preprocess: see :func:`fgsm`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        progress: a callable (images evaluated, images in total).
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        shared: see :func:`saliency.explain`.

    Raises:
        BadImage, BadTarget, NoGradient, Unsupported: see :func:`fgsm`.
    """
    checks.choice(norm, "norm", NORMS)
    steps, seed = checks.whole(steps, "steps", 1, MOST_STEPS), checks.whole(seed, "seed", 0)
    radius = RADII[norm] if epsilon is None else float(checks.number(epsilon, "epsilon", 0))
    length = 2.5 * radius / steps if step is None else float(checks.number(step, "step", 0))
    random_start = checks.flag(random_start, "random_start")
    checks.callbacks(progress=progress, cancelled=cancelled, shared=shared)
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    options = {"progress": progress, "cancelled": cancelled, "shared": shared, "total": steps}
    attack = Attack(Attacked(prepared, target, to, **options), selection)
    delta = np.zeros_like(attack.start)
    if random_start:
        delta = attack.within(random_in_ball(attack.free, radius, norm, seed))
    for _ in range(steps):
        gradient = attack.gradient(delta)
        direction = np.sign(gradient) if norm == "linf" else gradient / np.sqrt((gradient**2).sum())
        delta = attack.within(projected(delta + length * direction, radius, norm))
    name = {"linf": "L∞", "l2": "L2"}[norm]
    return attack.result(f"PGD ({name}, ε = {radius:.4g}, {steps} steps)", delta)


def projected(delta: np.ndarray, radius: float, norm: str) -> np.ndarray:
    """Return the point of the ball that is nearest to `delta`."""
    if norm == "linf":
        return np.clip(delta, -radius, radius)
    length = np.sqrt((delta**2).sum())
    return delta * (radius / length) if length > radius else delta


def random_in_ball(free: np.ndarray, radius: float, norm: str, seed: int) -> np.ndarray:
    """Return a point that is uniformly distributed in the ball, with zeros where `free` is False."""
    draw = np.random.default_rng(seed)
    if norm == "linf":
        return np.where(free, draw.uniform(-radius, radius, free.shape), 0)
    direction = np.where(free, draw.standard_normal(free.shape), 0)
    return direction / np.sqrt((direction**2).sum()) * radius * draw.uniform() ** (1 / np.count_nonzero(free))


class Attack:
    """The picture in its own units, and the changes that are allowed.

    Args:
        attacked: the model, the picture and the goal.
        selection: bool (h, w), the pixels that may change; None for all.

    Raises:
        BadShape: the selection does not fit the model's input, or contains no pixel that the model sees.
    """

    def __init__(self, attacked: Attacked, selection: Any) -> None:
        self.attacked = attacked
        self.space: PictureSpace = space_of(attacked.picture)
        self.start = self.space.of(attacked.picture.fed.astype(np.float64))
        """The picture at the model's resolution, (1, h, w, C), in 0–1."""
        self.free = self.space.scale != 0
        """bool (1, h, w, C): the values that may change."""
        if selection is not None:
            chosen = checks.selection(selection, "selection")
            if chosen.shape != self.start.shape[1:3]:
                raise BadShape(
                    f"The selection must have the shape of the model's input, {self.start.shape[1:3]}, got "
                    f"{chosen.shape}."
                )
            self.free = self.free & chosen[None, :, :, None]
        if not self.free.any():
            raise BadShape("No pixel may change: the selection contains none that the model is shown.")

    def within(self, delta: np.ndarray) -> np.ndarray:
        """Return a change of the values that may change, within the picture's black and white."""
        # resampling may overshoot: such values may stay where they are
        low, high = np.minimum(0, self.start), np.maximum(1, self.start)
        return np.where(self.free, np.clip(self.start + delta, low, high) - self.start, 0)

    def gradient(self, delta: np.ndarray) -> np.ndarray:
        """Return the gradient with respect to the picture, (1, h, w, C), zero where no change is allowed.

        Raises:
            NoGradient: it is zero everywhere.
        """
        gradient = self.attacked.gradient(self.fed(delta)) * self.space.scale
        gradient = np.where(self.free, gradient, 0)
        if not gradient.any():
            raise NoGradient(
                "The gradient of the answer is zero at every pixel that may change, so that it gives no direction. "
                "The model may saturate in its last activation: pass a model that returns logits."
            )
        return gradient

    def fed(self, delta: np.ndarray) -> np.ndarray:
        """Return the model's input for a change; the picture's own where nothing changes."""
        return np.asarray(self.attacked.picture.fed + self.space.scale * delta, np.float32)

    def result(self, method: str, delta: np.ndarray) -> Adversarial:
        """Evaluate the changed picture."""
        attacked, goal, fed = self.attacked, self.attacked.goal, self.fed(delta)
        outputs = attacked.outputs(1, lambda _: fed)
        return Adversarial(
            method=method,
            label=goal.label,
            success=bool(goal.reached(outputs)[0]),
            before=float(goal.shown(attacked.before[None])[0]),
            after=float(goal.shown(outputs)[0]),
            answers=(goal.answer(attacked.before), goal.answer(outputs[0])),
            picture=self.start[0],
            perturbation=delta[0],
            fed=fed,
            percent=goal.percent,
            calls=attacked.calls,
            notes=attacked.notes,
        )
