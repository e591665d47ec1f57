"""Write the leaderboard: its page, the page of all cells, the plots, and the evidence of each method."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.leaderboard.entries import (
    BUDGET,
    KINDS,
    LARGE_BUDGET,
    LARGE_RERUNS,
    OF_LAYERS,
    RERUNS,
    kind_of,
)
from benchmarks.leaderboard.peers import PEERS, notes
from benchmarks.leaderboard.references import REFERENCES
from benchmarks.leaderboard.standings import NETWORKS, OTHER, BedResult, Entry, Overall, overall
from saliency import testbed
from saliency.core.catalogue import METHODS
from saliency.core.evidence import Evidence, automatic
from saliency.model.protocols import Model
from saliency.results.statistics import Interval, interval
from saliency.testbed.real.bed import PhotographBed

CLASSES = {"one pass": 2, "tens": 64, "hundreds": 10**9}
"""Classes of cost, with the largest number of images evaluated."""


TRANSFORMERS, CONVOLUTIONAL = NETWORKS
"""Kinds of networks."""

TIED = 3
"""How many methods that do not differ significantly from the best one are listed."""

PHOTOGRAPHS = "trained networks and photographs"
"""The kind of networks for which the pixels that matter are unknown. Other standings and the evidence exclude them."""

CHEATING = "planted"
"""The group of beds whose networks may depend on a logo or a trigger."""

ABOUT = """\
Which method to use. All methods were measured on networks for which the pixels that matter are known, and checked by
intervention ([test-beds](testbeds.md)).
"""

STANDING = """\
The **standing** of a map is the share of the other methods that it beats, on the same picture by the same measure;
ties count half, so 0.5 is the middle. A method's standing is the mean over measures, pictures and beds. Four kinds of
measures have the same weight: removal (SRG and ROAD), interventions (parts of the scene are removed by rendering it
again), class contrast (maps of two classes differ), and weight shuffling (the map changes with the weights). A map
passes or fails the last two; "fails" counts the beds where it fails. "Better than random on" counts the beds where
its pixels matter more than those of a random map, in removal and interventions. Cost is the number of images
evaluated for one mask. Intervals are 95 % bootstraps over the pictures; two methods differ significantly if that of
their difference excludes zero. Beds of one group count once. Each kind of network has its own table, because
standings are comparable only where both methods have a map.
"""

REAL = f"""\
Which pixels these networks use is unknown, and photographs cannot be rendered again. Only removal, class contrast and
weight shuffling count. Networks for photographs are large: a method evaluates at most {LARGE_BUDGET} images for a mask
(`shapley` and `sobol` need more), and peers are not measured. The networks for CIFAR-10 have the budget of the other
beds. Few pictures were measured (see [the beds](#the-beds)). These beds change neither the standings above, nor the
advice at the top, nor what `method="auto"` chooses.
"""

VOID = """\
[leaderboard-beds.md](leaderboard-beds.md) has every measure of every method on each bed. A bed's gates check, before
any method runs, that its network is accurate and that it depends on the known pixels. A bed is **void** if the colour
filter, which never calls the model, has a higher standing than the median method: then looking at the picture is
enough to win, and the bed's scores do not count.
"""

SHOWN = """\
By removal and interventions alone, the colour filter beats the median method on these beds, because the pixels that
matter differ in colour from the others; it loses on them because its map is the same for every class:"""

BESIDE = """\
The same methods by other packages, on the same beds and scenes, at equal cost where it can be set. A positive
difference means that ours is better; intervals are 95 % bootstraps over all scenes of the beds that both support.
"""

CELLS = """\
Every method on every bed of [the leaderboard](leaderboard.md). Each number is a mean over scenes, with a 95 % BCa
bootstrap interval. References are in italics, with the rank that they would have. Localisation
(relevance_rank_accuracy) is reported only: it rewards agreement with the truth mask, which a colour filter can have
too.
"""


@dataclass(frozen=True)
class Board:
    """All results.

    Attributes:
        beds: the beds, in display order.
        results: by bed.
        gates: by bed, its measured gates.
        record: lines of the verdict's own record.
        absent: lines on beds that are left out here.
        seconds: whether durations are shown: they differ from run to run.
        cpu_seconds: CPU time of the beds that are not of photographs.
    """

    beds: Sequence[testbed.Bed]
    results: Mapping[str, BedResult]
    gates: Mapping[str, Sequence[testbed.Gate]]
    record: Sequence[str] = ()
    absent: Sequence[str] = ()
    seconds: bool = True
    cpu_seconds: float = 0

    @property
    def groups(self) -> dict[str, str]:
        """The group of each bed."""
        return {each.id: each.group for each in self.beds}

    def standings(self, network: str | None = None, group: str | None = None) -> list[Overall]:
        """Return every method and reference over the valid beds of one kind of network or group, best first.

        By default over all networks for which the pixels that matter are known.
        """
        kinds = [network] if network else [CONVOLUTIONAL, TRANSFORMERS, OTHER]
        chosen = [
            each
            for each in self.results.values()
            if self.network(each) in kinds and group in (None, self.groups[each.bed])
        ]
        return overall(chosen, self.groups)

    def network(self, result: BedResult) -> str:
        """Return the kind of network of a bed."""
        real = {each.id for each in self.beds if isinstance(each, PhotographBed)}
        return PHOTOGRAPHS if result.bed in real else result.network

    @property
    def networks(self) -> list[str]:
        """The kinds of networks of valid beds with known pixels that matter: convolutional ones first."""
        found = {self.network(each) for each in self.results.values() if not each.void}
        return [each for each in (CONVOLUTIONAL, TRANSFORMERS, OTHER) if each in found]

    @property
    def has_photographs(self) -> bool:
        """Whether a bed of photographs was measured."""
        return any(self.network(each) == PHOTOGRAPHS for each in self.results.values())


def cost_class(images: float) -> str:
    """Return the class of a method by the number of images that it evaluates."""
    return next(name for name, most in CLASSES.items() if images <= most)


def methods_of(standings: Iterable[Overall]) -> list[Overall]:
    """Return the methods, without references."""
    return [each for each in standings if each.name in METHODS]


def evidence(board: Board) -> dict[str, Any]:
    """Return what is known about each method, for saliency/data/evidence.json.

    Its standing is that on convolutional networks, or on other ones where it has none there.
    """
    everywhere = {each.name: each for each in methods_of(board.standings())}
    by_network = {kind: {each.name: each for each in board.standings(kind)} for kind in board.networks}
    transformers = by_network.get(TRANSFORMERS, {})
    found: dict[str, Any] = {}
    for kind in board.networks:
        for name in (each for each in by_network[kind] if each in everywhere and each not in found):
            own, whole = by_network[kind][name].standing, everywhere[name]
            found[name] = {
                "cost": cost_class(whole.images),
                "standing": round(own.mean, 3),
                "low": round(own.low, 3),
                "high": round(own.high, 3),
                "network": kind,
                "on_transformers": round(transformers[name].standing.mean, 3) if name in transformers else None,
                "beds": whole.beds,
                "beats_random": whole.beats,
                "reason": why_not(whole),
            }
    return found


def why_not(method: Overall) -> str:
    """Return why a method never beats a random map; empty if it does on some bed."""
    if method.beats:
        return ""
    beds = f"all {method.beds} test-beds" if method.beds > 1 else "the only test-bed that it supports"
    parts = {
        "class contrast": "its map is the same for every class",
        "weight shuffling": "its map hardly changes when the weights are shuffled",
    }
    more = [f"{parts[kind]} on {count} of them" for kind, count in method.fails.items()]
    return "; ".join([f"the pixels that it marks matter no more than random ones, on {beds}", *more])


def sentences(board: Board) -> list[str]:
    """Return which method to use for which purpose at which cost, one sentence each."""
    if not board.networks:
        return ["Only networks were measured for which the pixels that matter are unknown."]
    ranked = methods_of(board.standings(board.networks[0]))
    by_class = {name: [each for each in ranked if cost_class(each.images) == name] for name in CLASSES}
    longer = [each for each in ranked if each not in by_class["one pass"]]
    of_scores = [each for each in ranked if METHODS[each.name]().needs is Model]
    found = [
        f"**For a first look**, with one or two forward and backward passes, {_best(by_class['one pass'])}.",
        f"**With more time**, {_best_and_quick(longer)}{_no_better(longer, by_class['one pass'])}.",
        f"**If the model returns scores but no gradients**, {_best_and_quick(of_scores)}.",
    ]
    if TRANSFORMERS in board.networks:
        own = methods_of(board.standings(TRANSFORMERS))
        found.append(f"**For a vision transformer**, {_best_and_quick(own)}.")
    if own := methods_of(board.standings(group=CHEATING)):
        found.append(f"**To detect that a class depends on a logo or a trigger**, {_best_and_quick(own)}.")
    return found


def _best_and_quick(chosen: Sequence[Overall]) -> str:
    """Return the best of some methods, and the best of up to 64 images if it is another one."""
    quick = [each for each in chosen if cost_class(each.images) != "hundreds"]
    more = f"; with up to {CLASSES['tens']} images, {_best(quick)}" if quick and quick[0] is not chosen[0] else ""
    return f"{_best(chosen)}{more}"


def _best(chosen: Sequence[Overall]) -> str:
    """Return the best of some methods, with its cost, and those that do not differ significantly from it, in words."""
    if not chosen:
        return "none was measured"
    first, *others = chosen
    tied = [each.name for each in others if not first.differs(each)]
    named = [f"`{each}`" for each in tied[:TIED]] + [f"{len(tied) - TIED} more"] * (len(tied) > TIED)
    listed = " and ".join([", ".join(named[:-1]), named[-1]] if named[1:] else named)
    beside = f" ({listed} do{'es' * (len(tied) == 1)} not differ significantly)" if tied else ""
    images = f"{first.images:.0f} image{'s' * (round(first.images) > 1)}"
    return (
        f"use `{first.name}`, which evaluates {images} and beats {100 * first.standing.mean:.0f} % of the other "
        f"methods{beside}"
    )


def _no_better(chosen: Sequence[Overall], cheap: Sequence[Overall]) -> str:
    """Return that none of some methods has a higher standing than the best of the cheap ones; empty if one has."""
    if not chosen or not cheap or chosen[0].standing.mean > cheap[0].standing.mean:
        return ""
    return f"; no such method has a higher standing than `{cheap[0].name}`"


def never_better(board: Board) -> str:
    """Return the methods that never beat a random map, in words."""
    never = [f"`{each.name}` ({why_not(each)})" for each in methods_of(board.standings()) if not each.beats]
    return f"Never better than a random map: {'; '.join(never) or 'none'}.\n"


def chosen_first(board: Board) -> str:
    """Return which methods "auto" and the widget choose, in words."""
    found = {name: Evidence(**each) for name, each in evidence(board).items()}
    names = [next(iter(automatic(transformer, found)), "none") for transformer in (False, True)]
    return (
        f'`method="auto"`, which is also the first method of the widget, is `{names[0]}`, and for transformers '
        f"`{names[1]}`: the highest standing among methods of up to {CLASSES['tens']} images whose support for a model "
        "is known before they run. That excludes methods that need a rule for each layer.\n"
    )


def text(board: Board) -> str:
    """Return the page."""
    parts = [
        "# The leaderboard\n",
        ABOUT,
        "\n".join(f"{i}. {each}" for i, each in enumerate(sentences(board), 1)) + "\n",
        *([never_better(board), chosen_first(board)] if board.networks else []),
        "![Standing of each method, with intervals](images/leaderboard.png)\n",
        _standings(board),
        _beds(board),
        _peers(board),
        *(["## The verdict's own record\n", *board.record] if board.record else []),
        _how(board),
    ]
    return "\n".join(parts)


def _standings(board: Board) -> str:
    parts = ["## Standings\n", STANDING]
    for kind in board.networks:
        parts += [f"### On {kind}\n", _table(board.standings(kind))]
    if board.has_photographs:
        plot_of = f"![Standing of each method on {PHOTOGRAPHS}, with intervals](images/leaderboard-photographs.png)\n"
        parts += [f"### On {PHOTOGRAPHS}\n", REAL, _agreement(board), plot_of, _table(board.standings(PHOTOGRAPHS))]
    measured = {each.name for each in board.standings()}
    parts.append(f"Not ranked, because they are methods of the units of a layer: {in_code(OF_LAYERS)}.\n")
    if absent := [name for name in METHODS if name not in measured and name not in OF_LAYERS]:
        parts.append(f"Not measured, because no valid bed supports it: {in_code(absent)}.\n")
    return "\n".join(parts)


def _agreement(board: Board) -> str:
    """Return how far the order on photographs is that on convolutional networks, in words."""
    real, known = (
        {each.name: each.standing.mean for each in methods_of(board.standings(kind))}
        for kind in (PHOTOGRAPHS, CONVOLUTIONAL)
    )
    both = [name for name in real if name in known]
    if len(both) < 3:
        return ""
    correlation = stats.spearmanr([real[each] for each in both], [known[each] for each in both]).statistic
    return (
        f"Spearman's correlation with the standings on convolutional networks is {correlation:.2f}, over {len(both)} "
        "methods.\n"
    )


def in_code(names: Iterable[str]) -> str:
    """Return names as code, in words."""
    return ", ".join(f"`{each}`" for each in names)


def _table(standings: Sequence[Overall]) -> str:
    rows = ["| | method | cost | standing | 95 % | beds | better than random on | fails |"]
    rows.append("|---:|---|---|---:|---|---:|---:|---|")
    rank = 0
    for each in standings:
        reference = each.name in REFERENCES
        rank += not reference
        name = f"*{each.name}: {REFERENCES[each.name]}*" if reference else f"[`{each.name}`](methods.md#{each.name})"
        fails = "; ".join(f"{kind} on {count}" for kind, count in each.fails.items())
        cost = "" if reference else f"{cost_class(each.images)} ({each.images:.0f})"
        cells = ["" if reference else str(rank), name, cost, f"{each.standing.mean:.2f}", _span(each.standing)]
        cells += [str(each.beds), "" if each.name == "random" else str(each.beats), fails]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _beds(board: Board) -> str:
    rows = [
        "## The beds\n",
        VOID,
        "| bed | scenes | gates | median method | colour filter | best method | |",
        "|---|---:|---|---:|---:|---|---|",
    ]
    for bed in board.beds:
        gates = board.gates[bed.id]
        passed = f"{sum(each.passed for each in gates)} of {len(gates)}"
        if bed.id not in board.results:
            rows.append(f"| {bed.title} | | {passed} | | | | not scored: a gate fails |")
            continue
        found = board.results[bed.id]
        colour, best = found.entries["colour_filter"].standing.mean, found.methods[0]
        cells = [f"[{bed.title}](leaderboard-beds.md#{bed.id})", f"{found.scenes}", passed, f"{found.median:.2f}"]
        cells += [f"{colour:.2f}", f"`{best.name}` ({best.standing.mean:.2f})", "**void**" if found.void else ""]
        rows.append(f"| {' | '.join(cells)} |")
    void = [bed.title for bed in board.beds if bed.id in board.results and board.results[bed.id].void]
    rows += ["", f"Void: {', '.join(void)}.\n" if void else "No bed is void.\n"]
    shown = [bed.title for bed in board.beds if bed.id in board.results and board.results[bed.id].shown_by_colours]
    rows += [f"{SHOWN} {'; '.join(shown)}.\n"] if shown else []
    rows += [f"* {each}" for each in board.absent]
    return "\n".join(rows) + "\n"


def _peers(board: Board) -> str:
    head = ["peer", "ours", "beds", "SRG, difference", "ROAD, difference", "class contrast", "images ours / theirs"]
    head += ["seconds ours / theirs"] * board.seconds
    rows = [
        "## Peers' own implementations\n",
        BESIDE,
        f"| {' | '.join(head)} |",
        "|---|---|---:|---|---|---|---:|" + "---:|" * board.seconds,
    ]
    for name, peer in PEERS.items():
        pairs = [
            (found.entries[peer.counterpart], found.entries[name])
            for found in board.results.values()
            if name in found.entries and peer.counterpart in found.entries
        ]
        if not pairs:
            reasons = {found.left_out[name] for found in board.results.values() if name in found.left_out}
            why = _short(min(reasons)) if reasons else "not installed"
            rows.append(f"| {name} | `{peer.counterpart}` | 0 | {why} |" + " |" * (4 if board.seconds else 3))
            continue
        cells = [_difference(pairs, metric) for metric in ("srg", "road", "random_logit")]
        images = " / ".join(f"{np.mean([each.images for each in side]):.0f}" for side in zip(*pairs, strict=True))
        seconds = " / ".join(f"{np.mean([each.seconds for each in side]):.3f}" for side in zip(*pairs, strict=True))
        rows.append(
            f"| {name} | `{peer.counterpart}` | {len(pairs)} | {' | '.join(cells)} | {images} |"
            + (f" {seconds} |" if board.seconds else "")
        )
    rows += [f"\n{each}" for each in notes()]
    return "\n".join(rows) + "\n"


def _difference(pairs: Sequence[tuple[Entry, Entry]], metric: str) -> str:
    """Return the mean difference of two entries over beds, with its interval."""
    differences = [
        ours.raw[metric] - theirs.raw[metric] for ours, theirs in pairs if metric in ours.raw and metric in theirs.raw
    ]
    values = np.concatenate(differences) if differences else np.empty(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    found = interval(values)
    return f"{found.mean:+.3f}{f' [{found.low:+.3f}, {found.high:+.3f}]' if np.isfinite(found.low) else ''}"


def beds_text(board: Board) -> str:
    """Return the page of all cells."""
    parts = [
        "# The leaderboard, bed by bed\n",
        CELLS,
    ]
    for bed in board.beds:
        parts += [f'## <a id="{bed.id}"></a>{bed.title}\n', f"{bed.known}\n"]
        parts.append("\n".join(f"* {_gate(each)}" for each in board.gates[bed.id]) + "\n")
        if bed.id in board.results:
            parts.append(_cells(board.results[bed.id], board.seconds))
    return "\n".join(parts)


def _gate(gate: testbed.Gate) -> str:
    return f"{gate.sentence}: {gate.value:.3g}{'' if gate.passed else ', **not met**'}"


def _cells(found: BedResult, seconds: bool) -> str:
    metrics = [each for kind in (*KINDS, "localisation") for each in found.metrics if kind_of(each) == kind]
    head = ["", "method", "standing", *metrics, "images", *(["seconds"] if seconds else [])]
    rows = [f"| {' | '.join(head)} |", "|---:|---|---|" + "---|" * len(metrics) + "---:|" * (1 + seconds)]
    references = [found.entries[name] for name in REFERENCES]
    peers = [each for name, each in found.entries.items() if name in PEERS]
    for entry in [*sorted([*found.methods, *references], key=lambda each: -each.standing.mean), *peers]:
        plain = entry.name in METHODS
        name = f"`{entry.name}`" if plain else f"*{entry.name}*"
        standing = f"{entry.standing.mean:.2f} {_span(entry.standing)}" if entry.name not in PEERS else ""
        cells = [str(entry.rank) if entry.name not in PEERS else "", name, standing]
        cells += [_value(entry.values[each]) for each in metrics]
        cells.append(f"{entry.images:.0f}" if entry.name not in REFERENCES else "0")
        if seconds:
            cells.append(f"{entry.seconds:.3f}" if entry.name not in REFERENCES else "")
        rows.append(f"| {' | '.join(cells)} |")
    lines = [f"{found.scenes} scenes.\n", "\n".join(rows) + "\n"]
    if found.undefined:
        lines.append(
            "Not defined here: " + "; ".join(f"{name} ({_short(why)})" for name, why in found.undefined.items()) + ".\n"
        )
    if found.left_out:
        lines.append(
            "<details><summary>Not applicable</summary>\n\n"
            + "\n".join(f"* `{name}`: {_short(why)}" for name, why in found.left_out.items())
            + "\n\n</details>\n"
        )
    return "\n".join(lines)


def _how(board: Board) -> str:
    scenes = {each.group: 0 for each in board.beds}
    for each in board.beds:
        scenes[each.group] += board.results[each.id].scenes if each.id in board.results else 0
    sizes = ", ".join(f"{group} {count}" for group, count in scenes.items())
    machine = ""
    if board.seconds:
        machine = (
            f"\n**Time**: the offline beds took {board.cpu_seconds:.0f} s of CPU time, which is "
            f"{board.cpu_seconds / 120:.0f} minutes on two cores without other work ({platform.machine()}, Python "
            f"{platform.python_version()}, one thread a process).\n"
        )
    return f"""## How to repeat it

```sh
make leaderboard        # all offline beds, in two processes; continues where it was interrupted
make leaderboard-small  # a few scenes, into build/leaderboard-small
python -m benchmarks.leaderboard --photographs  # and trained networks on photographs, see testbeds.md
```

Peers are measured where they are installed: `pip install captum grad-cam torchcam shap`.

The table is deterministic: the same code and packages give the same digits, except durations. Delete
`build/leaderboard` to measure again after a change of a method.

**Sample sizes**: scenes of each group of beds: {sizes}. Peers, and measures that run the method again, use the first
{RERUNS} scenes of each bed; on networks for photographs the first {LARGE_RERUNS}.
{machine}
**Budget**: at most {BUDGET} images evaluated for a mask. Methods that need more by default get fewer samples, steps or
windows. Cost classes: one pass (up to 2 images), tens (up to 64), hundreds.

**Undefined values** count as the lowest where most methods have a value (a constant map ranks no pixel), and a measure
that is undefined for most methods does not count for that scene.

## How it could be gamed, and what prevents it

* *Look at the picture, not at the model.* The references do exactly that, with the colours of the truth in other
  scenes. A bed where this pays is void. Localisation is no part of the standing.
* *Add noise.* Noise differs between classes and weights, so it would win class contrast and weight shuffling. Both are
  conditions with the limits of `saliency.check`, not contests.
* *Spend more.* Every method has the same budget, and standings are read within a class of cost.
* *Suit one measure.* Removal by blur, by imputation and by rendering again have different weaknesses; the standing
  averages all. Beds of one group count once.
* *Choose the scenes.* Scenes follow from seed 0. Methods run with their defaults; none was tuned on these beds.
* *Enter many variants.* Near copies share their rank, and change the standings of others little: look at the intervals.

What it cannot show: the beds are small pictures and small networks. A standing on them is evidence, not a law. For your
own model and pictures use `saliency.evaluate` and `saliency.check`.
"""


def plot(board: Board, path: Path, *, photographs: bool = False) -> None:
    """Draw the standings, with intervals, and those on each bed.

    Args:
        board: all results.
        path: of the picture.
        photographs: whether on the beds of photographs, instead of the others.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    main = board.standings(PHOTOGRAPHS if photographs else board.networks[0])
    known = {each.name for each in main}
    standings = [*main, *(each for each in board.standings() if not photographs and each.name not in known)]
    kinds = {name: board.network(found) == PHOTOGRAPHS for name, found in board.results.items()}
    beds = [each for each in board.beds if kinds.get(each.id) is photographs]
    colours = dict(zip(CLASSES, ("#1b9e77", "#7570b3", "#d95f02"), strict=True))
    size = 8 + 0.24 * len(beds), max(7, 1.6 + 0.19 * len(standings))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=size, layout="constrained", width_ratios=(5, 1 + 0.35 * len(beds)), sharey=True
    )
    for y, each in enumerate(standings):
        colour = "0.5" if each.name in REFERENCES else colours[cost_class(each.images)]
        left.plot([each.standing.low, each.standing.high], [y, y], color=colour, lw=1.5)
        left.plot([each.standing.mean], [y], "o" if each.name in METHODS else "x", color=colour, ms=5)
    for name, colour in colours.items():
        left.plot([], [], "o", color=colour, label=name)
    left.plot([], [], "x", color="0.5", label="reference")
    left.legend(fontsize="x-small", loc="lower right")
    left.set_yticks(range(len(standings)), [each.name for each in standings], fontsize="x-small")
    left.set_ylim(len(standings) - 0.5, -0.5)
    left.set_xlim(0, 1)
    left.set_xlabel("standing: share of the other methods that it beats", fontsize="small")
    left.grid(axis="x", color="0.9")
    cells = np.full((len(standings), len(beds)), np.nan)
    for x, bed in enumerate(beds):
        for y, each in enumerate(standings):
            if each.name in board.results[bed.id].entries:
                cells[y, x] = board.results[bed.id].entries[each.name].standing.mean
    shown = right.imshow(cells, cmap="viridis", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    names = [bed.title + (" (void)" if board.results[bed.id].void else "") for bed in beds]
    right.set_xticks(range(len(beds)), names, rotation=90, fontsize="x-small")
    right.tick_params(left=False)
    figure.colorbar(shown, ax=right, label="standing on the bed", shrink=0.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)


def write(board: Board, folder: Path, data: Path) -> None:
    """Write the pages and the plot into a folder, and the evidence into a file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "leaderboard.md").write_text(text(board))
    (folder / "leaderboard-beds.md").write_text(beds_text(board))
    if board.networks:
        plot(board, folder / "images" / "leaderboard.png")
    if board.has_photographs:
        plot(board, folder / "images" / "leaderboard-photographs.png", photographs=True)
    data.write_text(json.dumps(evidence(board), indent=1) + "\n")


def _value(found: Interval) -> str:
    if not np.isfinite(found.mean):
        return "–"
    return f"{found.mean:.2f}{f' {_span(found)}' if np.isfinite(found.low) else ''}"


def _span(found: Interval) -> str:
    return f"[{found.low:.2f}, {found.high:.2f}]" if np.isfinite(found.low) else ""


def _short(reason: str) -> str:
    """Return the first sentence of a reason, without the class of an error."""
    plain = " ".join(reason.split())
    first = plain.partition(": ")[2] if plain.partition(": ")[0].isidentifier() else plain
    return first.partition(". ")[0].rstrip(".").replace("|", "\\|")[:200]
