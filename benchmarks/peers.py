"""Time and memory beside the bare passes and beside other packages, on the same networks and pictures.

    python -m benchmarks.peers [--parts ResNet-18 ViT-S] [--minutes 28] [--rows build/bench/rows.jsonl]

All sides of a cell run in turn, on one thread, in CPU time, so that other processes on the machine disturb all alike;
ratios are medians over the rounds. Each part has a process of its own, and so has PAIR's package. Every cell is
measured once, and the rest of the time goes to the cells that had least of it, so that cheap cells have more rounds.
Peak memory is measured in other processes, in which freed memory returns to the system at once. Each round is stored
when it ends, and a stopped run of the same version continues after it. On a GPU (`--device cuda`) wall time is measured
after synchronisation.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import saliency
from benchmarks import installed, pair
from benchmarks.bench import SIZE, STEPS, TARGET, Bench, in_turn
from benchmarks.beside_keras import keras_cells
from benchmarks.beside_pair import TheirsError, pair_cells
from benchmarks.clock import Side, Taken
from benchmarks.networks import built
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
from benchmarks.peers_page import (
    BFLOAT16,
    GROWTH,
    KERAS,
    NAMES,
    OVERHEAD,
    Cell,
    Results,
    Row,
    between,
    drawn,
    headline,
    page,
)
from saliency.core.base import INPUT_OUTPUT_GRADIENTS

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/benchmarks.md"
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
    "partition_shap": {"samples": 100},
}
"""Methods of many passes, with the fields that set their cost."""

IMAGES = {"occlusion": 1 + (SIZE // 32) ** 2, "rise": 100, "partition_shap": 100}
"""The number of images that they evaluate, where it is not :data:`~benchmarks.bench.STEPS`."""

FORWARD = ("eigen_cam", "occlusion", "rise", "partition_shap")
"""Methods that need no backward pass."""

WHOLE = ("ResNet-18", "EfficientNet-Lite0 (trained)")
"""The networks on which all methods are measured; on the others Integrated Gradients alone of those of many passes, and
no rules for 16 pictures."""

PARTS = {
    OVERHEAD: 1,
    "ResNet-18": 5,
    "ResNet-50": 4,
    "MobileNetV2": 2,
    "ViT-S": 4,
    "EfficientNet-Lite0 (trained)": 4,
    pair.NETWORK: 6,
    pair.LIGHT: 2,
    pair.TF1: 2,
    KERAS: 3,
    GROWTH: 2,
}
"""What is measured in a process of its own, with its share of the time."""

ALONE = {
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
"""Environment of all processes: one thread each."""

MOST = 7
"""The maximal number of rounds of a cell."""

SOON, FIRST = 3, 1.5
"""Rounds that a cell gets before the next one, if there is time, while they take less than so many seconds together."""

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
    "partition_shap": {"shap": shap_partition(100)},
}
"""The same by other packages, by the name of their module, each at its own default batch."""

DRAWN = ("smooth_grad", "expected_gradients")
"""Methods that draw at random, so that masks of two packages differ."""


class TorchBench(Bench):
    """A network of torch.

    Args:
        name: of the network.
        device: "cpu" or "cuda".
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.device = device
        self.network = built(name).to(device)
        self.copied = copy.deepcopy(self.network)
        self.weights = [*self.copied.parameters(), *self.copied.buffers()]
        super().__init__(name, self.network)

    def pixels(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """Return pictures as the network takes them, (N, C, H, W)."""
        return torch.from_numpy(np.moveaxis(np.stack(pictures), -1, 1).copy()).to(self.device)

    def repeated(self, pixels: Tensor, size: int) -> Tensor:
        return pixels[:1].expand(size, -1, -1, -1)

    def peer(self, pixels: Tensor, mask: Mask) -> Side:
        """Return a mask of another package, on copies of the modules and the picture, as some leave them changed."""
        module = copy.deepcopy(self.copied, {id(each): each for each in self.weights})
        own = pixels.clone()
        subject = Subject(module, own, TARGET, partial(self.layer, module), list, lambda: torch.zeros_like(pixels))
        return partial(mask, subject)

    def layer(self, module: nn.Module) -> nn.Module:
        """Return the module, in a copy of the network, of the layer that our CAMs read.

        Raises:
            SaliencyError: it is an operator, which packages with hooks cannot read.
        """
        found = dict(module.named_modules()).get(self.layer_name)
        if found is None:
            raise saliency.SaliencyError(f"the layer is the operator {self.layer_name}, not a module")
        return found

    @cached_property
    def layer_name(self) -> str:
        """The name of the layer that our CAMs read."""
        (name, *_), _ = self.adapted.automatic_layers(self.adapted.ops.asarray(self.pictures()[0][None]))
        return str(name)

    def gradients(self, pixels: Tensor) -> Tensor:
        """Return the gradients by one forward and backward pass, and nothing else."""
        leaf = pixels.detach().requires_grad_()
        return torch.autograd.grad(self.network(leaf)[:, TARGET].sum(), leaf)[0]

    def bare(self, method: str, pixels: Tensor) -> Side:
        """Return the passes that the method needs, and nothing else."""
        if method == "deep_lift":
            both = torch.cat([pixels, torch.zeros_like(pixels)])
            return lambda: self.gradients(both)
        run = self.forward if method in FORWARD else self.gradients
        if method not in MANY:
            return partial(run, pixels)
        return partial(self.loop, run, pixels, IMAGES.get(method, STEPS), self.fastest)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the outputs."""
        with torch.no_grad():
            found: Tensor = self.network(pixels)
        return found

    def measured(self, run: Side, *, memory: bool = False) -> Taken:
        if self.device == "cpu":
            return super().measured(run, memory=memory)
        torch.cuda.reset_peak_memory_stats()
        before, started = torch.cuda.memory_allocated(), time.perf_counter()
        found = run()
        torch.cuda.synchronize()
        taken = time.perf_counter() - started
        return Taken((torch.cuda.max_memory_allocated() - before) / 2**20 if memory else taken, found)


def cells_of(part: str, device: str, *, memory: bool) -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield what a part measures: each cell with its sides, ours first.

    Args:
        part: a key of :data:`PARTS`.
        device: "cpu" or "cuda".
        memory: whether peak memory is measured, which leaves out what needs many passes or pictures.
    """
    if part == OVERHEAD:
        yield from () if memory else overhead_cells()
    elif part == KERAS:
        yield from () if memory or not is_installed("tensorflow") else keras_cells()
    elif part in pair.CASES:
        yield from pair_cells(part, TorchBench("ResNet-18"), memory=memory)
    elif part == GROWTH:
        yield from growth_cells(TorchBench("ResNet-18", device), memory=memory)
    else:
        yield from network_cells(TorchBench(part, device), memory=memory)


def network_cells(bench: TorchBench, *, memory: bool) -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield the cells of a network."""
    for batch in (1,) if memory else (1, 16):
        pictures = bench.pictures(batch)
        pixels = bench.pixels(pictures)
        bench.ours(pictures, "gradient")()  # the first explanation finds shapes, and compares presets
        whole = bench.name in WHOLE
        many = ["integrated_gradients"] if whole or not memory else []
        if whole and not memory:
            many = list(MANY)
        batched = [*BATCHED, *(BATCHED_RULES if whole else ())]
        for method in [*ONE_PASS, *many] if batch == 1 else batched:
            ours = bench.ours(pictures, method, **MANY.get(method, {}))
            beside = {name: mask for name, mask in PEERS.get(method, {}).items() if name == "captum" or not memory}
            if method in MANY and not whole:
                beside = {}
            others = {name: bench.peer(pixels, mask) for name, mask in beside.items()}
            yield (
                Cell(bench.name, method, batch),
                bench,
                {"ours": ours, "bare": bench.bare(method, pixels), **others},
            )
    if not memory:
        yield from suite_cells(bench)


def suite_cells(bench: TorchBench) -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield the cells of several maps in one call, of an unknown target, and of another precision."""
    pictures = bench.pictures()
    pixels = bench.pixels(pictures)
    top = bench.ours(pictures, "gradient", None)
    bare = in_turn([partial(bench.forward, pixels), partial(bench.gradients, pixels)])
    yield Cell(bench.name, "gradient of the top class"), bench, {"ours": top, "bare": bare}
    for package in ("pytorch_grad_cam", "torchcam"):
        names = [name for name in CAMS if package in PEERS[name]]
        each = [bench.peer(pixels, PEERS[name][package]) for name in names]
        sides = {"ours": bench.ours(pictures, names), package: in_turn(each)}
        yield Cell(bench.name, f"{len(names)} CAMs"), bench, sides
    if bench.name in WHOLE:
        tens = [bench.ours(pictures, "gradient", target) for target in range(10)]
        ten = bench.ours(pictures, "gradient", list(range(10)))
        yield Cell(bench.name, "10 targets"), bench, {"ours": ten, "ten calls": in_turn(tens)}
    if bench.device != "cpu" or has_bfloat16():
        eight = bench.pictures(8)
        reduced = saliency.adapt(bench.network, precision="bf16")
        ours = bench.ours(eight, "gradient", model=reduced)
        ours()  # the first run measures the deviation
        yield Cell(bench.name, BFLOAT16), bench, {"ours": ours, "float32": bench.ours(eight, "gradient")}


def has_bfloat16() -> bool:
    """Return whether the processor multiplies in bfloat16."""
    info = Path("/proc/cpuinfo")
    return info.exists() and bool(re.search(r"\b(avx512_bf16|amx_bf16)\b", info.read_text(encoding="utf-8")))


def growth_cells(bench: TorchBench, *, memory: bool) -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield the cells of how cost grows with the size of the image, steps, targets and batch."""
    small = bench.pictures(64, SMALL)
    pixels = bench.pixels(small[:1])
    for steps in (10, 30, 100, 300, 1000):
        each = {"quadrature": "gauss_legendre", "steps": steps}
        sides = {"ours": bench.ours(small[:1], "integrated_gradients", **each)}
        if steps <= (100 if memory else 30):
            sides["captum"] = bench.peer(pixels, captum("IntegratedGradients", n_steps=steps))
        yield Cell(GROWTH, "integrated_gradients", x="steps", at=steps), bench, sides
        if steps <= 100:
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
        for method in ("gradient", "grad_cam", "deep_lift", "lrp", *(["occlusion"] if size <= 512 else [])):
            windows = {"size": size // 4, "stride": size // 4} if method == "occlusion" else {}
            sides = {"ours": bench.ours(bench.pictures(1, size), method, **windows)}
            yield Cell(GROWTH, method, x="size", at=size), bench, sides


def overhead_cells() -> Iterator[tuple[Cell, Bench, dict[str, Side]]]:
    """Yield the cells of what a call costs beside its passes, on a network of one layer: 50 calls a side."""
    bench = TorchBench("tiny")
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
        ours()  # the first call imports what it needs, and finds what the later ones remember
        yield Cell(OVERHEAD, method), bench, {"ours": in_turn([ours] * 50), "bare": in_turn([bare] * 50)}
    started: dict[str, Side] = {"ours": partial(imported, "numpy, saliency"), "bare": partial(imported, "numpy")}
    yield Cell(OVERHEAD, "import"), bench, started


def imported(names: str) -> Taken:
    """Import packages in a new process, and return its CPU time, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import {names}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Taken(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, None)


class Rows:
    """The rounds measured so far, in a file.

    Args:
        path: JSON lines; of another version of the code, it starts again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        version = json.dumps({"version": code_version()})
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        # a line without an end was being written when the run was stopped
        first, *lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")] or [""]
        if first.strip() != version:
            lines = []
        self.rows = [Row.read(line) for line in lines]
        if text != "".join([first, *lines]) or first.strip() != version:
            path.write_text("".join([version + "\n", *lines]), encoding="utf-8")

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
    known = [torch.__version__, np.__version__, platform.node(), *installed.versions()]
    digest = hashlib.blake2b(" ".join(known).encode(), digest_size=8)
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
            not memory and time.time() < until and len(earlier) < SOON and sum(row.spent for row in earlier) < FIRST
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
        if name in failed or (name in NAMES and not is_installed(name)):
            continue
        try:
            if not earlier and cell.method in ONE_PASS and (not cell.x or (cell.x == "size" and not memory)):
                run()  # the first call imports packages, finds shapes, and allocates the buffers of kernels
            found[name], results[name] = bench.measured(run, memory=memory)
        except TheirsError as error:
            errors[name] = str(error)
        except Exception as error:  # noqa: BLE001  # a package may fail in any way; that is its result
            errors[name] = f"{type(error).__name__}: {error}"
    facts = {} if earlier or memory or cell.x else facts_of(cell, results)
    row = Row(cell, found, errors, facts, time.time() - began, memory)
    print(cell, {name: round(value, 4) for name, value in found.items()}, errors or "", flush=True)
    return row


def facts_of(cell: Cell, results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a round says besides time: images and calls of our sides, and how far masks differ."""
    facts: dict[str, Any] = {}
    for name, found in results.items():
        for fact in ("images", "calls"):
            if isinstance(known := getattr(found, fact, None), int):
                facts[fact if name == "ours" else f"{fact}, {name}"] = known
        if isinstance(found, Sequence) and all(hasattr(each, "images") for each in found):
            facts[f"images, {name}"] = sum(each.images for each in found)
    beside = next((name for name in ("captum", "pair", "float32") if name in results), "")
    if cell.method not in DRAWN and cell.batch == 1 and beside and "ours" in results:
        both = [each[0] if isinstance(each, list) else each for each in (results["ours"], results[beside])]
        facts["difference"] = difference(*both)
    return facts


def difference(ours: Any, theirs: Any) -> float | None:
    """Return the largest difference of two masks, as a share of the largest value; None if their shapes differ."""
    one = np.asarray(ours.mask)
    other = np.asarray(theirs.mask) if hasattr(theirs, "mask") else theirs.detach().cpu().numpy()[0]
    if not hasattr(theirs, "mask"):
        other = other[0] if one.ndim == 2 else np.moveaxis(other, 0, -1)
    if one.shape != other.shape:
        return None
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-30))


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS), help="what is measured")
    parser.add_argument("--minutes", type=float, default=28.0, help="after which no second round of a cell begins")
    parser.add_argument("--rows", type=Path, default=ROOT / "build/bench/rows.jsonl")
    parser.add_argument("--page", type=Path, default=PAGE, help="the README has its headline where this is docs'")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--measure", choices=("time", "memory"), help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(options.rows)
    if options.measure:
        (part,) = options.parts
        measure(part, options.device, rows, options.until, memory=options.measure == "memory")
        return
    failed = run_parts(options, time.time() - rows.spent)
    write(Rows(options.rows).rows, options.page, options.device)
    if failed:
        sys.exit(f"These parts ended with an error, and are not complete: {', '.join(failed)}")


