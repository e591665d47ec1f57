"""The public names and signatures equal those stored in surface.json.

After an intended change: ``python tests/test_surface.py`` rewrites the file.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import saliency
import saliency_widget
from saliency.core import catalogue

KEPT = Path(__file__).with_name("surface.json")


def signature_of(value: Any) -> str:
    """Return a callable's signature without annotations, or the type of another value."""
    if not callable(value):
        return type(value).__name__
    try:
        signature = inspect.signature(value)
    except ValueError:
        return "class"
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def surface() -> dict[str, str]:
    """Return every public name with its signature, methods of public classes included."""
    found = {}
    for package in (saliency, saliency_widget):
        for name in package.__all__:
            value = getattr(package, name)
            if name in catalogue.NAMES:
                continue  # tests/conformance: a method's signature is its fields
            found[f"{package.__name__}.{name}"] = signature_of(value)
            if inspect.isclass(value) and not issubclass(value, Exception | tuple):
                ours = [each for each in reversed(value.__mro__) if each.__module__.startswith("saliency")]
                own = {n: m for each in ours for n, m in vars(each).items() if not n.startswith("_") and callable(m)}
                found |= {f"{package.__name__}.{name}.{n}": signature_of(m) for n, m in own.items()}
    return dict(sorted(found.items()))


def test_the_public_surface_is_unchanged() -> None:
    """No public name, parameter or default is added, removed or changed without an update of surface.json."""
    assert surface() == json.loads(KEPT.read_text())


if __name__ == "__main__":
    KEPT.write_text(json.dumps(surface(), indent=1) + "\n")
