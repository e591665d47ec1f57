"""Check an installed wheel: explain a function, and write a page with the widget in it. No framework is needed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

import saliency
import saliency_widget

LEAST = 50_000
"""Bytes of a page that holds the front end."""


def model(images: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) -> (N, 2): how bright the left half is, and the right one."""
    middle = images.shape[2] // 2
    return np.stack([half.mean((1, 2, 3)) for half in (images[:, :, :middle], images[:, :, middle:])], 1)


def main() -> None:
    """Raise where anything is missing."""
    saliency.show_versions()
    source = Path(__file__).resolve().parent.parent
    for package in (saliency, saliency_widget):
        folder = Path(str(package.__file__)).resolve().parent
        assert source not in folder.parents or ".venv" in folder.parts, f"{folder} is the checkout, not the wheel"

    image = np.full((32, 32, 3), 128, np.uint8)
    mask = saliency.explain(model, image, "occlusion", 0, size=8, stride=8, progress=False).mask
    assert np.abs(mask[:, :16]).min() > 10 * np.abs(mask[:, 16:]).max(), "Occlusion did not find the left half"

    with tempfile.TemporaryDirectory() as folder_name:
        page = Path(folder_name) / "page.html"
        widget = saliency_widget.SaliencyWidget(model, image, ["occlusion"], target=0)
        widget.wait()
        widget.to_html(page)
        assert page.stat().st_size > LEAST, f"{page} holds no front end"
    print(f"\nThe wheel works. Node: {shutil.which('node')}")


if __name__ == "__main__":
    main()
