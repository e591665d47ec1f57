"""Settings, fixtures and the collection of all tests."""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Generator
from pathlib import Path

import hypothesis
import pytest

from tests import frameworks, jitter, keywords

os.environ["MPLBACKEND"] = "Agg"  # no test opens a window
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no messages about processor instructions
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling takes most of the time in our tests

# No deadline: the time of an example depends on the machine. CI uses the same examples each time, so that a failure
# can be reproduced; elsewhere they are new, so that new faults are found.
hypothesis.settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("default")


jitter.install()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add ``--models``; read `timeout` in pyproject.toml also where pytest-timeout is not installed."""
    frameworks.add_option(parser)
    if not pluginmanager.hasplugin("timeout"):
        parser.addini("timeout", "seconds a test may take; needs pytest-timeout")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector, and exclude the objects created by then from later runs."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import test files of frameworks that ``--models`` leaves out, nor those where ``-k`` matches nothing."""
    name = collection_path.relative_to(config.rootpath).as_posix()
    if frameworks.is_left_out(name, config):
        return True
    if not collection_path.match("test_*.py") or any(name in argument for argument in config.args):
        return None
    return None if keywords.can_match(collection_path, name, config.option.keyword) else True


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Select tests by framework, and refuse ids that differ from process to process."""
    if unstable := [item.nodeid for item in items if re.search(r"\b0x[0-9a-f]{8,}", item.nodeid)]:
        message = f"Expected ids that are the same in every process, got an object's address in {unstable}: pass ids="
        raise pytest.UsageError(message)
    frameworks.select(items, config)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """Return the root of the repository."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _figures() -> Generator[None, None, None]:
    """Close the figures that a test left open, so that no test sees those of another."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
