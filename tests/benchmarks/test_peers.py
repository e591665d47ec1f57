"""The benchmark beside other packages: its page by hand, a stopped run, PAIR's methods, and one part end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import saliency
from benchmarks import installed, peers, peers_page
from benchmarks.bench import SIZE, STEPS, TARGET
from benchmarks.beside_pair import OWN, SAME
from benchmarks.networks import built
from benchmarks.pair import CASES, FEW, LIGHT, METHODS, NETWORK, WHOLE, Light, photograph
from benchmarks.peers_page import BFLOAT16, GROWTH, HEADLINE, KERAS, OVERHEAD, Aim, Cell, Results, Row, between

ROOT = Path(__file__).resolve().parents[2]

CALLS = {
    "Gradient": 1,
    "Grad-CAM": 1,
    "SmoothGrad": 25,
    "Integrated Gradients": 25,
    "Blur IG": 100,
    "Guided IG": 200,
    "XRAI": 200,
    "Occlusion": 1 + (32 - 15 + 1) ** 2,
}
"""Model calls of PAIR's package at its defaults, of a picture of 32²."""


def rounds(
    cell: Cell, *found: dict[str, float], errors: dict[str, str] | None = None, memory: bool = False
) -> list[Row]:
    """Return one row for each round."""
    return [Row(cell, each, errors or {}, {}, 1.0, memory) for each in found]


def rows() -> list[Row]:
    """Return a few rounds of every kind of cell."""
    gradient = Cell("ResNet-18", "gradient")
    return [
        *rounds(gradient, {"ours": 9.0, "bare": 1.0}, *[{"ours": 2.0, "bare": 2.0, "captum": 4.0}] * 3),
        *rounds(Cell("ResNet-18", "integrated_gradients"), {"ours": 30.0, "captum": 100.0}, memory=True),
        *rounds(Cell("ViT-S", "gradient"), {"ours": 3.0, "bare": 2.0}),
        *rounds(Cell("ResNet-18", "lrp"), {"ours": 3.0, "bare": 1.0}, errors={"captum": "TypeError: no | rule"}),
        *rounds(Cell("ResNet-18", "6 CAMs"), {"ours": 1.0, "pytorch_grad_cam": 10.0}),
        *rounds(Cell("ResNet-18", BFLOAT16), {"ours": 1.0, "float32": 2.0}),
        *rounds(Cell(NETWORK, "XRAI"), {"ours": 8.0, "pair": 10.0, "explain": 7.0, "defaults": 2.0}),
        *rounds(Cell(NETWORK, WHOLE), {"ours": 9.0, "pair": 10.0, "explain": 5.0, "defaults": 3.0}),
        *rounds(Cell(LIGHT, "Gradient"), {"ours": 1.0}, errors={"pair": "ProcessEnded: status 1"}),
        *rounds(Cell(KERAS, "gradient"), {"ours": 1.0, "bare": 2.0}, errors={"xplique": "ImportError: keras 2"}),
        *rounds(Cell(GROWTH, "integrated_gradients", x="steps", at=10), {"ours": 100.0}, memory=True),
        *rounds(Cell(GROWTH, "integrated_gradients", x="steps", at=1000), {"ours": 104.0}, memory=True),
        *rounds(Cell(GROWTH, "gradient", x="size", at=64), {"ours": 0.5}),
        *rounds(Cell(OVERHEAD, "explain"), {"ours": 0.15, "bare": 0.05}),
    ]


def line_of(text: str, start: str) -> str:
    """Return the only row of the tables that starts with some text."""
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return found


@pytest.mark.parametrize(
    ("found", "measured", "verdict"),
    [
        ([], "", "not measured"),
        ([1.104], "1.10", "**met**"),
        ([0.5, 1.0, 1.2], "1.00 (0.50–1.20)", "met in 2 of 3"),
        ([1.5, 1.3], "1.40 (1.30–1.50)", "missed"),
    ],
)
def test_an_aim_is_met_in_all_values_or_counted(found: list[float], measured: str, verdict: str) -> None:
    """The verdict compares what is printed: 1.104 is printed as 1.10."""
    aim = Aim("Gradient ÷ bare", 1.1, found)

    assert (aim.measured, aim.verdict) == (measured, verdict)


