"""Layering: imports run downward, and frameworks are imported in their own packages only (docs/architecture.md)."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import saliency


class Room(NamedTuple):
    """The level of a module, and the highest level that it may import. A module may always import its own room."""

    level: int
    sees: int


# A prefix covers the modules below it. Modules of one level may import each other if `sees` allows it, without cycles.
ROOMS = {
    "saliency.errors": Room(0, sees=0),
    "saliency.checks": Room(0, sees=0),
    "saliency.hints": Room(0, sees=0),
    "saliency.lazy": Room(0, sees=0),
    "saliency.threads": Room(0, sees=0),
    "saliency.upstream": Room(0, sees=0),
    "saliency.pictures": Room(1, sees=0),
    "saliency.model": Room(2, sees=2),
    "saliency.targets": Room(2, sees=2),
    "saliency.rules": Room(2, sees=2),
    "saliency.session": Room(3, sees=2),
    "saliency.adapters": Room(4, sees=3),
    "saliency.core": Room(4, sees=3),
    "saliency.results": Room(5, sees=4),
    "saliency.demo": Room(5, sees=4),
    "saliency.tf1": Room(5, sees=4),
    "saliency.deepexplain": Room(5, sees=4),
    "saliency.metrics": Room(6, sees=5),
    "saliency.counterfactuals": Room(6, sees=6),
    "saliency.testbed": Room(7, sees=6),
    "saliency.api": Room(7, sees=6),
    "saliency.attacks": Room(7, sees=7),
    "saliency.datasets": Room(7, sees=7),
    "saliency.influence": Room(7, sees=7),
    "saliency.concepts": Room(7, sees=7),
    "saliency.command": Room(8, sees=7),
    "saliency.__main__": Room(9, sees=8),
    "saliency_widget.pictures": Room(9, sees=8),
    "saliency_widget.protocol": Room(10, sees=9),
    "saliency_widget.traits": Room(11, sees=10),
    "saliency_widget.work": Room(12, sees=11),
    "saliency_widget": Room(13, sees=12),
}
TOP = {"saliency": Room(8, sees=7)}  # the package's own __init__ only

FRAMEWORKS = {"torch", "torchvision", "tensorflow", "keras", "jax", "flax", "equinox", "onnxruntime", "transformers"}
FRAMEWORK_ROOMS = ("saliency.adapters", "saliency.tf1", "saliency.deepexplain", "saliency.demo", "saliency.testbed")


class Import(NamedTuple):
    """One import statement; lazy ones inside functions and those for type checkers count like all others."""

    module: str
    line: int


def covers(prefix: str, module: str) -> bool:
    """Return whether a module is the prefix, or is below it."""
    return module == prefix or module.startswith(prefix + ".")


def room_of(module: str) -> tuple[str, Room]:
    """Return the room of a module, as its prefix and its levels; raise KeyError if it has none."""
    for prefix, room in ROOMS.items():
        if covers(prefix, module):
            return prefix, room
    return module, TOP[module]


def imports(module: str, source: str, modules: Mapping[str, object]) -> Iterator[Import]:
    """Yield every import of a module, with relative names resolved and submodules distinguished from attributes."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module if modules[module] == "package" else module.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            origin = ".".join(filter(None, (package if node.level else "", node.module)))
            for alias in node.names:
                submodule = f"{origin}.{alias.name}"
                yield Import(submodule if submodule in modules else origin, node.lineno)


def offences(sources: Mapping[str, str], packages: set[str]) -> list[str]:
    """Return one sentence for each import of the modules (name -> source) that the table forbids."""
    kinds = {module: "package" if module in packages else "module" for module in sources}
    found = []
    for module, source in sources.items():
        try:
            prefix, room = room_of(module)
        except KeyError:
            found.append(f"{module} has no room: give it one in ROOMS")
            continue
        for what in imports(module, source, kinds):
            place = f"{module}:{what.line} imports {what.module}"
            if what.module.partition(".")[0] in FRAMEWORKS:
                if not any(covers(allowed, module) for allowed in FRAMEWORK_ROOMS):
                    found.append(f"{place}: a framework, outside the rooms for frameworks")
            elif what.module.partition(".")[0] in ("saliency", "saliency_widget") and not covers(prefix, what.module):
                try:
                    there = room_of(what.module)[1]
                except KeyError:
                    found.append(f"{place}: there is no such room")
                    continue
                if there.level > room.sees:
                    found.append(f"{place}: level {there.level}, but sees only up to {room.sees}")
    return found


