"""Every public name of PAIR's package is there, and is called as PAIR's is."""

from __future__ import annotations

import inspect
import types
from typing import Any

import pytest

from saliency import core
from tests.pair import reference

SURFACE = reference.table("surface")["saliency.core"]
FUTURE = {"absolute_import", "division", "print_function"}
"""Names for Python 2, which nobody imports from here."""


def signature(function: Any) -> str:
    """A signature without annotations, which PAIR has not."""
    found = inspect.signature(function)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("name", sorted(SURFACE.keys() - FUTURE))
def test_names_are_pairs(name: str) -> None:
    """Each name is of PAIR's kind, with PAIR's value or signature."""
    recorded, found = SURFACE[name], getattr(core, name)

    match recorded["kind"]:
        case "module":
            assert isinstance(found, types.ModuleType)
            assert found.__name__ == recorded["name"]
        case "constant":
            assert found == recorded["value"]
        case "function":
            assert signature(found) == recorded["signature"]
        case "class":
            assert_class(recorded, found)
        case _:
            assert found.__name__ == recorded["name"].rpartition(".")[2]


def assert_class(recorded: Any, found: Any) -> None:
    """A class has PAIR's bases, methods and attributes; its fields may be set when it is made, but need not be."""
    bases = {base.__name__ for base in found.__mro__}
    made = {name: inspect.signature(getattr(found, name)) for name in recorded["methods"] if name == "__init__"}
    methods = {name: signature(getattr(found, name)) for name in recorded["methods"] if name != "__init__"}

    assert set(recorded["bases"]) <= bases
    assert methods == {name: each for name, each in recorded["methods"].items() if name != "__init__"}
    assert {name: getattr(found, name) for name in recorded["attributes"]} == recorded["attributes"]
    if made and issubclass(found, core.CoreSaliency):
        made["__init__"].bind(None)
    elif made:
        assert signature(found.__init__) == recorded["methods"]["__init__"]


def test_dir_lists_pairs_names() -> None:
    """`dir()` and `from saliency.core import *` offer every class, function, constant and module of PAIR's own."""
    own = {name for name, recorded in SURFACE.items() if recorded["kind"] in ("class", "function", "constant")}
    own |= {name for name, recorded in SURFACE.items() if recorded.get("name", "").startswith("saliency.core")}

    assert own <= set(dir(core))
    assert own <= set(core.__all__)


@pytest.mark.parametrize(
    "keys", [name for name, recorded in SURFACE.items() if "expected_keys" in recorded.get("attributes", {})]
)
def test_expected_keys_are_lists(keys: str) -> None:
    """The model is handed a real list of strings: people compare it with `==` to a list."""
    assert type(getattr(core, keys).expected_keys) is list
