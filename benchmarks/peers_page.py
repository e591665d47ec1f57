"""What `benchmarks/peers.py` writes: its section of docs/benchmarks.md, the plot, and the headline of the README."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import installed, pair

BEGIN, END = "<!-- measured by benchmarks/peers.py -->\n", "<!-- end of what benchmarks/peers.py measures -->\n"
HEADLINE, HEADLINE_END = "<!-- headline of docs/benchmarks.md -->\n", "<!-- end of the headline -->\n"

KERAS, GROWTH, OVERHEAD = "MobileNetV2 of Keras", "growth", "overhead"
"""The parts that are no network of torch, beside those of PAIR."""

BFLOAT16 = "8 pictures in bfloat16"
SUITES = ("6 CAMs", "4 CAMs", "10 targets", BFLOAT16)
"""Cells of several maps in one call, or of another precision."""

NAMES = {
    "captum": "Captum",
    "pytorch_grad_cam": "grad-cam",
    "torchcam": "torch-cam",
    "shap": "shap",
    "zennit": "zennit",
    "tf_explain": "tf-explain",
    "tf_keras_vis": "tf-keras-vis",
    "xplique": "Xplique",
}
"""Packages by the name of their module."""

OF_KERAS = ("tf_explain", "tf_keras_vis", "xplique")


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
    """The network, or another key of `PARTS` of benchmarks/peers.py."""
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
    """Images and model calls, and the difference from another package's mask; in the first round."""
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
        """Return the rounds that count: all but the first, in which caches are filled, if there are others."""
        rows = self._rows.get((cell, memory), [])
        return rows[1:] or rows

    def median(self, cell: Cell, side: str, *, memory: bool = False) -> float | None:
        """Return the median of a side; None if it was not measured."""
        known = [row.found[side] for row in self.rounds(cell, memory=memory) if side in row.found]
        return statistics.median(known) if known else None

    def ratio(self, cell: Cell, side: str, *, ours: str = "ours", memory: bool = False) -> float | None:
        """Return the median over the rounds of a side of ours divided by another; None if it was not measured."""
        rows = self.rounds(cell, memory=memory)
        known = [row.found[ours] / max(row.found[side], 1e-9) for row in rows if {ours, side} <= row.found.keys()]
        return statistics.median(known) if known else None

    def facts(self, cell: Cell) -> dict[str, Any]:
        """Return what the first round says besides time."""
        rows = self._rows.get((cell, False), [])
        return rows[0].facts if rows else {}

    def errors(self, cell: Cell) -> dict[str, str]:
        """Return the errors of the sides that failed."""
        return {side: text for row in self._rows.get((cell, False), []) for side, text in row.errors.items()}

    def ratios(
        self, where: Callable[[Cell], bool], side: str, *, ours: str = "ours", memory: bool = False
    ) -> list[float]:
        """Return the ratios of all cells that have one."""
        found = (self.ratio(cell, side, ours=ours, memory=memory) for cell in self.cells if where(cell))
        return [each for each in found if each is not None]


def refusal(error: str) -> str:
    """Return a few words for an error, for a cell of a table."""
    for pattern, words in REFUSALS:
        if found := re.search(pattern, error):
            return words.format(*found.groups())
    return error.partition(":")[0]


@dataclass(frozen=True)
class Aim:
    """An aim, and what was measured."""

    title: str
    most: float
    """The largest value that meets it."""
    found: list[float]
    """A value of each network and method."""
    unit: str = ""

    @property
    def measured(self) -> str:
        """The median; where there are several values, with the smallest and the largest."""
        if not self.found:
            return ""
        middle = f"{statistics.median(self.found):.2f}{self.unit}"
        return middle if len(self.found) == 1 else f"{middle} ({min(self.found):.2f}–{max(self.found):.2f})"

    @property
    def verdict(self) -> str:
        """Whether it is met, or in how many of the values."""
        met = sum(round(each, 2) <= self.most for each in self.found)
        if not self.found:
            return "not measured"
        if met in (0, len(self.found)):
            return "**met**" if met else "missed"
        return f"met in {met} of {len(self.found)}"


def between(text: str, section: str) -> str:
    """Return a text with a section in place of the one between the same first and last line; else at its end."""
    lines = section.splitlines(keepends=True)
    before, _, rest = text.partition(lines[0])
    return before + section + rest.partition(lines[-1])[2]


def headline(results: Results) -> str:
    """Return the table of aims, and the machine, for the README."""
    return "\n".join([HEADLINE, *aims_table(results), "", machine(), "", HEADLINE_END])


