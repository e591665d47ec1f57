"""The file format of saved explanations: an ``.npz`` file that is read without trusting it.

Nothing is unpickled, and no array is read before its header has been checked. All arrays together may take
:data:`MOST_BYTES`. A damaged, foreign or malicious file therefore ends in an error of one sentence, in bounded memory.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from saliency import checks
from saliency.errors import BadField, BadImage, brief

FORMAT = 1
"""Version of the file format."""

MOST_BYTES = 1 << 30
"""Limit of all arrays of a file together: about a picture of 12,000×12,000 pixels with its mask."""

MOST_HEADER = 1 << 10
"""Limit of an array's header; headers of simple types have 128 bytes."""

MOST_AXES = 8
"""Limit of an array's axes; a mask has the axes of an input without the batch axis."""

ARRAYS: Mapping[str, str] = {
    "format": "iu",
    "told": "U",
    "mask": "f",
    "picture": "u",
    "placement": "f",
    "standard_error": "f",
    "ranks": "u",
}
"""Arrays in a file, and the kinds of numbers each may contain."""

REQUIRED = frozenset({"format", "told", "mask", "picture", "placement"})

DAMAGE = (ValueError, KeyError, TypeError, EOFError, OverflowError, NotImplementedError, RuntimeError, MemoryError)
"""Errors of reading a damaged zip file, a header or JSON, beside those of zipfile and zlib. RecursionError is a
RuntimeError; UnicodeDecodeError and json.JSONDecodeError are ValueErrors."""


def write(path: Path, arrays: Mapping[str, np.ndarray], record: Mapping[str, Any]) -> None:
    """Write arrays, by the names in :data:`ARRAYS`, and a record of plain values.

    Raises:
        BadField: they are larger than :func:`read` accepts, or the file cannot be written.
    """
    if (size := sum(each.nbytes for each in arrays.values())) > MOST_BYTES:
        raise BadField(f"The arrays take {size:,} bytes, but a saved explanation may take at most {MOST_BYTES:,}.")
    with checks.opening(path, BadField):
        np.savez_compressed(path, allow_pickle=False, format=FORMAT, told=json.dumps(record), **arrays)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the record that :func:`write` stored.

    Raises:
        BadImage: the file contains something else, is damaged, or was written by a newer version.
        FileNotFoundError: there is no such file.
    """
    foreign = f"{str(path)!r} is no explanation saved by save('….npz')"
    try:
        with checks.opening(path, BadImage), zipfile.ZipFile(path) as file:
            arrays = _members(file)
        version = int(arrays.pop("format")[()])
        record = json.loads(str(arrays.pop("told")[()]))
    except BadImage:
        raise
    except (*DAMAGE, zipfile.BadZipFile, zlib.error) as reason:
        raise BadImage(f"{foreign}, or it is damaged: {brief(str(reason) or type(reason).__name__)}.") from reason
    if version > FORMAT:
        raise BadImage(f"{str(path)!r} was saved by a newer version (format {version}, supported: {FORMAT}).")
    if version != FORMAT or not isinstance(record, dict):
        raise BadImage(f"{foreign}: its format is {version}, and its record is of the type {type(record).__name__}.")
    return arrays, record


def _members(file: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Read every array, after all headers have been checked.

    Raises:
        ValueError: an array is none of :data:`ARRAYS`, missing or duplicated, or does not match its header.
    """
    found = {member.filename.removesuffix(".npy"): member for member in file.infolist()}
    if len(found) != len(file.infolist()) or not REQUIRED <= set(found) <= set(ARRAYS):
        raise ValueError(f"expected the members {', '.join(ARRAYS)}, got {', '.join(sorted(found)[:9])}")
    if (size := sum(member.file_size for member in found.values())) > MOST_BYTES:
        raise ValueError(f"its arrays would take {size:,} bytes, and at most {MOST_BYTES:,} are read")
    return {name: _array(file, member, ARRAYS[name]) for name, member in found.items()}


def _array(file: zipfile.ZipFile, member: zipfile.ZipInfo, kinds: str) -> np.ndarray:
    """Read one array, of one of the `kinds` of numbers; zipfile verifies its checksum."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is compressed in a way that save() does not use")
    with file.open(member) as stream:
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, columns_first, dtype = header(stream, max_header_size=MOST_HEADER)
        size = math.prod(shape) * dtype.itemsize
        if dtype.kind not in kinds or min(shape, default=0) < 0 or len(shape) > MOST_AXES:
            raise ValueError(f"{member.filename} holds {dtype} of shape {brief(shape)}")
        if size != member.file_size - stream.tell():
            raise ValueError(
                f"{member.filename} claims {brief(size)} bytes, but contains {member.file_size - stream.tell()}"
            )
        content = stream.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{member.filename} is truncated")
    flat = np.frombuffer(bytearray(content), dtype)
    return flat.reshape(shape, order="F" if columns_first else "C")
