"""What the leaderboard found about each method: saliency/data/evidence.json, written by `make leaderboard`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from saliency.core.catalogue import METHODS
from saliency.model.protocols import Attentive, Differentiable, EarlyExit, Inspectable, Layered, Model, Patchable

INTERACTIVE = ("one pass", "tens")
"""Classes of cost for which a user waits."""

WAITED = 64
"""The largest number of images evaluated in these classes."""

CERTAIN = (Model, Differentiable, Inspectable, Layered, Patchable, Attentive, EarlyExit)
"""Capabilities whose lack is known before a run; whether rules cover a model shows only when they run."""

TRANSFORMERS = "transformers"
"""The `network` of methods that only transformers support."""

_FILE = Path(__file__).parent.parent / "data" / "evidence.json"


class Evidence(NamedTuple):
    """The standing of one method on the leaderboard."""

    cost: str
    """Its class of cost by the images evaluated for a mask: "one pass" (up to 2), "tens" (up to 64) or "hundreds"."""
    standing: float
    """The share of the other methods that it beats, averaged over measures, pictures and test-beds of one `network`."""
    low: float
    """The lower end of its 95 % interval."""
    high: float
    """The upper end."""
    network: str
    """The kind of networks of this standing: convolutional ones, or others where it has no map of these."""
    on_transformers: float | None
    """Its standing on transformers; None where it has none."""
    beds: int
    """Number of all test-beds on which it was measured."""
    beats_random: int
    """Number of these on which it is better than a random map, beyond chance."""
    reason: str
    """Why it is never better than a random map; empty if it is on some test-bed."""

    def __str__(self) -> str:
        return f"{self.standing:.2f}"


@cache
def evidence() -> dict[str, Evidence]:
    """Return the evidence on each measured method, by its id, the highest standing first."""
    stored = json.loads(_FILE.read_text(encoding="utf-8"))
    found = {name: Evidence(**each) for name, each in stored.items() if name in METHODS}
    return dict(sorted(found.items(), key=lambda item: -item[1].standing))


def automatic(transformer: bool, known: Mapping[str, Evidence] | None = None) -> list[str]:
    """Return the ids of the methods that "auto" may choose, the highest standing first.

    They evaluate at most 64 images, and need a capability of :data:`CERTAIN`: a method chosen for the user must run.

    Args:
        transformer: whether the model is one.
        known: the evidence on each method; by default the stored one.
    """
    able = {
        name: each
        for name, each in (evidence() if known is None else known).items()
        if each.cost in INTERACTIVE and each.beats_random and METHODS[name]().needs in CERTAIN
    }
    # standings on different kinds of networks are not comparable
    if transformer and any(each.on_transformers is not None for each in able.values()):
        standings = {name: each.on_transformers for name, each in able.items() if each.on_transformers is not None}
    else:
        standings = {name: each.standing for name, each in able.items() if each.network != TRANSFORMERS}
    return sorted(standings, key=standings.__getitem__, reverse=True)
