"""`saliency.show_versions`: what a bug report needs, and nothing imported for it."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

import saliency
from saliency.api import versions

FRAMEWORKS = {"torch", "tensorflow", "keras", "jax", "onnxruntime", "transformers"}


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return every name that is printed, with its version."""
    saliency.show_versions()
    text, _, _ = capsys.readouterr().out.partition("Devices of imported frameworks")
    return dict(re.findall(r"^  (\S+) +(.*)$", text, re.MULTILINE))


def test_versions_are_those_of_the_metadata(capsys: pytest.CaptureFixture[str]) -> None:
    """The report names this package, Python, and every installed package with the version of its metadata."""
    rows = shown(capsys)

    assert rows["saliency-widget"] == saliency.__version__
    assert rows["python"].startswith(platform.python_version())
    for name in ("anywidget", "numpy", "scikit-image", "pillow", "tqdm", "torch", "jupyterlab", "captum"):
        assert rows[name].split()[0] == importlib.metadata.version(name)


def test_no_framework_is_imported() -> None:
    """In a process that has imported no framework the report imports none, and lists no devices."""
    code = "import sys, saliency; saliency.show_versions(); print('imported', *sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    text, _, modules = out.partition("imported ")

    assert FRAMEWORKS.isdisjoint(modules.split())
    assert "Devices" not in text


def test_devices_are_those_of_imported_frameworks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An imported framework lists its devices; one that cannot is shown with its error, and the report goes on."""
    pytest.importorskip("torch")

    def broken() -> None:
        message = "no driver"
        raise RuntimeError(message)

    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(devices=broken))
    shown(capsys)
    rows = dict(versions.devices())

    assert rows["torch"].startswith("cpu")
    assert rows["jax"] == "RuntimeError: no driver"


def test_an_absent_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A required package that is missing is listed as not installed; an optional one is left out."""

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    text = versions.report()

    assert "numpy" in text
    assert "not installed" in text
    assert "Frameworks" not in text.replace("imported frameworks", "")
