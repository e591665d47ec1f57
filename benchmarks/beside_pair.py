"""PAIR's methods beside PAIR's own package: by its interface, and by `saliency.explain`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import saliency
from benchmarks import installed, packages
from benchmarks.bench import Bench
from benchmarks.clock import Side, Taken
from benchmarks.pair import CASES, LIGHT, METHODS, NETWORK, TARGET, TF1, WHOLE, Runs
from benchmarks.peers_page import Cell

SAME: dict[str, Any] = {
    "Gradient": saliency.GradientSaliency(),
    "Grad-CAM": saliency.GradCam(),
    "SmoothGrad": saliency.SmoothGradSquared(samples=25),
    "Integrated Gradients": saliency.IntegratedGradients(steps=25),
    "Blur IG": saliency.BlurIG(),
    "Guided IG": saliency.GuidedIG(),
    "XRAI": saliency.XRAI(steps=100),
    "Occlusion": saliency.Occlusion(size=15, stride=1, reduce="sum"),
}
"""What `saliency.explain` takes for PAIR's parameters."""

OWN: dict[str, Any] = {
    "Integrated Gradients": saliency.IntegratedGradients(),
    "XRAI": saliency.XRAI(),
    "Occlusion": saliency.Occlusion(),
}
"""The methods whose defaults in `saliency.explain` are others than PAIR's."""


LARGEST = ("XRAI, regions only", "PIC, 13 thresholds")
"""The cases whose memory is measured; the others need that of the model's passes, or next to none."""


class TheirsError(Exception):
    """An error of PAIR's package, with its type in its message."""


class Answer(NamedTuple):
    """A mask by PAIR's interface, and the model's calls."""

    mask: np.ndarray
    calls: int


class Theirs:
    """PAIR's package in a process of its own, which ends with this one.

    Args:
        part: a key of :data:`~benchmarks.pair.CASES`.
    """

    def __init__(self, part: str) -> None:
        self.part = part
        self.keep = Path(tempfile.mkdtemp()) / "mask.npy"

    @cached_property
    def process(self) -> subprocess.Popen[str]:
        """The process."""
        # the folders come last, so that `saliency` is PAIR's
        paths = [str(installed.ROOT), *([] if self.part == TF1 else [installed.LENT])]
        code = f"import sys; sys.path += {paths}; from benchmarks.pair import serve; serve({self.part!r})"
        if self.part == TF1:
            python, env = sys.executable, installed.on_path(installed.PAIR_ALONE)
        else:
            python, env = str(installed.PAIR / "bin/python"), installed.on_path()
            del env["PYTHONPATH"]
        command = [python, "-P", "-c", code]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def run(self, case: str, *, memory: bool) -> Taken:
        """Run a case.

        Raises:
            TheirsError: the case failed, or the process ended.
        """
        asked, replies = self.process.stdin, self.process.stdout
        assert asked is not None
        assert replies is not None
        try:
            asked.write(json.dumps({"case": case, "keep": str(self.keep), "memory": memory}) + "\n")
            asked.flush()
        except BrokenPipeError as error:
            raise TheirsError("ProcessEnded: PAIR's process could not start") from error
        line = replies.readline()
        if not line:
            raise TheirsError(f"ProcessEnded: status {self.process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise TheirsError(reply["error"])
        return Taken(reply["amount"], Answer(np.load(self.keep), reply["calls"]))


def is_installed(part: str) -> bool:
    """Return whether PAIR's package is there for a part, and what the part needs."""
    where = [installed.PAIR_ALONE] if part == TF1 else installed.PAIR.glob("lib/python*/site-packages")
    if part == TF1 and not packages.is_installed("tensorflow"):
        return False
    return any((folder / "saliency").is_dir() for folder in where)


def pair_cells(part: str, bench: Bench, *, memory: bool) -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield the cells of a part beside PAIR's package.

    Args:
        part: a key of :data:`~benchmarks.pair.CASES`.
        bench: ResNet-18.
        memory: whether peak memory is measured, only of :data:`LARGEST`.
    """
    if not is_installed(part) or (memory and part != LIGHT):
        return
    ours, theirs = Runs(part), Theirs(part)

    def door(name: str) -> Answer:
        ours.model.calls = 0
        return Answer(np.asarray(ours.run(name)), ours.model.calls)

    for name, case in CASES[part].items():
        if memory and name not in LARGEST:
            continue
        ours.prepare(name)
        sides: dict[str, Side] = {"ours": partial(door, name), "pair": partial(theirs.run, name, memory=memory)}
        if part == NETWORK:
            same = list(SAME.values()) if name == WHOLE else SAME[name]
            own = [OWN.get(each, SAME[each]) for each in METHODS] if name == WHOLE else OWN.get(name)
            picture = [ours.picture(case.side)]
            # the first explanation finds shapes, compares presets, and looks for the layer
            bench.ours(picture, SAME["Grad-CAM"] if name == "Grad-CAM" else "gradient", TARGET)()
            if name == WHOLE:
                del sides["ours"]
            sides["explain"] = bench.ours(picture, same, TARGET)
            if own is not None:
                sides["defaults"] = bench.ours(picture, own, TARGET)
        yield Cell(part, name), bench, sides
