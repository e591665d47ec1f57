"""Report the progress of an explanation."""

from __future__ import annotations

from typing import Any

from saliency.session.session import Progress


class ProgressBar:
    """A progress bar, the caller's own callable, or no output.

    Args:
        progress: True for a bar, False for none, or a callable.
        total: number of images in total.
        title: title of the bar.
        open_ended: whether more images than `total` may follow.
        unit: what is counted.
    """

    def __init__(
        self, progress: bool | Progress, total: int, title: str, open_ended: bool, unit: str = "image"
    ) -> None:
        self._progress, self._total, self._title, self._open_ended = progress, total, title, open_ended
        self._unit = unit
        self._bar: Any = None

    def __enter__(self) -> Progress | None:
        if callable(self._progress):
            return self._progress
        if not self._progress or (self._total <= 1 and not self._open_ended):
            return None
        from tqdm.auto import tqdm

        self._bar = tqdm(total=self._total, desc=self._title, unit=self._unit, leave=False)
        return self._show

    def _show(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
