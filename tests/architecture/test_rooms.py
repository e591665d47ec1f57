"""Who may talk to whom: imports run downward, frameworks stay in their rooms (docs/architecture.md)."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

import saliency


class Room(NamedTuple):
    """Where a module stands, and up to which level it may import. Its own room it may always import."""

    level: int
    sees: int


# A prefix covers what lies beneath it. Up to level 2 the modules of one level may know each other, but never in a ring.
ROOMS = {
    "saliency.model": Room(0, sees=0),
    "saliency.errors": Room(0, sees=0),
    "saliency.hints": Room(0, sees=0),
    "saliency.checks": Room(0, sees=0),
    "saliency.upstream": Room(0, sees=0),
    "saliency.ops": Room(1, sees=1),
    "saliency.samples": Room(1, sees=1),
    "saliency.masks": Room(1, sees=1),
    "saliency.segments": Room(1, sees=1),
    "saliency.rules": Room(1, sees=1),
    "saliency.targets": Room(1, sees=1),
    "saliency.head": Room(1, sees=1),
    "saliency.images": Room(1, sees=1),
    "saliency.pictures": Room(1, sees=1),
    "saliency.inputs": Room(1, sees=1),
    "saliency.precision": Room(1, sees=1),
    "saliency.display": Room(1, sees=1),
    "saliency.regions": Room(1, sees=1),
    "saliency.saved": Room(1, sees=1),
    "saliency.shrink": Room(1, sees=1),
    "saliency.threads": Room(0, sees=0),
    "saliency.batch_size": Room(1, sees=1),
    "saliency.session": Room(2, sees=2),
    "saliency.progress": Room(2, sees=2),
    "saliency.builder": Room(2, sees=2),
    "saliency.layered": Room(2, sees=2),
    "saliency.called": Room(2, sees=2),
    "saliency.explanation": Room(2, sees=2),
    "saliency.method": Room(2, sees=2),
    "saliency.tables": Room(2, sees=2),
    "saliency.asked": Room(2, sees=2),
    "saliency.feeding": Room(2, sees=2),
    "saliency.consistency": Room(2, sees=2),
    "saliency.adapters": Room(3, sees=1),
    "saliency.core": Room(3, sees=2),
    "saliency.metrics": Room(3, sees=2),
    "saliency.tf1": Room(4, sees=3),
    "saliency.deepexplain": Room(4, sees=3),
    "saliency.demo": Room(4, sees=3),
    "saliency.predictions": Room(4, sees=3),
    "saliency.catalogue": Room(4, sees=3),
    "saliency.explain": Room(5, sees=4),
    "saliency.api": Room(5, sees=4),
    "saliency_widget": Room(7, sees=6),
}
TOP = {"saliency": Room(6, sees=5)}  # the package's own __init__, and nothing beneath it

# Imports upward that are meant, made inside a function: (the module, what it imports) and why.
LAZY: dict[tuple[str, str], str] = {}

FRAMEWORKS = {"torch", "torchvision", "tensorflow", "keras", "jax", "flax", "equinox", "onnxruntime", "transformers"}
FRAMEWORK_ROOMS = ("saliency.adapters", "saliency.tf1", "saliency.deepexplain", "saliency.demo")


class Import(NamedTuple):
    """One import: the module that is named, and whether it is carried out (not only read by a type checker)."""

    module: str
    line: int
    runs: bool
    lazy: bool


def covers(prefix: str, module: str) -> bool:
    """Whether a module is what the prefix names, or lies beneath it."""
    return module == prefix or module.startswith(prefix + ".")


def room_of(module: str) -> tuple[str, Room]:
    """The room a module is in, by its prefix and by its levels; a KeyError where it has none."""
    for prefix, room in ROOMS.items():
        if covers(prefix, module):
            return prefix, room
    return module, TOP[module]


def imports(module: str, source: str, modules: Mapping[str, object]) -> Iterator[Import]:
    """Every import of a module, with relative names resolved and `from package import submodule` told apart."""

    def visit(node: ast.AST, *, runs: bool, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, runs, lazy)
        elif isinstance(node, ast.ImportFrom):
            package = module if modules[module] == "package" else module.rpartition(".")[0]
            for _ in range(node.level - 1):
                package = package.rpartition(".")[0]
            origin = ".".join(filter(None, (package if node.level else "", node.module)))
            for alias in node.names:
                submodule = f"{origin}.{alias.name}"
                yield Import(submodule if submodule in modules else origin, node.lineno, runs, lazy)
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for statement in node.body:
                yield from visit(statement, runs=False, lazy=lazy)
            for statement in node.orelse:
                yield from visit(statement, runs=runs, lazy=lazy)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for child in ast.iter_child_nodes(node):
                yield from visit(child, runs=runs, lazy=lazy or inside)

    yield from visit(ast.parse(source), runs=True, lazy=False)


def offences(sources: Mapping[str, str], packages: set[str]) -> list[str]:
    """What the modules (name -> source) do against the table, one sentence each."""
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
                if there.level > room.sees and not (what.lazy and (module, what.module) in LAZY):
                    found.append(f"{place}: level {there.level}, but sees only up to {room.sees}")
    return found


def ring(sources: Mapping[str, str], packages: set[str]) -> list[str]:
    """A ring of modules that import each other as they are loaded, or nothing."""
    kinds = {module: "package" if module in packages else "module" for module in sources}
    graph = {
        module: {what.module for what in imports(module, source, kinds) if what.runs and not what.lazy} - {module}
        for module, source in sources.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def private_names(source: str, public: set[str]) -> list[str]:
    """What a module takes from `saliency` that is not a public name."""
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
    """Every folder of the two packages that is a package."""
    inits = [file for top in ("saliency", "saliency_widget") for file in (checkout / top).rglob("__init__.py")]
    return {".".join(file.parent.relative_to(checkout).parts) for file in inits}


@pytest.fixture(scope="module")
def sources(checkout: Path) -> dict[str, str]:
    """Every module of the two packages: name -> source."""
    files = [file for top in ("saliency", "saliency_widget") for file in sorted((checkout / top).rglob("*.py"))]
    names = [".".join(file.relative_to(checkout).with_suffix("").parts).removesuffix(".__init__") for file in files]
    return {name: file.read_text(encoding="utf-8") for name, file in zip(names, files, strict=True)}


def test_imports_run_downward(sources: dict[str, str], packages: set[str]) -> None:
    """A module imports its own room and the rooms below it; frameworks are imported in four rooms only."""
    assert {"saliency", "saliency_widget"} <= packages
    assert offences(sources, packages) == []


def test_no_module_waits_for_itself(sources: dict[str, str], packages: set[str]) -> None:
    """No modules import each other in a ring while they are loaded."""
    assert ring(sources, packages) == []


def test_the_widget_uses_public_names_only(sources: dict[str, str]) -> None:
    """The widget takes from `saliency` what any user could take: the names in `saliency.__all__`."""
    public = set(saliency.__all__)
    modules = {module: source for module, source in sources.items() if covers("saliency_widget", module)}

    assert {module: names for module, source in modules.items() if (names := private_names(source, public))} == {}


@pytest.mark.parametrize(
    ("module", "line", "offence"),
    [
        ("saliency.model", "from saliency import session", "level 2, but sees only up to 0"),
        ("saliency.model", "from . import session", "level 2, but sees only up to 0"),
        ("saliency.core.xrai", "from ..session import Session", None),
        ("saliency.core.xrai", "from . import base", None),
        ("saliency.core.xrai", "from saliency.metrics import pic", "level 3, but sees only up to 2"),
        ("saliency.core.xrai", "def f():\n    from saliency.adapters import adapt", "level 3, but sees only up to 2"),
        ("saliency.core.xrai", "if TYPE_CHECKING:\n    from saliency import explain", "level 5, but sees only up to 2"),
        ("saliency.adapters.keras", "from saliency.adapters import torch", None),
        ("saliency.adapters.keras", "import saliency.session", "level 2, but sees only up to 1"),
        ("saliency.session", "import torch.nn", "a framework"),
        ("saliency.adapters.torch", "import torch", None),
        ("saliency.errors", "import saliency", "level 6, but sees only up to 0"),
        ("saliency.session", "import saliency_widget", "level 7, but sees only up to 2"),
        ("saliency.newcomer", "", "has no room"),
    ],
)
def test_the_table_is_kept(module: str, line: str, offence: str | None) -> None:
    """An import upward or sideways, a stray framework and an unknown module are each reported; good ones are not."""
    sources = dict.fromkeys(("saliency", "saliency.session", "saliency.explain", "saliency.core.base"), "")
    packages = {"saliency", "saliency.core", "saliency.adapters", "saliency_widget"}

    found = offences({**sources, **dict.fromkeys(packages, ""), module: line}, packages)

    assert len(found) == (offence is not None)
    assert all(offence is not None and offence in sentence for sentence in found)


def test_a_ring_is_found() -> None:
    """Two modules that load each other are a ring; an import for types only, or within a function, is none."""
    ops, samples = "import saliency.samples", "import saliency.ops"

    assert ring({"saliency.ops": ops, "saliency.samples": samples}, set()) != []
    assert ring({"saliency.ops": f"if TYPE_CHECKING:\n    {ops}", "saliency.samples": samples}, set()) == []
    assert ring({"saliency.ops": f"def f():\n    {ops}", "saliency.samples": samples}, set()) == []


def test_a_private_name_is_found() -> None:
    """A submodule, an unlisted name and an unlisted attribute are private; a listed name is not."""
    public = {"explain"}

    assert private_names("import saliency\nfrom saliency import explain\nsaliency.explain()", public) == []
    assert private_names("import saliency.session", public) == ["saliency.session"]
    assert private_names("from saliency.session import Session", public) == ["saliency.session"]
    assert private_names("from saliency import Session", public) == ["saliency.Session"]
    assert private_names("import saliency\nsaliency.session.Session", public) == ["saliency.session"]
