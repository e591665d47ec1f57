"""The demo model, its picture and its training script are what the documentation says."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import saliency
import saliency.demo

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "saliency" / "demo"


def logits(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits, (classes,), of one (H, W, 3) picture."""
    batch = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        result: NDArray[np.float32] = saliency.demo.model()(batch)[0].numpy()
    return result


def train(out: Path) -> str:
    """Run the training script at its smallest and return what it printed."""
    command = [sys.executable, "scripts/train_demo.py", "--epochs", "2", "--pictures", "4", "--test", "2"]
    done = subprocess.run([*command, "--out", str(out)], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_model_is_a_torch_module_in_eval_mode() -> None:
    """The model loads in one line, is in eval mode, and returns one logit per label for each picture."""
    model = saliency.demo.model()
    assert isinstance(model, torch.nn.Module)
    assert not any(module.training for module in model.modules())
    assert model(torch.zeros(2, 3, 224, 224)).shape == (2, len(saliency.demo.labels))


def test_model_takes_other_sizes() -> None:
    """The model takes any height and width that are multiples of 16."""
    assert saliency.demo.model()(torch.zeros(1, 3, 160, 256)).shape == (1, len(saliency.demo.labels))


def test_image_and_objects_match_in_size() -> None:
    """The picture is (224, 224, 3) uint8, and every object has a (224, 224) bool mask."""
    picture = saliency.demo.image()
    assert (picture.shape, picture.dtype) == ((224, 224, 3), np.dtype(np.uint8))
    assert len(saliency.demo.objects()) >= 2
    assert {(mask.shape, mask.dtype) for mask in saliency.demo.objects().values()} == {((224, 224), np.dtype(bool))}


def test_image_may_be_changed_by_its_caller() -> None:
    """Each call gives a fresh, writable picture."""
    saliency.demo.image()[:] = 0
    assert saliency.demo.image().any()


def test_masks_do_not_overlap() -> None:
    """No pixel belongs to two objects, and every object covers more than two percent of the picture."""
    masks = np.stack(list(saliency.demo.objects().values()))
    assert masks.sum(axis=0).max() == 1
    assert masks.mean(axis=(1, 2)).min() > 0.02


def test_labels_are_distinct_names() -> None:
    """There are at least eight labels, all different."""
    assert len(set(saliency.demo.labels)) == len(saliency.demo.labels) >= 8


def test_shipped_files_are_small() -> None:
    """The weights take at most 1 MB, all files of the demo together at most 1.2 MB."""
    assert (FOLDER / "weights.npz").stat().st_size <= 1_000_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.is_file()) <= 1_200_000


def test_top_classes_are_the_objects() -> None:
    """The objects of the demo picture are its top classes, with at least a fifth of the softmax each."""
    present = saliency.demo.objects()
    values = logits(saliency.demo.image())
    order = [saliency.demo.labels[k] for k in values.argsort()[::-1]]
    assert set(order[: len(present)]) == set(present)
    shares = np.exp(values - values.max()) / np.exp(values - values.max()).sum()
    assert all(shares[saliency.demo.labels.index(label)] > 0.2 for label in present)


@pytest.mark.parametrize("label", sorted(saliency.demo.objects()))
def test_filling_an_object_drops_its_own_logit_most(label: str) -> None:
    """Painting an object over with the background's colour lowers its logit, and more than that of the others."""
    picture, masks = saliency.demo.image(), saliency.demo.objects()
    ground = ~np.logical_or.reduce(list(masks.values()))
    filled = picture.copy()
    filled[masks[label]] = np.median(picture[ground], axis=0).astype(np.uint8)
    drops = dict(zip(saliency.demo.labels, logits(picture) - logits(filled), strict=True))
    assert drops[label] > 1
    assert max(drops, key=lambda name: drops[name]) == label


@pytest.mark.parametrize("label", sorted(saliency.demo.objects()))
def test_class_map_peaks_on_its_object(label: str) -> None:
    """The class activation map of every object present peaks on that object."""
    model, mask = saliency.demo.model(), saliency.demo.objects()[label]
    features, head = model.get_submodule("features"), model.get_submodule("head")
    batch = torch.from_numpy(saliency.demo.image()).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        maps = features(model.get_submodule("normalise")(batch))[0]
        weight = head.get_parameter("weight")[saliency.demo.labels.index(label)]
        row, column = divmod(int(torch.einsum("c,chw->hw", weight, maps).argmax()), maps.shape[2])
    assert mask[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16].mean() > 0.5


def test_report_satisfies_the_aims() -> None:
    """The shipped figures, measured on at least 500 unseen pictures, reach the aims of the demo."""
    report = json.loads((FOLDER / "report.json").read_text())
    assert report["pictures"] >= 500
    assert report["top_classes_are_the_objects"] >= 0.9
    assert report["top_classes_are_the_objects_grey"] >= 0.7
    assert report["own_removal_drops_logit_most"] >= 0.97
    assert report["minutes_of_training"] < 30
    assert report["weights_bytes"] == (FOLDER / "weights.npz").stat().st_size


