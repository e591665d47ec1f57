"""The pages of docs/: code blocks that no other test runs, and links between pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saliency
from tests.nets import picture, small_net

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def text(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def blocks(source: str) -> list[str]:
    """Return the Python blocks of a page or a section."""
    return re.findall(r"```python\n(.*?)```", source, re.DOTALL)


def anchors(page: Path) -> Iterator[str]:
    """Yield the anchors of a page: those of its headings, as GitHub writes them, and explicit ones."""
    yield from re.findall(r'<a (?:id|name)="(.+?)"', text(page))
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text(page), flags=re.DOTALL), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    """Every relative link names a file that exists, and every anchor a heading of it."""
    for target in re.findall(r"\]\(((?!https?:)[^)\s]+)\)", text(page)):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page

        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_the_code_of_the_page_on_test_beds_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The Python blocks of docs/testbeds.md on offline beds run unchanged, and the page names every trained network."""
    source = text(ROOT / "docs/testbeds.md").partition("## Real photographs")[0]
    names: dict[str, Any] = {}
    for block in blocks(source):
        exec(block, names)

    assert "False" not in capsys.readouterr().out
    assert all(row.value == row.value for row in names["table"].rows if row.metric == "single_deletion")
    assert all(f"`{bed.id}`" in source for bed in saliency.testbed.beds() if bed.group != "wired")


def test_the_code_of_the_widget_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All Python blocks of docs/widget.md run unchanged."""
    monkeypatch.chdir(tmp_path)
    demo = saliency.demo
    names: dict[str, Any] = {"model": demo.model(), "img": demo.image()[::2, ::2], "labels": demo.labels}
    names["other"] = demo.model()
    names["another"] = names["img"][::-1].copy()
    noise = np.random.default_rng(0).integers(0, 256, (24, 48, 48, 3)).astype(np.uint8)
    names |= {"stripes": noise[:12], "others": noise[12:]}
    names["dataset"] = [(names["img"], 0), (names["another"], 1)]
    names |= {"images": [names["img"]] * 9, "classes": ["cat"] * 9}
    first, *others = blocks(text(ROOT / "docs/widget.md"))
    exec(first.replace("(model, img)", "(model, img, labels=labels)"), names)
    for block in others:
        exec(block, names)
    names["again"].close()
    names["many"].close()

    assert names["many"].spec["gallery"]["count"] == 9
    assert names["exp"].method == "grad_cam"
    assert (tmp_path / "why.html").stat().st_size > 100_000


def test_the_code_for_users_of_pair_runs() -> None:
    """The section on PAIR explains a model with `saliency.explain`."""
    section = text(ROOT / "docs/migrating.md").partition("# Coming from PAIR")[2].partition("\n# ")[0]
    (code,) = blocks(section)
    names: dict[str, Any] = {"model": small_net(), "image": picture()}
    exec(code.replace("207", "2"), names)

    rows = re.findall(r"^\| `.+ \| `(method=.+?)`", section, re.MULTILINE)
    names |= {"b": "blur", "s": picture()[..., 0] // 64, "method": saliency.GradientSaliency()}
    fields = [row.replace('layer="layer4"', 'layer="block"') for row in rows]
    assert len(fields) == 9
    for each in fields:
        found = eval(f"saliency.explain(model, image, target=1, progress=False, {each})", names)
        assert found.mask.any(), each


def run_page(name: str, replaced: Mapping[str, str]) -> dict[str, Any]:
    """Run all Python blocks of a page, with texts replaced, and return the names they define."""
    source = text(ROOT / "docs" / name)
    for given, small in replaced.items():
        assert given in source
        source = source.replace(given, small)
    names: dict[str, Any] = {"small_net": small_net, "picture": picture}
    for block in blocks(source):
        exec(block, names)
    return names


def test_the_code_of_the_page_on_layers_runs() -> None:
    """All Python blocks of docs/why-layers-and-change.md run, here on a small network and picture."""
    replaced = {
        'saliency.demo.model("imagenet"), saliency.demo.image("coffee")': "small_net(), picture()",
        "_blocks.10._bn2": "block",
        "_blocks.10": ":max_pool2d:0",
        "_swish": "relu",
        # a blur does not change the answer to this picture
        'segments="grid"': 'segments="grid", fill="black", progress=False',
    }
    names = run_page("why-layers-and-change.md", replaced)

    assert names["neuron"].mask.shape == (24, 20, 3)


def test_the_code_of_the_page_on_concepts_and_examples_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """All Python blocks of docs/why-concepts-and-examples.md run, here on a small network and noise."""
    noise = "np.random.default_rng(sum(map(ord, name))).integers(0, 256, (300, 451, 3), np.uint8)"
    replaced = {
        'saliency.demo.model("imagenet"), saliency.demo.image("cat")': f"small_net(), (lambda name: {noise})('cat')",
        "saliency.demo.image(name)": noise,
        "_blocks.15": "relu",
        "_blocks.10": "relu",
        "_swish": "relu",
        '{"tiger cat": "cat", "espresso": "coffee", "missile": "rocket", "moped": "motorcycle", "palace": "china"}': (
            '{0: "a", 1: "cat", 2: "b", 3: "c"}'
        ),
        '[0], "espresso")': "[0], 3)",
        "8, 224, seed=0": "8, 24, seed=0",
        ', preprocess="imagenet 224"': "",
        '"tiger cat"': "1",
        # noise at the size of a photograph takes long
        ", 96, seed": ", 24, seed",
        "windows(cat, 12, 256": "windows(cat, 12, 24",
        "[cat, *others]": "[each[:40, :40] for each in (cat, *others)]",
        "model, cat,": "model, cat[:40, :40],",
        "windows(cat, 16, 240, seed=5)": "windows(cat, 10, 40, seed=5)",
    }
    names = run_page("why-concepts-and-examples.md", replaced)

    assert len(names["scores"]) == 3
    assert len(names["crafted"].importance) >= 2
    assert len(names["index"]) == 32
    assert "rank by loss" in capsys.readouterr().out


def test_the_code_of_the_evidence_page_runs() -> None:
    """All Python blocks of docs/evidence.md run, here on a small network and picture."""
    replaced = {
        'saliency.demo.model("imagenet"), saliency.demo.image("coffee")': "small_net(), picture()",
        "saliency.demo.image(name)": "picture()",
    }
    names = run_page("evidence.md", replaced)

    assert names["verdict"].measures["road"].found.band is not None
    assert len(names["table"].rows) == 2 * 2 * 2


def test_the_page_on_hosts_shows_the_apps() -> None:
    """docs/hosts.md shows every app of examples/hosts, which the browser's tests start, as it is."""
    apps = {}
    for path in (ROOT / "examples/hosts").iterdir():
        code = text(path)
        if path.suffix == ".ipynb":
            code = "\n\n".join("".join(cell["source"]) for cell in json.loads(code)["cells"]) + "\n"
        apps[path.name] = code

    shown = re.findall(
        r"^(`{3,4})\w+\n# examples/hosts/(\S+)\n(.*?)^\1$", text(ROOT / "docs/hosts.md"), re.DOTALL | re.MULTILINE
    )
    assert apps == {name: code for _, name, code in shown}
