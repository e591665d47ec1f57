"""The files that a hosted project needs agree with the package, and with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import saliency

FORMS = ("bug.yml", "feature.yml")


def loaded(path: Path) -> Any:
    """Read a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version(checkout: Path) -> None:
    """Title, abstract, version and license of CITATION.cff are the package's."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = loaded(checkout / "CITATION.cff")

    assert (citation["title"], citation["abstract"]) == (project["name"], project["description"])
    assert citation["version"] == project["version"] == saliency.__version__
    assert citation["license"] == project["license"]


@pytest.mark.parametrize("name", FORMS)
def test_issue_forms_ask_for_versions(checkout: Path, name: str) -> None:
    """Each form requires the output of a function that exists."""
    fields = {field["id"]: field for field in loaded(checkout / ".github/ISSUE_TEMPLATE" / name)["body"]}
    (function,) = re.findall(r"saliency\.(\w+)\(\)", fields["versions"]["attributes"]["description"])

    assert callable(getattr(saliency, function))
    assert fields["versions"].get("validations", {}).get("required", False) is (name == "bug.yml")


def test_workflows_test_the_supported_versions(checkout: Path) -> None:
    """Pull requests are tested on every Python from the oldest one; a release is checked on the oldest and newest."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    everything = loaded(checkout / ".github/workflows/tests.yml")["jobs"]["everything"]["strategy"]["matrix"]["python"]
    checked = loaded(checkout / ".github/workflows/release.yml")["jobs"]["check"]["strategy"]["matrix"]["python"]

    assert project["requires-python"] == f">={everything[0]}"
    assert [int(version.partition(".")[2]) for version in everything] == list(range(11, 11 + len(everything)))
    assert checked == [everything[0], everything[-1]]


@pytest.mark.parametrize("name", ["tests.yml", "nightly.yml", "release.yml"])
def test_workflows_may_do_little_and_end(checkout: Path, name: str) -> None:
    """Each job ends in time, and may write only where it has to: the release's page."""
    workflow = loaded(checkout / ".github/workflows" / name)

    assert workflow["permissions"] == {"contents": "read"}
    for title, job in workflow["jobs"].items():
        assert "timeout-minutes" in job
        assert job.get("permissions", {}).get("contents") in (None, "write" if title == "announce" else None)
        assert ("id-token" in job.get("permissions", {})) is (title == "publish")
