"""Rows of an evaluation in a file, each appended when it is computed.

The file has one JSON object on each line (JSON Lines). After a killed process all complete lines are intact, and a
truncated last line is ignored. A row with a known key replaces the earlier one. NaN and infinity are written as null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saliency import checks
from saliency.errors import BadField, brief

HEADER = {"format": "saliency evaluation", "version": 1}
"""The first line."""


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of a file by key.

    Raises:
        BadField: the file is no evaluation.
        FileNotFoundError: there is no such file.
    """
    with checks.opening(path, BadField):
        content = path.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    try:
        header, *rows = map(json.loads, lines)
        if header != HEADER:
            raise ValueError("unknown header")
        return {row.pop("key"): {name: _number(value) for name, value in row.items()} for row in rows}
    except (ValueError, TypeError, KeyError, AttributeError) as reason:
        raise BadField(
            f"{brief(str(path))} is no file that evaluate(…, resume=path) has written: {brief(str(reason))}. "
            "Pass the path of a new file."
        ) from reason


class Journal:
    """A file of rows, kept open for appending.

    Args:
        path: the file; created if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        new = not path.exists() or path.stat().st_size == 0
        self.rows = {} if new else read(path)
        """The rows of earlier runs, by key."""
        with checks.opening(path, BadField):
            self._file = path.open("r+b" if path.exists() else "w+b")
        # append after the last complete line
        self._file.seek(self._file.read().rfind(b"\n") + 1)
        self._file.truncate()
        if new:
            self._write(HEADER)

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Append a row; it is in the file when this returns."""
        self._write({"key": key, **{name: _null(value) for name, value in row.items()}})

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._file.flush()


def _null(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: Any) -> Any:
    return float("nan") if value is None else value
