#!/usr/bin/env bash
# Write constraints.txt: what a clean machine would install today for the demo and the tests.
# Run it with Python 3.11, the oldest we support, so that every newer one can follow the pins.
set -euo pipefail
cd "$(dirname "$0")/.."

# Held on purpose: a new release changes the numbers a little, so it comes with a look at the demo.
torch="torch==2.13.0"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3.11}" -m venv "$work/venv"
python="$work/venv/bin/python"

"$python" - > "$work/requirements.txt" <<'PYTHON'
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
wanted = [*project["dependencies"], *extras["torch"], *extras["imagenet"], *extras["demo"], *extras["docs"], *extras["test-engine"], *extras["test"]]
print(*(requirement for requirement in wanted if not requirement.startswith(project["name"] + "[")), sep="\n")
PYTHON

"$python" -m pip install --quiet --dry-run --ignore-installed --report "$work/report.json" \
    --requirement "$work/requirements.txt" "$torch"

"$python" - "$work/report.json" > "$work/constraints.txt" <<'PYTHON'
import json
import re
import sys
from pathlib import Path

print("# What the demo and the tests are installed with: written by `make lock`, not by hand.")
packages = [item["metadata"] for item in json.loads(Path(sys.argv[1]).read_text())["install"]]
for package in sorted(packages, key=lambda package: package["name"].lower()):
    # torch pins its CUDA libraries by itself where it wants them.
    if not re.match(r"nvidia-|cuda-|triton$", package["name"]):
        print(f"{package['name']}=={package['version'].partition('+')[0]}")  # the local build is the machine's affair
PYTHON
mv "$work/constraints.txt" constraints.txt
