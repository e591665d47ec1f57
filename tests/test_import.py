"""What `import saliency` loads, and when the rest is loaded."""

from __future__ import annotations

import ast
import importlib
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import saliency
from saliency import core
from saliency.core import catalogue

LATER = ("saliency.attacks", "saliency.datasets", "saliency.metrics", "saliency.testbed")
LIGHT = {"saliency", "saliency.core", "saliency.core.catalogue", "saliency.lazy", "saliency.upstream"}


def loaded_by(code: str) -> set[str]:
    """Return the modules that code loads in a new process, beside what Python loads itself."""
    lines = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", lines], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("statement", ["import saliency", "import saliency.core as saliency"])
def test_an_import_is_light(statement: str) -> None:
    """Five modules of ours are loaded, and of other packages none, not even NumPy."""
    loaded = loaded_by(statement)

    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == LIGHT
    assert "importlib.metadata" not in loaded


def test_a_method_brings_in_what_it_needs() -> None:
    """PAIR's gradient loads no other method, no adapter and none of the calls of `saliency`."""
    loaded = loaded_by("import saliency.core as saliency\nsaliency.GradientSaliency()")

    assert {"saliency.core.gradients", "saliency.core.base"} <= loaded
    methods = {name for name in loaded if name in catalogue.MODULES}
    assert methods == {"saliency.core.gradients"}
    assert not {name for name in loaded if name.startswith(("saliency.adapters", "saliency.api", "saliency.results"))}


def test_only_what_explains_is_imported() -> None:
    """The methods are listed by their ids; metrics, attacks, test-beds and data sets are imported when first used."""
    explaining = "import saliency\nassert saliency.methods()[0].id == 'gradient'\nsaliency.explain"

    assert catalogue.MODULES.keys() <= loaded_by(explaining)
    assert {name for name in loaded_by(explaining) if name.startswith(LATER)} == set()
    assert "saliency.api.evaluate" in loaded_by(explaining + "\nsaliency.metrics, saliency.evaluate")


@pytest.mark.parametrize("package", [saliency, core, catalogue])
def test_the_tables_are_the_imports_for_type_checkers(package: ModuleType) -> None:
    """Each name is imported from the module that type checkers see, so that import cycles are found there."""
    seen: dict[str, set[str]] = {}
    tree = ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8"))
    typed = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    for node in typed.body:
        if isinstance(node, ast.ImportFrom):
            seen.setdefault(str(node.module), set()).update(alias.name for alias in node.names)
    others = ("saliency.core.catalogue", "*") if package is not catalogue else ("saliency.core.method", "Method")
    seen[others[0]].remove(others[1])
    table = catalogue.MODULES if package is catalogue else package._NAMES

    assert {module: names for module, names in seen.items() if names} == {
        module: set(names.split()) for module, names in table.items()
    }


@pytest.mark.parametrize("package", [saliency, core])
def test_lazy_names_are_public(package: ModuleType) -> None:
    """Every public name is listed by `dir`, is there, and is its module's own."""
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        value = getattr(package, name)
        if isinstance(value, type):
            assert value is getattr(importlib.import_module(value.__module__), name)
            assert pickle.loads(pickle.dumps(value)) is value


def test_another_name_is_refused() -> None:
    """A name that does not exist raises Python's own error, which suggests the nearest."""
    with pytest.raises(AttributeError, match=r"module 'saliency' has no attribute 'chekc'"):
        getattr(saliency, "chekc")  # noqa: B009

    command = [sys.executable, "-c", "import saliency; saliency.chekc"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "Did you mean: 'check'?" in done.stderr