def test_the_headline_has_every_aim_and_the_machine() -> None:
    """Each aim is compared with medians of pairs, without the first of several rounds."""
    text = peers_page.headline(Results(rows()))

    assert line_of(text, "Gradient, input").endswith("| ≤ 1.1 | 1.25 (1.00–1.50) | met in 1 of 2 |")
    assert line_of(text, "methods of one pass ÷ Captum").endswith("| 0.50 | **met** |")
    assert line_of(text, "IG ÷ Captum at its default batch: peak memory").endswith("| 0.30 | **met** |")
    assert line_of(text, "LRP").endswith("| 3.00 | missed |")
    assert line_of(text, "XRAI ÷ PAIR, both").endswith("| 0.75 (0.70–0.80) | missed |")
    assert line_of(text, "XRAI ÷ PAIR, `explain`").endswith("| 0.20 | **met** |")
    assert line_of(text, "all methods of PAIR in one call ÷ PAIR, as").endswith("| 0.50 | missed |")
    assert line_of(text, "memory of IG").endswith("| 1.04 | **met** |")
    assert line_of(text, "overhead of `explain`").endswith("| ≤ 1 ms | 2.00 ms | missed |")
    assert line_of(text, "gradients of 10 targets").endswith("|  | not measured |")
    assert "Measured on one thread of" in text


def test_the_page_shows_errors_and_every_table() -> None:
    """A side that failed has a few words in its cell, and its error below."""
    text = peers_page.page(rows(), "cpu")

    assert "| 1 | `lrp` |  | 3.000 | 3.00 | TypeError |" in text
    assert "- Captum, TypeError: `TypeError: no | rule`" in text
    assert line_of(text, "XRAI |") == "| XRAI | 10.000 | 8.000 | 0.80 | 0.70 | 0.20 | 1 |"
    assert "| Gradient | ProcessEnded | 1.000 | 1 |" in text
    assert "| `gradient` | 1.000 | 0.50 |  |  | ImportError | 1 |" in text
    assert "| 1000 |  |  | 104 |  |" in text
    assert "| 64² |  |" in text


def test_a_package_that_cannot_be_installed_is_named_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of pip is kept when the packages are installed, and the page gives it."""
    wanted = f"zennit @ file://{tmp_path}/missing.whl"
    error = installed.installed(sys.executable, "--no-index", "--no-deps", "--target", str(tmp_path / "peers"), wanted)
    monkeypatch.setattr(installed, "PEERS", tmp_path)
    (tmp_path / "failed.json").write_text(json.dumps({"zennit": error}))

    assert "missing.whl" in error
    assert f"Left out: zennit: `{error}`." in peers_page.page(rows(), "cpu")


def test_what_is_written_stays_between_its_markers() -> None:
    """Another run replaces the section, and nothing else."""
    first = peers_page.headline(Results(rows()))
    text = between("before\n" + first + "after\n", peers_page.headline(Results([])))

    assert text.startswith("before\n" + HEADLINE)
    assert text.endswith("after\n")
    assert text.count(HEADLINE) == 1
    assert "1.25" not in text
    assert between(text, first) == "before\n" + first + "after\n"


def test_the_readme_and_the_page_have_the_markers() -> None:
    """The benchmark writes where readers look."""
    assert HEADLINE in (ROOT / "README.md").read_text(encoding="utf-8")
    assert peers_page.BEGIN in (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")


def test_a_stopped_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete rounds are kept, a line that was being written is dropped, and another version starts again."""
    path = tmp_path / "rows.jsonl"
    kept = rows()
    known = peers.Rows(path)
    for row in kept:
        known.add(row)
    path.write_text(path.read_text(encoding="utf-8") + kept[0].written()[:40], encoding="utf-8")

    assert peers.Rows(path).rows == kept
    peers.Rows(path).add(kept[0])
    assert peers.Rows(path).rows == [*kept, kept[0]]
    monkeypatch.setattr(peers, "code_version", lambda: "another")
    assert peers.Rows(path).rows == []
    assert path.read_text(encoding="utf-8") == '{"version": "another"}\n'


