"""What the evidence of a map is worth, and what it costs.

    python benchmarks/evidence.py scenes --images 8
    python benchmarks/evidence.py stability --images 3
    python benchmarks/evidence.py overhead

`scenes`: maps of known quality of the demo network's test scenes, whose objects have exact masks. How often does the
stronger verdict go to the better map?

`stability`: how much each metric changes when a map changes slightly, and when its pixels are shuffled, beside the
differences between methods. The idea is MetaQuantus' (arXiv:2302.07265): a metric should be stable in the first case
and change in the second one.

`overhead`: the time of SRG and ROAD beside that of the forward passes alone.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import saliency  # noqa: E402  # of this checkout
import saliency.demo  # noqa: E402
from saliency import metrics  # noqa: E402
from saliency.api.cases import Rerun, case_of  # noqa: E402
from saliency.metrics.catalogue import METRICS  # noqa: E402
from saliency.session.samples import Originals  # noqa: E402
from scripts.train_demo import unseen  # noqa: E402

LABELS = saliency.demo.labels
METHODS = ("gradient", "input_x_gradient", "integrated_gradients", "lrp", "grad_cam")
SEED = 0


class Object(NamedTuple):
    """A picture of the demo network, with the exact mask of each of its objects."""

    picture: np.ndarray
    label: str
    mask: np.ndarray
    others: list[np.ndarray]


def objects(count: int) -> Iterator[Object]:
    """Yield the objects of so many test scenes."""
    for scene in unseen(SEED, count):
        masks = {layer.label: scene.mask(layer) for layer in scene.layers if layer.label is not None}
        for label, mask in masks.items():
            yield Object(scene.render(), label, mask, [each for name, each in masks.items() if name != label])


def maps(found: Object) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yield (name, quality, map); see `scenes`."""
    random = np.random.default_rng(SEED)
    truth, shape = found.mask.astype(float), found.mask.shape
    values, places = truth.ravel().copy(), random.permutation(truth.size)[: truth.size // 2]
    values[places] = values[random.permutation(places)]
    named = {
        "the object": (1.0, truth),
        "half of its pixels swapped": (0.5, values.reshape(shape)),
        "another object": (0.0, found.others[0].astype(float)),
        "the object, shifted": (0.0, np.roll(truth, (shape[0] // 2, shape[1] // 2), (0, 1)) * ~found.mask),
        "random": (0.0, ndimage.gaussian_filter(random.normal(size=shape), 8)),
        "reversed": (-1.0, -truth),
    }
    for name, (quality, mask) in named.items():
        # of equal pixels, some are removed first
        yield name, quality, mask + random.normal(0, 0.05 * mask.std(), shape)


def scenes(count: int) -> None:
    """Print how often the stronger verdict goes to the better map."""
    model, right, supported = saliency.demo.model(), defaultdict(list), defaultdict(list)
    values: dict[tuple[str, str], dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for found in objects(count):
        first, verdicts = None, []
        for name, quality, mask in maps(found):
            verdict = saliency.check(
                model, found.picture, mask, found.label, labels=LABELS, progress=False, bands=first
            )
            first = first or verdict
            verdicts.append((name, quality, verdict))
            supported[name].append(verdict.supported)
        for (one, better, a), (other, worse, b) in itertools.combinations(verdicts, 2):
            if better == worse:
                continue
            right[one, other].append(a.strength > b.strength)
            for key, measure in a.measures.items():
                if measure.role != "reported":
                    values[one, other][key].append(measure.found.value > b.measures[key].found.value)
    keys = list(next(iter(values.values())))
    print("| better map | worse map | pairs | stronger verdict | " + " | ".join(keys) + " |")
    print("|---|---|---:|---:|" + "---:|" * len(keys))
    rows = [(*pair, right[pair], values[pair]) for pair in right]
    everything = {key: [win for each in values.values() for win in each[key]] for key in keys}
    rows.append(("all", "", [win for each in right.values() for win in each], everything))
    for one, other, wins, alone in rows:
        shares = " | ".join(f"{100 * np.mean(each):.1f} %" for each in (wins, *(alone[key] for key in keys)))
        print(f"| {one} | {other} | {len(wins)} | {shares} |")
    print("\n| map | maps | supported | undecided | not supported |\n|---|---:|---:|---:|---:|")
    for name, votes in supported.items():
        shares = " | ".join(f"{100 * votes.count(vote) / len(votes):.0f} %" for vote in (True, None, False))
        print(f"| {name} | {len(votes)} | {shares} |")


def stability(count: int, only: list[str], noise: float = 0.01, draws: int = 2) -> None:
    """Print the stability and the change of each metric."""
    model, random = saliency.demo.model(), np.random.default_rng(SEED)
    chosen = {name: cls() for name, cls in METRICS.items() if name in (only or METRICS) and name != "completeness_gap"}
    smaller = {"sensitivity_n": {"sizes": 4, "draws": 50}, "mprt": {"stages": 3, "draws": 1}}
    smaller |= {"smooth_mprt": {"stages": 3, "draws": 1, "samples": 3}, "efficient_mprt": {"draws": 1}}
    for name in smaller.keys() & chosen.keys():
        chosen[name] = chosen[name].but(**smaller[name])
    # (image, method) of each metric: the value, the changes by noise, the change by shuffling
    found: dict[str, list[list[tuple[float, list[float], float]]]] = defaultdict(list)
    for picture, label, mask, _ in itertools.islice(objects(count), 0, None, 2):
        small, truth = np.ascontiguousarray(picture[::2, ::2]), mask[::2, ::2]
        prepared = saliency.prepare(model, [small], LABELS)
        case = case_of(prepared, label, truth=truth)
        for name in chosen:
            found[name].append([])
        for method in METHODS:
            run = prepared.run(method, label, {})
            explanation = saliency.explain(model, small, method, label, labels=LABELS, progress=False)
            case.runner = Rerun(prepared, run, case.session, {})
            values, sign = explanation.mask.astype(np.float64), explanation.sign
            noisy = [values + random.normal(0, noise * values.std(), values.shape) for _ in range(draws)]
            shuffled = random.permutation(values.reshape(-1, *values.shape[2:])).reshape(values.shape)
            for name, metric in chosen.items():
                of = [
                    metric(case, metrics.Attribution(each, sign), band=False).value
                    for each in (values, *noisy, shuffled)
                ]
                found[name][-1].append((of[0], [abs(each - of[0]) for each in of[1:-1]], abs(of[-1] - of[0])))
    print("| metric | difference of methods | by noise | by shuffling | stability | change |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, images in found.items():
        pairs = [abs(a[0] - b[0]) for image in images for a, b in itertools.combinations(image, 2)]
        methods = np.nanmean(pairs)
        by_noise = np.nanmean([each[1] for image in images for each in image])
        by_shuffling = np.nanmean([each[2] for image in images for each in image])
        stable, change = methods / (methods + by_noise), by_shuffling / (methods + by_shuffling)
        print(
            f"| `{name}` | {methods:.3g} | {by_noise:.2g} | {by_shuffling:.3g} | {stable:.2f} | {change:.2f} |",
            flush=True,
        )


def overhead(rounds: int) -> None:
    """Print the time of SRG and ROAD beside that of as many forward passes of the image itself."""
    print("| network | metric | images | CPU time, s | | time, s | |\n|---|---|---:|---:|---:|---:|---:|")
    for name, picture in {"torch": saliency.demo.image(), "imagenet": saliency.demo.image("cat")}.items():
        try:
            model = saliency.demo.model(name)
        except saliency.MissingPackage as error:
            print(f"| {name} | {error} | | | | |")
            continue
        case = case_of(saliency.prepare(model, [picture], preprocess=getattr(model, "preprocess", None)))
        smooth = ndimage.gaussian_filter(np.random.default_rng(SEED).normal(size=case.shape), 8)
        for title, metric in (("SRG", metrics.SRG()), ("ROAD", metrics.ROAD())):
            count = metric.cost(case.shape)
            copies = Originals(case.ops, case.ops.concat([case.image] * count))
            metric(case, metrics.Attribution(smooth), band=False)  # batch sizes are measured
            alone, whole = [], []
            for i in range(rounds):
                alone.append(timed(lambda: list(case.session.outputs(copies))))  # noqa: B023  # called at once
                mask = metrics.Attribution(np.roll(smooth, 16 * (i + 1), 1))
                whole.append(timed(lambda: metric(case, mask, band=False)))  # noqa: B023
            # other processes only add time
            times = zip(np.min(alone, 0), np.min(whole, 0), strict=True)
            shares = " | ".join(f"{one:.2f} → {other:.2f} | {100 * (other / one - 1):.0f} %" for one, other in times)
            print(f"| {name} | {title} | {count} | {shares} |", flush=True)


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Return the CPU seconds of a call, and the seconds it takes."""
    cpu, started = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - started


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("scenes", "stability", "overhead"))
    parser.add_argument("--images", type=int, default=8, help="number of scenes, or of rounds")
    parser.add_argument("--only", nargs="*", default=[], help="ids of metrics")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.table == "scenes":
        scenes(arguments.images)
    elif arguments.table == "stability":
        stability(arguments.images, arguments.only)
    else:
        overhead(arguments.images)


if __name__ == "__main__":
    main()