def test_import_brings_no_framework() -> None:
    """Importing saliency.demo and loading the picture imports no torch."""
    code = "import sys, saliency.demo as d; d.image(); d.objects(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_error_for_missing_torch_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torch, model() raises an error that names the command to install it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "saliency.demo.network", raising=False)
    monkeypatch.delattr(saliency.demo, "network", raising=False)
    with pytest.raises(ImportError, match=r'pip install "saliency-widget\[torch\]"'):
        saliency.demo.model()


def test_training_is_repeatable(tmp_path: Path) -> None:
    """Two runs of the script with equal settings give equal weights, and the shipped picture and masks."""
    printed = train(tmp_path / "one")
    train(tmp_path / "two")
    assert "top_classes_are_the_objects" in printed
    with np.load(tmp_path / "one" / "weights.npz") as one, np.load(tmp_path / "two" / "weights.npz") as two:
        assert all(np.array_equal(one[name], two[name]) for name in one.files)
    for name in ("picture.png", "objects.png"):
        assert (tmp_path / "one" / name).read_bytes() == (FOLDER / name).read_bytes()


def test_training_and_test_backgrounds_are_disjoint() -> None:
    """No photograph serves as a background both in training and in testing."""
    from saliency.demo.outlines import TEST_BACKGROUNDS, TRAIN_BACKGROUNDS

    assert not {photo for photo, _ in TRAIN_BACKGROUNDS} & {photo for photo, _ in TEST_BACKGROUNDS}


def test_leaving_an_object_out_changes_only_its_place() -> None:
    """A scene drawn again without one object differs inside its mask, and not away from the object."""
    from saliency.demo.outlines import TEST_BACKGROUNDS
    from saliency.demo.studio import Studio

    rng = np.random.default_rng(3)
    scene = Studio(TEST_BACKGROUNDS).compose(rng, 224, objects=2, distractors=0)
    layer = scene.layers[0]
    changed = (scene.render() != scene.render(layer)).any(axis=2)
    box = np.zeros((224, 224), bool)
    margin = 8  # a blurred picture spreads a little
    top, left = max(0, layer.y - margin), max(0, layer.x - margin)
    box[top : layer.y + layer.rgba.height + margin, left : layer.x + layer.rgba.width + margin] = True
    assert changed[scene.mask(layer)].mean() > 0.9
    assert not changed[~box].any()


@pytest.mark.parametrize("framework", ["keras", "tensorflow", "jax"])
def test_the_same_network_in_other_frameworks(framework: str) -> None:
    """The same weights: the same scores to 1e-4, and the same Grad-CAM at the automatic layer."""
    pytest.importorskip(framework)
    picture, labels = saliency.demo.image(), saliency.demo.labels
    model, pattern = saliency.demo.model(framework), saliency.demo.model()
    found, expected = (saliency.predict(each, picture, labels=labels) for each in (model, pattern))

    assert [each.label for each in found] == [each.label for each in expected]
    np.testing.assert_allclose([each.score for each in found], [each.score for each in expected], atol=1e-4)
    exp, same = (saliency.explain(each, picture, "grad_cam", progress=False) for each in (model, pattern))
    np.testing.assert_allclose(exp.mask, same.mask, atol=1e-4 * same.mask.max())


@pytest.mark.parametrize("framework", ["keras", "tensorflow", "jax"])
def test_the_quickstart_s_toy_is_there_in_every_framework(framework: str) -> None:
    """The last cell of examples/quickstart.ipynb runs with the bundled network of another framework."""
    pytest.importorskip(framework)
    cells = json.loads((ROOT / "examples" / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    few = 'in ("grad_cam", "integrated_gradients"):'
    source = re.sub(r"in \(.*\):", few, "".join(cells[-1]["source"]))
    printed = []
    for called in ("saliency.demo.model()", f"saliency.demo.model({framework!r})"):
        names: dict[str, Any] = {"saliency": saliency}
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            # our own notebook
            exec(source.replace("saliency.demo.model()", called), names)
        printed.append(re.findall(r"(\d+)%  (\w+)", stdout.getvalue()))
    expected, found = printed

    assert [method for _, method in found] == [method for _, method in expected]
    assert len(found) == 2
    for (share, _), (same, _) in zip(found, expected, strict=True):
        assert abs(int(share) - int(same)) <= 1


def test_the_quickstart_runs() -> None:
    """Every cell of the notebook runs as it stands, and its widget computes a map."""
    cells = json.loads((ROOT / "examples" / "quickstart.ipynb").read_text(encoding="utf-8"))["cells"]
    known: dict[str, Any] = {}
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        for cell in cells:
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), known)  # our own notebook
    widget = known["widget"]
    shown = widget.compute(wait=True)
    widget.close()

    assert known["seen"][0].label == "football helmet"
    assert [each.label for each in known["maps"]] == ["football helmet", "bobsled", "space shuttle"]
    assert (shown.method, shown.label) == ("grad_cam", "football helmet")
    inside = {method: int(share) for share, method in re.findall(r"(\d+)%  (\w+)", stdout.getvalue())}
    assert min(inside["grad_cam"], inside["lrp"]) > 90
    assert max(inside["eigen_cam"], inside["deconvolution"]) < 30  # neither depends on the class


def test_an_unknown_framework_is_refused() -> None:
    """The error lists the available names."""
    with pytest.raises(saliency.UnknownName, match="Did you mean 'keras'"):
        saliency.demo.model("kears")
