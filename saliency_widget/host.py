"""What the notebook's kernel tells: that a cell has run."""

from __future__ import annotations

import logging
import sys
import weakref
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__.partition(".")[0])


def after_each_cell(owner: object, name: str) -> Callable[[], None]:
    """Have a method called after each cell, for as long as its owner lives; held weakly.

    Args:
        owner: whose method.
        name: of the method, which takes no arguments.

    Returns:
        What ends it. Outside of IPython nothing begins, and nothing ends.
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
        except Exception:  # the next cell has nothing to do with it
            logger.exception("Could not look after a cell.")

    def forget() -> None:
        if called in shell.events.callbacks["post_run_cell"]:
            shell.events.unregister("post_run_cell", called)

    shell.events.register("post_run_cell", called)
    return forget
