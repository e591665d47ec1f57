"""Write tests/pair/: what PAIR's own package computes, for the tests to compare ours with.

PAIR-code/saliency 0.2.1 runs only on an older NumPy, so this runs in an environment of its own, outside the checkout
(Python 3.11 or 3.12):

    pip install --requirement benchmarks/pair.txt
    python scripts/make_pair_fixtures.py

TensorFlow is not needed. The cases are defined in tests/pair/cases.py and tests/pair/pieces.py, the model in model.py.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # last, so that `saliency` below is the installed one

from tests.pair import cases, pieces  # noqa: E402
from tests.pair.model import Model  # noqa: E402

HERE = ROOT / "tests" / "pair"
MODULES = ("saliency.core", "saliency.tf1", "saliency.metrics.pic")
PACKAGES = ("numpy", "scipy", "scikit-image", "pillow", "saliency")


def main() -> None:
    """Rebuild all files."""
    modules = {name: importlib.import_module(name) for name in MODULES}
    found = Path(str(modules["saliency.core"].__file__))
    if importlib.metadata.version("saliency") != "0.2.1" or found.is_relative_to(ROOT):
        sys.exit("This needs an environment that has PAIR's own package: see the top of this file.")
    core, pic = modules["saliency.core"], modules["saliency.metrics.pic"]
    draw_picture()
    arrays, calls = run_cases(core)
    arrays |= pieces.functions(core, arrays["GradientSaliency/default/float64"])
    entropies = record_entropies(pic)
    arrays |= pieces.pic_pieces(pic, Model().predict)
    segments = run_segmentation(importlib.import_module("saliency.core.xrai"))
    np.savez_compressed(HERE / "arrays.npz", **arrays)
    write("calls", calls)
    write("segments", segments)
    write("refusals", {name: refused(call) for name, call in pieces.refusals(core, pic, Model()).items()})
    write("entropies", entropies)
    write("surface", {name: surface(module) for name, module in modules.items()})
    write("versions", {name: importlib.metadata.version(name) for name in PACKAGES})
    print(f"{len(arrays)} arrays, {(HERE / 'arrays.npz').stat().st_size / 1000:.0f} kB")


def draw_picture() -> None:
    """A cat's face, (64, 80, 3): means over squares of scikit-image's `chelsea` (Stefan van der Walt, CC0)."""
    from skimage.data import chelsea

    squares = chelsea()[20:276, 60:380].reshape(64, 4, 80, 4, 3)
    Image.fromarray(squares.mean(axis=(1, 3)).round().astype(np.uint8)).save(HERE / "picture.png", optimize=True)


def run_cases(core: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of all cases by name, and the calls that each made."""
    arrays: dict[str, Any] = {}
    calls: dict[str, Any] = {}
    for case in cases.cases():
        model = Model()
        arrays |= case.run(core, model)
        calls[case.name] = [run.to_json() for run in model.runs()]
    return arrays, calls


def record_entropies(pic: Any) -> dict[str, int]:
    """The table that each entropy is put into by its image's fingerprint, as another libwebp finds others."""
    entropies: dict[str, int] = {}
    estimate = pic.estimate_image_entropy

    def recorded(image: Any) -> int:
        entropies[pieces.fingerprint(image)] = int(estimate(image))
        return entropies[pieces.fingerprint(image)]

    pic.estimate_image_entropy = recorded
    return entropies


def run_segmentation(xrai: Any) -> dict[str, Any]:
    """Return the number of masks and pixels of PAIR's default segmentation of each picture, and their fingerprint."""
    found = {}
    for name, picture in pieces.segmented_pictures(cases.picture()).items():
        masks = np.array(xrai._get_segments_felzenszwalb(picture))
        found[name] = {"masks": len(masks), "pixels": int(masks.sum()), "fingerprint": pieces.fingerprint(masks)}
    return found


def refused(call: Callable[[], object]) -> dict[str, str]:
    """Return the error that a call raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  whatever it is, it is what PAIR does
        return {"type": type(error).__name__, "message": str(error)}
    raise AssertionError("This call is not refused.")


def surface(module: ModuleType) -> dict[str, Any]:
    """The public names of a module: what each is, and how it is called."""
    return {name: described(getattr(module, name)) for name in dir(module) if not name.startswith("__")}


def described(thing: Any) -> dict[str, Any]:
    """A function's signature, a class's methods with theirs, a constant's value, a module's name."""
    origin = getattr(thing, "__module__", "") or ""
    if inspect.ismodule(thing):
        return {"kind": "module", "name": thing.__name__}
    if inspect.isclass(thing) and origin.startswith("saliency"):
        members = inspect.getmembers(thing)
        public = [(name, member) for name, member in members if not name.startswith("_") or name == "__init__"]
        return {
            "kind": "class",
            "bases": [base.__name__ for base in inspect.getmro(thing)[1:-1]],
            "methods": {name: str(inspect.signature(member)) for name, member in public if inspect.isfunction(member)},
            "attributes": {name: member for name, member in public if isinstance(member, str | int | float | list)},
            "fields": list(getattr(thing, "_fields", ())),
        }
    if inspect.isfunction(thing) and origin.startswith("saliency"):
        return {"kind": "function", "signature": str(inspect.signature(thing))}
    if isinstance(thing, str | int | float | dict) or thing is None:
        return {"kind": "constant", "value": thing}
    return {"kind": "foreign", "name": f"{origin}.{getattr(thing, '__name__', thing)}"}


def write(name: str, content: Any) -> None:
    """One JSON file, to be read in a diff."""
    (HERE / f"{name}.json").write_text(json.dumps(content, indent=1, sort_keys=name != "surface") + "\n")


if __name__ == "__main__":
    main()
