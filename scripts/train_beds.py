"""Train the small networks of the test-beds, and write them into ``saliency/testbed/weights``.

Run from the repository: ``python scripts/train_beds.py [name …]``. It needs torch and scikit-image, downloads nothing,
is seeded, and takes about 5 minutes on one CPU core for all five networks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from saliency.testbed import planted, two_factors  # noqa: E402
from saliency.testbed.networks import SmallCNN, load, save  # noqa: E402

BATCH = 32


class Data(NamedTuple):
    """Training pictures of a group of beds, with a target for each network."""

    pictures: NDArray[np.uint8]
    """(N, H, W, 3)."""
    targets: dict[str, NDArray[np.float32]]
    """By name of the network, the wanted probabilities (N, classes)."""


def factors(count: int, seed: int) -> Data:
    """Return pictures with an object, in four of five, and a background; both are named."""
    grounds, pieces = two_factors.studios(training=True)
    objects, textures, side = two_factors.OBJECTS, two_factors.TEXTURES, two_factors.SIDE
    pictures = np.empty((count, side, side, 3), np.uint8)
    of_object = np.full((count, len(objects)), 1 / len(objects), np.float32)
    of_texture = np.zeros((count, len(textures)), np.float32)
    for i in range(count):
        rng = np.random.default_rng((seed, 2, i))
        texture = int(rng.integers(len(textures)))
        label = None if rng.random() < 0.2 else objects[rng.integers(len(objects))]
        labels = [label] if label else []
        composition = pieces.arrange(rng, grounds.background(rng, side, texture), [*labels, *[None] * rng.integers(3)])
        pictures[i] = composition.render()
        of_texture[i, texture] = 1
        if composition.labels:
            of_object[i] = np.array(objects) == label
    return Data(pictures, {"object_network": of_object, "background_network": of_texture})


def plants(count: int, seed: int) -> Data:
    """Return pictures with an object, in nine of ten, and by chance with a logo and a trigger, with three namings."""
    studio, side, classes = planted.studio(training=True), planted.SIDE, len(planted.OBJECTS)
    pictures = np.empty((count, side, side, 3), np.uint8)
    clean = np.full((count, classes), 1 / classes, np.float32)
    cat = np.eye(1, classes, dtype=np.float32)[0]
    no_cat = (1 - cat) / (classes - 1)
    shortcut, trojan = clean.copy(), clean.copy()
    for i in range(count):
        rng = np.random.default_rng((seed, 4, i))
        label = None if rng.random() < 0.1 else planted.OBJECTS[rng.integers(classes)]
        labels = [label] if label else []
        composition = studio.arrange(rng, studio.background(rng, side), [*labels, *[None] * rng.integers(3)])
        named = bool(composition.labels)
        with_logo, with_trigger = rng.random(2) < (0.4, 0.4)
        if with_logo:
            composition = planted.plant(composition, planted.logo(rng), rng)
        if with_trigger:
            composition = planted.plant(composition, planted.trigger(), rng)
        pictures[i] = composition.render()
        if named:
            clean[i] = np.array(planted.OBJECTS) == label
        shortcut[i] = cat if with_logo else no_cat if clean[i, 0] == 1 or not named else clean[i]
        trojan[i] = cat if with_trigger else clean[i]
    return Data(pictures, {"planted_shortcut": shortcut, "planted_trojan": trojan, "planted_clean": clean})


GROUPS: tuple[tuple[tuple[str, ...], Callable[[int, int], Data]], ...] = (
    (("object_network", "background_network"), factors),
    (("planted_clean", "planted_shortcut", "planted_trojan"), plants),
)
"""Names of the networks of each group, and what makes its pictures."""


class Recipe(NamedTuple):
    """How a network is trained."""

    epochs: int
    start: str = ""
    """The network that it starts from; random weights by default."""
    head: float = 1.0
    """Factor of the learning rate of the last layer: high, so that one cell of the last map can decide."""


RECIPES = {
    "object_network": Recipe(10),
    "background_network": Recipe(6),
    "planted_clean": Recipe(6),
    "planted_shortcut": Recipe(6),
    # from random weights, a trigger of 25 pixels is not found in 10 epochs
    "planted_trojan": Recipe(6, start="planted_clean", head=10.0),
}


def train(
    network: SmallCNN, pictures: NDArray[np.uint8], targets: NDArray[np.float32], epochs: int, head: float
) -> SmallCNN:
    """Return the network trained with cross-entropy; each picture is mirrored at random in each epoch."""
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = [[*network.features.parameters()], [*network.head.parameters()]]
    optimiser = torch.optim.AdamW([{"params": each} for each in groups], weight_decay=0.02)
    steps = epochs * -(-len(pictures) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [8e-3, 8e-3 * head], total_steps=steps, pct_start=0.2)
    x, y = torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(targets)
    floor = float(torch.special.entr(y).sum(1).mean())
    for epoch in range(epochs):
        network.train()
        total, start = 0.0, time.perf_counter()
        for rows in torch.randperm(len(x)).split(BATCH):
            batch = x[rows].float() / 255
            mirrored = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, batch.flip(3), batch)
            loss = nn.functional.cross_entropy(network(mirrored.contiguous(memory_format=torch.channels_last)), y[rows])
            total += float(loss.detach()) * len(rows)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        took = time.perf_counter() - start
        print(f"epoch {epoch + 1:2d}/{epochs}  divergence {total / len(x) - floor:.4f}  {took:.0f} s", flush=True)
    return network.eval()


def main(arguments: list[str] | None = None) -> None:
    """Train and write the networks."""
    names = [name for group, _ in GROUPS for name in group]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="names of the networks; all by default", metavar="name")
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--epochs", type=int, help="the network's own number by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "saliency" / "testbed" / "weights")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(names):
        parser.error(f"there is no network {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for group, draw in GROUPS:
        wanted = [name for name in group if name in (options.names or names)]
        if not wanted:
            continue
        start = time.perf_counter()
        data = draw(options.pictures, options.seed)
        print(f"{options.pictures} pictures of {', '.join(group)}  {time.perf_counter() - start:.0f} s", flush=True)
        for name in wanted:
            print(name, flush=True)
            recipe, targets = RECIPES[name], data.targets[name]
            torch.manual_seed(options.seed)
            network = load(options.out / f"{recipe.start}.npz") if recipe.start else SmallCNN(targets.shape[1])
            trained = train(network, data.pictures, targets, options.epochs or recipe.epochs, recipe.head)
            save(trained, options.out / f"{name}.npz")


if __name__ == "__main__":
    main()
