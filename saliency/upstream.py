"""Warn if PAIR's own distribution is installed in the same environment: both own the folder ``saliency/``."""

import os
import sys
import warnings
from contextlib import suppress

WARNING = """\
PAIR's own package `saliency` {version} is installed beside `saliency-widget`. Both own the folder saliency/, so either
may have overwritten files of the other, and uninstalling one deletes files of both. This package provides everything
that PAIR's does. To fix it:
    pip uninstall --yes saliency
    pip install --force-reinstall --no-deps saliency-widget"""


def warn() -> None:
    """Warn if PAIR's distribution is installed."""
    if _may_be_installed():
        from importlib.metadata import PackageNotFoundError, version

        with suppress(PackageNotFoundError):
            warnings.warn(WARNING.format(version=version("saliency")), stacklevel=3)


def _may_be_installed() -> bool:
    """Return whether something on the path is named like its metadata.

    Importing what reads metadata would take longer than all else that ``import saliency`` does.
    """
    for folder in sys.path:
        with suppress(OSError), os.scandir(folder or ".") as found:
            if any(each.name.lower().startswith(("saliency-", "saliency.")) for each in found):
                return True
    return False
