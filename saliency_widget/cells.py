"""What is on the screen: one result, or several side by side."""

from __future__ import annotations

from typing import NamedTuple

Key = tuple[str, int]
"""Id of the method, index of the class."""

Pair = tuple[int, int]
"""Index of the model, index of the image."""


class Cell(NamedTuple):
    """One result, as it is asked for and shown."""

    method: str
    target: int
    model: int
    image: int

    @property
    def key(self) -> Key:
        """What an explainer knows it by."""
        return self.method, self.target

    @property
    def pair(self) -> Pair:
        """Which explainer knows it."""
        return self.model, self.image
