"""The wheel and the sdist contain all files that users need, and install without Node."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

BUNDLE = {f"saliency_widget/static/{name}" for name in ("widget.js", "more.js", "widget.css")}
TYPED = {"saliency/py.typed", "saliency_widget/py.typed"}


def run(*command: str, cwd: Path) -> None:
    """Runs Python where neither node nor npm nor anything else can be found."""
    nowhere = {**os.environ, "PATH": str(cwd / "no-such-folder")}
    result = subprocess.run(
        [sys.executable, "-m", *command],
        check=False,
        cwd=cwd,
        env=nowhere,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert result.returncode == 0, result.stdout


def kept_by_git(checkout: Path) -> list[str]:
    """The files a clone would have, with those that are new in this checkout."""
    # A checkout may belong to another user, as in a container: so git is allowed to read it.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout
    return [name for name in listing.split("\0") if name and (checkout / name).is_file()]


@pytest.fixture(scope="module")
def demo_data(checkout: Path) -> set[str]:
    """The demo's weights, pictures and labels, as they lie in the repository."""
    files = [name for name in kept_by_git(checkout) if name.startswith("saliency/demo/")]
    return {name for name in files if name.endswith((".png", ".npz", ".json"))}


@pytest.fixture(scope="module")
def dist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel, both built from a copy of the checkout."""
    tree = tmp_path_factory.mktemp("tree")
    for name in {*kept_by_git(checkout), *BUNDLE}:
        assert (checkout / name).is_file(), f"{name} is not built: run `npm run build`, or `make test` for everything"
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(checkout / name, tree / name)
    (tree / "node_modules").mkdir()
    (tree / "node_modules" / "stray.js").touch()
    run("build", "--no-isolation", "--sdist", "--wheel", "--outdir", "dist", cwd=tree)
    return tree / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    """The wheel, built straight from the checkout."""
    return next(dist.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist_tree(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return next(folder.iterdir())


def names_in(wheel: Path) -> set[str]:
    """The files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_carries_what_it_needs(wheel: Path, demo_data: set[str]) -> None:
    """The wheel has the built front end, the type markers and the demo's data, and only the two packages."""
    names = names_in(wheel)

    assert {Path(name).suffix for name in demo_data} == {".png", ".npz", ".json"}
    assert BUNDLE | TYPED | demo_data <= names
    assert sorted({name.partition("/")[0].partition("-")[0] for name in names}) == ["saliency", "saliency_widget"]


def test_the_sdist_carries_what_it_needs(sdist_tree: Path, demo_data: set[str]) -> None:
    """The sdist has the built front end and its sources, and neither tests nor installed npm packages."""
    names = {file.relative_to(sdist_tree).as_posix() for file in sdist_tree.rglob("*") if file.is_file()}

    assert BUNDLE | TYPED | demo_data | {"hatch_build.py", "package-lock.json", "js/src/widget.ts", "LICENSE"} <= names
    assert not any(part in ("tests", "node_modules") for name in names for part in name.split("/"))


def test_the_wheel_installs_without_node(wheel: Path, demo_data: set[str], tmp_path: Path) -> None:
    """Where there is no Node, pip installs the wheel, and the front end is on the disk."""
    run("pip", "install", "--no-deps", "--no-index", "--target", "site", str(wheel), cwd=tmp_path)

    assert [name for name in BUNDLE | TYPED | demo_data if not (tmp_path / "site" / name).is_file()] == []


def test_the_sdist_builds_without_node(sdist_tree: Path, wheel: Path, tmp_path: Path) -> None:
    """Where there is no Node, the sdist still becomes a wheel, with the same files as the one from the checkout."""
    run("build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), cwd=sdist_tree)

    assert names_in(next(tmp_path.glob("*.whl"))) == names_in(wheel)
