from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

import saliency
from saliency.results.explanation import Explanation
from tests.nets import LABELS, picture, small_net

MASK = np.random.default_rng(0).normal(size=(12, 10, 3)).astype(np.float32)


def made(mask: np.ndarray = MASK, **fields: Any) -> Explanation:
    """An explanation around a mask."""
    return Explanation(
        mask=mask,
        method="gradient",
        caption="GradientSaliency()",
        target=2,
        label="cat",
        picture=picture(12, 10),
        **fields,
    )


def test_heatmap_is_pair_s_grayscale() -> None:
    """The heat map is VisualizeImageGrayscale of the mask."""
    np.testing.assert_array_equal(made().heatmap(97), saliency.core.VisualizeImageGrayscale(MASK, 97))


def test_diverging_keeps_zero_and_is_symmetric() -> None:
    """Zero stays zero, and the mask's negative is the picture's negative."""
    shown, turned = made().diverging(), made(-MASK).diverging()

    np.testing.assert_array_equal(shown, -turned)
    assert made(MASK * 0).diverging().tolist() == np.zeros((12, 10)).tolist()
    assert np.abs(shown).max() == 1


def test_top_is_at_or_above_the_percentile() -> None:
    """The top q % are the pixels `>=` NumPy's percentile of what is shown."""
    values = np.abs(MASK).sum(2)

    for percent in (0, 1, 30, 100):
        expected = values >= np.percentile(values, 100 - percent)
        np.testing.assert_array_equal(made().top(percent), expected)
    assert made(sign="positive").top(30).sum() == 36
    with pytest.raises(saliency.BadField, match="0 to 100, got 130"):
        made().top(130)


def test_a_constant_mask_shows_zeros() -> None:
    """Nothing stands out of a constant mask, and nothing divides by zero."""
    assert not made(np.ones_like(MASK)).heatmap().any()


def test_on_picture_undoes_a_crop() -> None:
    """A mask of a cropped, doubled view is placed where the view was taken from, with zeros around it."""
    # the model saw picture rows 2..7 and columns 1..6 at twice the size
    placement = np.array([[0.5, 0, 2 - 0.25], [0, 0.5, 1 - 0.25]])
    mask = np.ones((12, 12), np.float32)
    on = made(mask, placement=placement).on_picture()
    expected = np.zeros((12, 10))
    expected[2:8, 1:7] = 1

    np.testing.assert_allclose(on, expected)


def test_on_picture_without_preprocess_is_the_mask() -> None:
    """A mask that was not moved is not resampled."""
    assert made().on_picture() is MASK or np.array_equal(made().on_picture(), MASK)


@pytest.mark.parametrize("method", [saliency.XRAI(steps=4), saliency.Lime(samples=40, features=5)], ids=repr)
def test_saving_and_loading_loses_nothing(tmp_path: Path, method: saliency.Method) -> None:
    """An .npz holds everything, regions, standard errors and notes among it."""
    net = small_net()
    exp = saliency.explain(net, picture(), method, target="cat", labels=LABELS, progress=False)
    exp.save(tmp_path / "exp.npz")
    again = Explanation.load(tmp_path / "exp.npz")

    for name, value in vars(exp).items():
        if name not in ("regions", "instance"):
            np.testing.assert_array_equal(getattr(again, name), value, err_msg=name)
    assert exp.regions is not None
    assert again.regions is not None
    np.testing.assert_array_equal(again.regions.ranks, exp.regions.ranks)
    assert again.regions.table == exp.regions.table
    assert exp.instance is not None
    assert again.instance is not None
    assert again.instance.key() == exp.instance.key() == method.key()


def test_a_picture_can_be_saved_and_is_shown_in_a_notebook(tmp_path: Path) -> None:
    """save() writes a PNG, and a notebook shows one."""
    made().save(tmp_path / "exp.png")

    with Image.open(tmp_path / "exp.png") as saved:
        assert saved.size[0] > 300
        assert len(np.unique(np.asarray(saved.convert("RGB")).reshape(-1, 3), axis=0)) > 50
    assert (made()._repr_png_() or b"").startswith(b"\x89PNG")


@pytest.mark.parametrize("sign", ["absolute", "positive", "signed"])
def test_plot_draws_on_the_axes_it_is_given(sign: str) -> None:
    """plot() puts the grey picture and the map over it, and gives the axes back."""
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()

    assert made(sign=sign).plot(ax) is ax
    assert len(ax.images) == 2


