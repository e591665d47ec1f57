"""Train the demo network, measure it, and write it with its picture into ``saliency/demo``.

Run from the repository: ``python scripts/train_demo.py``. It needs torch, scikit-image and Pillow, downloads
nothing, is seeded, and takes under 30 minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from saliency.demo import labels, network  # noqa: E402
from saliency.demo.outlines import TEST_BACKGROUNDS, TRAIN_BACKGROUNDS  # noqa: E402
from saliency.demo.studio import LABELS, Composition, Layer, Studio, place  # noqa: E402

SIZE = 224  # of the demo picture and of every picture measured
BATCH = 32
# How training goes from easy and quick to the real thing: the share of the epochs so far, the size of the pictures,
# and how often a picture has 0, 1, 2, … objects.
STAGES = (
    (0.36, 112, (0.2, 0.8)),
    (0.79, 160, (0.15, 0.3, 0.55)),
    (1.00, SIZE, (0.12, 0.14, 0.36, 0.38)),
)


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Training pictures, each made from its own seed: (3, size, size) uint8 and the shares of the classes."""

    def __init__(self, studio: Studio, seed: int, size: int, odds: tuple[float, ...], length: int) -> None:
        self.studio, self.seed, self.size, self.odds, self.length = studio, seed, size, odds, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, self.size, index))
        count = int(rng.choice(len(self.odds), p=self.odds))
        scene = self.studio.compose(rng, self.size, count, int(rng.integers(3)), grey=rng.random() < 0.3)
        # A picture without any object shares its target among all classes: a background is evidence for none.
        present = [LABELS.index(label) for label in scene.labels] or list(range(len(LABELS)))
        shares = torch.zeros(len(LABELS))
        shares[present] = 1 / len(present)
        return torch.from_numpy(scene.render()).permute(2, 0, 1), shares


