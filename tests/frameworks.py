"""Frameworks in tests: imported at first use, skipped if not installed, and selected by ``--models=torch,jax``.

A test *names* a framework in its folder or file (``test_jax.py``), in its parameters' ids (``[jax-xrai]``), by the
marker ``needs("jax")``, or by importing it inside the test. torch is counted only where a path, an id or a marker
names it, because the small networks of most tests are torch's.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import warnings
from functools import cache
from typing import Any

import pytest

WORDS = {
    **dict.fromkeys(("torch", "pytorch"), "torch"),
    **dict.fromkeys(("tensorflow", "savedmodel"), "tensorflow"),
    "keras": "keras",
    **dict.fromkeys(("jax", "flax", "linen", "nnx", "equinox"), "jax"),
    **dict.fromkeys(("onnx", "onnxruntime"), "onnx"),
    **dict.fromkeys(("transformers", "huggingface"), "transformers"),
}
"""Words of ids, paths and packages -> the framework's name in `--models`."""
FOLDERS = {"tf1": "tensorflow", "deepexplain": "tensorflow"}
"""More words of paths."""
MODELS = tuple(dict.fromkeys(WORDS.values()))
PACKAGES = {
    "pytorch": "torch",
    "linen": "flax",
    "nnx": "flax",
    "savedmodel": "tensorflow",
    "huggingface": "transformers",
}
"""Words whose package has another name."""


class _Lazy:
    """A module that is imported when a public attribute of it is read; pytest reads private ones while it collects."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_") and attribute != "__all__":
            raise AttributeError(attribute)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of the package's own import
            module = importlib.import_module(self._name)
        return getattr(module, attribute)


def lazy(name: str) -> Any:
    """Return a placeholder for a module, so that collecting a test file imports no framework."""
    return _Lazy(name)


def add_option(parser: pytest.Parser) -> None:
    """Add ``--models``."""
    parser.addoption(
        "--models",
        default="",
        metavar="NAMES",
        help=f"run only tests that name no other frameworks than these, with commas between: {', '.join(MODELS)}",
    )


def chosen(config: pytest.Config) -> set[str]:
    """Return the frameworks that ``--models`` lists; all of them without the option."""
    names = set(filter(None, re.split(r"[,\s]+", config.getoption("--models"))))
    if unknown := sorted(names - WORDS.keys()):
        message = f"--models: expected names among {', '.join(MODELS)}, got {', '.join(unknown)}"
        raise pytest.UsageError(message)
    return _frameworks(names) or set(MODELS)


def is_left_out(path: str, config: pytest.Config) -> bool:
    """Return whether the path of a file or folder names a framework that is not chosen, so that it is not imported."""
    return not _of_path(path) <= chosen(config)


def select(items: list[pytest.Item], config: pytest.Config) -> None:
    """Deselect tests of frameworks that are not chosen, and skip those whose packages are not installed."""
    wanted = chosen(config)
    left_out = [item for item in items if not named(item) <= wanted] if wanted != set(MODELS) else []
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    for item in items:
        if missing := [package for package in map(_package, _needed(item)) if not _is_installed(package)]:
            item.add_marker(pytest.mark.skip(reason=f"{', '.join(missing)} is not installed"))


def named(item: pytest.Item) -> set[str]:
    """Return the frameworks that a test names."""
    code = getattr(getattr(item, "function", None), "__code__", None)
    inside = {*code.co_names, *(each for each in code.co_consts if isinstance(each, str))} if code else set()
    path = item.path.relative_to(item.config.rootpath).as_posix()
    return _of_path(path) | _frameworks(_needed(item)) | (_frameworks(inside) - {"torch"})


def _needed(item: pytest.Item) -> set[str]:
    """Return the words for packages that markers and the parameters' ids name."""
    marked = {package for marker in item.iter_markers("needs") for package in marker.args}
    parameters = getattr(item, "callspec", None)
    return marked | (_words(parameters.id) & WORDS.keys() if parameters else set())


def _of_path(path: str) -> set[str]:
    """Return the frameworks that the path of a file or folder names."""
    words = _words(path)
    return _frameworks(words) | {FOLDERS[word] for word in words & FOLDERS.keys()}


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def _frameworks(words: set[str]) -> set[str]:
    return {WORDS[word] for word in words if word in WORDS}


def _package(word: str) -> str:
    return PACKAGES.get(word, word)


@cache
def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
