"""Read a method's caption back: ``GradCam(layer='layer4')`` as text becomes the method."""

from __future__ import annotations

import ast
from contextlib import suppress

from saliency.core.catalogue import METHODS
from saliency.core.method import Method
from saliency.errors import SaliencyError


def method_from(caption: str) -> Method | None:
    """Return the method that a caption shows; None where it names no method of the catalogue, or shortens a value.

    Nothing in the caption is executed: only literals and methods of the catalogue are read.
    """
    with suppress(SyntaxError, ValueError, TypeError, SaliencyError, RecursionError, MemoryError):
        return _read(ast.parse(caption, mode="eval").body)
    return None


def _read(node: ast.expr) -> Method:
    """Return the method of a call expression.

    Raises:
        ValueError: it is no call of a method with keyword arguments.
    """
    classes = {cls.__name__: cls for cls in METHODS.values()}
    match node:
        case ast.Call(func=ast.Name(id=name), args=[], keywords=keywords) if name in classes:
            fields = {each.arg: _value(each.value) for each in keywords if each.arg is not None}
            return classes[name](**fields)
    raise ValueError("no method")


def _value(node: ast.expr) -> object:
    return _read(node) if isinstance(node, ast.Call) else ast.literal_eval(node)
