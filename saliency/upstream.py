"""PAIR's own distribution, where it lies in the same environment: both own the folder ``saliency/``."""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError, version

TOLD = """\
PAIR's own package `saliency` {version} is installed beside `saliency-widget`. Both own the folder saliency/, so either
may have overwritten files of the other, and uninstalling one deletes files of both. This package does all that PAIR's
does. To mend it:
    pip uninstall --yes saliency
    pip install --force-reinstall --no-deps saliency-widget"""


def warn() -> None:
    """Tell about it, where it is installed."""
    try:
        found = version("saliency")
    except PackageNotFoundError:
        return
    warnings.warn(TOLD.format(version=found), stacklevel=3)