def machine() -> str:
    """Return a sentence on what was measured on."""
    cores, version = os.cpu_count(), metadata.version("torch")
    return f"Measured on one thread of {processor()} ({platform.machine()}, {cores} cores), torch {version}."


def page(rows: Sequence[Row], device: str) -> str:
    """Return the section."""
    results = Results(rows)
    others = (*pair.CASES, KERAS, GROWTH, OVERHEAD)
    networks = [part for part in dict.fromkeys(cell.part for cell in results.cells) if part not in others]
    clock = "CPU time" if device == "cpu" else "wall time after synchronisation"
    packages = ", ".join(f"{title} {version}" for name, title in NAMES.items() if (version := version_of(name)))
    lines = [
        *aims_table(results),
        "",
        f"{machine()} Ratios of {clock}, where nothing else is said:",
        "the median, the least and the most over the networks and methods of the tables below. Beside",
        f"{packages}.",
        "",
        "All sides of a row ran in turn; ÷ is the median over the rounds of our time divided by theirs. *Bare* is the",
        "passes alone, on the same network: for loops at their fastest batch size, for DeepLIFT over image and",
        "baseline, for methods without gradients forward only. The packages run at their own default batch. *MiB* is",
        "the peak of memory beyond what was held before. *Rounds*: how often each row was measured.",
        *not_installed(),
    ]
    for network in networks:
        lines += ["", f"### {network}", "", *network_table(results, network)]
    lines += ["", *suites(results)]
    lines += ["", *refusals(results)]
    lines += ["", *pair_tables(results)]
    lines += ["", *keras_table(results)]
    lines += ["", *growth(results)]
    return re.sub("\n{3,}", "\n\n", "\n".join([BEGIN, *lines, "", END]))


def not_installed() -> Iterator[str]:
    """Yield a line on each package that is left out."""
    missing = {} if version_of("keras") else {"TensorFlow": "measured only where it is installed"}
    for name, reason in {**installed.failures(), **missing}.items():
        yield ""
        yield f"Left out: {name}: `{reason}`."


def aims_table(results: Results) -> Iterator[str]:
    """Yield the table of aims."""
    yield "| ours ÷ | aim | measured: median (least–most) | |"
    yield "|---|---:|---:|---|"
    for each in aims(results):
        yield f"| {each.title} | ≤ {each.most:g}{each.unit} | {each.measured} | {each.verdict} |"


def aims(results: Results) -> Iterator[Aim]:
    """Yield the aims, each with its ratios over networks and methods."""
    one_pass = ("gradient", "input_x_gradient", "guided_backprop", "deconvolution")
    cams = ("grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam")
    loops = ("integrated_gradients", "smooth_grad", "expected_gradients", "occlusion", "rise")

    def of(*methods: str) -> Callable[[Cell], bool]:
        return lambda cell: not cell.x and cell.method in methods and cell.part not in (*pair.CASES, KERAS)

    def bare(*methods: str) -> list[float]:
        return results.ratios(of(*methods), "bare")

    def beside_pair(*methods: str, doors: Sequence[str] = ("ours", "explain")) -> list[float]:
        def where(cell: Cell) -> bool:
            return cell.part == pair.NETWORK and cell.method in methods

        return [ratio for door in doors for ratio in results.ratios(where, "pair", ours=door)]

    yield Aim("IG, SmoothGrad, Expected Gradients, Occlusion, RISE ÷ bare loop", 1.05, bare(*loops))
    yield Aim("Gradient, input × gradient, guided backprop, deconvolution ÷ bare pass", 1.1, bare(*one_pass))
    yield Aim("Grad-CAM and its kin ÷ bare pass", 1.1, bare(*cams))
    yield Aim("Gradient of the top class ÷ bare pass and forward", 1.1, bare("gradient of the top class"))
    yield Aim("DeepLIFT ÷ bare pass over image and baseline", 1.5, bare("deep_lift"))
    yield Aim("LRP ÷ bare pass", 2.0, bare("lrp"))
    yield Aim("loops ÷ Captum at its default batch", 0.8, results.ratios(of(*loops), "captum"))
    yield Aim("methods of one pass ÷ Captum", 0.8, results.ratios(of(*one_pass, *cams, "deep_lift"), "captum"))
    yield Aim("IG ÷ Captum at its default batch: peak memory", 0.35, results.ratios(of(*loops), "captum", memory=True))
    yield Aim("six one-pass CAMs in one call ÷ grad-cam", 0.2, results.ratios(of("6 CAMs"), "pytorch_grad_cam"))
    yield Aim("four one-pass CAMs in one call ÷ torch-cam", 0.2, results.ratios(of("4 CAMs"), "torchcam"))
    yield Aim("each method ÷ PAIR, `GetMask`", 1.0, beside_pair(*pair.METHODS, doors=["ours"]))
    yield Aim("each method ÷ PAIR, `explain` with as many steps", 1.0, beside_pair(*pair.METHODS, doors=["explain"]))
    yield Aim("SmoothGrad ÷ PAIR, both", 0.7, beside_pair("SmoothGrad"))
    yield Aim("XRAI ÷ PAIR, both", 0.3, beside_pair("XRAI"))
    yield Aim("XRAI ÷ PAIR, `explain` with its default steps", 0.3, beside_pair("XRAI", doors=["defaults"]))
    yield Aim("Blur IG ÷ PAIR, both", 0.5, beside_pair("Blur IG"))
    yield Aim("Occlusion ÷ PAIR, both", 0.3, beside_pair("Occlusion"))
    yield Aim("Occlusion ÷ PAIR, `explain` with its default windows", 0.3, beside_pair("Occlusion", doors=["defaults"]))
    title = "all methods of PAIR in one call ÷ PAIR, "
    yield Aim(f"{title}as many steps", 0.35, beside_pair(pair.WHOLE, doors=["explain"]))
    yield Aim(f"{title}default steps", 0.35, beside_pair(pair.WHOLE, doors=["defaults"]))
    yield Aim("gradients of 10 targets ÷ 10 calls", 0.7, results.ratios(of("10 targets"), "ten calls"))
    yield Aim("gradients of 8 pictures in bfloat16 ÷ float32", 0.6, results.ratios(of(BFLOAT16), "float32"))
    yield Aim("memory of IG: 1000 steps ÷ 10 steps", 1.1, memory_growth(results))
    for method, (title, limit, share, unit) in OVERHEADS.items():
        cell = Cell(OVERHEAD, method)
        ours, least = results.median(cell, "ours"), results.median(cell, "bare")
        yield Aim(title, limit, [] if ours is None or least is None else [(ours - least) * share], unit)