def ring(sources: Mapping[str, str], packages: set[str]) -> list[str]:
    """Return one cycle of modules that import each other, also lazily or for types, or an empty list."""
    kinds = {module: "package" if module in packages else "module" for module in sources}
    graph = {
        module: {what.module for what in imports(module, source, kinds)} - {module}
        for module, source in sources.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def private_names(source: str, public: set[str]) -> list[str]:
    """Return the names that a module takes from `saliency` and that are not public."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("saliency.")]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            if node.module == "saliency":
                found += [f"saliency.{alias.name}" for alias in node.names if alias.name not in public]
            elif node.module.startswith("saliency."):
                found.append(node.module)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "saliency":
            found += [f"saliency.{node.attr}"] if node.attr not in public else []
    return found


@pytest.fixture(scope="module")
def packages(checkout: Path) -> set[str]:
    """Return every folder of the two packages that is a package."""
    inits = [file for top in ("saliency", "saliency_widget") for file in (checkout / top).rglob("__init__.py")]
    return {".".join(file.parent.relative_to(checkout).parts) for file in inits}


@pytest.fixture(scope="module")
def sources(checkout: Path) -> dict[str, str]:
    """Return every module of the two packages: name -> source."""
    files = [file for top in ("saliency", "saliency_widget") for file in sorted((checkout / top).rglob("*.py"))]
    names = [".".join(file.relative_to(checkout).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return {name: file.read_text(encoding="utf-8") for name, file in zip(names, files, strict=True)}


def test_imports_run_downward(sources: dict[str, str], packages: set[str]) -> None:
    """A module imports its own room and the rooms below it; frameworks are imported in four rooms only."""
    assert {"saliency", "saliency_widget"} <= packages
    assert offences(sources, packages) == []


def test_no_modules_import_each_other(sources: dict[str, str], packages: set[str]) -> None:
    """There are no import cycles, including lazy imports and those for types."""
    assert ring(sources, packages) == []


def test_the_widget_uses_public_names_only(sources: dict[str, str]) -> None:
    """The widget uses only the names in `saliency.__all__`."""
    public = set(saliency.__all__)
    modules = {module: source for module, source in sources.items() if covers("saliency_widget", module)}

    assert {module: names for module, source in modules.items() if (names := private_names(source, public))} == {}


@pytest.mark.parametrize(
    ("module", "line", "offence"),
    [
        ("saliency.model", "from saliency import session", "level 3, but sees only up to 2"),
        ("saliency.model", "from . import head", None),
        ("saliency.core.xrai", "from ..session import Session", None),
        ("saliency.core.xrai", "from . import base", None),
        ("saliency.core.xrai", "from saliency.metrics import pic", "level 6, but sees only up to 3"),
        ("saliency.core.xrai", "def f():\n    from saliency.adapters import adapt", "level 4, but sees only up to 3"),
        ("saliency.core.xrai", "if TYPE_CHECKING:\n    from saliency import api", "level 7, but sees only up to 3"),
        ("saliency.adapters.keras.model", "from saliency.adapters.torch import model", None),
        ("saliency.adapters.keras.model", "import saliency.core.method", "level 4, but sees only up to 3"),
        ("saliency.session", "import torch.nn", "a framework"),
        ("saliency.adapters.torch.model", "import torch", None),
        ("saliency.errors", "import saliency", "level 8, but sees only up to 0"),
        ("saliency.session", "import saliency_widget", "level 13, but sees only up to 2"),
        ("saliency_widget.protocol", "from saliency_widget.work import jobs", "level 12, but sees only up to 9"),
        ("saliency.newcomer", "", "has no room"),
    ],
)
def test_the_table_is_kept(module: str, line: str, offence: str | None) -> None:
    """Imports upward and sideways, stray frameworks and unknown modules are reported; allowed imports are not."""
    sources = dict.fromkeys(("saliency", "saliency.model.head", "saliency.core.base", "saliency_widget.work.jobs"), "")
    packages = {f"saliency.{each}" for each in ("core", "adapters", "model", "session", "api", "metrics")}

    found = offences({**sources, **dict.fromkeys({"saliency_widget", *packages}, ""), module: line}, packages)

    assert len(found) == (offence is not None)
    assert all(offence is not None and offence in sentence for sentence in found)


@pytest.mark.parametrize("line", ["{}", "if TYPE_CHECKING:\n    {}", "def f():\n    {}"])
def test_a_ring_is_found(line: str) -> None:
    """Two modules that import each other are a cycle, also if one import is for types only or inside a function."""
    ops, samples = "import saliency.samples", "import saliency.ops"

    assert ring({"saliency.ops": ops, "saliency.samples": line.format(samples)}, set()) != []
    assert ring({"saliency.ops": ops, "saliency.samples": "import numpy"}, set()) == []


def test_a_private_name_is_found() -> None:
    """A submodule, an unlisted name and an unlisted attribute are private; a listed name is not."""
    public = {"explain"}

    assert private_names("import saliency\nfrom saliency import explain\nsaliency.explain()", public) == []
    assert private_names("import saliency.session", public) == ["saliency.session"]
    assert private_names("from saliency.session import Session", public) == ["saliency.session"]
    assert private_names("from saliency import Session", public) == ["saliency.Session"]
    assert private_names("import saliency\nsaliency.session.Session", public) == ["saliency.session"]
