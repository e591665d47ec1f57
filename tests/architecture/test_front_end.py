"""The rooms of the front end: which folder of js/src may import which, types included (docs/architecture.md)."""

from __future__ import annotations

import graphlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

# A folder may import itself and the rooms listed here. The files outside the folders may import all
# folders; more.ts is a bundle of its own, which no other file imports.
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "kernel": {"core"},
    "paint": {"core"},
    "panels/ui": {"core", "kernel"},
    "panels/stage": {"core", "kernel", "paint", "panels/ui"},
    "panels/side": {"core", "kernel", "paint", "panels/ui"},
    "panels/drawer": {"core", "kernel", "paint", "panels/ui"},
    "panels/palette": {"core", "panels/ui"},
    "panels/gallery": {"core", "kernel", "panels/ui"},
    "panels/guide": {"core", "panels/ui"},
    "panels/linked": {"core", "panels/ui"},
}
ROOMS["more.ts"] = set(ROOMS)
ROOMS["view.ts"] = ROOMS["widget.ts"] = set(ROOMS) - {"more.ts"} | {"view.ts"}

# Packages may be imported by these rooms only; the bundle uses only the types of anywidget.
PACKAGES = {"kernel": {"@anywidget/types"}, "widget.ts": {"@anywidget/types"}}

# Names of the page, which `core` must not use.
PAGE = re.compile(r"\b(document|window|navigator|HTML\w*Element|matchMedia)\b")


def room_of(path: str) -> str:
    """Return the room that holds a file: the longest folder of the table above it, or the file itself."""
    rooms = [room for room in ROOMS if path == room or path.startswith(f"{room}/")]
    return max(rooms, key=len, default="")


def imports(path: str, source: str) -> Iterator[str]:
    """Yield what a file imports or exports again: files by their path under js/src, packages by their name."""
    specifiers = re.findall(r"""^\s*(?:import|export)\b[^;'"]*?from\s*['"]([^'"]+)['"]""", source, re.MULTILINE)
    specifiers += re.findall(r"""\bimport\s*\(?\s*['"]([^'"]+)['"]""", source)
    for each in specifiers:
        yield posixpath.normpath(posixpath.join(posixpath.dirname(path), each)) if each.startswith(".") else each


def offences(sources: Mapping[str, str]) -> list[str]:
    """Return every file without a room, and every import that its room does not allow."""
    found = [f"{path} has no room" for path in sources if not room_of(path)]
    for path, source in sources.items():
        room = room_of(path)
        for what in imports(path, source):
            there = room_of(what)
            allowed = there in {room, *ROOMS.get(room, ())} if there else what in PACKAGES.get(room, ())
            if not allowed:
                found.append(f"{path} imports {what}")
    return found


def ring(sources: Mapping[str, str]) -> list[str]:
    """Return one cycle of files that import each other, or an empty list."""
    graph = {path: {what for what in imports(path, source) if what in sources} for path, source in sources.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


@pytest.fixture(scope="module")
def sources(checkout: Path) -> dict[str, str]:
    """Every TypeScript file of the front end: path under js/src -> source."""
    top = checkout / "js/src"
    return {file.relative_to(top).as_posix(): file.read_text(encoding="utf-8") for file in sorted(top.rglob("*.ts"))}


def test_imports_follow_the_table(sources: dict[str, str]) -> None:
    """A file imports its own room and those the table names."""
    assert {"widget.ts", "view.ts", "core/state.ts", "kernel/requests.ts", "paint/painter.ts"} <= set(sources)
    assert offences(sources) == []


def test_no_files_import_each_other(sources: dict[str, str]) -> None:
    """The imports of the front end have no cycle."""
    assert ring(sources) == []


def test_core_does_not_know_the_page(sources: dict[str, str]) -> None:
    """Nothing in `core` names the document, the window or an element."""
    core = {path: source for path, source in sources.items() if room_of(path) == "core"}

    assert {path: found[0] for path, source in core.items() if (found := PAGE.search(source))} == {}


@pytest.mark.parametrize(
    ("path", "line", "offence"),
    [
        ("core/state.ts", 'import { clamp } from "./geometry.ts";', None),
        ("core/state.ts", 'import type { Reply } from "../kernel/messages.ts";', "imports kernel/messages.ts"),
        ("core/state.ts", 'import {\n  a,\n  b,\n} from "../paint/pixels.ts";', "imports paint/pixels.ts"),
        ("core/state.ts", 'import type { AnyModel } from "@anywidget/types";', "imports @anywidget/types"),
        ("kernel/traits.ts", 'import type { AnyModel } from "@anywidget/types";', None),
        ("kernel/traits.ts", 'import "lodash";', "imports lodash"),
        ("paint/painter.ts", 'export * from "../panels/ui/dom.ts";', "imports panels/ui/dom.ts"),
        ("panels/ui/dom.ts", 'import { a } from "../stage/cell.ts";', "imports panels/stage/cell.ts"),
        ("panels/side/methods.ts", 'import { a } from "../ui/dom.ts";', None),
        ("panels/side/methods.ts", 'import { a } from "../drawer/curve.ts";', "imports panels/drawer/curve.ts"),
        ("panels/side/methods.ts", 'const view = await import("../../view.ts");', "imports view.ts"),
        ("widget.ts", 'import { mount } from "./view.ts";', None),
        ("more.ts", 'import { a } from "./panels/drawer/curve.ts";', None),
        ("view.ts", 'import PANELS from "./more.ts";', "imports more.ts"),
        ("newcomer.ts", "", "has no room"),
    ],
)
def test_an_import_against_the_table_is_found(path: str, line: str, offence: str | None) -> None:
    """An import from a higher room, a package and a file without a room are each reported; allowed ones are not."""
    found = offences({path: line})

    assert found == ([] if offence is None else [f"{path} {offence}"])


def test_a_ring_is_found() -> None:
    """Two files that import each other are a cycle, also if one imports only types."""
    one, other = 'import type { A } from "./b.ts";', 'import { b } from "./a.ts";'

    assert ring({"core/a.ts": one, "core/b.ts": other}) != []
    assert ring({"core/a.ts": one, "core/b.ts": ""}) == []


def test_a_name_of_the_page_is_found() -> None:
    """The document and elements are found; words that contain their names are not."""
    assert PAGE.search("document.body") is not None
    assert PAGE.search("(canvas: HTMLCanvasElement) => void") is not None
    assert PAGE.search("documented windows") is None
