"""What a notebook is saved with: the state that shows the widget where no kernel answers."""

from __future__ import annotations

from collections.abc import Callable

from saliency_widget.stills import Stills
from saliency_widget.traits.settings import Settings
from saliency_widget.work.explainers import Explainers


class Keeper:
    """Keeps what is shown.

    Args:
        settings: the traits.
        write: puts it where the notebook finds it.
        explainers: what was found.
        stills: packs it.
    """

    def __init__(
        self, settings: Settings, write: Callable[[bytes], None], explainers: Explainers, stills: Stills
    ) -> None:
        self._settings, self._write, self._explainers, self._stills = settings, write, explainers, stills
        self._waiting = False

    def found(self) -> None:
        """There is another result, or answer; of several on the screen more are to be expected."""
        if not any(self._settings.grid.values()):
            self._store()
        elif not self._waiting:
            self._waiting = True
            self._explainers.shown.later(self._store)

    def follow(self) -> None:
        """Something else is shown: it is kept when there is nothing else to do."""
        if self._explainers.shown.found:
            self._explainers.shown.later(self._store)

    def _store(self) -> None:
        """Keep the shown result, and others while there is room."""
        self._waiting = False
        if packet := self._stills.snapshot():
            self._write(packet)
