"""Time and memory beside the bare passes and beside other packages, on the same networks and pictures.

    python -m benchmarks.peers [--networks ResNet-18 ViT-S] [--minutes 28] [--rows build/bench/rows.jsonl]

All sides of a cell run in turn, on one thread, in CPU time, so that other processes on the machine disturb all alike;
ratios are medians over the rounds. Each network has a process of its own. Every cell is measured once, and the rest of
the time goes to the cells that had least of it, so that cheap cells have more rounds. Peak memory is measured in other
processes, in which freed memory returns to the system at once. Each round is stored when it ends, and a stopped run of
the same version continues after it. On a GPU (`--device cuda`) wall time is measured after synchronisation.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import saliency
from benchmarks.networks import NETWORKS, built
from benchmarks.packages import (
    Mask,
    Subject,
    captum,
    captum_layer,
    captum_smooth_grad,
    grad_cam,
    is_installed,
    shap_gradient,
    shap_partition,
    torchcam,
    zennit,
)
from benchmarks.peers_page import BEGIN, END, Cell, Row, drawn, page
from saliency.core.base import INPUT_OUTPUT_GRADIENTS

ROOT = Path(__file__).resolve().parent.parent
TARGET, SIZE, STEPS = 3, 224, 50
SMALL = 112
"""Height and width of pictures where cost is measured against steps, targets and batch."""

CAMS = ("grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam", "eigen_cam")
ONE_PASS = ("gradient", "input_x_gradient", "guided_backprop", "deconvolution", *CAMS, "deep_lift", "lrp")
BATCHED = ("gradient", "grad_cam")
BATCHED_RULES = ("guided_backprop", "deep_lift", "lrp")
"""Methods of one pass that are measured with 16 pictures too; those by rules, which take longest, on some networks."""

MANY: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": STEPS, "quadrature": "gauss_legendre"},
    "smooth_grad": {"samples": STEPS},
    "expected_gradients": {"samples": STEPS, "baseline": "black"},
    "occlusion": {"size": 32, "stride": 32},
    "rise": {"samples": 100},
    "partition_shap": {"samples": 250},
}
"""Methods of many passes, with the fields that set their cost."""

FORWARD = ("eigen_cam", "occlusion", "rise", "partition_shap")
"""Methods that need no backward pass."""

WHOLE = ("ResNet-18", "EfficientNet-Lite0 (trained)")
"""The networks on which all methods are measured; on the others Integrated Gradients alone of those of many passes, and
no rules for 16 pictures."""

GROWTH, OVERHEAD = "growth", "overhead"
PARTS = {
    "ResNet-18": 5,
    "ResNet-50": 5,
    "MobileNetV2": 2,
    "ViT-S": 5,
    "EfficientNet-Lite0 (trained)": 4,
    GROWTH: 2,
    OVERHEAD: 1,
}
"""What is measured in a process of its own, with its share of the time."""

MOST = 7
"""The maximal number of rounds of a cell."""

SOON, FIRST = 3, 3.0
"""Rounds that a cell gets before the next one begins, while they take less than so many seconds together."""

PEERS: dict[str, dict[str, Mask]] = {
    "gradient": {"captum": captum("Saliency", abs=False)},
    "input_x_gradient": {"captum": captum("InputXGradient")},
    "guided_backprop": {"captum": captum("GuidedBackprop"), "zennit": zennit("GuidedBackprop")},
    "deconvolution": {"captum": captum("Deconvolution"), "zennit": zennit("DeconvNet")},
    "grad_cam": {
        "captum": captum_layer("LayerGradCam"),
        "pytorch_grad_cam": grad_cam("GradCAM"),
        "torchcam": torchcam("GradCAM"),
    },
    "grad_cam_plus_plus": {"pytorch_grad_cam": grad_cam("GradCAMPlusPlus"), "torchcam": torchcam("GradCAMpp")},
    "hires_cam": {"pytorch_grad_cam": grad_cam("HiResCAM")},
    "layer_cam": {"pytorch_grad_cam": grad_cam("LayerCAM"), "torchcam": torchcam("LayerCAM")},
    "xgrad_cam": {"pytorch_grad_cam": grad_cam("XGradCAM"), "torchcam": torchcam("XGradCAM")},
    "eigen_cam": {"pytorch_grad_cam": grad_cam("EigenCAM")},
    "deep_lift": {"captum": captum("DeepLift")},
    "lrp": {"captum": captum("LRP"), "zennit": zennit("EpsilonPlus")},
    "integrated_gradients": {"captum": captum("IntegratedGradients", n_steps=STEPS)},
    "smooth_grad": {"captum": captum_smooth_grad(STEPS)},
    "expected_gradients": {
        "captum": captum("GradientShap", baselines=lambda subject: subject.baselines(), n_samples=STEPS, stdevs=0.0),
        "shap": shap_gradient(STEPS),
    },
    "occlusion": {"captum": captum("Occlusion", sliding_window_shapes=(3, 32, 32), strides=(3, 32, 32))},
    "partition_shap": {"shap": shap_partition},
}
"""The same by other packages, by the name of their module, each at its own default batch."""

OWN = ("ours", "bare", "ten calls", "float32")
"""Sides that need no other package."""

DRAWN = ("smooth_grad", "expected_gradients")
"""Methods that draw at random, so that masks of two packages differ."""

Side = Callable[[], Any]


@dataclass
class Bench:
    """One network with its pictures, explained by every side.

    Args:
        name: of the network.
        device: "cpu" or "cuda".
    """

    name: str
    device: str = "cpu"
    network: nn.Module = field(init=False)
    copied: nn.Module | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.network = built(self.name).to(self.device)
        self.adapted = saliency.adapt(self.network)
        self.reduced = saliency.adapt(self.network, precision="bf16")

    def pictures(self, batch: int = 1, size: int = SIZE) -> list[np.ndarray]:
        """Return random pictures, (H, W, C)."""
        return list(np.random.default_rng(0).uniform(size=(batch, size, size, 3)).astype(np.float32))

    def pixels(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """Return pictures as the network takes them, (N, C, H, W)."""
        return torch.from_numpy(np.moveaxis(np.stack(pictures), -1, 1).copy()).to(self.device)

    def ours(
        self, pictures: Sequence[np.ndarray], method: Any, target: Any = TARGET, model: Any = None, **fields: Any
    ) -> Side:
        """Return our explanation of each picture; a batch is one run."""
        model = model or self.adapted
        if len(pictures) == 1:
            return lambda: saliency.explain(model, pictures[0], method, target, progress=False, **fields)
        each = [target] * len(pictures)
        return lambda: list(saliency.explain_each(model, pictures, method, targets=each, **fields))

    def peer(self, pixels: Tensor, mask: Mask) -> Side:
        """Return a mask of another package, on a copy of the network, which a package that fails may leave changed."""

        def run() -> Any:
            self.copied = self.copied or copy.deepcopy(self.network)
            subject = Subject(self.copied, pixels, TARGET, self.layer, list, lambda: torch.zeros_like(pixels))
            try:
                return mask(subject)
            except BaseException:
                self.copied = None
                raise

        return run

    def layer(self) -> Any:
        """Return the module, in the copy, of the layer that our CAMs read.

        Raises:
            Unsupported: it is an operator, which packages with hooks cannot read.
        """
        (name, *_), _ = self.adapted.automatic_layers(self.adapted.ops.asarray(self.pictures()[0][None]))
        found = dict((self.copied or self.network).named_modules()).get(name)
        if found is None:
            raise saliency.SaliencyError(f"the layer is the operator {name}, not a module")
        return found

    def gradients(self, pixels: Tensor) -> Tensor:
        """Return the gradients by one forward and backward pass, and nothing else."""
        leaf = pixels.detach().requires_grad_()
        return torch.autograd.grad(self.network(leaf)[:, TARGET].sum(), leaf)[0]

    def bare(self, method: str, pixels: Tensor, images: int = 0) -> Side:
        """Return the passes that the method needs, and nothing else."""
        if method == "deep_lift":
            both = torch.cat([pixels, torch.zeros_like(pixels)])
            return lambda: self.gradients(both)
        run = self.forward if method in FORWARD else self.gradients
        return partial(self.loop, run, pixels, images, self.fastest) if method in MANY else partial(run, pixels)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the outputs."""
        with torch.no_grad():
            found: Tensor = self.network(pixels)
        return found

    def loop(self, run: Callable[[Tensor], Tensor], pixels: Tensor, images: int, size: int) -> None:
        """Evaluate as many images, in batches of one size."""
        points = pixels[:1].expand(size, -1, -1, -1)
        for first in range(0, images, size):
            run(points[: images - first] * 0.5)

    @cached_property
    def fastest(self) -> int:
        """The batch size at which the bare loop is fastest."""
        pixels = self.pixels(self.pictures())
        taken = {n: self.seconds(partial(self.loop, self.gradients, pixels, 16, n))[0] for n in (16, 4, 8, 16)}
        return min(taken, key=lambda n: taken[n])

    def seconds(self, run: Side) -> tuple[float, Any]:
        """Return the time of a run (CPU time; wall time on a GPU), and its result."""
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        started = clock()
        found = run()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return clock() - started, found

    def mebibytes(self, run: Side) -> float:
        """Return the peak of the memory that a run needs beyond what is held before it."""
        if self.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run()
            return (torch.cuda.max_memory_allocated() - before) / 2**20
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # free memory that the process holds would not count when it is used again
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
        before = high_water()
        run()
        return (high_water() - before) / 1024


