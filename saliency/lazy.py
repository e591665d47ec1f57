"""Import the names of a package when they are first used (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, *tables: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the functions ``__getattr__`` and ``__dir__`` of a package or module whose names are imported lazily.

    Args:
        package: its ``__name__``.
        *tables: the names to import from each module, separated by spaces, as in ``from module import …``: where the
            module is the package itself, they are its submodules.
    """
    origin = {name: module for table in tables for module, names in table.items() for name in names.split()}

    def getattribute(name: str) -> Any:
        this = sys.modules[package]
        if name not in origin:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=this)
        if origin[name] == package:
            return import_module(f"{package}.{name}")
        value = getattr(import_module(origin[name]), name)
        setattr(this, name, value)  # found without this function from now on
        return value

    def directory() -> list[str]:
        return sorted({*vars(sys.modules[package]), *origin})

    return getattribute, directory
