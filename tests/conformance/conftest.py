"""Choose the frameworks of a run: ``pytest tests/conformance --models=torch,jax``."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the models of all frameworks but the chosen ones."""
    chosen = {each for each in config.getoption("--models").split(",") if each}
    left_out = [each for each in items if chosen and (kind := kind_of(each)) and kind.split()[0] not in chosen]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [each for each in items if each not in left_out]


def kind_of(item: Any) -> str:
    """Return the name of the model that a test is about; empty where it is about none."""
    if "conformance" not in item.path.parts or not hasattr(item, "callspec"):
        return ""
    return str(item.callspec.params.get("kind", ""))
