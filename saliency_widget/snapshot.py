"""The snapshot that a notebook is saved with: it shows the widget when no kernel responds."""

from __future__ import annotations

from collections.abc import Callable

from saliency_widget.stills import Stills
from saliency_widget.traits.settings import Settings
from saliency_widget.work.explainers import Explainers


class SnapshotWriter:
    """Keeps the snapshot trait in step with what is shown.

    Args:
        settings: the traits.
        write: sets the snapshot trait.
        explainers: the explainers of the widget.
        stills: packs the snapshot.
    """

    def __init__(
        self, settings: Settings, write: Callable[[bytes], None], explainers: Explainers, stills: Stills
    ) -> None:
        self._settings, self._write, self._explainers, self._stills = settings, write, explainers, stills
        self._waiting = False

    def on_result(self) -> None:
        """Write the snapshot after a new result or curve; in a grid only once, after the results that follow it."""
        if not any(self._settings.grid.values()):
            self._store()
        elif not self._waiting:
            self._waiting = True
            self._explainers.shown.run_when_idle(self._store)

    def on_view(self) -> None:
        """Write the snapshot after another cell is shown, once the model's thread is idle."""
        if self._explainers.shown.results:
            self._explainers.shown.run_when_idle(self._store)

    def _store(self) -> None:
        """Write the shown result, and others that fit."""
        self._waiting = False
        if packet := self._stills.snapshot():
            self._write(packet)
