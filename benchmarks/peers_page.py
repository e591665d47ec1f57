"""The section of docs/benchmarks.md that `benchmarks/peers.py` writes: its aims, tables and plots."""

from __future__ import annotations

import json
import platform
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

BEGIN, END = "<!-- measured by benchmarks/peers.py -->\n", "<!-- end of what benchmarks/peers.py measures -->\n"

NAMES = {
    "captum": "Captum",
    "pytorch_grad_cam": "grad-cam",
    "torchcam": "torch-cam",
    "shap": "shap",
    "zennit": "zennit",
}
"""Packages by the name of their module."""

FEW = 3
"""The number of rounds from which the first, in which caches are filled, is left out."""

REFUSALS = (
    (r"Module ReLU\(inplace=True\)|inplace", "refuses in-place ReLU"),
    (r"Module of type <class '.*?(\w+)'> has no rule", "no rule for {}"),
    (r"same number of spatial dimensions", "cannot resize tokens"),
    (r"is the operator", "layer is no module"),
    (r"reused|used more than once", "refuses reused modules"),
)
"""Patterns of packages' errors, and what stands in the cell."""


@dataclass(frozen=True)
class Cell:
    """What all sides of a round compute."""

    part: str
    """The network, or "growth" or "overhead"."""
    method: str
    batch: int = 1
    x: str = ""
    """What varies: "steps", "targets", "batch" or "size"."""
    at: int = 0
    """Its value."""


@dataclass
class Row:
    """One round of a cell."""

    cell: Cell
    found: dict[str, float]
    """Seconds of each side, or MiB."""
    errors: dict[str, str]
    """The errors of sides that failed."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Images and model calls of ours, and the difference from Captum's mask; in the first round."""
    spent: float = 0.0
    """Wall time of the round, in seconds."""
    memory: bool = False
    """Whether memory was measured."""

    def written(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, line: str) -> Row:
        """Return the round that a line holds."""
        known = json.loads(line)
        return cls(**{**known, "cell": Cell(**known["cell"])})


