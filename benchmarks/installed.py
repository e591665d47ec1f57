"""The packages that `make bench` compares with, each where our own package does not see it.

    python -m benchmarks.installed

installs them. A package that cannot be installed is left out, and docs/benchmarks.md gives the reason.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PEERS = Path(sys.prefix) / "peers"
"""Folder of the packages of peers.txt, which need the versions of our environment."""

PAIR = Path(sys.prefix) / "pair"
"""Environment of PAIR's package, which needs older versions."""

PAIR_ALONE = Path(sys.prefix) / "pair-alone"
"""Folder of PAIR's package only, for `saliency.tf1`: TensorFlow needs the versions of our environment."""

LENT = sysconfig.get_path("purelib")
"""Our environment's packages: torch is imported from there in PAIR's environment."""


def failures() -> dict[str, str]:
    """Return why packages could not be installed, by their requirement."""
    path = PEERS / "failed.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def versions() -> list[str]:
    """Return the names and versions of all installed packages to compare with."""
    return sorted(
        path.stem
        for folder in (PEERS, PAIR_ALONE, *PAIR.glob("lib/python*/site-packages"))
        for path in folder.glob("*.dist-info")
    )


def on_path(*folders: Path) -> dict[str, str]:
    """Return this process's environment with folders before its own packages."""
    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, folders), *([known] if known else [])])}


def requirements(path: Path) -> list[str]:
    """Return the lines of a file of requirements."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def reason(done: subprocess.CompletedProcess[str]) -> str:
    """Return the error of pip in one line."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"ERROR|\w*Error", line)]
    return (errors or lines or [f"pip ended with status {done.returncode}"])[-1][:300]


def installed(python: Path | str, *arguments: str) -> str:
    """Run pip, and return its error; "" if there was none."""
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return reason(done) if done.returncode else ""


def main() -> None:
    """Install all of them, and keep the reasons of those that could not be."""
    alone = next(line for line in requirements(ROOT / "benchmarks/pair.txt") if line.startswith("saliency"))
    found = {}
    for line in requirements(ROOT / "benchmarks/peers.txt"):
        found[line] = installed(sys.executable, "--no-deps", "--upgrade", "--target", str(PEERS), line)
    found[f"{alone}, for TensorFlow"] = installed(
        sys.executable, "--no-deps", "--upgrade", "--target", str(PAIR_ALONE), alone
    )
    made = subprocess.run([sys.executable, "-m", "venv", str(PAIR)], check=False, capture_output=True, text=True)
    theirs = str(ROOT / "benchmarks/pair.txt")
    found[alone] = reason(made) if made.returncode else installed(PAIR / "bin/python", "--requirement", theirs)
    failed = {name: error for name, error in found.items() if error}
    PEERS.mkdir(exist_ok=True)
    (PEERS / "failed.json").write_text(json.dumps(failed, indent=1), encoding="utf-8")
    for name, error in failed.items():
        print(f"{name} is left out: {error}")


if __name__ == "__main__":
    main()
