"""How messages name the user's model: "your MyNet", never an internal class."""

from __future__ import annotations

from typing import Any

CALLABLES = ("PjitFunction", "method", "partial", "builtin_function_or_method")
"""Classes of functions that are jitted by JAX, bound or partly applied; a tf.function is found by its attribute."""


def name_of(model: Any) -> str:
    """Return how messages call the user's model: "your MyNet", "your function", or "your model" if it has no class."""
    kind = type(model)
    if hasattr(model, "python_function") or kind.__name__ in CALLABLES:
        return "your function"
    # a scripted module keeps the name of its class
    return "your model" if kind.__module__.startswith("saliency.") else f"your {_class_name(model)}"


def _class_name(model: Any) -> str:
    original = getattr(model, "original_name", None)
    return original if isinstance(original, str) else type(model).__name__


def name_in_sentence(adapted: Any) -> str:
    """Return how messages call the user's model that was adapted; "the model" if the adapter does not name it."""
    return str(getattr(adapted, "name", "the model"))


def subject_of(adapted: Any) -> str:
    """Return the same as the first words of a sentence."""
    return capitalized(name_in_sentence(adapted))


def capitalized(name: str) -> str:
    """Return a name as the first words of a sentence."""
    return name[:1].upper() + name[1:]
