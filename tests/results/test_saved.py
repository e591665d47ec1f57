"""Saved explanations are read without trust: only what save() wrote becomes one, in bounded memory."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from tests.nets import picture, small_net


@pytest.fixture(scope="module")
def exp() -> saliency.Explanation:
    """An explanation with regions, and a label that no encoding has."""
    labels = ["a", "<script>\ud800", "c", "d"]
    method = saliency.XRAI(steps=2, segments="grid")
    found: saliency.Explanation = saliency.explain(small_net(), picture(), method, 1, labels=labels, progress=False)
    return found


@pytest.fixture(scope="module")
def good(exp: saliency.Explanation, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file that it is saved as."""
    path = tmp_path_factory.mktemp("saved") / "good.npz"
    exp.save(path)
    return path.read_bytes()


def load(content: bytes, folder: Path) -> saliency.Explanation:
    """Load a file of this content."""
    path = folder / "file.npz"
    path.write_bytes(content)
    return saliency.Explanation.load(path)


def altered(content: bytes, record: dict[str, Any], **arrays: Any) -> bytes:
    """Return the file with other arrays, and other entries of its record; None removes one."""
    with np.load(io.BytesIO(content)) as file:
        kept = dict(file)
    entries = {**json.loads(str(kept.pop("told"))), **record}
    kept = {
        **kept,
        "told": json.dumps({name: value for name, value in entries.items() if value != "removed"}),
        **arrays,
    }
    made = io.BytesIO()
    np.savez_compressed(made, **{name: value for name, value in kept.items() if value is not None})
    return made.getvalue()


def with_member(content: bytes, name: str, data: bytes) -> bytes:
    """The file with one member replaced."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for each in old.namelist():
            new.writestr(each, data if each == name else old.read(each))
    return made.getvalue()


def array_header(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """The beginning of a .npy file that claims an array of this shape."""
    described = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    padded = described + b" " * (63 - (len(described) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def test_what_save_wrote_is_read(exp: saliency.Explanation, good: bytes, tmp_path: Path) -> None:
    """Arrays, regions and texts come back, half characters and markup as they were."""
    again = load(good, tmp_path)

    np.testing.assert_array_equal(again.mask, exp.mask)
    np.testing.assert_array_equal(again.picture, exp.picture)
    assert again.regions is not None
    assert exp.regions is not None
    np.testing.assert_array_equal(again.regions.ranks, exp.regions.ranks)
    assert list(again.regions.table) == list(exp.regions.table)
    assert (again.label, again.notes, again.caption) == (exp.label, exp.notes, exp.caption)


def test_a_truncated_file_is_refused(good: bytes, tmp_path: Path) -> None:
    """Cut anywhere, a file ends in one sentence."""
    for length in (*range(0, len(good), max(len(good) // 60, 1)), len(good) - 1):
        with pytest.raises(saliency.BadImage, match=r"no explanation saved by save|damaged"):
            load(good[:length], tmp_path)


def test_a_flipped_bit_is_refused_or_changes_nothing(exp: saliency.Explanation, good: bytes, tmp_path: Path) -> None:
    """A damaged checksum, header or field is detected; bytes that no reader uses may have any value."""
    random = np.random.default_rng(0)
    refused = 0
    for place in random.integers(0, len(good), 150):
        content = bytearray(good)
        content[place] ^= 1 << int(random.integers(8))
        try:
            again = load(bytes(content), tmp_path)
        except saliency.BadImage:
            refused += 1
        else:
            np.testing.assert_array_equal(again.mask, exp.mask)
            assert again.label == exp.label
    assert refused > 75


CHANGES: dict[str, dict[str, Any]] = {
    "rank 1": {"mask": np.zeros(3, np.float32)},
    "rank 4": {"mask": np.zeros((2, 2, 2, 2), np.float32)},
    "NaN": {"mask": np.full((24, 20), np.nan, np.float32)},
    "complex": {"mask": np.zeros((24, 20), np.complex64)},
    "text": {"mask": np.array([["a"]])},
    "no mask": {"mask": None},
    "floating picture": {"picture": np.zeros((24, 20, 3), np.float32)},
    "singular": {"placement": np.zeros((2, 3))},
    "3×3": {"placement": np.eye(3)},
    "small ranks": {"ranks": np.zeros((2, 2), np.uint16)},
    "no ranks": {"ranks": None},
    "small error": {"standard_error": np.zeros((2, 2), np.float32)},
    "unknown member": {"extra": np.zeros(3)},
    "newer": {"format": np.array(99)},
    "older": {"format": np.array(0)},
    "formats": {"format": np.zeros(3, int)},
    "record is a list": {"told": "[]"},
    "record is no JSON": {"told": "{"},
    "record is deep": {"told": "[" * 100_000},
}


@pytest.mark.parametrize("kind", CHANGES)
def test_arrays_that_no_explanation_has_are_refused(good: bytes, tmp_path: Path, kind: str) -> None:
    """Another rank, type, shape, version or member."""
    with pytest.raises(saliency.BadImage):
        load(altered(good, {}, **CHANGES[kind]), tmp_path)


@pytest.mark.parametrize(
    "record",
    [
        *({name: 3} for name in ("label", "caption", "method", "layer", "notes", "sign", "table")),
        *({name: "x"} for name in ("score", "seconds", "gap", "calls", "images", "sign", "table")),
        *({name: "removed"} for name in ("label", "notes", "target", "caption")),
        {"target": [1]},
        {"calls": -1},
        {"notes": [1]},
        {"table": [[1]]},
        {"unknown": 1},
        {"mask": 1},
        {"regions": 1},
    ],
    ids=str,
)
def test_records_that_no_explanation_has_are_refused(good: bytes, tmp_path: Path, record: dict[str, Any]) -> None:
    """A field of another type, missing or unknown."""
    with pytest.raises(saliency.BadImage, match="no explanation"):
        load(altered(good, record), tmp_path)


FOREIGN: dict[str, Callable[[bytes], bytes]] = {
    "4 TiB": lambda good: with_member(good, "mask.npy", array_header((1 << 20, 1 << 20))),
    "negative": lambda good: with_member(good, "mask.npy", array_header((-1, 3))),
    "overflow": lambda good: with_member(good, "mask.npy", array_header((10**30, 3))),
    "objects": lambda good: with_member(good, "mask.npy", array_header((1,), "|O") + bytes(8)),
    "bomb": lambda good: with_member(good, "mask.npy", array_header((1 << 12, 1 << 12)) + bytes(1 << 26)),
    "text bomb": lambda good: with_member(good, "told.npy", array_header((), f"<U{1 << 24}") + bytes(1 << 26)),
    "no array": lambda good: with_member(good, "mask.npy", b"garbage"),
    "short": lambda good: with_member(good, "mask.npy", array_header((24, 20)) + bytes(10)),
    "text": lambda _: b"hello" * 100,
    "empty": lambda _: b"",
    "zip": lambda _: b"PK\x05\x06" + bytes(18),
}

LIMITED = """
import resource, sys
import saliency
from saliency.results import saved

