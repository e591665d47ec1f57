"""Train the two networks of the test-beds of birds, and write them into ``saliency/testbed/weights``.

Run from the repository: ``python scripts/train_birds.py``. It needs torch, downloads nothing, is seeded, and takes
about 5 and 12 minutes on one CPU core.

Half of the training pictures lack a random number of parts. The target is then shared among all classes that have the
remaining parts, so pictures with parts removed belong to the training distribution, and the networks have a reason to
use every part. As a second task, each cell of the last feature map (each patch) must name the parts that it shows; the
layer for it is not kept.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from saliency.testbed.birds import pictures  # noqa: E402
from saliency.testbed.birds.networks import GRID, BirdCNN, BirdViT  # noqa: E402
from saliency.testbed.birds.parts import KINDS  # noqa: E402
from saliency.testbed.birds.pictures import CLASSES, PARTS, SIZE  # noqa: E402
from saliency.testbed.networks import save  # noqa: E402
from saliency.testbed.scene import BACKGROUND  # noqa: E402

BATCH = 64
CELL = SIZE // GRID
FIRST = np.cumsum([0] + [len(kind.variants) for kind in KINDS])  # index of each kind's first variant among all
VARIANTS = int(FIRST[-1])


def example(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a picture (3, H, H) uint8, the shares of the classes, and the cells that show each variant, bool."""
    label = int(rng.integers(len(CLASSES)))
    picture = pictures.random_picture(rng, label)
    count = int(rng.integers(1, len(PARTS) + 1)) if rng.random() < 0.5 else 0
    without = rng.choice(PARTS, count, replace=False).tolist()
    pixels, masks = picture.drawn(without)
    possible = pictures.possible(CLASSES[label], without)
    cells = np.zeros((GRID * GRID, VARIANTS), bool)
    for first, name, variant in zip(FIRST, PARTS, CLASSES[label], strict=False):
        if name in masks:
            cells[:, first + variant] = masks[name].reshape(GRID, CELL, GRID, CELL).mean((1, 3)).ravel() > 0.1
    return np.round(pixels * 255).astype(np.uint8).transpose(2, 0, 1), possible / possible.sum(), cells


def examples(seed: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return pictures (N, 3, H, H) uint8, shares (N, classes), and cells (N, cells, variants)."""
    found = [example(np.random.default_rng((seed, i))) for i in range(count)]
    images, shares, cells = (torch.from_numpy(np.stack(each)) for each in zip(*found, strict=True))
    return images, shares.float(), cells


def moved(images: Tensor, cells: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror a random half of the pictures and their cells."""
    which = torch.from_numpy(rng.random(len(images)) < 0.5)
    grid = cells.reshape(-1, GRID, GRID, VARIANTS)
    images = torch.where(which[:, None, None, None], images.flip(3), images)
    grid = torch.where(which[:, None, None, None], grid.flip(2), grid)
    return images, grid.reshape(cells.shape)


def local(net: BirdCNN | BirdViT, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores and the features (N, cells, width) of each cell."""
    if isinstance(net, BirdViT):
        tokens = net.tokens(images)
        return net.head(tokens[:, 0]), tokens[:, 1:]
    features = net.features(2 * images - 1)
    return net.head(net.flatten(net.pool(features))), features.flatten(2).transpose(1, 2)


def train(net: BirdCNN | BirdViT, seed: int, count: int, epochs: int, rate: float) -> None:
    """Train a network, and print its progress."""
    start = time.process_time()
    images, shares, cells = examples(seed, count)
    print(f"{count} pictures  {time.process_time() - start:.0f} s", flush=True)
    held_out, truth, _ = examples(seed + 1, 500)
    naming = nn.Linear(net.width, VARIANTS)
    parameters = [*net.parameters(), *naming.parameters()]
    optimiser = torch.optim.AdamW(parameters, weight_decay=0.02, betas=(0.9, 0.98))
    steps = epochs * (count // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.12)
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        net.train()
        totals, start = np.zeros(2), time.process_time()
        for rows in np.split(rng.permutation(count)[: count // BATCH * BATCH], count // BATCH):
            batch, shown = moved(images[rows], cells[rows], rng)
            # about twice as fast as float32 where the processor has bfloat16
            with torch.autocast("cpu", torch.bfloat16):
                scores, features = (each.float() for each in local(net, batch / 255))
            # the entropy of the shares is the least that the cross-entropy can be
            least = torch.special.entr(shares[rows]).sum(1).mean()
            classes = nn.functional.cross_entropy(scores, shares[rows]) - least
            names = nn.functional.binary_cross_entropy_with_logits(naming(features), shown.float()) * VARIANTS
            optimiser.zero_grad()
            (classes + names).backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            totals += float(classes.detach()), float(names.detach())
        net.eval()
        with torch.no_grad():
            outputs = torch.cat([net(part / 255) for part in held_out.split(100)])
        sure = truth.max(1).values == 1
        right = float((outputs.argmax(1) == truth.argmax(1))[sure].float().mean())
        divergence, names_loss = totals / (count // BATCH)
        line = f"epoch {epoch + 1:2d}/{epochs}  divergence {divergence:.4f}  names {names_loss:.4f}"
        print(f"{line}  held out, decidable {right:.3f}  {time.process_time() - start:.0f} s", flush=True)


def sheet(path: Path, side: int = 128) -> None:
    """Draw a bird of each class, and one bird without each of its parts, on another ground, and its masks."""
    rows = [
        [pictures.random_picture(np.random.default_rng((5, i)), i, side).draw() for i in range(k, k + 8)]
        for k in (0, 8)
    ]
    bird = pictures.random_picture(np.random.default_rng((5, 4)), 4, side)
    pixels, masks = bird.drawn()
    colours = {name: 0.9 * np.roll([1, 0.55, 0.1], i) for i, name in enumerate(("wing", "tail", "beak"))}
    colours |= {"eye": np.array([1.0, 0.9, 0.2]), "foot": np.array([0.9, 0.2, 0.8])}
    parts = 0.25 * pixels + sum(0.75 * masks[name][..., None] * colours[name] for name in PARTS)
    rows.append([pixels, *(bird.draw([name]) for name in (*PARTS, BACKGROUND)), parts])
    grid = np.concatenate([np.concatenate(row, 1) for row in rows])
    Image.fromarray(np.round(np.clip(grid, 0, 1) * 255).astype(np.uint8)).save(path, quality=82, optimize=True)


def main(arguments: list[str] | None = None) -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("cnn", "vit"), help="train one of the networks")
    parser.add_argument("--pictures", type=int, default=8000, help="number of training pictures")
    parser.add_argument("--epochs", type=int, help="how often each is seen; by default 8 and 12")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "saliency" / "testbed" / "weights")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, network, epochs, rate in (("cnn", BirdCNN, 8, 4e-3), ("vit", BirdViT, 12, 2e-3)):
        if options.only in (None, name):
            torch.manual_seed(options.seed)
            net = network()
            train(net, options.seed, options.pictures, options.epochs or epochs, rate)
            save(net, options.out / f"birds_{name}.npz")


if __name__ == "__main__":
    main()