OVERHEADS = {
    "explain": ("overhead of `explain` on an adapted model", 1.0, 1000 / 50, " ms"),
    "GetMask": ("overhead of `GetMask`", 0.3, 1000 / 50, " ms"),
    "import": ("`import saliency` beyond `import numpy`", 0.1, 1.0, " s"),
}
"""Aims for what a call costs beside its passes, by method: title, limit, factor from seconds, unit."""


def memory_growth(results: Results) -> list[float]:
    """Return the peak memory of Integrated Gradients with the most steps divided by that with the fewest."""
    cells = sorted(
        (c for c in results.cells if (c.x, c.method) == ("steps", "integrated_gradients")), key=lambda c: c.at
    )
    known = [value for cell in cells if (value := results.median(cell, "ours", memory=True)) is not None]
    return [known[-1] / known[0]] if len(known) > 1 else []


def network_table(results: Results, network: str) -> Iterator[str]:
    """Yield the table of a network."""
    cells = [cell for cell in results.cells if cell.part == network and cell.method not in SUITES]
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

        others = [f"{title}: {text}" for side, title in NAMES.items() if side != "captum" and (text := ratio(side))]
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
    cells = [each for each in results.cells if each.method in SUITES]
    if not cells:
        return
    yield "Several maps in one call, our time divided by that of as many calls; and bfloat16, with the largest"
    yield "difference of its mask from float32, as a share of the largest value:"
    yield ""
    yield "| network | maps | beside | ÷ | difference | rounds |"
    yield "|---|---|---|---:|---:|---:|"
    for cell in cells:
        sides = {"pytorch_grad_cam": "grad-cam", "torchcam": "torch-cam", "ten calls": "ten calls of ours"}
        for side, title in {**sides, "float32": "float32"}.items():
            known = results.facts(cell).get("difference")
            shown = "" if known is None else f"{known:.0e}"
            if (found := results.ratio(cell, side)) is not None:
                yield f"| {cell.part} | {cell.method} | {title} | {found:.2f} | {shown} | {len(results.rounds(cell))} |"
            elif side in results.errors(cell):
                yield f"| {cell.part} | {cell.method} | {title} | {refusal(results.errors(cell)[side])} | | |"


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


def pair_tables(results: Results) -> Iterator[str]:
    """Yield the tables beside PAIR's package."""
    if not any(cell.part in pair.CASES for cell in results.cells):
        return
    yield "### PAIR's package"
    yield ""
    yield from PAIR_TEXT
    for part in pair.CASES:
        cells = [cell for cell in results.cells if cell.part == part]
        if cells:
            yield ""
            yield from pair_table(results, part, cells)


