"""What a store of masks was computed from, and the comparison with what is to be computed now."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from saliency.adapters.weights import Weighted
from saliency.errors import BadField, brief
from saliency.model.names import name_in_sentence
from saliency.model.protocols import Adapted

NAME, FORMAT = "manifest.json", 1

PACKAGES: Mapping[str, Sequence[str]] = {
    "torch": ["torch"],
    "tensorflow": ["tensorflow"],
    "keras": ["keras"],
    "jax": ["jax"],
    "onnx": ["onnxruntime"],
}
"""By a part of the name of an adapter's module: packages whose versions may change the bits of a mask."""

CLOSE = 1e-3
"""Largest relative difference of outputs of one model on two machines."""


def digest_of(*parts: Any) -> str:
    """Return a hash of texts and arrays."""
    found = hashlib.blake2b(digest_size=16)
    for each in parts:
        if isinstance(each, np.ndarray):
            found.update(f"{each.dtype} {each.shape}".encode())
            found.update(np.ascontiguousarray(each).tobytes())
        else:
            found.update(str(each).encode(errors="backslashreplace") + b"\0")
    return found.hexdigest()


def model_of(adapted: Adapted[Any], outputs: np.ndarray) -> dict[str, Any]:
    """Return what identifies a model: its name, a hash of its weights, and its outputs (K,) for one picture."""
    weights = adapted.weight_digest() if isinstance(adapted, Weighted) else None
    numbers = [float(f"{each:.6g}") for each in (*outputs[:8], outputs.max(), np.linalg.norm(outputs))]
    return {"name": name_in_sentence(adapted), "weights": weights, "outputs": numbers}


def versions(adapted: Adapted[Any]) -> dict[str, str]:
    """Return the versions of the packages that compute the masks of a model and write them."""
    parts = type(adapted).__module__.split(".")
    of_model = [each for part in parts for each in PACKAGES.get(part, ())]
    return {each: _version(each) for each in ("saliency-widget", "numpy", "zarr", "pyarrow", *of_model)}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # another distribution of the same package
        return str(getattr(sys.modules.get(name.replace("saliency-widget", "saliency")), "__version__", "unknown"))


def read(root: Path) -> dict[str, Any] | None:
    """Return the manifest of a store; None where the folder is empty or does not exist.

    Raises:
        BadField: the path holds something else.
    """
    path = root / NAME
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise BadField(f"{brief(str(path))} is no manifest of masks: {error}.") from error
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise BadField(f"{brief(str(path))} is no manifest of masks in format {FORMAT}.")
        return found
    if root.exists() and (not root.is_dir() or any(each.name != ".lock" for each in root.iterdir())):
        raise BadField(f"{brief(str(root))} holds something else: pass the path of a new folder as out.")
    return None


def write(root: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a new store."""
    path = root / f"{NAME}.{os.getpid()}.partial"
    path.write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    path.replace(root / NAME)


def require_same(stored: Mapping[str, Any], now: Mapping[str, Any], root: Path) -> None:
    """Raise BadField with the differences unless two manifests are the same."""
    if found := list(_differences(stored, now, "")):
        lines = "\n".join(f"  {each}" for each in found[:12])
        raise BadField(
            f"{brief(str(root))} holds masks of another run, which cannot be continued: pass another out. In the store "
            f"→ now:\n{lines}"
        )


def _differences(stored: Any, now: Any, path: str) -> Iterator[str]:
    if isinstance(stored, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*stored, *now]):
            yield from _differences(stored.get(key), now.get(key), f"{path}.{key}" if path else str(key))
    elif path == "model.outputs" and _close(stored, now):
        return
    elif stored != now:
        yield f"{path}: {brief(stored)} → {brief(now)}"


def _close(stored: Sequence[float], now: Sequence[float]) -> bool:
    return len(stored) == len(now) and bool(np.allclose(stored, now, rtol=CLOSE, atol=CLOSE * max(map(abs, stored))))
