"""Build the case that metrics measure, and run the method that created a mask again on other images or models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from saliency.api.prepare import Prepared, only
from saliency.core.method import run as masks_of
from saliency.metrics.case import Case
from saliency.model.inputs import Inputs
from saliency.model.resolve import Resolved, functions_of, resolved
from saliency.pictures.picture import Picture, fill
from saliency.results.run import Run
from saliency.session.consistency import size_for
from saliency.session.session import Session


def target_of(prepared: Prepared, target: Any) -> Resolved:
    """Return the target of one picture.

    Args:
        prepared: the model with one picture.
        target: an index, a label, None for the top class, or a callable; see :func:`saliency.explain`.

    Raises:
        BadTarget: there is no such class.
    """
    (targets,), _ = resolved([target], prepared.adapted, lambda: prepared.outputs, 1)
    return only(targets)


def case_of(
    prepared: Prepared,
    target: Any = None,
    *,
    truth: np.ndarray | None = None,
    seed: int = 0,
    batch_size: int | str = "auto",
    **options: Any,
) -> Case[Any]:
    """Return the case of one picture and one target, for metrics.

    Args:
        prepared: the model with one picture.
        target: see :func:`target_of`.
        truth: bool (H, W), the pixels of the object, at the resolution of the model's input.
        seed: seed of everything random.
        batch_size: images per model call.
        **options: see :class:`Session`.

    Raises:
        BadTarget: there is no such class.
    """
    adapted = prepared.adapted
    one = target_of(prepared, target)
    size = size_for(adapted, prepared.picture.fed, batch_size)
    session = Session(adapted.at([one.explained]), batch_size=size, **options)
    index = one.name if isinstance(one.name, int) else None
    return Case(session, prepared.images, index, filled=prepared.filled, truth=truth, seed=seed)


@dataclass(frozen=True)
class Rerun:
    """Runs the method that created a mask again; see :class:`saliency.metrics.case.Runner`.

    Attributes:
        prepared: the model with one picture.
        run: the method, fitted to it, with one target.
        session: the case's session, which counts the images evaluated.
        options: of the session of each run; see :meth:`Run.session`.
    """

    prepared: Prepared
    run: Run
    session: Session[Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, images: Any, targets: Sequence[Any] | None = None, model: Any = None) -> np.ndarray:
        """Return the masks of `images` (B, H, W, C), (k, B, H, W) or (k, B, H, W, C) float32.

        Args:
            images: in the model's own array type.
            targets: k targets: indices, labels, None for the top class of the picture, or callables; by default the
                one that was explained.
            model: the adapted model to explain; by default the one that was explained. Targets keep their classes.
        """
        adapted, rows = self.prepared.adapted, list(self.run.targets[0])
        if targets is not None:
            (rows,), _ = resolved(targets, adapted, lambda: self.prepared.outputs, 1)
        bound = (adapted if model is None else model).at(functions_of([rows]), self.run.layers)
        pictures = [self._picture(each[None]) for each in adapted.ops.tohost(images)]
        # the run's own targets state the number of rows
        again = replace(self.run, pictures=pictures, images=images, model=bound, targets=[rows])
        session = again.session(**self.options)
        for masks in masks_of(again.method, session, images):
            final = masks
        self.session.images += session.images
        self.session.calls += session.calls
        host = bound.ops.tohost(final).astype(np.float32)
        # one mask if it is the same for every target
        return np.broadcast_to(host, (again.rows, *host.shape[1:]))[[each.row for each in rows]]

    def _picture(self, fed: np.ndarray) -> Any:
        """Return the picture with another input of the model, for named baselines."""
        picture = self.prepared.picture
        if isinstance(picture, Inputs) or np.array_equal(fed, picture.fed):
            return picture
        return _Changed(picture, fed)


@dataclass(frozen=True)
class _Changed:
    """A picture whose model input was changed: flipped, or with noise.

    Attributes:
        picture: the original picture.
        fed: the changed input, (1, h, w, C).
    """

    picture: Picture
    fed: np.ndarray

    def without(self, name: str) -> np.ndarray:
        """Return a baseline: the original picture's where it does not depend on the content."""
        return fill(name, self.fed) if name in ("mean", "blur") else self.picture.without(name)
