"""Callbacks of the notebook's kernel after each cell."""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__.partition(".")[0])


def after_each_cell(owner: object, name: str) -> Callable[[], None]:
    """Call a method after each cell, as long as its owner lives; the owner is held weakly.

    Args:
        owner: the owner of the method.
        name: name of the method, which takes no arguments.

    Returns:
        A function that stops the calls. Outside of IPython there are none.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return lambda: None
    held = weakref.ref(owner)

    def called(*_: Any) -> None:
        alive = held()
        if alive is None:
            forget()
            return
        try:
            getattr(alive, name)()
        except Exception:  # an error here must not fail the cell
            logger.exception("Could not call %s() after a cell.", name)

    def forget() -> None:
        if called in shell.events.callbacks["post_run_cell"]:
            shell.events.unregister("post_run_cell", called)

    shell.events.register("post_run_cell", called)
    return forget