assert saved.MOST_BYTES == 1 << 30
saved.MOST_BYTES = 1 << 26  # so that bombs are made in little time
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)
for path in sys.argv[1:]:
    try:
        saliency.Explanation.load(path)
    except saliency.BadImage as error:
        assert "\\n" not in str(error) and len(str(error)) < 1000
    else:
        sys.exit(f"{path} was read")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space by /proc")
def test_a_hostile_file_is_refused_in_bounded_memory(good: bytes, tmp_path: Path) -> None:
    """With 64 MiB to spare, files that claim or hold far more end in a sentence."""
    paths = []
    for name, make in FOREIGN.items():
        paths.append(tmp_path / f"{name}.npz")
        paths[-1].write_bytes(make(good))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, paths)], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("path", [3, None, "", "a\0b.npz", "\ud800.npz", [], b"a.npz"], ids=str)
def test_values_that_are_no_path_are_refused(exp: saliency.Explanation, path: Any) -> None:
    """An invalid path is refused by load and by save."""
    with pytest.raises(saliency.BadField, match="path must"):
        saliency.Explanation.load(path)
    with pytest.raises(saliency.BadField, match="path must"):
        exp.save(path)


def test_a_missing_file_is_missing_and_a_folder_no_file(exp: saliency.Explanation, tmp_path: Path) -> None:
    """FileNotFoundError as usual; other system errors are reported with the path."""
    with pytest.raises(FileNotFoundError):
        saliency.Explanation.load(tmp_path / "none.npz")
    (folder := tmp_path / "folder.npz").mkdir()
    with pytest.raises(saliency.BadImage, match="cannot be opened"):
        saliency.Explanation.load(folder)
    with pytest.raises(saliency.BadField, match="cannot be opened"):
        exp.save(folder)