PAIR_TEXT = (
    "PAIR-code/saliency 0.2.1 at its own defaults, with NumPy 1.26, SciPy 1.11 and scikit-image 0.22, on which all of",
    "it works, and the same torch. *GetMask* is the same call of ours, *explain* is `saliency.explain` with as many",
    "steps or windows, *default* with its own defaults where these are others. Pictures are 224², for Occlusion and",
    f"all methods together {pair.FEW}²: PAIR calls the model for each window. `saliency.tf1` is measured beside PAIR's",
    "on NumPy 2, at 112², and 32² for Occlusion: TensorFlow 2.21 does not run on NumPy 1.26, nor PAIR's Guided IG on",
    "NumPy 2.",
)


def pair_table(results: Results, part: str, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the table of a part beside PAIR's package."""
    heads = (part.removeprefix("PAIR: "), "calls, PAIR → ours", "PAIR, s", "GetMask, s", "÷", "explain ÷", "images")
    rows = []
    for cell in cells:
        facts, errors = results.facts(cell), results.errors(cell)

        def number(found: float | None, digits: int) -> str:
            return "" if found is None else f"{found:.{digits}f}"

        def ratio(door: str, cell: Cell = cell, errors: Mapping[str, str] = errors) -> str:
            return refusal(errors[door]) if door in errors else number(results.ratio(cell, "pair", ours=door), 2)

        calls = [str(facts.get(key, "")) for key in ("calls, pair", "calls")]
        memory = [number(results.median(cell, side, memory=True), 0) for side in ("pair", "ours")]
        known = facts.get("difference")
        row = [
            cell.method,
            " → ".join(filter(None, calls)) if any(each not in ("", "0") for each in calls) else "",
            refusal(errors["pair"]) if "pair" in errors else number(results.median(cell, "pair"), 3),
            number(results.median(cell, "ours"), 3),
            ratio("ours"),
            ratio("explain"),
            str(facts.get("images, explain", "")),
            ratio("defaults"),
            str(facts.get("images, defaults", "")),
            " → ".join(memory) if all(memory) else "",
            "" if known is None else "none" if not known else f"{known:.0e}",
            str(len(results.rounds(cell))),
        ]
        rows.append(row)
    yield from table([*heads, "default ÷", "images", "MiB, PAIR → ours", "difference", "rounds"], rows)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a table without its empty columns; all but the first are aligned to the right."""
    kept = [i for i in range(len(heads)) if any(row[i] for row in rows)]
    yield f"| {' | '.join(heads[i] for i in kept)} |"
    yield f"|---|{'---:|' * (len(kept) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row[i] for i in kept)} |"


def keras_table(results: Results) -> Iterator[str]:
    """Yield the table of the Keras network."""
    cells = [cell for cell in results.cells if cell.part == KERAS]
    if not cells:
        return
    known = [f"{name} {version}" for name in ("tensorflow_cpu", "tensorflow", "keras") if (version := version_of(name))]
    yield f"### {KERAS}"
    yield ""
    yield f"At 128², with {' and '.join(known)}; ÷ is our time divided by each package's, at its own default"
    yield "batch, after a call that traces its functions."
    yield ""
    yield f"| method | time, s | ÷ bare | {' | '.join(f'÷ {NAMES[side]}' for side in OF_KERAS)} | rounds |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for cell in cells:
        errors, row = results.errors(cell), []
        for side in ("bare", *OF_KERAS):
            ratio = results.ratio(cell, side)
            row.append(f"{ratio:.2f}" if ratio is not None else refusal(errors[side]) if side in errors else "")
        ours = results.median(cell, "ours")
        shown = refusal(errors.get("ours", "")) if ours is None else f"{ours:.3f}"
        yield f"| `{cell.method}` | {shown} | {' | '.join(row)} | {len(results.rounds(cell))} |"


def growth(results: Results) -> Iterator[str]:
    """Yield the tables of memory against steps and size, and the plot."""
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
    yield "Time and peak memory by the size of the image:"
    yield ""
    sized = [cell for cell in results.cells if cell.x == "size"]
    methods = list(dict.fromkeys(cell.method for cell in sized))
    yield f"| size | {' | '.join(f'`{method}`' for method in methods)} |"
    yield f"|---:|{'---:|' * len(methods)}"
    for size in sorted({cell.at for cell in sized}):
        each = [Cell(GROWTH, method, x="size", at=size) for method in methods]
        texts = []
        for cell in each:
            seconds, peak = results.median(cell, "ours"), results.median(cell, "ours", memory=True)
            texts.append("" if seconds is None or peak is None else f"{seconds:.3f} s, {peak:.0f} MiB")
        yield f"| {size}² | {' | '.join(texts)} |"
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
