"""Data sets explained into a store: complete, resumable to the bit, and readable."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import saliency
from saliency.datasets import store
from tests.datasets import runs
from tests.nets import picture, small_net

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store that was written without interruption."""
    out: Path = tmp_path_factory.mktemp("store") / "masks.zarr"
    runs.run(out)
    return out


def test_masks_equal_explanations(tmp_path: Path) -> None:
    """Pixels, maps of layers and regions are read as they were explained; the index holds their rows."""
    net = small_net()
    pictures = [picture(48, 40, seed=i) for i in range(5)]
    methods = [saliency.GradientSaliency(), saliency.GradCam(), saliency.FeatureAblation(features=6)]
    masks = saliency.explain_dataset(pictures, net, methods, out=tmp_path / "m", shard_size=2, progress=False)

    assert len(masks) == 5
    assert masks.methods == ["gradient", "grad_cam", "feature_ablation"]
    rows = masks.table.to_pylist()
    assert [(each["image"], each["method"]) for each in rows if each["method"] == "feature_ablation"] == [
        (i, "feature_ablation") for i in range(5)
    ]
    assert {each["where"] for each in rows} == {
        "gradient/mask-48x40x3",
        "grad_cam/mask-24x20",
        "feature_ablation/regions-48x40",
    }
    for method in methods:
        for i, expected in enumerate(saliency.explain_each(net, pictures, method, batch_size=2)):
            found = saliency.open_masks(tmp_path / "m", pictures).explanation(i, method.id)
            share = 1e-5 if method.id == "feature_ablation" else 6e-4
            np.testing.assert_allclose(found.mask, expected.mask, atol=share * np.abs(expected.mask).max())
            assert (found.target, found.label, found.caption, found.sign) == (
                *(expected.target, expected.label, expected.caption, expected.sign),
            )
            assert found.score == pytest.approx(expected.score)
            np.testing.assert_array_equal(found.picture, expected.picture)
            if expected.regions is not None:
                assert found.regions is not None
                np.testing.assert_array_equal(found.regions.ranks, expected.regions.ranks)
    row = masks.row(3, "feature_ablation")
    assert row["prediction"] == saliency.predict(net, pictures[3], 1)[0].label


def test_arrays_are_those_of_zarr_3(whole: Path) -> None:
    """Any reader of Zarr v3 opens an array, which has one file for each shard."""
    array: Any = zarr.open_array(whole / "occlusion" / "mask-12x10", mode="r")

    assert array.metadata.zarr_format == 3
    assert array.shape == (runs.COUNT, 12, 10)
    assert array.shards == (runs.SHARD, 12, 10)
    assert len([each for each in (whole / "occlusion/mask-12x10/c").rglob("*") if each.is_file()]) == 10


def test_a_second_run_does_nothing(whole: Path) -> None:
    """The model is called for the first picture only, and no file changes."""
    calls: list[int] = []

    def counted(images: np.ndarray) -> Any:
        calls.append(len(images))
        return runs.model()(images)

    before = {each: each.stat().st_mtime_ns for each in whole.rglob("*.parquet")}
    runs.run(whole, model=lambda: counted)

    assert len(before) == 20
    assert {each: each.stat().st_mtime_ns for each in whole.rglob("*.parquet")} == before
    assert sum(calls) < 60


def test_workers_write_the_same_files(whole: Path, tmp_path: Path) -> None:
    """Two processes give the same bits as one."""
    runs.run(tmp_path / "m", workers=2)

    assert runs.files(tmp_path / "m") == runs.files(whole)


