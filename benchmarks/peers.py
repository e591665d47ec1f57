"""Time and memory beside the bare loop and beside other packages, on the same networks and pictures.

    python -m benchmarks.peers [--networks ResNet-18 ViT-S] [--rows build/bench/rows.jsonl] [--page docs/benchmarks.md]

Each network is measured in a process of its own, on one thread. All sides run in turn, in CPU time, so that other
processes on the machine disturb all alike; ratios are medians over the rounds. A row is stored when it is measured, and
a stopped run continues after the last one. On a GPU (`--device cuda`) wall time is measured after synchronisation.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import saliency
from benchmarks.networks import NETWORKS, built

ROOT = Path(__file__).resolve().parent.parent
TARGET, SIZE, STEPS = 3, 224, 50

BEGIN, END = "<!-- measured by benchmarks/peers.py -->\n", "<!-- end of what benchmarks/peers.py measures -->\n"

ONE_PASS = (
    "gradient",
    "input_x_gradient",
    "guided_backprop",
    "deconvolution",
    "grad_cam",
    "grad_cam_plus_plus",
    "hires_cam",
    "layer_cam",
    "xgrad_cam",
    "eigen_cam",
    "deep_lift",
    "lrp",
)
CAMS = ("grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "xgrad_cam", "eigen_cam")
MANY: dict[str, dict[str, Any]] = {
    "integrated_gradients": {"steps": STEPS, "quadrature": "gauss_legendre"},
    "smooth_grad": {"samples": STEPS},
    "expected_gradients": {"samples": STEPS},
    "occlusion": {"size": 32, "stride": 32},
    "rise": {"samples": 100},
}
"""Methods of many passes, with the fields that set their cost."""

WHOLE = "ResNet-18"
"""The network on which all methods of many passes are measured; on the others only Integrated Gradients."""

SUITE = {
    "pytorch_grad_cam": ("GradCAM", "GradCAMPlusPlus", "HiResCAM", "LayerCAM", "XGradCAM", "EigenCAM"),
    "torchcam": ("GradCAM", "GradCAMpp", "LayerCAM", "XGradCAM"),
}
"""The one-pass CAMs of the packages that have several."""

Side = Callable[[], Any]


class Bench:
    """One network with a batch of pictures, explained by every side.

    Args:
        name: of the network.
        batch: number of pictures.
        device: "cpu" or "cuda".
    """

    def __init__(self, name: str, batch: int, device: str = "cpu") -> None:
        self.network = built(name).to(device)
        self.device, self.batch = device, batch
        values = np.random.default_rng(0).uniform(size=(batch, SIZE, SIZE, 3)).astype(np.float32)
        self.images = list(values)
        self.pixels = torch.from_numpy(np.moveaxis(values, -1, 1).copy()).to(device)
        self.adapted = saliency.adapt(self.network)
        self.best: int | None = None

    def ours(self, method: str, **fields: Any) -> Any:
        """Return our explanation of each picture; a batch is one run."""
        if self.batch == 1:
            return saliency.explain(self.adapted, self.images[0], method, TARGET, progress=False, **fields)
        return list(saliency.explain_each(self.adapted, self.images, method, targets=[TARGET] * self.batch, **fields))

    def gradients(self, pixels: Tensor) -> Tensor:
        """Return the gradients by one forward and backward pass, and nothing else."""
        leaf = pixels.detach().requires_grad_()
        return torch.autograd.grad(self.network(leaf)[:, TARGET].sum(), leaf)[0]

    def bare(self, method: str, images: int) -> Any:
        """Run the passes that the method needs, and nothing else."""
        if method == "deep_lift":
            return self.gradients(torch.cat([self.pixels, torch.zeros_like(self.pixels)]))
        if method == "eigen_cam":
            with torch.no_grad():
                return self.network(self.pixels)
        if method not in MANY:
            return self.gradients(self.pixels)
        return self.loop(method in ("occlusion", "rise"), images, self.best or self.fastest())

    def loop(self, forward: bool, images: int, size: int) -> None:
        """Evaluate as many images, in batches of one size."""
        points = self.pixels[:1].expand(size, -1, -1, -1)
        for first in range(0, images, size):
            part = points[: min(size, images - first)] * 0.5
            if forward:
                with torch.no_grad():
                    self.network(part)
            else:
                self.gradients(part)

    def fastest(self) -> int:
        """Return the batch size at which the bare loop is fastest."""
        each = {
            size: min(self.seconds(lambda size=size: self.loop(False, 16, size))[0] for _ in range(2))
            for size in (1, 2, 4, 8, 16)
        }
        self.best = min(each, key=lambda size: each[size])
        return self.best

    def captum(self, method: str) -> Side | None:
        """Return the same by Captum at its own default batch; None where it has no such method."""
        if importlib.util.find_spec("captum") is None:
            return None
        from captum import attr

        net, pixels = self.network, self.pixels
        many: dict[str, Side] = {
            "gradient": lambda: attr.Saliency(net).attribute(pixels, target=TARGET, abs=False),
            "input_x_gradient": lambda: attr.InputXGradient(net).attribute(pixels, target=TARGET),
            "guided_backprop": lambda: attr.GuidedBackprop(net).attribute(pixels, target=TARGET),
            "deconvolution": lambda: attr.Deconvolution(net).attribute(pixels, target=TARGET),
            "deep_lift": lambda: attr.DeepLift(net).attribute(pixels, target=TARGET),
            "lrp": lambda: attr.LRP(net).attribute(pixels, target=TARGET),
            "integrated_gradients": lambda: attr.IntegratedGradients(net).attribute(
                pixels, target=TARGET, n_steps=STEPS
            ),
            "smooth_grad": lambda: attr.NoiseTunnel(attr.Saliency(net)).attribute(
                pixels, nt_samples=STEPS, stdevs=0.15, target=TARGET, abs=False
            ),
            "expected_gradients": lambda: attr.GradientShap(net).attribute(
                pixels, baselines=torch.zeros_like(pixels), n_samples=STEPS, stdevs=0.0, target=TARGET
            ),
            "occlusion": lambda: attr.Occlusion(net).attribute(
                pixels, sliding_window_shapes=(3, 32, 32), strides=(3, 32, 32), target=TARGET
            ),
        }
        if method == "grad_cam" and (layer := self.layer()) is not None:
            return lambda: attr.LayerAttribution.interpolate(
                attr.LayerGradCam(net, layer).attribute(pixels, target=TARGET, relu_attributions=True), (SIZE, SIZE)
            )
        return many.get(method)

    def layer(self) -> Any:
        """Return the module of the layer that our CAMs read; None where it is an operator."""
        (name, *_), _ = self.adapted.automatic_layers(self.adapted.ops.asarray(self.images[0][None]))
        return dict(self.network.named_modules()).get(name)

    def suite(self, package: str) -> Side:
        """Return all one-pass CAMs of a package for one picture."""
        layer = self.layer()

        def grad_cam() -> None:
            import pytorch_grad_cam
            from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

            for name in SUITE[package]:
                with getattr(pytorch_grad_cam, name)(model=self.network, target_layers=[layer]) as cam:
                    cam(input_tensor=self.pixels, targets=[ClassifierOutputTarget(TARGET)])

        def torchcam() -> None:
            from torchcam import methods

            for name in SUITE[package]:
                with getattr(methods, name)(self.network, target_layer=layer) as cam:
                    (found,) = cam(TARGET, self.network(self.pixels.clone().requires_grad_()))
                    torch.nn.functional.interpolate(found[None], (SIZE, SIZE), mode="bilinear")

        return grad_cam if package == "pytorch_grad_cam" else torchcam

    def seconds(self, run: Side) -> tuple[float, Any]:
        """Return the time of a run (CPU time; wall time on a GPU), and its result."""
        clock = time.process_time if self.device == "cpu" else time.perf_counter
        started = clock()
        found = run()
        if self.device != "cpu":
            torch.cuda.synchronize()
        return clock() - started, found

    def compared(
        self, sides: dict[str, Side], rounds: int = 7
    ) -> tuple[dict[str, float], dict[str, str], dict[str, Any]]:
        """Return the median time of each side, the errors of those that fail, and the results; the first is ours."""
        times: dict[str, list[float]] = {}
        errors: dict[str, str] = {}
        results: dict[str, Any] = {}
        for name, run in list(sides.items()):
            try:
                spent, results[name] = self.seconds(run)
            except Exception as error:  # noqa: BLE001  # a peer may fail in any way; that is its result
                errors[name] = brief(f"{type(error).__name__}: {error}")
                sides.pop(name)
            else:
                rounds = min(rounds, 2 if spent > 2 else 5)
        for _ in range(rounds):
            for name, run in sides.items():
                times.setdefault(name, []).append(self.seconds(run)[0])
        own = times["ours"]
        found = {name: statistics.median(each) for name, each in times.items()}
        for name, each in times.items():
            if name != "ours":
                found[f"÷ {name}"] = statistics.median(a / b for a, b in zip(own, each, strict=True))
        return found, errors, results


def brief(error: str) -> str:
    """Return the first line of an error message, cut after a word, for a cell of the table."""
    return textwrap.shorten(error.splitlines()[0], 100, placeholder=" …")


def difference(ours: Any, theirs: Any) -> float | None:
    """Return the largest difference of two masks, as a share of the largest value; None if their shapes differ."""
    one, other = np.asarray(ours.mask), theirs.detach().cpu().numpy()[0]
    other = other[0] if one.ndim == 2 else np.moveaxis(other, 0, -1)
    if one.shape != other.shape:
        return None
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-30))


def rows_of(name: str, device: str, known: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a network that are not known yet."""
    if f"{name} 1 suite" not in known and name == WHOLE:
        yield suite_row(name, device)
    for batch in (1, 16):
        bench = None
        methods = [*ONE_PASS, *MANY] if batch == 1 else ["gradient", "grad_cam"]
        for method in methods:
            key = f"{name} {batch} {method}"
            if key in known or (name != WHOLE and method in MANY and method != "integrated_gradients"):
                continue
            bench = bench or Bench(name, batch, device)
            yield {"key": key, "network": name, "batch": batch, "method": method, **measured(bench, method)}


