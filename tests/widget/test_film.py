"""Films: what each frame shows, the model's output on it, and the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import saliency
from saliency_widget.pictures import drawing, film
from saliency_widget.pictures.film import Plan
from saliency_widget.protocol.cells import Cell
from saliency_widget.protocol.messages import message
from saliency_widget.work import what_if
from saliency_widget.work.explainer import Explainer
from tests.nets import LABELS, black_box, picture, small_net
from tests.widget.conftest import Make
from tests.widget.front_end import Browser, Gate, explainer_of, require_cancelled

GRID = saliency.Occlusion(size=4, stride=4)


class Drawn:
    """What `film.drawn` was called with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[tuple[drawing.View, float, float]] = []
        self.film: film.Film | None = None
        draw = film.drawn

        def drawn(scene: Any, steps: Any, *rest: Any) -> film.Film:
            self.steps = list(steps)
            self.film = draw(scene, steps, *rest)
            return self.film

        monkeypatch.setattr(what_if, "drawn", drawn)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Return what the next film is drawn from."""
    return Drawn(monkeypatch)


def probabilities(masks: list[np.ndarray], fill: str, target: int) -> list[float]:
    """Return the probability of a class for each selection alone, one call for each."""
    found = [saliency.what_if(small_net(), picture(), mask, fill).only for mask in masks]
    return [next(float(row.probability or 0) for row in rows if row.index == target) for rows in found]


def frames_of(path: Path) -> tuple[list[Image.Image], list[int], int]:
    """Return the frames of a file, their durations in milliseconds, and how often it repeats (0: for ever)."""
    with Image.open(path) as opened:
        frames, durations = [], []
        for i in range(getattr(opened, "n_frames", 1)):
            opened.seek(i)
            frames.append(opened.convert("RGB"))
            durations.append(int(opened.info["duration"]))
        return frames, durations, int(opened.info["loop"])


def test_a_percentile_film_adds_equal_shares_of_the_pixels(make: Make, tmp_path: Path, drawn: Drawn) -> None:
    """Each frame shows `exp.top`, with the probability that `what_if` gives for it."""
    widget = make(small_net(), labels=LABELS, target=1, methods=["gradient"])
    path = widget.film(tmp_path / "why.gif", fill="mean", frames=8)

    shown = widget.explanation
    assert shown is not None
    masks = list({mask.tobytes(): mask for mask in (shown.top(12.5 * (i + 1)) for i in range(8))}.values())
    assert len(masks) >= 5
    assert [share for _, share, _ in drawn.steps] == pytest.approx([mask.mean() for mask in masks])
    assert [output for *_, output in drawn.steps] == pytest.approx(probabilities(masks, "mean", 1), abs=1e-6)
    assert len(frames_of(path)[0]) == len(masks)


def test_a_film_of_regions_adds_them_one_by_one(make: Make, tmp_path: Path, drawn: Drawn) -> None:
    """A map with regions is filmed by its regions: all of them, or in equal steps from the first to the last."""
    widget = make(small_net(), labels=LABELS, target=1, methods=[saliency.XRAI(steps=4)])
    regions = widget.compute(wait=True).regions
    assert regions is not None
    count = len(regions.table)

    for frames, counts in ((200, np.arange(1, count + 1)), (3, np.rint(np.linspace(1, count, 3)))):
        path = widget.film(tmp_path / "why.gif", frames=frames)
        masks = [regions.ranks < shown for shown in counts]
        assert [share for _, share, _ in drawn.steps] == pytest.approx([mask.mean() for mask in masks])
        assert [output for *_, output in drawn.steps] == pytest.approx(probabilities(masks, "blur", 1), abs=1e-6)
        assert len(frames_of(path)[0]) == len(counts)


def test_a_percentile_film_of_regions_adds_whole_regions(make: Make, tmp_path: Path, drawn: Drawn) -> None:
    """Of a map with regions, as many are shown as come nearest to each share, and no frame twice."""
    widget = make(small_net(), labels=LABELS, target=1, methods=[saliency.XRAI(steps=4)])
    regions = widget.compute(wait=True).regions
    assert regions is not None

    widget.film(tmp_path / "why.gif", "percentile", frames=10)

    areas = np.cumsum([each.area for each in regions.table])
    nearest = sorted({1 + int(np.argmin(abs(areas - share / 10))) for share in range(1, 11)})
    assert [view.region for view, *_ in drawn.steps] == nearest


def test_steps_that_select_the_same_pixels_are_one_frame(make: Make, tmp_path: Path, drawn: Drawn) -> None:
    """A map of a few values has as few frames, however many are requested; they are shown for the whole duration."""

    def corner(images: np.ndarray) -> np.ndarray:
        return np.asarray(images[:, :12, :8].mean((1, 2)))

    widget = make(corner, methods=[GRID], target=0)
    path = widget.film(tmp_path / "why.gif", frames=10, seconds=2)

    # the corner is a fifth of the pixels; the others have no attribution
    shares = [share for _, share, _ in drawn.steps]
    assert shares == sorted(set(shares))
    assert shares[-2:] == pytest.approx([0.2, 1])
    assert len(shares) <= 3
    assert sum(frames_of(path)[1]) == 2000


def test_the_first_and_the_last_frame_hold(make: Make, tmp_path: Path) -> None:
    """They are shown four times as long; together all last as long as was requested, and the film repeats."""
    widget = make(small_net(), labels=LABELS, methods=[GRID])

    for suffix in film.KINDS:
        frames, durations, loop = frames_of(widget.film(tmp_path / f"why{suffix}", frames=6, seconds=3))
        assert len(frames) == 6
        assert durations == [1000, 250, 250, 250, 250, 1000]
        assert loop == 0


def test_a_frame_is_the_picture_as_the_widget_draws_it(make: Make, tmp_path: Path, drawn: Drawn) -> None:
    """The picture of a frame is that of `snapshot_png` with as many regions; the caption is under it."""
    widget = make(small_net(), labels=LABELS, target=1, methods=[saliency.XRAI(steps=4)])
    widget.compute(wait=True)
    path = widget.film(tmp_path / "why.apng", width=96, frames=3)

    frames, *_ = frames_of(path)
    for frame, (view, *_) in zip(frames, drawn.steps, strict=True):
        widget.mode, widget.region = "area", view.region
        still = Image.open(io.BytesIO(widget.snapshot_png(96)))
        np.testing.assert_array_equal(np.asarray(frame)[: still.height, : still.width], np.asarray(still))
        assert np.asarray(frame)[still.height :].std() > 0
        assert (frame.width % 2, frame.height % 2) == (0, 0)


def test_a_gif_has_the_colours_of_its_frames(make: Make, tmp_path: Path, drawn: Drawn) -> None:
    """Its 256 colours are within three levels of the frames on average, and what does not change stays the same."""
    from skimage.data import chelsea

    corners = saliency.Occlusion(size=50, stride=50)
    widget = make(lambda images: images.mean((1, 2)), chelsea()[:200, :250], methods=[corners], target=0)
    frames, *_ = frames_of(widget.film(tmp_path / "why.gif", frames=4))

    assert drawn.film is not None
    for got, wanted in zip(frames, drawn.film.frames, strict=True):
        assert abs(np.asarray(got, float) - np.asarray(wanted, float)).mean() < 3
    arrays = [np.asarray(each) for each in drawn.film.frames]
    still = (arrays[0] == arrays[1]).all(-1)
    assert still.any()
    np.testing.assert_array_equal(np.asarray(frames[0])[still], np.asarray(frames[1])[still])


def test_a_film_is_the_same_every_time(make: Make, tmp_path: Path) -> None:
    """Two widgets of the same model write the same bytes."""
    files = [
        make(small_net(), labels=LABELS, methods=["gradient"]).film(tmp_path / f"{i}.gif", frames=5).read_bytes()
        for i in range(2)
    ]

    assert files[0] == files[1]


def test_a_film_evaluates_each_selection_once(make: Make, tmp_path: Path) -> None:
    """Two images a frame, in batches; another format costs none, and *What if* knows the selections."""
    calls: list[int] = []
    function = black_box(small_net())

    def counted(images: np.ndarray) -> Any:
        calls.append(len(images))
        return function(images)

    widget = make(counted, methods=[GRID], target=1, batch_size=16)
    widget.compute(wait=True)
    calls.clear()
    widget.film(tmp_path / "why.gif", frames=10)
    assert calls == [16, 4]

    widget.film(tmp_path / "why.webp", frames=10)
    browser = Browser(widget)
    fields = {"sign": "auto", "keep": 30, "region": 0, "picked": {}, "fill": "blur"}
    rid = browser.request("what_if", method="occlusion", target=1, **fields)
    browser.wait("what_if", rid=rid)
    assert sum(calls) == 20


def test_values_are_drawn_in_their_own_unit(make: Make, tmp_path: Path, drawn: Drawn) -> None:
    """A model without probabilities has a film of its values."""

    def brightness(images: np.ndarray) -> np.ndarray:
        return np.asarray(images.mean((1, 2, 3))[:, None] * 100)

    widget = make(brightness, methods=[GRID], target=0, activation="none")
    widget.film(tmp_path / "why.gif", frames=4, fill="black")

    outputs = [output for *_, output in drawn.steps]
    assert outputs == sorted(outputs)
    assert outputs[-1] == pytest.approx(float(saliency.read(picture()).fed.mean() * 100), rel=1e-5)


def test_another_cell_is_filmed(make: Make, tmp_path: Path, drawn: Drawn) -> None:
    """The film may be of another method, class, model and image than the shown ones."""
    images = [picture(), np.ascontiguousarray(picture()[::-1])]
    widget = make(small_net(), images, labels=LABELS, target=0, methods=["gradient", GRID])
    widget.film(tmp_path / "why.gif", frames=4, method="occlusion", target=LABELS[2], image=1)

    shown = saliency.explain(small_net(), images[1], GRID, 2, progress=False)
    last = saliency.what_if(small_net(), images[1], shown.top(100)).only
    assert drawn.steps[-1][2] == pytest.approx(next(row.probability for row in last if row.index == 2), abs=1e-6)


@pytest.mark.parametrize("encoding", ["gif", "frames"])
def test_the_browser_requests_a_film(make: Make, encoding: str) -> None:
    """It gets progress, then the GIF file, or the frames as JPEG files, with their durations; a saved page none."""
    widget = make(small_net(), labels=LABELS, target=1, methods=["gradient"], batch_size=1)
    widget.compute(wait=True)
    browser = Browser(widget)
    rid = browser.request("film", method="gradient", target=1, fill="mean", encoding=encoding)
    found = browser.wait("film", rid=rid)

    durations = found.fields["durations"]
    assert (len(durations) > 10, sum(durations)) == (True, 1000 * Plan().seconds)
    assert browser.of("progress", rid)
    files = [Image.open(io.BytesIO(each)) for each in found.buffers.values()]
    assert [each.format for each in files] == (["GIF"] if encoding == "gif" else ["JPEG"] * len(durations))
    assert files[0].width == Plan().width
    assert b"GIF89a" not in widget.to_html().encode()
    assert all(each.fields["op"] != "film" for each in kept(explainer_of(widget)))


def kept(explainer: Explainer) -> list[Any]:
    """Return the answers that are sent to a page that is opened later."""
    (result,) = explainer.results.values()
    return [message("result"), *explainer.what_if_requests.answers(result)]


def test_a_film_can_be_cancelled(make: Make) -> None:
    """The request ends with `cancelled`."""
    widget = make(small_net(), labels=LABELS, target=1, methods=["gradient"])
    widget.compute(wait=True)
    require_cancelled(
        widget,
        lambda browser: browser.request("film", method="gradient", target=1, fill="blur", encoding="gif"),
        "film",
    )


def test_a_what_if_comes_while_a_film_is_made(make: Make) -> None:
    """A selection is evaluated between two model calls of a film."""
    gate = Gate()
    gate.release(1000)
    widget = make(gate, methods=[GRID], target=0, batch_size=1)
    widget.compute(wait=True)
    gate.revoke()
    browser = Browser(widget)
    long = browser.request("film", method="occlusion", target=0, fill="blur", encoding="gif")
    gate.await_call()

    fields = {"sign": "auto", "keep": 33, "region": 0, "picked": {}, "fill": "white"}
    rid = browser.request("what_if", method="occlusion", target=0, **fields)
    gate.release(2)
    browser.wait("what_if", rid=rid)

    assert browser.of("film", long) == []
    gate.free()
    browser.wait("film", rid=long)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"path": "why.mp4"}, saliency.BadField, r"writes \.gif, \.webp, \.apng, got 'why.mp4'"),
        ({"path": "why"}, saliency.BadField, "got 'why'"),
        ({"path": 3}, saliency.BadField, "path must be a path"),
        ({"sweep": "regions"}, saliency.Unsupported, "needs a map with regions, and Gradient has none"),
        ({"sweep": "areas"}, saliency.UnknownName, "sweep"),
        ({"fill": "nothing"}, saliency.UnknownName, "fill"),
        ({"frames": 1}, saliency.BadField, "frames must be"),
        ({"frames": 201}, saliency.BadField, "frames must be"),
        ({"seconds": 0}, saliency.BadField, "seconds must be"),
        ({"width": 10}, saliency.BadField, "width must be"),
        ({"method": "xrai"}, saliency.UnknownName, "offers no method"),
    ],
)
def test_bad_arguments(
    make: Make, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    """Each gets an error that names it, before the model is called."""
    widget = make(small_net(), labels=LABELS, methods=["gradient"])
    with pytest.raises(error, match=text):
        widget.film(**{"path": tmp_path / "why.gif", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_a_closed_widget_makes_no_film(make: Make, tmp_path: Path) -> None:
    """The error says that it was closed."""
    widget = make(small_net(), labels=LABELS, methods=["gradient"])
    widget.compute(wait=True)
    widget.close()
    with pytest.raises(saliency.Cancelled, match="closed"):
        widget.film(tmp_path / "why.gif")


def test_a_scene_needs_a_map(make: Make) -> None:
    """A film that the browser requests of a cell without a map gets the reason."""
    widget = make(small_net(), labels=LABELS, target=1, methods=["gradient"])
    with pytest.raises(saliency.BadField, match="is not computed for this class"):
        widget._screen.scene(Cell("gradient", 1, 0, 0))
    browser = Browser(widget)
    rid = browser.request("film", method="gradient", target=1, fill="blur", encoding="gif")
    assert "not computed" in browser.wait("error", rid=rid).fields["message"]