def killed(out: Path, workers: int, moments: random.Random, of: Callable[[int], int]) -> None:
    """Run in another process, and kill the driver or a worker at a random moment after the first shard."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.datasets.runs", str(out), str(workers)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PAUSE": "0.01", "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and not any(out.glob("index/*.parquet")):
        time.sleep(0.01)
    time.sleep(moments.uniform(0, 0.5))
    if process.poll() is None:
        os.kill(of(process.pid), signal.SIGKILL)
    process.wait()


def child_of(pid: int) -> int:
    """Return a process that another one started, or itself without any."""
    children = [
        int(each.parent.name)
        for each in Path("/proc").glob("[0-9]*/stat")
        if _parent(each) == pid and b"spawn_main" in each.with_name("cmdline").read_bytes()
    ]
    return random.choice(children) if children else pid


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def itself(pid: int) -> int:
    """Return the process itself."""
    return pid


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize(
    ("workers", "of", "times"),
    [
        pytest.param(1, itself, 2, id="driver"),
        pytest.param(
            2, child_of, 1, id="worker", marks=pytest.mark.skipif(not Path("/proc/1").exists(), reason="/proc")
        ),
        pytest.param(1, itself, 20, id="driver, often", marks=pytest.mark.long),
        pytest.param(2, child_of, 12, id="worker, often", marks=pytest.mark.long),
    ],
)
def test_a_killed_run_is_continued_to_the_same_bits(
    whole: Path, tmp_path: Path, workers: int, of: Callable[[int], int], times: int
) -> None:
    """After kill -9 at random moments, the next run computes the rest: the files are those of a run in peace."""
    moments = random.Random(times)
    for i in range(times):
        out = tmp_path / f"{i // 4}"
        killed(out, workers, moments, of)
    for out in tmp_path.iterdir():
        runs.run(out)
        assert runs.files(out) == runs.files(whole)


def full(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Make writing fail as on a full disk, after some files, half-way through one."""
    import zarr.storage._local as local

    put, parquet, count = local._put, store._parquet, iter(range(10**6))

    def full_put(path: Path, value: Any, exclusive: bool = False) -> int:
        if next(count) >= after:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".partial").write_bytes(bytes(value.as_numpy_array())[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return put(path, value, exclusive)

    def full_parquet(path: Path, *given: Any) -> None:
        if next(count) >= after:
            path.write_bytes(b"PAR1")
            raise OSError(errno.ENOSPC, "No space left on device")
        parquet(path, *given)

    monkeypatch.setattr(local, "_put", full_put)
    monkeypatch.setattr(store, "_parquet", full_parquet)


@pytest.mark.parametrize("after", [3, 17, 30])
def test_a_full_disk_ends_the_run_and_loses_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The error is that of the system; after space is made the next run gives the files of a run in peace."""
    with monkeypatch.context() as patch:
        full(patch, after)
        with pytest.raises(OSError, match="No space left"):
            runs.run(tmp_path / "m")
    runs.run(tmp_path / "m")

    assert runs.files(tmp_path / "m") == runs.files(whole)


@pytest.mark.long
def test_a_full_file_system_is_survived(whole: Path, tmp_path: Path) -> None:
    """The same on a real file system that is too small, where one can be mounted."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "none", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        with pytest.raises(OSError, match="No space left"):
            runs.run(small / "m")
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        runs.run(small / "m")
        assert runs.files(small / "m") == runs.files(whole)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_two_runs_at_once_are_refused(whole: Path) -> None:
    """A store that another process writes to is refused."""
    with store.locked(whole), pytest.raises(saliency.BadField, match="Another process is writing"):
        runs.run(whole)


def other_model() -> Any:
    """Return another model."""
    return lambda images: 2 * runs.model()(images)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model": other_model}, "model.outputs"),
        ({"methods": saliency.Occlusion(size=4, stride=4)}, "methods.occlusion"),
        ({"shard_size": 5}, "storage.shard_size"),
        ({"batch_size": 4}, "batch_size"),
        ({"source": runs.pictures()[:20]}, "pictures.count"),
        ({"targets": 1}, "targets"),
        ({"preprocess": "-1..1"}, "settings.preprocess"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_another_run_is_refused_with_the_difference(whole: Path, changes: dict[str, Any], named: str) -> None:
    """Nothing is written, and the message names what differs."""
    with pytest.raises(saliency.BadField, match=named):
        runs.run(whole, **changes)


def test_the_measured_batch_size_is_kept(tmp_path: Path) -> None:
    """With an automatic batch size the one of the first run is used again."""
    first = runs.run(tmp_path / "m", batch_size="auto")
    again = runs.run(tmp_path / "m", batch_size="auto")

    assert isinstance(first.manifest["batch_size"], int)
    assert again.manifest == first.manifest


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": runs.broken}, saliency.BadField, "no weights here"),
        ({"model": "tests.datasets.runs:nothing"}, saliency.BadField, "nothing"),
        ({"source": iter([picture()])}, saliency.BadImage, "any order"),
        ({"source": [b"junk"]}, saliency.BadImage, "None of the 1 pictures"),
        ({"targets": [0]}, saliency.BadTarget, "40 pictures"),
        ({"methods": ["gradient"]}, saliency.Unsupported, "gradients"),
        ({"methods": []}, saliency.BadField, "methods"),
        ({"dtype": "int8"}, saliency.UnknownName, "int8"),
    ],
    ids=["factory", "name", "iterator", "no picture", "targets", "unsupported", "no method", "dtype"],
)
def test_what_cannot_work_is_refused_before_work(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    """Nothing is written."""
    with pytest.raises(error, match=message):
        runs.run(tmp_path / "m", **changes)
    assert not list(tmp_path.rglob("*.*"))


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    """Its files are left alone."""
    (tmp_path / "thesis.txt").write_text("2019")
    with pytest.raises(saliency.BadField, match="something else"):
        runs.run(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]


def hostile(folder: Path) -> Iterator[str]:
    """Write pictures of every kind into a folder; yield the names of those that cannot be explained."""
    from PIL import Image

    good = Image.fromarray(picture(12, 10))
    for name in ("a b.png", "ü名.png", "new\nline.png", "'quoted'.png", "%s{}.png", "-v.png"):
        good.save(folder / name)
    good.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.full((12, 10), 40_000, np.uint16)).save(folder / "deep.png")
    Image.fromarray(picture(30, 40)).save(folder / "large.png")
    (folder / "cut.png").write_bytes((folder / "a b.png").read_bytes()[:150])
    (folder / "zero.png").write_bytes(b"")
    Image.fromarray(np.zeros((9000, 10000), np.uint8)).save(folder / "huge.png", compress_level=1)
    (folder / "text.png").write_text("no picture")
    yield from ("cut.png", "zero.png", "huge.png", "text.png")


def grey_too(images: np.ndarray) -> np.ndarray:
    """Score images of any number of channels and any size."""
    return np.stack([images.mean((1, 2, 3)), images.std((1, 2, 3)), images[:, 0].mean((1, 2))], 1)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pictures_that_cannot_be_explained_have_a_row(tmp_path: Path) -> None:
    """Truncated, empty and huge files are errors in the index; CMYK, 16 bits and any name are read."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    bad = set(hostile(folder))
    masks = runs.run(tmp_path / "m", source=folder, model=grey_too, methods=runs.OCCLUSION)
    rows = masks.table.to_pylist()

    assert {each["id"] for each in rows if each["error"]} == bad
    assert len(rows) == len(list(folder.iterdir()))
    for each in rows:
        mask = masks.mask(each["image"])
        assert (mask is None) == (each["id"] in bad)
        assert mask is None or np.isfinite(mask).all()
    with pytest.raises(saliency.BadImage, match="was not explained"):
        masks.explanation(next(each["image"] for each in rows if each["id"] == "cut.png"))


def test_a_target_that_does_not_exist_is_a_row(tmp_path: Path) -> None:
    """The other pictures are explained."""
    targets: list[Any] = [0] * runs.COUNT
    targets[7] = 99
    masks = runs.run(tmp_path / "m", targets=targets, methods=runs.OCCLUSION)

    assert [each["image"] for each in masks.table.to_pylist() if each["error"]] == [5, 7]


def test_each_device_has_a_process(tmp_path: Path) -> None:
    """Each worker sees its own device alone."""
    # the driver decides with the first device; its manifest is that of a worker of device 0
    os.environ["CUDA_VISIBLE_DEVICES"] = "0"
    try:
        masks = runs.run(tmp_path / "m", model=runs.seen, devices=[0, "cuda:1"], methods=runs.OCCLUSION)
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
    plain = runs.run(tmp_path / "plain", methods=runs.OCCLUSION)

    for i in (0, 4, 8, 12):
        bias = masks.row(i)["score"] - plain.row(i)["score"]
        assert bias == pytest.approx(i // runs.SHARD % 2)


def test_damage_is_found(tmp_path: Path) -> None:
    """A changed or deleted file of a shard is named."""
    masks = runs.run(tmp_path / "m", methods=runs.OCCLUSION)
    assert masks.damaged() == []
    file = tmp_path / "m/occlusion/mask-12x10/c/2/0/0"
    file.write_bytes(file.read_bytes()[:-1] + b"?")

    assert masks.damaged() == ["occlusion/mask-12x10, shard 2"]


def test_ray_writes_the_same_files(whole: Path, tmp_path: Path) -> None:
    """Two actors of Ray Data give the same bits as this process."""
    pytest.importorskip("ray")
    code = f"""
import sys
from pathlib import Path
from tests.datasets import runs
runs.run(Path({str(tmp_path / "m")!r}), backend="ray", workers=2)
"""
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    assert runs.files(tmp_path / "m") == runs.files(whole)