def measured(bench: Bench, method: str) -> dict[str, Any]:
    """Return the figures of a method."""
    fields = MANY.get(method, {})
    try:
        first = bench.ours(method, **fields)
    except saliency.SaliencyError as error:
        return {"errors": {"ours": brief(str(error))}, "times": {}}
    one = first if bench.batch == 1 else first[0]
    sides: dict[str, Side] = {
        "ours": lambda: bench.ours(method, **fields),
        "bare": lambda: bench.bare(method, one.images),
    }
    if (captum := bench.captum(method)) is not None:
        sides["captum"] = captum
    times, errors, results = bench.compared(sides)
    theirs = results.get("captum")
    alike = (
        None
        if theirs is None or bench.batch > 1 or method in ("smooth_grad", "expected_gradients")
        else difference(one, theirs)
    )
    return {"times": times, "errors": errors, "images": one.images, "calls": one.calls, "difference": alike}


def suite_row(name: str, device: str) -> dict[str, Any]:
    """Return the time of all one-pass CAMs of one picture, ours and those of packages that have several."""
    bench = Bench(name, 1, device)
    sides: dict[str, Side] = {"ours": lambda: bench.ours(list(CAMS)), "bare": lambda: bench.gradients(bench.pixels)}
    missing = {each: "not installed" for each in SUITE if importlib.util.find_spec(each) is None}
    sides.update({each: bench.suite(each) for each in SUITE if each not in missing})
    times, errors, _ = bench.compared(sides)
    return {
        "key": f"{name} 1 suite",
        "network": name,
        "batch": 1,
        "method": "suite",
        "times": times,
        "errors": errors | missing,
    }