def train(seed: int, epochs: int, pictures: int) -> network.DemoNet:
    """Train with equal shares for the objects present, in the stages of ``STAGES``."""
    torch.manual_seed(seed)
    studio = Studio(TRAIN_BACKGROUNDS, wild=True)
    # Channels last is the quicker order on most processors.
    net = network.DemoNet(len(LABELS)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = epochs * -(-pictures // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps, pct_start=0.15)
    for epoch in range(epochs):
        size, odds = next((size, odds) for until, size, odds in STAGES if epoch + 1 <= until * epochs)
        data = Pictures(studio, seed + 1000 * (epoch + 1), size, odds, pictures)
        net.train()
        total, start = 0.0, time.perf_counter()
        for batch, shares in DataLoader(data, BATCH, num_workers=1):
            loss = nn.functional.cross_entropy(net((batch / 255).contiguous(memory_format=torch.channels_last)), shares)
            # The entropy of the shares is the least the cross-entropy can be.
            total += float(loss.detach() - torch.special.entr(shares).sum(1).mean()) * len(batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        took = time.perf_counter() - start
        print(f"epoch {epoch + 1:2d}/{epochs}  {size} px  divergence {total / pictures:.4f}  {took:.0f} s", flush=True)
    return net


def logits(net: nn.Module, pictures: list[NDArray[np.uint8]]) -> Tensor:
    """Logits, (N, classes), of N pictures, each (H, W, 3) uint8."""
    stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    with torch.no_grad():
        return torch.cat([net(part / 255) for part in torch.split(stack, BATCH)])


def unseen(seed: int, count: int) -> list[Composition]:
    """Test scenes: two or three objects and one distractor each, on backgrounds not used in training."""
    studio = Studio(TEST_BACKGROUNDS)
    scenes: list[Composition] = []
    attempt = 0
    while len(scenes) < count:
        scene = studio.compose(np.random.default_rng((seed, 7, attempt)), SIZE, 2 + attempt % 2, 1)
        attempt += 1
        if len(scene.labels) >= 2:
            scenes.append(scene)
    return scenes


def top_share(net: nn.Module, scenes: list[Composition], grey: bool) -> float:
    """Share of pictures whose objects are exactly the top classes; ``grey`` measures greyscale copies."""
    pictures = [scene.render() for scene in scenes]
    if grey:
        pictures = [np.asarray(Image.fromarray(picture).convert("L").convert("RGB")) for picture in pictures]
    order = logits(net, pictures).argsort(1, descending=True).tolist()
    hits = [
        {LABELS[k] for k in row[: len(scene.labels)]} == set(scene.labels)
        for row, scene in zip(order, scenes, strict=True)
    ]
    return float(np.mean(hits))


def removal(net: nn.Module, scenes: list[Composition]) -> dict[str, float]:
    """Draw each scene again without each of its layers and see whose absence lowers an object's logit most."""
    own, others, first = [], [], []
    for scene in scenes:
        full, *rest = logits(net, [scene.render(), *(scene.render(layer) for layer in scene.layers)])
        drops = full - torch.stack(rest)
        for index, layer in enumerate(scene.layers):
            if layer.label is not None:
                drop = drops[:, LABELS.index(layer.label)]
                own.append(float(drop[index]))
                others += [float(value) for i, value in enumerate(drop) if i != index]
                first.append(int(drop.argmax()) == index)
    return {
        "own_removal_drops_logit_most": float(np.mean(first)),
        "mean_drop_own": float(np.mean(own)),
        "mean_drop_other": float(np.mean(others)),
    }


def pointing(net: network.DemoNet, scenes: list[Composition]) -> float:
    """Share of objects on which the class activation map, (H / 16, W / 16), of their class has its peak."""
    hits = []
    for scene in scenes:
        picture = torch.from_numpy(scene.render()).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            maps = torch.einsum("kc,chw->khw", net.head.weight, net.features(net.normalise(picture))[0])
        for layer in scene.layers:
            if layer.label is not None:
                row, column = divmod(int(maps[LABELS.index(layer.label)].argmax()), maps.shape[2])
                hits.append(bool(scene.mask(layer)[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16].any()))
    return float(np.mean(hits))


def demo_scene() -> Composition:
    """The demo picture: an astronaut, a cat and a cup of coffee at a launch site at dusk, never trained on."""
    studio = Studio(TEST_BACKGROUNDS)
    dusk = studio.backgrounds[1].resize((SIZE, SIZE), Image.Resampling.BICUBIC, (0, 127, 295, 422))
    plan = (("cat", 104, 60, 58, 10), ("coffee cup", 94, 168, 72, -10), ("astronaut", 110, 108, 173, 0))
    layers: list[Layer] = []
    for label, longest, x, y, angle in plan:
        piece = studio.sprites[label][0].copy()
        piece.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        layers.append(place(piece, label, x, y, angle))
    return Composition(dusk, tuple(layers), (1.0, 0.0, 0.0, 0))


def write_picture(scene: Composition, out: Path) -> None:
    """Write the demo picture and, as a palette picture, the masks: 0 is background, k + 1 is class k."""
    Image.fromarray(scene.render()).save(out / "picture.png", optimize=True)
    index = np.zeros((SIZE, SIZE), np.uint8)
    for layer in scene.layers:
        assert layer.label is not None
        index[scene.mask(layer)] = LABELS.index(layer.label) + 1
    picture = Image.fromarray(index, "P")
    picture.putpalette([25 * k for k in range(len(LABELS) + 1) for _ in "RGB"])
    picture.save(out / "objects.png", optimize=True)


def measure(net: network.DemoNet, seed: int, count: int) -> dict[str, Any]:
    """All figures, as they are printed and shipped."""
    scenes = unseen(seed, count)
    demo = demo_scene()
    shares = logits(net, [demo.render()]).softmax(1)[0]
    figures = {
        "top_classes_are_the_objects": top_share(net, scenes, grey=False),
        "top_classes_are_the_objects_grey": top_share(net, scenes, grey=True),
        **removal(net, scenes),
        "class_map_peaks_on_object": pointing(net, scenes),
    }
    return {
        "pictures": count,
        "size": SIZE,
        **{name: round(value, 4) for name, value in figures.items()},
        "demo_picture": {label: round(float(share), 4) for label, share in zip(LABELS, shares, strict=True)},
    }


def main(arguments: list[str] | None = None) -> None:
    """Train, write, load what was written, and measure that."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=3200, help="training pictures per epoch")
    parser.add_argument("--test", type=int, default=500, help="unseen pictures to measure on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "saliency" / "demo")
    options = parser.parse_args(arguments)
    if labels != LABELS:
        parser.error(f"saliency.demo.labels must be {LABELS}")
    torch.set_num_threads(2)
    start = time.perf_counter()
    trained = train(options.seed, options.epochs, options.pictures)
    minutes = (time.perf_counter() - start) / 60
    options.out.mkdir(parents=True, exist_ok=True)
    weights = options.out / "weights.npz"
    network.save(trained, weights)
    write_picture(demo_scene(), options.out)
    report = {"seed": options.seed, "minutes_of_training": round(minutes, 1), "weights_bytes": weights.stat().st_size}
    report |= measure(network.load(weights, len(LABELS)), options.seed, options.test)
    text = json.dumps(report, indent=2)
    (options.out / "report.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