def high_water() -> int:
    """Return the peak of this process's resident memory, in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def cells_of(part: str, device: str, *, memory: bool) -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield what a part measures: each cell with its sides, ours first.

    Args:
        part: a key of :data:`PARTS`.
        device: "cpu" or "cuda".
        memory: whether peak memory is measured, which leaves out what needs many passes or pictures.
    """
    if part == OVERHEAD:
        if not memory:
            yield from overhead_cells()
        return
    bench = Bench("ResNet-18" if part == GROWTH else part, device)
    yield from growth_cells(bench) if part == GROWTH else network_cells(bench, memory=memory)


def network_cells(bench: Bench, *, memory: bool) -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield the cells of a network."""
    for batch in (1,) if memory else (1, 16):
        pictures = bench.pictures(batch)
        pixels = bench.pixels(pictures)
        bench.ours(pictures, "gradient")()  # the first explanation finds shapes, and compares presets
        many = ["integrated_gradients"] if memory or bench.name not in WHOLE else list(MANY)
        batched = [*BATCHED, *(BATCHED_RULES if bench.name in WHOLE else ())]
        for method in [*ONE_PASS, *many] if batch == 1 else batched:
            ours = bench.ours(pictures, method, **MANY.get(method, {}))
            images = ours().images if method in MANY and method in FORWARD else STEPS
            others = {name: bench.peer(pixels, mask) for name, mask in PEERS.get(method, {}).items()}
            yield (
                Cell(bench.name, method, batch),
                bench,
                {"ours": ours, "bare": bench.bare(method, pixels, images), **others},
            )
    if memory:
        return
    for package in ("pytorch_grad_cam", "torchcam"):
        pictures = bench.pictures()
        names = [name for name in CAMS if package in PEERS[name]]
        each = [bench.peer(bench.pixels(pictures), PEERS[name][package]) for name in names]
        sides = {"ours": bench.ours(pictures, names), package: in_turn(each)}
        yield Cell(bench.name, f"{len(names)} CAMs"), bench, sides
    eight = bench.pictures(8)
    halves = {
        "ours": bench.ours(eight, "gradient", model=bench.reduced),
        "float32": bench.ours(eight, "gradient"),
    }
    halves["ours"]()  # measures the deviation
    yield Cell(bench.name, "8 pictures in bfloat16"), bench, halves
    if bench.name in WHOLE:
        tens = [bench.ours(bench.pictures(), "gradient", target) for target in range(10)]
        ten = bench.ours(bench.pictures(), "gradient", list(range(10)))
        yield Cell(bench.name, "10 targets"), bench, {"ours": ten, "ten calls": in_turn(tens)}


def in_turn(each: Sequence[Side]) -> Side:
    """Return all calls as one."""
    return lambda: [run() for run in each]


def growth_cells(bench: Bench) -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield the cells of how cost grows with the size of the image, steps, targets and batch."""
    small = bench.pictures(64, SMALL)
    pixels = bench.pixels(small[:1])
    for steps in (10, 30, 100, 300, 1000):
        each = {"quadrature": "gauss_legendre", "steps": steps}
        sides = {"ours": bench.ours(small[:1], "integrated_gradients", **each)}
        if steps <= 100:
            sides["captum"] = bench.peer(pixels, captum("IntegratedGradients", n_steps=steps))
        yield Cell(GROWTH, "integrated_gradients", x="steps", at=steps), bench, sides
        if steps <= 300:
            smooth = {"ours": bench.ours(small[:1], "smooth_grad", samples=steps)}
            yield Cell(GROWTH, "smooth_grad", x="steps", at=steps), bench, smooth
    for targets in (1, 10, 100):
        for method in ("gradient", "grad_cam", "lrp"):
            sides = {"ours": bench.ours(small[:1], method, list(range(targets)))}
            yield Cell(GROWTH, method, x="targets", at=targets), bench, sides
    for batch in (1, 4, 16, 64):
        for method in ("gradient", "grad_cam", "lrp"):
            yield Cell(GROWTH, method, x="batch", at=batch), bench, {"ours": bench.ours(small[:batch], method)}
    for size in (64, 128, 256, 512, 1024):
        for method in ("gradient", "grad_cam", "deep_lift", "lrp", "occlusion"):
            windows = {"size": size // 4, "stride": size // 4} if method == "occlusion" else {}
            sides = {"ours": bench.ours(bench.pictures(1, size), method, **windows)}
            yield Cell(GROWTH, method, x="size", at=size), bench, sides


def overhead_cells() -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield the cells of what a call costs beside its passes, on a network of one layer: 50 calls a side."""
    bench = Bench("tiny")
    pictures = bench.pictures(1, 32)
    pixels = bench.pixels(pictures)

    def called(images: Any, call_model_args: Any = None, expected_keys: Any = None) -> dict[str, Any]:  # noqa: ARG001  # as PAIR calls it
        leaf = torch.from_numpy(np.moveaxis(np.asarray(images), -1, 1).copy())
        return {INPUT_OUTPUT_GRADIENTS: np.moveaxis(bench.gradients(leaf).numpy(), 1, -1)}

    door = partial(saliency.core.GradientSaliency().GetMask, pictures[0], called)
    for method, ours, bare in (
        ("explain", bench.ours(pictures, "gradient"), lambda: bench.gradients(pixels)),
        ("GetMask", door, lambda: called(pictures[0][None])),
    ):
        yield Cell(OVERHEAD, method), bench, {"ours": in_turn([ours] * 50), "bare": in_turn([bare] * 50)}
    started: dict[str, Side] = {"ours": partial(imported, "numpy, saliency"), "bare": partial(imported, "numpy")}
    yield Cell(OVERHEAD, "import"), bench, started


def imported(names: str) -> float:
    """Import packages in a new process, and return its CPU time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import {names}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Rows:
    """The rounds measured so far, in a file.

    Args:
        path: JSON lines; of another version of the code, it starts again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if not lines or lines[0] != (version := json.dumps({"version": code_version()})):
            path.write_text(version + "\n" if lines else json.dumps({"version": code_version()}) + "\n", "utf-8")
            lines = lines[:1]
        self.rows = [Row.read(line) for line in lines[1:]]

    def add(self, row: Row) -> None:
        """Keep a round."""
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(row.written() + "\n")

    @property
    def spent(self) -> float:
        """The wall time of all rounds, in seconds."""
        return sum(row.spent for row in self.rows)

    def of(self, cell: Cell, *, memory: bool = False) -> list[Row]:
        """Return the rounds of a cell."""
        return [row for row in self.rows if row.cell == cell and row.memory == memory]


def code_version() -> str:
    """Return a digest of the code that is measured and measures, and the versions of what it runs on."""
    digest = hashlib.blake2b(f"{torch.__version__} {np.__version__} {platform.node()}".encode(), digest_size=8)
    for path in sorted([*(ROOT / "saliency").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def measure(part: str, device: str, rows: Rows, until: float, *, memory: bool) -> None:
    """Measure every cell of a part once, and then those with the least time spent, while there is time.

    Args:
        part: a key of :data:`PARTS`.
        device: "cpu" or "cuda".
        rows: receives the rounds.
        until: when to stop, in seconds since the epoch.
        memory: whether to measure peak memory, once.
    """
    kept: list[tuple[Cell, Bench, dict[str, Side]]] = []
    for cell, bench, sides in cells_of(part, device, memory=memory):
        kept.append((cell, bench, sides))
        while not (earlier := rows.of(cell, memory=memory)) or (
            not memory and len(earlier) < SOON and sum(row.spent for row in earlier) < FIRST
        ):
            rows.add(one_round(cell, bench, sides, earlier, memory=memory))
    while not memory and time.time() < until:
        left = [each for each in kept if len(rows.of(each[0])) < MOST]
        if not left:
            return
        cell, bench, sides = min(left, key=lambda each: sum(row.spent for row in rows.of(each[0])))
        rows.add(one_round(cell, bench, sides, rows.of(cell), memory=False))


def one_round(cell: Cell, bench: Bench, sides: Mapping[str, Side], earlier: Sequence[Row], *, memory: bool) -> Row:
    """Run all sides of a cell in turn."""
    began, found, errors, results = time.time(), dict[str, float](), dict[str, str](), dict[str, Any]()
    failed = {name for row in earlier for name in row.errors}
    for name, run in sides.items():
        if name in failed or (name not in OWN and not is_installed(name)):
            continue
        try:
            if not earlier and cell.method in ONE_PASS and not cell.x:
                run()  # the first call imports packages, finds shapes, and allocates the buffers of kernels
            if memory:
                found[name] = bench.mebibytes(run)
            else:
                found[name], results[name] = bench.seconds(run)
                if cell.method == "import":
                    found[name] = results[name]
        except Exception as error:  # noqa: BLE001  # a package may fail in any way; that is its result
            errors[name] = f"{type(error).__name__}: {error}"
    facts: dict[str, Any] = {}
    if not earlier and not memory and cell.part in NETWORKS and cell.batch == 1 and "ours" in results:
        own = results["ours"]
        if not isinstance(own, list) and hasattr(own, "images"):
            facts = {"images": own.images, "calls": own.calls}
            if cell.method not in DRAWN and "captum" in results:
                facts["difference"] = difference(own, results["captum"])
    row = Row(cell, found, errors, facts, time.time() - began, memory)
    print(cell, {name: round(value, 4) for name, value in found.items()}, errors or "", flush=True)
    return row


def difference(ours: Any, theirs: Any) -> float | None:
    """Return the largest difference of two masks, as a share of the largest value; None if their shapes differ."""
    one, other = np.asarray(ours.mask), theirs.detach().cpu().numpy()[0]
    other = other[0] if one.ndim == 2 else np.moveaxis(other, 0, -1)
    if one.shape != other.shape:
        return None
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-30))


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=list(PARTS), choices=list(PARTS), help="and growth, overhead")
    parser.add_argument("--minutes", type=float, default=28.0, help="after which no second round of a cell begins")
    parser.add_argument("--rows", type=Path, default=ROOT / "build/bench/rows.jsonl")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/benchmarks.md")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--measure", choices=("time", "memory"), help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(options.rows)
    if options.measure:
        (part,) = options.networks
        measure(part, options.device, rows, options.until, memory=options.measure == "memory")
        return
    began = time.time() - rows.spent
    measurable = platform.libc_ver()[0] == "glibc" or options.device != "cpu"
    steps = [(what, part) for what in ("memory", "time")[not measurable :] for part in options.networks]
    for i, (what, part) in enumerate(steps):
        shares = [PARTS[each] for kind, each in steps[i:] if kind == "time"]
        left = began + 60 * options.minutes - time.time()
        until = time.time() + left * PARTS[part] / sum(shares)
        command = [sys.executable, "-m", "benchmarks.peers", "--networks", part, "--rows", str(options.rows)]
        command += ["--device", options.device, "--measure", what, "--until", str(until)]
        # memory that is freed returns to the system at once, so that the peak is that of the tensors alive
        mapped = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        env = {**os.environ, "PYTHONWARNINGS": "ignore", **(mapped if what == "memory" else {})}
        subprocess.run(command, check=True, cwd=ROOT, env=env)
    rows = Rows(options.rows)
    text = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
    before, _, rest = text.partition(BEGIN)
    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(before + page(rows.rows, options.device) + rest.partition(END)[2], encoding="utf-8")
    (options.page.parent / "images").mkdir(exist_ok=True)
    drawn(rows.rows, options.page.parent / "images/cost.png")


if __name__ == "__main__":
    main()
