"""Showing how far an explanation has come."""

from __future__ import annotations

from typing import Any

from saliency.core.method import Method
from saliency.session.session import Progress


class ProgressBar:
    """A progress bar, the caller's own callable, or nothing."""

    def __init__(self, progress: bool | Progress, total: int, method: Method) -> None:
        self._progress, self._total, self._method = progress, total, method
        self._bar: Any = None

    def __enter__(self) -> Progress | None:
        if callable(self._progress):
            return self._progress
        if not self._progress or (self._total <= 1 and not self._method.beyond):
            return None
        from tqdm.auto import tqdm

        self._bar = tqdm(total=self._total, desc=self._method.title, unit="image", leave=False)
        return self._show

    def _show(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
