"""When the build hook calls npm, and what it says where it cannot."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest


@pytest.fixture
def hook_module(checkout: Path) -> ModuleType:
    """hatch_build.py, which no package imports."""
    spec = importlib.util.spec_from_file_location("hatch_build", checkout / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Workshop:
    """A project with a source file, where npm writes down how it was called."""

    def __init__(self, root: Path, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.module, self.monkeypatch = root, module, monkeypatch
        self.warnings: list[str] = []
        self.write("js/src/widget.ts", time=100)
        monkeypatch.setenv("PATH", str(root / "bin"))

    def write(self, name: str, *, time: int) -> None:
        """Makes a file that was last changed at the given second."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (time, time))

    def write_bundle(self, *, time: int) -> None:
        """Makes the built front end."""
        for name in self.module.BUNDLE:
            self.write(name, time=time)

    def install_npm(self, *, builds: bool = True) -> None:
        """Puts an npm on the PATH; it builds the bundle, or forgets to."""
        lines = [
            f"#!{sys.executable}",
            "import pathlib, sys",
            "open('calls', 'a').write(' '.join(sys.argv[1:]) + '\\n')",
            f"for name in {self.module.BUNDLE!r} if {builds!r} and 'build' in sys.argv else ():",
            "    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)",
            "    pathlib.Path(name).write_text('built')",
        ]
        npm = self.root / "bin" / "npm"
        npm.parent.mkdir()
        npm.write_text("\n".join(lines))
        npm.chmod(0o755)

    def calls(self) -> list[str]:
        """How npm was called."""
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def build(self, version: str = "standard") -> None:
        """Runs the hook, as hatchling would; `version` is "editable" for `pip install --editable`."""
        app = SimpleNamespace(display_warning=self.warnings.append)
        hook = self.module.FrontEnd(str(self.root), {}, None, None, str(self.root), "wheel", app)
        hook.initialize(version, {})


@pytest.fixture
def workshop(tmp_path: Path, hook_module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A project without a bundle, on a machine without npm."""
    return Workshop(tmp_path, hook_module, monkeypatch)


def test_a_missing_bundle_is_built(workshop: Workshop) -> None:
    """In a fresh clone the hook installs what the lock file says, and builds."""
    workshop.install_npm()
    workshop.build()

    assert workshop.calls() == ["ci --no-audit --no-fund", "run build"]


def test_a_stale_bundle_is_built_again(workshop: Workshop) -> None:
    """A bundle older than a source file is built again."""
    workshop.write_bundle(time=99)
    workshop.install_npm()
    workshop.build()

    assert workshop.calls()[-1] == "run build"


def test_a_fresh_bundle_is_left_alone(workshop: Workshop) -> None:
    """A bundle as young as its sources costs no npm call."""
    workshop.write_bundle(time=100)
    workshop.install_npm()
    workshop.build()

    assert workshop.calls() == []


def test_an_sdist_is_never_stale(workshop: Workshop) -> None:
    """In an unpacked sdist the files' times mean nothing: its bundle is used as it is."""
    workshop.write_bundle(time=99)
    workshop.write("PKG-INFO", time=0)
    workshop.install_npm()
    workshop.build()

    assert workshop.calls() == []


def test_a_stale_bundle_without_npm_is_used_with_a_warning(workshop: Workshop) -> None:
    """Without npm an old bundle is used, with a warning."""
    workshop.write_bundle(time=99)
    workshop.build()

    assert workshop.warnings == ["js/src is newer than the built front end, and there is no npm to build it again."]


def test_no_bundle_and_no_npm_is_an_error_with_a_way_out(workshop: Workshop) -> None:
    """Where neither bundle nor npm is there, the error says what is missing and how to get it."""
    with pytest.raises(
        RuntimeError, match=r"expected .*widget\.js and .*widget\.css, but npm is not installed\. Install"
    ):
        workshop.build()


def test_an_editable_install_needs_no_bundle(workshop: Workshop) -> None:
    """An editable install without bundle and npm succeeds with the same sentence as a warning."""
    workshop.build("editable")

    (warning,) = workshop.warnings
    assert "npm is not installed. Install Node.js 20" in warning


def test_a_build_that_builds_nothing_is_an_error(workshop: Workshop) -> None:
    """An npm that succeeds but leaves no bundle does not make a package without one."""
    workshop.install_npm(builds=False)

    with pytest.raises(RuntimeError, match="`npm run build` left none"):
        workshop.build()
