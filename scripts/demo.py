"""Runs the quickstart notebook and keeps what it shows: a page that works offline, and a picture.

Cells that are added after its last one write both. They use what the notebook defines: `widget`, and `maps`, the
explanations of a few classes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
PAGE = ROOT / "build" / "demo" / "quickstart.html"
PICTURE = PAGE.with_suffix(".png")

METHODS = ("xrai", "integrated_gradients", "smooth_grad_squared", "grad_cam", "lrp", "guided_backprop")
"""The methods with maps on the page."""

KEEP = """
import io
import numpy as np
from pathlib import Path
from PIL import Image, ImageDraw, ImageFont, ImageOps

for each in maps:
    for method in {methods!r}:
        widget.compute(method, each.target)
widget.wait()
widget.to_html({page!r}, what_if=True)
shots = []
for each in maps:
    widget.target = each.target
    with Image.open(io.BytesIO(widget.snapshot_png())) as shot:
        panel = ImageOps.expand(shot.convert("RGB"), (0, 32, 0, 0), "white")
    ImageDraw.Draw(panel).text((8, 5), each.label, "black", ImageFont.load_default(20))
    shots.append(np.asarray(panel))
Image.fromarray(np.concatenate(shots, 1)).save({picture!r})
"""


def keeping(page: Path, picture: Path, methods: Sequence[str] = METHODS) -> str:
    """Return the cell that writes a page with these methods for each class, and a picture of the classes' maps."""
    return KEEP.format(page=str(page), picture=str(picture), methods=tuple(methods))


REPORT = """
for each in seen:
    print(f"{each.probability:6.1%}  {each.label}")
"""


def main() -> None:
    """Run the notebook with this Python, and print where the results are."""
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
