"""Runs the quickstart notebook and keeps what it shows: a page that works offline, and a picture.

The notebook leaves `model`, `img`, `labels` and `widget` behind; hidden cells after its last one save what they show.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
PAGE = ROOT / "build" / "demo" / "quickstart.html"
PICTURE = PAGE.with_suffix(".png")

KEEP = """
import io
import numpy as np
from pathlib import Path
from PIL import Image

seen = saliency.predict(model, img, top=5, labels=labels)
for each in seen[:3]:
    for method in widget.spec["methods"][:7]:  # those shown first
        if not any(method["lacks"]):
            widget.compute(method["id"], each.index)
widget.wait()
widget.to_html({page!r}, what_if=True)
shots = []
for each in seen[:3]:
    widget.target = each.index
    with Image.open(io.BytesIO(widget.snapshot_png())) as shot:
        shots.append(np.asarray(shot.convert("RGB")))
Image.fromarray(np.concatenate(shots, 1)).save({picture!r})
"""
"""The page has the first methods for the three classes the model sees most; the picture shows a map for each class."""


def keeping(page: Path, picture: Path) -> str:
    """The cell that writes what the notebook shows."""
    return KEEP.format(page=str(page), picture=str(picture))


REPORT = """
for each in seen:
    print(f"{each.probability:6.1%}  {each.label}")
"""


def main() -> None:
    """Runs the notebook with this very Python, and tells where the results are."""
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(keeping(PAGE, PICTURE)), nbformat.v4.new_code_cell(REPORT)]

    print(f"Running {NOTEBOOK.relative_to(ROOT)} …", flush=True)
    with tempfile.TemporaryDirectory() as home:
        # No folders to search: ipykernel's own spec is left, which starts sys.executable, whatever the user registered.
        specs = KernelSpecManager(kernel_dirs=[])
        kernel = AsyncKernelManager(kernel_spec_manager=specs, transport="ipc", ip=str(Path(home, "kernel")))
        client = NotebookClient(
            notebook, km=kernel, timeout=600, resources={"metadata": {"path": str(NOTEBOOK.parent)}}
        )
        client.execute(cleanup_kc=True, env={**os.environ, "IPYTHONDIR": home})

    seen = "".join(output.text for output in notebook.cells[-1].outputs if output.get("name") == "stdout")
    print("\nThe model saw\n" + "".join(f"    {line}\n" for line in seen.splitlines()))
    print(f"Move the sliders:  {PAGE.as_uri()}")
    print(f"The picture:       {PICTURE}")
    print("The notebook:      make lab")


if __name__ == "__main__":
    main()
