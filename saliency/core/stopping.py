"""Stop sampling once the standard errors are small enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from saliency.core.method import parameter
from saliency.session.session import Session

GROWTH = 1.25
"""Ratio of the numbers of draws at which the standard errors are compared; few comparisons keep them unbiased."""


def until_parameter() -> Any:
    """Return the field for the standard error at which a method stops."""
    return parameter(
        None,
        "Stop when all standard errors are below this share of f(image) - f(baseline), 0.02 for 2 %; the number of "
        "samples is then the maximum",
        low=0,
        high=1,
    )


def growing(first: int, last: int) -> Iterator[int]:
    """Yield numbers of draws below `last`, each about a quarter larger than the one before."""
    count = first
    while count < last:
        yield count
        count = max(count + 1, int(count * GROWTH))


class Stopping:
    """Keeps the estimate of each target from the time when it was accurate enough.

    A target's mask therefore does not depend on the other targets.

    Args:
        until: the largest allowed standard error, as a share of `rises`.
        rises: (k,), f(image) - f(baseline) for each target.
        most: maximum number of draws.
        noun: what is drawn, such as "masks".
    """

    def __init__(self, until: float, rises: np.ndarray, most: int, noun: str) -> None:
        self.until, self.rises, self.most, self.noun = until, np.abs(rises), most, noun
        self.settled: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self.notes: list[list[str]] = [[] for _ in rises]
        """For each target a note on the number of draws and the standard error."""

    def __call__(
        self, used: int, values: np.ndarray, errors: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the estimates, each the one that was kept, or the current one.

        Args:
            used: number of draws.
            values: (k, …).
            errors: their standard errors, (k, …); None if they are unknown.
        """
        if errors is None:
            return values, None
        for target, rise in enumerate(self.rises):
            if target not in self.settled:
                largest = float(errors[target].max())
                if largest <= self.until * rise:
                    self.settled[target] = values[target], errors[target]
                self.notes[target] = [self._note(used, largest, rise, target in self.settled)]
        kept = [self.settled.get(target, (values[target], errors[target])) for target in range(len(values))]
        return np.stack([each for each, _ in kept]), np.stack([each for _, each in kept])

    @property
    def done(self) -> bool:
        """Whether all targets are accurate enough."""
        return len(self.settled) == len(self.rises)

    def _note(self, used: int, largest: float, rise: float, enough: bool) -> str:
        share = f"{100 * largest / rise:.2g} % of f(image) - f(baseline)" if rise else f"{largest:.2g}"
        found = f"the largest standard error is {share}"
        if enough:
            return f"stopped after {used} of at most {self.most} {self.noun}: {found}"
        return f"until={self.until:g} was not reached with {used} {self.noun}: {found}; raise samples"


def store_notes(session: Session[Any], of_images: Sequence[Sequence[Sequence[str]]]) -> None:
    """Store the notes of each image and target in the session's auxiliary results, by target and image."""
    session.details["sampling"] = [list(each) for each in zip(*of_images, strict=True)]
