"""The build hook: a wheel or an sdist is never made without the front end.

An editable install may be: it holds no files, and the engine's tests run without Node.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLE = tuple(f"saliency_widget/static/{name}" for name in ("widget.js", "more.js", "widget.css"))
SOURCES = ("js/src", "js/build.mjs", "package.json", "package-lock.json")


class FrontEnd(BuildHookInterface[Any]):
    """Runs npm where the bundle is missing or older than its sources, and leaves a good bundle alone."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it gathers the files, for wheel, sdist and editable install alike."""
        root = Path(self.root)
        missing = [path for path in BUNDLE if not (root / path).is_file()]
        if not missing and not is_stale(root):
            return
        npm = shutil.which("npm")
        if npm is not None:
            for command in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
                subprocess.run([npm, *command], cwd=root, check=True)
        elif not missing:
            self.app.display_warning("js/src is newer than the built front end, and there is no npm to build it again.")
        still_missing = [path for path in BUNDLE if not (root / path).is_file()]
        if still_missing:
            done = "`npm run build` left none" if npm else "npm is not installed"
            msg = (
                f"The front end is not built: expected {' and '.join(still_missing)}, but {done}. Install Node.js 20 "
                "or newer and run `npm ci && npm run build` here, or install a released wheel or sdist: they carry it."
            )
            if version != "editable":
                raise RuntimeError(msg)
            self.app.display_warning(msg)


def is_stale(root: Path) -> bool:
    """Whether a source is newer than the bundle. Never so in an unpacked sdist, where file times mean nothing."""
    if (root / "PKG-INFO").is_file():
        return False
    built = min((root / path).stat().st_mtime for path in BUNDLE)
    sources = (file for source in SOURCES for file in [root / source, *(root / source).rglob("*")] if file.is_file())
    return any(file.stat().st_mtime > built for file in sources)
