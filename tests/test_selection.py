"""``--models`` and ``-k`` deselect the tests that they should, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import frameworks, keywords


@pytest.mark.parametrize(
    ("kind", "expected"), [("JAX", {"jax"}), ("function of torch", {"torch"}), ("Keras 3", {"keras"}), ("rise", set())]
)
def test_an_id_names_a_framework(request: pytest.FixtureRequest, kind: str, expected: set[str]) -> None:
    """A test with a parameter "JAX" belongs to JAX; a method's name is not a framework."""
    assert frameworks.named(request.node) == expected


@pytest.mark.needs("onnxruntime")
def test_a_marker_names_a_framework(request: pytest.FixtureRequest) -> None:
    """The marker `needs` names a package, and thereby its framework."""
    assert frameworks.named(request.node) == {"onnx"}


def test_an_import_names_a_framework(request: pytest.FixtureRequest) -> None:
    """A test that imports TensorFlow itself belongs to TensorFlow."""
    if request.config.option.verbose < 0:  # never: the import only has to be in the source
        import tensorflow as tf  # noqa: F401

    assert "tensorflow" in frameworks.named(request.node)


@pytest.mark.parametrize(
    ("source", "computed"),
    [
        ('@pytest.mark.parametrize("x", ["a", 1])\ndef test(x): ...', False),
        ('KINDS = {"a": 1}\n@pytest.mark.parametrize("x", KINDS)\ndef test(x): ...', False),
        ('@pytest.mark.parametrize("x", [Rise(), nn.ReLU])\ndef test(x): ...', False),
        ('@pytest.mark.parametrize("x", [pytest.param(1, id="a")])\ndef test(x): ...', False),
        ('@pytest.mark.parametrize("x", [Rise()], ids=str)\ndef test(x): ...', True),
        ('@pytest.mark.parametrize("x", METHODS)\ndef test(x): ...', True),
        ('@pytest.mark.parametrize("x", [row.id for row in methods()])\ndef test(x): ...', True),
        ('KINDS = load("kinds.json")\n@pytest.mark.parametrize("x", KINDS)\ndef test(x): ...', True),
        ("@pytest.fixture(params=sorted(METHODS))\ndef x(request): ...", True),
        ('@pytest.mark.parametrize("x", [1], ids=lambda value: f"rise{value}")\ndef test(x): ...', True),
    ],
    ids=range(10),
)
def test_computed_ids_are_found(source: str, computed: bool) -> None:
    """Ids from a call or another module are computed; literal ids are not."""
    assert keywords.has_computed_ids(source) is computed


def test_no_file_with_a_match_is_passed_over(request: pytest.FixtureRequest) -> None:
    """For words of every kind, a file is collected if the name or id of one of its tests contains the word."""
    words = (
        *["xrai", "RISE", "torch", "captum", "baseline", "steps=", "float16", "True", "None", "cat", "1", "-"],
        "e0-",
    )
    passed = {
        (word, item.nodeid)
        for word in words
        for item in request.session.items
        if word.lower() in item.nodeid.lower()
        and not keywords.can_match(item.path, item.path.relative_to(request.config.rootpath).as_posix(), word)
    }

    assert passed == set()


COLLECTING = """
import sys
import pytest

code = pytest.main(["--collect-only", "--quiet", "-p", "no:cacheprovider", "tests", "--ignore=tests/browser"])
print("imported", int(code), *(sys.modules.keys() & set(sys.argv[1:])))
"""


def test_collecting_imports_no_framework_but_torch(checkout: Path) -> None:
    """In a new process, all tests except the browser's are collected without importing a framework except torch."""
    command = [sys.executable, "-c", COLLECTING, "tensorflow", "keras", "jax", "onnxruntime", "transformers", "captum"]
    done = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)

    assert done.stdout.splitlines()[-1] == "imported 0", "use tests.frameworks.lazy, and pytest.mark.needs"


def test_a_file_without_the_word_is_passed_over(tmp_path: Path) -> None:
    """A file without the word is left out, but not for `not`, and not if one of two words is enough."""
    path = tmp_path / "test_x.py"
    path.write_text("def test_rise(): ...")

    assert not keywords.can_match(path, "tests/test_x.py", "xrai")
    assert keywords.can_match(path, "tests/test_x.py", "xrai or rise")
    assert keywords.can_match(path, "tests/test_x.py", "not xrai")
    assert keywords.can_match(path, "tests/test_x.py", "test_x")
    assert keywords.can_match(path, "tests/test_x.py", "")
