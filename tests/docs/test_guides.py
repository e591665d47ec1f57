"""The guides of docs/guides work: their files are written and their commands run in a copy of the checkout.

A block of code whose first line is a comment with a path is that file. A block of ``diff`` names a file after ``+++``
and adds the lines with ``+`` after the line before them. A block of ``sh`` is run; other Python is run as a script.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "guides"
BLOCK = re.compile(r"^```(\w+)\n(.+?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^(?:#|//|/\*) (\S+\.\w+)(?: \*/)?\n")

COPIED = ("saliency", "saliency_widget", "scripts", "tests", "js", "docs/images/methods", "docs/methods.md")
"""Files that the commands of the guides need."""

KEPT = ("pyproject.toml", "package.json", "tsconfig.json", "vitest.config.ts", "CHANGELOG.md")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of the checkout that may be changed."""
    for name in COPIED:
        # tests compare many pictures
        skipped = shutil.ignore_patterns("__pycache__", *["*.png"] * (name == "tests"))
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=skipped)
        else:
            shutil.copy(source, target)
    for name in KEPT:
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return tmp_path


@pytest.mark.parametrize("guide", sorted(GUIDES.glob("*.md")), ids=lambda path: path.stem)
def test_a_guide_works(guide: Path, copy: Path) -> None:
    """Every file is written, every addition has one matching position, and every command succeeds."""
    for language, text in BLOCK.findall(guide.read_text(encoding="utf-8")):
        if (named := NAMED.match(text)) is not None:
            path = copy / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text[named.end() :], encoding="utf-8")
        elif language == "diff":
            add(text, copy)
        elif language == "sh":
            for line in text.splitlines():
                run(shlex.split(line), copy)
        else:
            run(["python", "-c", text], copy)


def test_each_guide_is_a_page_and_is_linked() -> None:
    """A guide has at most 160 lines, and the README links to it once."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for guide in GUIDES.glob("*.md"):
        assert len(guide.read_text(encoding="utf-8").splitlines()) <= 160
        assert readme.count(f"docs/guides/{guide.name}") == 1


def add(diff: str, folder: Path) -> None:
    """Apply a diff without line numbers: insert each run of ``+`` lines after the lines before it."""
    head, *lines = diff.splitlines()
    path = folder / head.removeprefix("+++ ")
    text = path.read_text(encoding="utf-8")
    before: list[str] = []
    added: list[str] = []
    for line in [*lines, " "]:
        if line.startswith("+"):
            added.append(line[1:])
            continue
        if added:
            place = "\n".join(before) + "\n"
            assert text.count(place) == 1, f"{path.name} has {text.count(place)} times:\n{place}"
            text = text.replace(place, place + "\n".join(added) + "\n")
            before, added = [], []
        before.append(line[1:])
    path.write_text(text, encoding="utf-8")


def run(command: list[str], folder: Path) -> None:
    """Run a command in the copy, with this Python and the installed npm packages."""
    if command[0] == "python":
        command = [sys.executable, *command[1:]]
    elif command[0] == "npx":
        command = [str(ROOT / "node_modules" / ".bin" / command[1]), *command[2:]]
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider -q"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{(done.stdout + done.stderr)[-3000:]}"
