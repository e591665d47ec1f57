"""The results of PAIR's own package, read from the files in this folder (see README.md).

CASES = list(reference.cases())
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case):
    for name, expected in case.expected().items():
        actual = case.run(saliency.core, model := Model())[name]
"""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np

from tests.pair import cases as definitions
from tests.pair.cases import HERE, Array, Case
from tests.pair.model import Model, Run
from tests.pair.pieces import fingerprint

__all__ = ["Array", "Case", "Model", "Run", "array", "calls", "cases", "entropy", "expected", "names", "table"]


@functools.cache
def _arrays() -> dict[str, Array]:
    with np.load(HERE / "arrays.npz", allow_pickle=False) as stored:
        arrays: dict[str, Array] = dict(stored)
    for each in arrays.values():
        each.flags.writeable = False  # shared by all tests
    return arrays


@functools.cache
def table(name: str) -> dict[str, Any]:
    """One of the JSON files: "calls", "entropies", "refusals", "segments", "surface" or "versions"."""
    read: dict[str, Any] = json.loads((HERE / f"{name}.json").read_text())
    return read


def names(prefix: str = "") -> list[str]:
    """The names of the stored arrays that begin so, e.g. "pic/"."""
    return [name for name in _arrays() if name.startswith(prefix)]


def array(name: str) -> Array:
    """One stored array, read-only, in the dtype that PAIR gave it."""
    return _arrays()[name]


def cases(method: str = "") -> list[Case]:
    """The cases of one class of `saliency.core`, or all."""
    return [case for case in definitions.cases() if method in ("", case.method)]


def expected(case: Case) -> dict[str, Array]:
    """Return the expected masks of a case by its name, and XRAI's details by name/part."""
    parts = (case.name, f"{case.name}/segments", f"{case.name}/ig")
    return {name: array(name) for name in parts if name in _arrays()}


def calls(case: Case) -> list[Run]:
    """Return PAIR's calls of the model in this case, in order (on NumPy 1.26: see README.md for the dtypes)."""
    return [Run.from_json(run) for run in table("calls")[case.name]]


def entropy(image: Array) -> int:
    """Return PAIR's recorded `estimate_image_entropy`, in place of one that uses another libwebp."""
    return int(table("entropies")[fingerprint(image)])
