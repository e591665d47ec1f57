"""Warn if PAIR's own distribution is installed in the same environment: both own the folder ``saliency/``."""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError, version

WARNING = """\
PAIR's own package `saliency` {version} is installed beside `saliency-widget`. Both own the folder saliency/, so either
may have overwritten files of the other, and uninstalling one deletes files of both. This package provides everything
that PAIR's does. To fix it:
    pip uninstall --yes saliency
    pip install --force-reinstall --no-deps saliency-widget"""


def warn() -> None:
    """Warn if PAIR's distribution is installed."""
    try:
        found = version("saliency")
    except PackageNotFoundError:
        return
    warnings.warn(WARNING.format(version=found), stacklevel=3)