@pytest.mark.parametrize("name", peers.MANY)
def test_the_bare_loop_evaluates_as_many_images(name: str) -> None:
    """The passes alone are as many as ours."""
    picture = np.random.default_rng(0).uniform(size=(SIZE, SIZE, 3)).astype(np.float32)
    found = saliency.explain(built("tiny"), picture, name, TARGET, progress=False, **peers.MANY[name])

    assert found.images == peers.IMAGES.get(name, STEPS)


@pytest.mark.parametrize("name", METHODS)
def test_our_getmask_calls_the_model_as_often_as_pair(name: str) -> None:
    """A case compares two packages that call the model equally often."""
    model = Light()
    METHODS[name](saliency.core, photograph(32), model)

    assert model.calls == CALLS[name]


@pytest.mark.parametrize("name", SAME)
def test_explain_evaluates_as_many_images_as_pair(name: str) -> None:
    """What is named "as many steps" evaluates PAIR's number of images."""
    found = saliency.explain(built("tiny"), photograph(32), SAME[name], TARGET, progress=False)

    assert found.images == CALLS[name]


def test_defaults_need_a_part_of_the_images_of_pair() -> None:
    """XRAI evaluates 30 images for PAIR's 200, and Occlusion less than a tenth of PAIR's."""
    model = saliency.adapt(built("tiny"))
    images = {
        name: saliency.explain(model, photograph(FEW), OWN[name], TARGET, progress=False).images
        for name in ("XRAI", "Occlusion")
    }

    assert images["XRAI"] / CALLS["XRAI"] <= 0.3
    assert images["Occlusion"] / (1 + (FEW - 15 + 1) ** 2) <= 0.1


def test_all_methods_of_pair_are_measured_and_have_an_equal_in_explain() -> None:
    """No method of PAIR is left out with a network, and each is compared with its equal."""
    classes = {"GradientSaliency", "GradCam", "IntegratedGradients", "BlurIG", "GuidedIG", "XRAI", "Occlusion"}

    assert {*CASES[NETWORK]} == {*METHODS, WHOLE}
    assert {*SAME} == {*METHODS}
    assert classes <= {type(method).__name__ for method in SAME.values()}


def test_a_package_in_another_process_answers_and_reports_its_errors(tmp_path: Path) -> None:
    """A line with a case is answered by one line with its time and the model's calls, or with the error."""
    asked: list[dict[str, object]] = [{"case": "Gradients"}, {"case": "Gradient"}, {"case": "Gradient", "memory": True}]
    lines = [json.dumps({"keep": str(tmp_path / "mask.npy"), "memory": False, **each}) for each in asked]
    code = f"import sys; sys.path.append({str(ROOT)!r}); from benchmarks.pair import LIGHT, serve; serve(LIGHT)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    unknown, time, memory = (json.loads(line) for line in done.stdout.splitlines())

    assert unknown == {"error": "KeyError: 'Gradients'"}
    assert time["calls"] == memory["calls"] == 1
    assert time["amount"] >= 0
    assert np.load(tmp_path / "mask.npy").shape == (224, 224, 3)


def test_a_part_is_measured_and_continued(tmp_path: Path) -> None:
    """A part in a process of its own leaves its rounds and the page; a second run has nothing to add."""
    page, stored = tmp_path / "page.md", tmp_path / "rows.jsonl"
    command = [sys.executable, "-m", "benchmarks.peers", "--parts", OVERHEAD, "--minutes", "0"]
    command += ["--rows", str(stored), "--page", str(page)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    written = []
    for _ in range(2):
        subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
        written.append((page.read_text(encoding="utf-8"), stored.read_text(encoding="utf-8")))

    assert written[0] == written[1]
    assert {row.cell.method for row in peers.Rows(stored).rows} == {"explain", "GetMask", "import"}
    assert "not measured" not in line_of(written[0][0], "overhead of `explain`")
