"""PAIR's notebook runs from top to bottom, and what it shows is true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from saliency import demo


@pytest.fixture(scope="module")
def run(checkout: Path) -> Any:
    """Return the names that the notebook's cells define, and the number of pictures that they drew."""
    cells = json.loads((checkout / "examples" / "pair.ipynb").read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        # as in a notebook: what was drawn is shown and done with
        shown: list[int] = []
        # half the picture's side: a quarter of the work
        small = demo.image()[::2, ::2]
        patch.setattr(demo, "image", lambda: small)

        def show() -> None:
            shown.extend(plt.get_fignums())
            plt.close("all")

        patch.setattr(plt, "show", show)
        state = np.random.get_state()  # noqa: NPY002  # the notebook seeds it
        for cell in cells:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
        np.random.set_state(state)  # noqa: NPY002
    return names, len(shown)


def test_every_panel_is_drawn(run: Any) -> None:
    """Picture, gradient, IG, XRAI, its fast way, Grad-CAM, the two other paths and the curves."""
    assert run[1] == 8


def test_regions_find_the_cat(run: Any) -> None:
    """The cat holds far more of XRAI's top 30 % than its share of the picture."""
    names, _ = run
    cat = demo.objects()["cat"][::2, ::2]

    assert names["salient"][cat].mean() > 2 * names["salient"].mean()


def test_regions_beat_chance(run: Any) -> None:
    """The area under XRAI's curve is larger than that of a random mask."""
    names, _ = run

    assert names["curves"]["XRAI"].auc > names["curves"]["random"].auc