def test_other_extensions_and_files_are_refused(tmp_path: Path) -> None:
    """save() and load() say what they take."""
    (tmp_path / "no.npz").write_bytes(b"nothing")
    np.savez(tmp_path / "other.npz", a=1)

    with pytest.raises(saliency.BadField, match=r"\.npz or \.png, .*\.pdf, got 'exp.gif'"):
        made().save(tmp_path / "exp.gif")
    for name in ("no.npz", "other.npz"):
        with pytest.raises(saliency.BadImage, match="no explanation saved"):
            Explanation.load(tmp_path / name)


def test_repr_describes_the_explanation() -> None:
    """One line: label, method, shape, cost; never the arrays."""
    assert repr(made()).startswith("<Explanation of 'cat' by GradientSaliency(): mask (12, 10, 3)")


def test_an_overlay_is_the_picture_and_the_colours() -> None:
    """At alpha 0 the picture, at 1 the colormap's colours of the heat map; between, the mean weighted so."""
    exp = made()
    bare, full, half = (exp.overlay(alpha=alpha, colormap="viridis").astype(int) for alpha in (0, 1, 0.5))
    colours = mpl.colormaps["viridis"](exp.heatmap())[..., :3] * 255

    assert exp.overlay().dtype == np.uint8
    np.testing.assert_array_equal(bare, exp.picture)
    assert np.abs(full - colours).max() <= 0.51
    assert np.abs(half - (bare + colours) / 2).max() <= 0.51
    assert not np.array_equal(exp.overlay(sign="signed"), exp.overlay(sign="positive"))


def test_an_overlay_has_the_picture_s_size() -> None:
    """Of a mask of a resized crop too."""
    placement = np.array([[2.0, 0, 3], [0, 2, 1]])
    exp = Explanation(MASK[:4, :4], "gradient", "", 1, "", picture=picture(12, 10), placement=placement)

    assert exp.overlay().shape == (12, 10, 3)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"colormap": "infrno"}, "inferno"),
        ({"sign": "both"}, "signed"),
        ({"alpha": 1.5}, "0 to 1, got 1.5"),
    ],
)
def test_wrong_looks_are_refused(options: dict[str, Any], sentence: str) -> None:
    """A colormap, a sign and an opacity that do not exist, with what there is."""
    with pytest.raises(saliency.SaliencyError, match=sentence):
        made().overlay(**options)


def test_an_explanation_is_an_array() -> None:
    """NumPy gets the mask itself, or a copy for another type or on request."""
    exp = made()

    assert np.asarray(exp) is exp.mask
    assert np.asarray(exp, np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(exp, copy=True), exp.mask)


def test_the_box_of_the_most_salient_pixels_is_on_the_picture() -> None:
    """Top, left, bottom, right, half-open; through a placement, in pixels of the picture."""
    mask = np.zeros((12, 10), np.float32)
    mask[3:5, 6:9] = 1
    small = np.zeros((6, 5), np.float32)
    small[2, 3] = 1
    half = Explanation(small, "", "", 1, "", picture=picture(12, 10), placement=np.array([[2, 0, 0.5], [0, 2, 0.5]]))

    assert made(mask).bbox(5) == (3, 6, 5, 9)
    assert half.bbox(1) == (4, 6, 6, 8)


@pytest.mark.parametrize(
    ("ending", "begins"),
    [("png", b"\x89PNG"), ("jpg", b"\xff\xd8"), ("jpeg", b"\xff\xd8"), ("webp", b"RIFF"), ("pdf", b"%PDF")],
)
def test_pictures_are_saved_by_their_ending(tmp_path: Path, ending: str, begins: bytes) -> None:
    """In capitals too."""
    made().save(path := tmp_path / f"map.{ending.upper()}")

    assert path.read_bytes().startswith(begins)


def test_plots_take_one_or_two_axes() -> None:
    """An array of one, or of two, of which the first gets the picture alone; with a title and a scale."""
    figure, axes = plt.subplots(1, 2)
    exp = made()
    drawn = exp.plot(axes, colormap="viridis", sign="signed", title="mine", colorbar=True)
    _, single = plt.subplots(squeeze=False)

    assert drawn is axes[1]
    assert drawn.get_title() == "mine"
    assert [len(each.images) for each in axes] == [1, 2]
    assert drawn.images[1].get_clim() == (-1, 1)
    assert len(figure.axes) == 3
    assert exp.plot(single) is single[0, 0]
    with pytest.raises(saliency.BadField, match="one or two axes, got 4"):
        exp.plot(plt.subplots(2, 2)[1])