def run_parts(options: argparse.Namespace, began: float) -> list[str]:
    """Measure every part in a process of its own, and return those that ended with an error."""
    measurable = platform.libc_ver()[0] == "glibc" or options.device != "cpu"
    parts = [part for part in options.parts if options.device == "cpu" or part not in (*pair.CASES, KERAS)]
    steps = [(what, part) for what in ("memory", "time")[not measurable :] for part in parts]
    failed: list[str] = []
    for i, (what, part) in enumerate(steps):
        shares = [PARTS[each] for kind, each in steps[i:] if kind == "time"]
        left = began + 60 * options.minutes - time.time()
        until = time.time() + left * PARTS[part] / sum(shares)
        command = [sys.executable, "-m", "benchmarks.peers", "--parts", part, "--rows", str(options.rows)]
        command += ["--device", options.device, "--measure", what, "--until", str(until)]
        # memory that is freed returns to the system at once, so that the peak is that of the tensors alive
        mapped = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        env = {**installed.on_path(ROOT, installed.PEERS), **ALONE, **(mapped if what == "memory" else {})}
        if subprocess.run(command, check=False, cwd=ROOT, env=env).returncode and part not in failed:
            failed.append(part)
    return failed


def write(rows: Sequence[Row], path: Path, device: str) -> None:
    """Write the page, its plot, and the README's headline."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(between(text, page(rows, device)), encoding="utf-8")
    (path.parent / "images").mkdir(exist_ok=True)
    drawn(rows, path.parent / "images/cost.png")
    if path == PAGE:
        readme = ROOT / "README.md"
        readme.write_text(between(readme.read_text(encoding="utf-8"), headline(Results(rows))), encoding="utf-8")


if __name__ == "__main__":
    main()