def peak(name: str, side: str, steps: int, size: int = SIZE) -> float:
    """Return the MiB that this process grows by beyond its peak after one gradient."""
    bench = Bench(name, 1)
    image = np.random.default_rng(0).uniform(size=(size, size, 3)).astype(np.float32)
    bench.images, bench.pixels = [image], torch.from_numpy(np.moveaxis(image, -1, 0)[None].copy())
    bench.ours("gradient")
    bench.gradients(bench.pixels)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if side == "ours":
        bench.ours("integrated_gradients", steps=steps, quadrature="gauss_legendre")
    else:
        from captum import attr

        attr.IntegratedGradients(bench.network).attribute(bench.pixels, target=TARGET, n_steps=steps)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def growth_rows(known: set[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of how time and memory grow with the size of the image, steps, targets and batch."""
    for side, steps in (*(("ours", steps) for steps in (10, 30, 100, 300)), *(("captum", steps) for steps in (10, 30))):
        if (key := f"memory {side} {steps}") not in known:
            code = f"from benchmarks.peers import peak; print(peak('ResNet-18', {side!r}, {steps}))"
            done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
            yield {"key": key, "x": "steps", "side": side, "at": steps, "mebibytes": float(done.stdout.split()[-1])}
    bench = Bench("ResNet-18", 1)

    def spent(methods: Sequence[str], target: Any = TARGET, **fields: Any) -> dict[str, float]:
        """Return the seconds of each method, the smaller of two runs after the first."""

        def run(method: str) -> Any:
            return saliency.explain(bench.adapted, bench.images[0], method, target, progress=False, **fields)

        return {each: min([bench.seconds(partial(run, each))[0] for _ in range(3)][1:]) for each in methods}

    for steps in (10, 30, 100):
        if (key := f"time {steps}") not in known:
            seconds = spent(["integrated_gradients"], steps=steps)
            yield {"key": key, "x": "steps", "at": steps, "seconds": seconds}
    for targets in (1, 10, 100):
        if (key := f"targets {targets}") not in known:
            seconds = spent(["gradient", "grad_cam"], list(range(targets)))
            yield {"key": key, "x": "targets", "at": targets, "seconds": seconds}
    for size in (64, 128, 256, 512, 1024):
        if (key := f"size {size}") not in known:
            bench.images = [np.random.default_rng(0).uniform(size=(size, size, 3)).astype(np.float32)]
            yield {"key": key, "x": "size", "at": size, "seconds": spent(["gradient", "grad_cam", "lrp"])}


def page(rows: list[dict[str, Any]]) -> str:
    """Return the section of docs/benchmarks.md."""
    machine = f"{platform.machine()} ({processor()}), one thread, torch {torch.__version__}"
    lines = [
        BEGIN,
        f"Measured on {machine}, in CPU time, beside other processes. ÷ bare is the median over pairs of our",
        "time divided by that of the passes alone, for loops at their fastest batch size; ÷ Captum the same for Captum",
        "at its default batch. For DeepLIFT, bare is a pass over image and baseline, for Eigen-CAM a forward pass.",
        "",
        "| network | batch | method | images | time, s | ÷ bare | ÷ Captum | difference from Captum's mask |",
        "|---|---:|---|---:|---:|---:|---:|---|",
    ]
    order = {name: i for i, name in enumerate(NETWORKS)}
    for row in sorted(
        (each for each in rows if each.get("method") not in (None, "suite")), key=lambda each: order[each["network"]]
    ):
        times, errors = row["times"], row["errors"]
        if not times:
            lines.append(f"| {row['network']} | {row['batch']} | `{row['method']}` | | {errors['ours']} | | | |")
            continue
        peer = f"{times['÷ captum']:.2f}" if "captum" in times else errors.get("captum", "")
        alike = "" if row["difference"] is None else f"{row['difference']:.1e}"
        lines.append(
            f"| {row['network']} | {row['batch']} | `{row['method']}` | {row['images']} | {times['ours']:.3f} | "
            f"{times['÷ bare']:.2f} | {peer} | {alike} |"
        )
    for row in rows:
        if row.get("method") == "suite":
            ratios = ", ".join(
                f"{times_of:.2f} of the time of {name.removeprefix('÷ ')}"
                for name, times_of in row["times"].items()
                if name.startswith("÷ ")
            )
            gone = "".join(f" {name}: {why}." for name, why in row["errors"].items())
            title = f"All {len(CAMS)} one-pass CAMs of one picture by `explain(method=[…])`, {row['network']}"
            lines += ["", f"{title}: {ratios}.{gone}"]
    memory = {(each["side"], each["at"]): each["mebibytes"] for each in rows if each["key"].startswith("memory")}
    if memory:
        lines += [
            "",
            "Peak memory of Integrated Gradients on ResNet-18 beyond that of one gradient:",
            "",
            "| steps | ours, MiB | Captum, MiB |",
            "|---:|---:|---:|",
        ]
        for steps in sorted({at for _, at in memory}):
            cells = [f"{memory[side, steps]:.0f}" if (side, steps) in memory else "" for side in ("ours", "captum")]
            lines.append(f"| {steps} | {' | '.join(cells)} |")
    if any("seconds" in each for each in rows):
        lines += ["", "![Time against size, steps and targets](images/cost.png)"]
    return "\n".join([*lines, "", END])


def drawn(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw how time grows, on logarithmic axes with a line of slope one."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for axis, what, title in zip(axes, ("size", "steps", "targets"), ("pixels", "steps", "targets"), strict=True):
        mine = sorted(
            (each for each in rows if each.get("x") == what and "seconds" in each), key=lambda each: each["at"]
        )
        for method in mine[0]["seconds"] if mine else ():
            at = [each["at"] ** (2 if what == "size" else 1) for each in mine]
            axis.loglog(at, [each["seconds"][method] for each in mine], marker="o", label=method)
        axis.set(xlabel=title, ylabel="CPU time, s")
        axis.grid(visible=True, which="both", alpha=0.2)
        axis.legend()
    figure.savefig(path, dpi=100)


def processor() -> str:
    """Return the name of the processor, where the system gives it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows measured so far."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--rows", type=Path, default=ROOT / "build/bench/rows.jsonl")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/benchmarks.md")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if options.measure:
        known = {each["key"] for each in read_rows(options.rows)}
        found = growth_rows(known) if options.measure == "growth" else rows_of(options.measure, options.device, known)
        for row in found:
            with options.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(row["key"], row.get("times", ""), row.get("errors", ""), flush=True)
        return
    for name in [*options.networks, *(["growth"] if options.device == "cpu" else [])]:
        command = [
            sys.executable,
            "-m",
            "benchmarks.peers",
            "--measure",
            name,
            "--rows",
            str(options.rows),
            "--device",
            options.device,
        ]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    rows = read_rows(options.rows)
    text = options.page.read_text(encoding="utf-8") if options.page.exists() else ""
    before, _, rest = text.partition(BEGIN)
    options.page.write_text(before + page(rows) + rest.partition(END)[2], encoding="utf-8")
    if options.device == "cpu":
        drawn(rows, options.page.parent / "images/cost.png")


if __name__ == "__main__":
    main()