class Results:
    """The rounds of all cells.

    Args:
        rows: the rounds, in the order in which they were measured.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows: dict[tuple[Cell, bool], list[Row]] = {}
        for row in rows:
            self._rows.setdefault((row.cell, row.memory), []).append(row)
        self.cells = list(dict.fromkeys(cell for cell, _ in self._rows))

    def rounds(self, cell: Cell, *, memory: bool = False) -> list[Row]:
        """Return the rounds that count: all but the first, if they are at least three."""
        rows = self._rows.get((cell, memory), [])
        return rows[1:] if len(rows) >= FEW else rows

    def median(self, cell: Cell, side: str, *, memory: bool = False) -> float | None:
        """Return the median of a side; None if it was not measured."""
        known = [row.found[side] for row in self.rounds(cell, memory=memory) if side in row.found]
        return statistics.median(known) if known else None

    def ratio(self, cell: Cell, side: str, *, memory: bool = False) -> float | None:
        """Return the median over the rounds of ours divided by a side; None if it was not measured."""
        rows = self.rounds(cell, memory=memory)
        known = [row.found["ours"] / max(row.found[side], 1e-9) for row in rows if {"ours", side} <= row.found.keys()]
        return statistics.median(known) if known else None

    def facts(self, cell: Cell) -> dict[str, Any]:
        """Return what the first round says besides time."""
        rows = self._rows.get((cell, False), [])
        return rows[0].facts if rows else {}

    def errors(self, cell: Cell) -> dict[str, str]:
        """Return the errors of the sides that failed."""
        return {side: text for row in self._rows.get((cell, False), []) for side, text in row.errors.items()}

    def ratios(self, where: Callable[[Cell], bool], side: str, *, memory: bool = False) -> list[float]:
        """Return the ratios of all cells that have one."""
        found = (self.ratio(cell, side, memory=memory) for cell in self.cells if where(cell))
        return [each for each in found if each is not None]


def refusal(error: str) -> str:
    """Return a few words for an error, for a cell of a table."""
    for pattern, words in REFUSALS:
        if found := re.search(pattern, error):
            return words.format(*found.groups())
    return error.partition(":")[0]


def page(rows: Sequence[Row], device: str) -> str:
    """Return the section."""
    results = Results(rows)
    networks = list(dict.fromkeys(cell.part for cell in results.cells if not cell.x and cell.part != "overhead"))
    clock = "in CPU time" if device == "cpu" else "in wall time after synchronisation"
    packages = ", ".join(f"{title} {version}" for name, title in NAMES.items() if (version := version_of(name)))
    lines = [
        f"Measured on {platform.machine()} ({processor()}), one thread, torch {metadata.version('torch')}, {clock}.",
        f"Beside {packages}. All sides of a row ran in turn; ÷ is the median over the rounds of our time divided by",
        "theirs. *Bare* is the passes alone, on the same network: for loops at their fastest batch size, for DeepLIFT",
        "over image and baseline, for methods without gradients forward only. The packages run at their own default",
        "batch. *MiB* is the peak of memory beyond what was held before. Rounds: how often each row was measured.",
        "",
        *aims(results),
    ]
    for network in networks:
        lines += ["", f"### {network}", "", *network_table(results, network)]
    lines += ["", *suites(results)]
    lines += ["", *refusals(results)]
    lines += ["", *growth(results)]
    return "\n".join([BEGIN + "\n" + lines[0], *lines[1:], "", END])


def aims(results: Results) -> Iterator[str]:
    """Yield the table of aims, each with the smallest, median and largest ratio over networks and methods."""
    one_pass = ("gradient", "input_x_gradient", "guided_backprop", "deconvolution")
    cams = ("grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam")
    loops = ("integrated_gradients", "smooth_grad", "expected_gradients", "occlusion", "rise")

    def of(*methods: str) -> Callable[[Cell], bool]:
        return lambda cell: not cell.x and cell.method in methods

    def bare(*methods: str) -> list[float]:
        return results.ratios(of(*methods), "bare")

    table: list[tuple[str, float, list[float]]] = [
        ("loops (IG, SmoothGrad, Expected Gradients, Occlusion, RISE) ÷ bare", 1.05, bare(*loops)),
        ("Gradient and input × gradient ÷ bare", 1.1, bare("gradient", "input_x_gradient")),
        ("guided backprop and deconvolution ÷ bare", 1.1, bare("guided_backprop", "deconvolution")),
        ("CAMs with gradients ÷ bare", 1.1, bare(*cams)),
        ("DeepLIFT ÷ bare (image and baseline)", 1.5, bare("deep_lift")),
        ("LRP ÷ bare", 2.0, bare("lrp")),
        ("loops ÷ Captum at its default batch, time", 0.8, results.ratios(of(*loops), "captum")),
        (
            "Integrated Gradients ÷ Captum at its default batch, memory",
            0.35,
            results.ratios(of(*loops), "captum", memory=True),
        ),
        ("methods of one pass ÷ Captum, time", 0.8, results.ratios(of(*one_pass, *cams, "deep_lift"), "captum")),
        ("six one-pass CAMs in one call ÷ grad-cam", 0.2, results.ratios(of("6 CAMs"), "pytorch_grad_cam")),
        ("four one-pass CAMs in one call ÷ torch-cam", 0.2, results.ratios(of("4 CAMs"), "torchcam")),
        ("gradients of 10 targets ÷ 10 calls", 0.7, results.ratios(of("10 targets"), "ten calls")),
        ("gradients of 8 pictures in bfloat16 ÷ float32", 0.6, results.ratios(of("8 pictures in bfloat16"), "float32")),
    ]
    yield "| ours ÷ | aim | least | median | most |"
    yield "|---|---:|---:|---:|---:|"
    for title, aim, found in table:
        cells = [f"{each:.2f}" for each in (min(found), statistics.median(found), max(found))] if found else [""] * 3
        yield f"| {title} | ≤ {aim:g} | {' | '.join(cells)} |"
    for cell in (each for each in results.cells if each.part == "overhead"):
        ours, least = results.median(cell, "ours"), results.median(cell, "bare")
        if ours is None or least is None:
            continue
        title, limit, share, unit = {
            "explain": ("overhead of `explain` on an adapted model", "1 ms", 1000 / 50, "ms"),
            "GetMask": ("overhead of PAIR's `GetMask`", "0.3 ms", 1000 / 50, "ms"),
            "import": ("`import saliency` beyond `import numpy`", "0.1 s", 1.0, "s"),
        }[cell.method]
        yield f"| {title} | ≤ {limit} | | {(ours - least) * share:.2f} {unit} | |"


def network_table(results: Results, network: str) -> Iterator[str]:
    """Yield the table of a network."""
    cells = [cell for cell in results.cells if cell.part == network and not cell.method[0].isdigit()]
    batches = sorted({cell.batch for cell in cells})
    heads = "pictures", "method", "images", "time, s", "÷ bare", "÷ Captum", "÷ others", "rounds"
    yield f"| {' | '.join([*heads, 'MiB', 'bare', 'Captum', 'difference'])} |"
    yield "|---:|---|---:|---:|---:|---|---|---:|---:|---:|---:|---:|"
    for cell in (each for batch in batches for each in cells if each.batch == batch):
        facts, errors = results.facts(cell), results.errors(cell)
        ours = results.median(cell, "ours")
        if ours is None:
            yield f"| {cell.batch} | `{cell.method}` | | {refusal(errors.get('ours', ''))} | | | | | | | | |"
            continue

        def ratio(side: str, cell: Cell = cell, errors: dict[str, str] = errors) -> str:
            found = results.ratio(cell, side)
            return f"{found:.2f}" if found is not None else refusal(errors[side]) if side in errors else ""

        others = [f"{NAMES[side]}: {text}" for side in list(NAMES)[1:] if (text := ratio(side))]
        memory = [results.median(cell, side, memory=True) for side in ("ours", "bare", "captum")]
        known = facts.get("difference")
        yield (
            f"| {cell.batch} | `{cell.method}` | {facts.get('images', '')} | {ours:.3f} | {ratio('bare')} | "
            f"{ratio('captum')} | {', '.join(others)} | {len(results.rounds(cell))} | "
            + " | ".join("" if each is None else f"{each:.0f}" for each in memory)
            + f" | {'' if known is None else f'{known:.0e}'} |"
        )


def suites(results: Results) -> Iterator[str]:
    """Yield a line on each measurement of several maps in one call."""
    yield "Several maps in one call, and bfloat16: our time divided by that of as many calls, and of float32:"
    yield ""
    yield "| network | maps | beside | ÷ | rounds |"
    yield "|---|---|---|---:|---:|"
    for cell in (each for each in results.cells if each.method[0].isdigit()):
        sides = {
            "pytorch_grad_cam": "grad-cam",
            "torchcam": "torch-cam",
            "ten calls": "ten calls of ours",
            "float32": "float32",
        }
        for side, title in sides.items():
            if (found := results.ratio(cell, side)) is not None:
                yield f"| {cell.part} | {cell.method} | {title} | {found:.2f} | {len(results.rounds(cell))} |"
            elif side in results.errors(cell):
                yield f"| {cell.part} | {cell.method} | {title} | {refusal(results.errors(cell)[side])} | |"


def refusals(results: Results) -> Iterator[str]:
    """Yield the errors that stand in short in the tables."""
    whole: dict[tuple[str, str], str] = {}
    for cell in results.cells:
        for side, error in results.errors(cell).items():
            text = " ".join(error.split())
            whole.setdefault((NAMES.get(side, side), refusal(error)), text[:300] + (" …" if len(text) > 300 else ""))
    if whole:
        yield "What the packages say where they refuse a network:"
        yield ""
    for (side, short), text in sorted(whole.items()):
        yield f"- {side}, {short}: `{text}`"


def growth(results: Results) -> Iterator[str]:
    """Yield the table of memory against steps, and the plot."""
    cells = [each for each in results.cells if each.x == "steps" and each.method == "integrated_gradients"]
    if not cells:
        return
    yield "### How cost grows"
    yield ""
    yield "ResNet-18; against steps, targets and batch at 112². Integrated Gradients by its number of steps:"
    yield ""
    yield "| steps | ours, s | Captum, s | ours, MiB | Captum, MiB |"
    yield "|---:|---:|---:|---:|---:|"
    for cell in sorted(cells, key=lambda each: each.at):
        values = [results.median(cell, side, memory=memory) for memory in (False, True) for side in ("ours", "captum")]
        digits = (2, 2, 0, 0)
        shown = ["" if each is None else f"{each:.{n}f}" for each, n in zip(values, digits, strict=True)]
        yield f"| {cell.at} | {' | '.join(shown)} |"
    yield ""
    yield "![Time and memory against size, steps, targets and batch](images/cost.png)"


def drawn(rows: Sequence[Row], path: Path) -> None:
    """Draw how time and memory grow, on logarithmic axes; a dotted line is proportional."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    results = Results(rows)
    grown = [cell for cell in results.cells if cell.x]
    if not grown:
        return
    figure, axes = plt.subplots(2, 4, figsize=(14, 6.4), layout="constrained")
    for column, what in zip(axes.T, ("size", "steps", "targets", "batch"), strict=True):
        for axis, memory in zip(column, (False, True), strict=True):
            for method in dict.fromkeys(cell.method for cell in grown if cell.x == what):
                mine = sorted((c for c in grown if (c.x, c.method) == (what, method)), key=lambda cell: cell.at)
                known = [(c.at, value) for c in mine if (value := results.median(c, "ours", memory=memory))]
                if not known:
                    continue
                at, values = np.array(known, float).T
                (line,) = axis.loglog(at ** (2 if what == "size" else 1), values, marker="o", label=method)
                first = at[0] ** (2 if what == "size" else 1)
                last = at[-1] ** (2 if what == "size" else 1)
                axis.loglog(
                    [first, last], [values[0], values[0] * last / first], ":", color=line.get_color(), alpha=0.4
                )
            axis.set(xlabel="pixels" if what == "size" else what, ylabel="peak, MiB" if memory else "time, s")
            axis.grid(visible=True, which="both", alpha=0.2)
        column[0].legend(fontsize=7)
    figure.savefig(path, dpi=90)


def version_of(name: str) -> str:
    """Return the version of a package by the name of its module; "" if it is not installed."""
    try:
        return metadata.version({"pytorch_grad_cam": "grad-cam"}.get(name, name))
    except metadata.PackageNotFoundError:
        return ""


def processor() -> str:
    """Return the name of the processor, where the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
