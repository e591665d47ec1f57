from __future__ import annotations

import ast
import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from scipy.interpolate import griddata

import saliency
from saliency.metrics import pic
from tests.pair import pieces, reference
from tests.pair.cases import crop
from tests.pair.model import Model


@pytest.fixture
def _pairs_entropies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entropies of the libwebp that PAIR was run with."""
    monkeypatch.setattr(pic, "estimate_image_entropy", reference.entropy)


@pytest.mark.usefixtures("_pairs_entropies")
def test_pic_is_pairs() -> None:
    """Random masks, blurred images, curves, predictions, thresholds and areas are PAIR's."""
    state = np.random.get_state()  # noqa: NPY002  # what pic_pieces seeds is everybody's
    found = pieces.pic_pieces(pic, Model().predict)
    np.random.set_state(state)  # noqa: NPY002

    assert set(found) == set(reference.names("pic/"))
    for name, actual in found.items():
        expected = reference.array(name)
        assert (expected.dtype, expected.shape) == (actual.dtype, actual.shape), name
        if expected.dtype.kind in "iub":
            np.testing.assert_array_equal(actual, expected, name)
        else:
            np.testing.assert_allclose(actual, expected, rtol=1e-6 if "float" in name else 1e-13, err_msg=name)


def test_areas_are_exact() -> None:
    """Given the stored predictions and entropies, every area is PAIR's to the last digits."""
    for name in ("default", "free", "few"):
        x, y = reference.array(f"pic/{name}/curve_x"), reference.array(f"pic/{name}/curve_y")

        assert pic.area(x, y) == pytest.approx(float(reference.array(f"pic/{name}/auc")), rel=1e-15)


@pytest.mark.parametrize("name", [name for name in reference.table("refusals") if name.startswith("pic_")])
def test_refusals_are_pairs(name: str) -> None:
    """PAIR's refusals are raised with the same words."""
    told = reference.table("refusals")[name]
    kind = pic.ComputePicMetricError if told["type"] == "ComputePicMetricError" else ValueError

    with pytest.raises(kind, match=f"^{re.escape(told['message'])}$"):
        pieces.refusals(saliency.core, pic, Model())[name]()


def parameters(signature: str) -> tuple[list[str], list[str]]:
    """The names and the defaults in a written signature, without its annotations."""
    (function,) = ast.parse(f"def f{signature}: ...").body
    assert isinstance(function, ast.FunctionDef)
    return [each.arg for each in function.args.args], [ast.unparse(each) for each in function.args.defaults]


def test_names_are_pairs() -> None:
    """Every class and function of PAIR's module is there, with its parameters or its fields."""
    for name, told in reference.table("surface")["saliency.metrics.pic"].items():
        if told["kind"] == "function":
            assert parameters(told["signature"]) == parameters(str(inspect.signature(getattr(pic, name))))
        elif told["kind"] == "class":
            assert list(getattr(getattr(pic, name), "_fields", ())) == told["fields"]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.95])
@pytest.mark.parametrize("method", ["linear", "nearest", "cubic"])
def test_every_channel_is_scipys(method: str, share: float) -> None:
    """The channels interpolated together are each what SciPy makes of it alone."""
    image, mask = crop().astype(np.float64), np.random.default_rng(0).uniform(size=(24, 28)) < share
    mask[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    blurred = pic.create_blurred_image(image, mask, method)

    for channel in range(3):
        alone = griddata(np.argwhere(mask), image[..., channel][mask], np.argwhere(~mask), method)
        np.testing.assert_allclose(blurred[..., channel][~mask], alone, rtol=1e-4 if method == "cubic" else 1e-12)
    np.testing.assert_array_equal(blurred[mask], image[mask])


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12)))
def test_a_plane_is_rebuilt_exactly(mask: np.ndarray) -> None:
    """From any known pixels, a linear ramp is restored exactly in integers: every pixel has its triangle."""
    rows, columns = np.indices(mask.shape)
    plane = np.asarray(7 * rows + 3 * columns)

    np.testing.assert_array_equal(pic.create_blurred_image(plane, mask), plane)


def test_a_picture_of_one_row_has_its_mean() -> None:
    """Without triangles, the unknown pixels get the channel's mean; PAIR raises Qhull's error."""
    row = np.arange(6, dtype=np.uint8)[None]

    assert pic.create_blurred_image(row, row < 0).tolist() == [[0, 2, 2, 2, 2, 5]]


def test_masks_may_be_numbers_and_stay() -> None:
    """A float mask means its non-zero pixels, and is not written to."""
    mask = np.zeros((24, 28))
    mask[3, 4] = 0.5
    blurred = pic.create_blurred_image(crop(), mask)

    np.testing.assert_array_equal(blurred, pic.create_blurred_image(crop(), mask > 0))
    assert mask.sum() == 0.5


def test_grey_pictures_stay_grey() -> None:
    """An image (H, W) whose pixels are all known comes back as it is; PAIR gives it a channel axis."""
    grey = crop()[..., 0]

    assert pic.create_blurred_image(grey, np.ones_like(grey)) is grey


def test_a_texture_holds_more_than_its_blur() -> None:
    """The entropy of a picture is above that of a rebuilt one, in colour and in grey."""
    mask = np.zeros((24, 28), bool)
    for image in (crop(), crop()[..., 0]):
        assert pic.estimate_image_entropy(image) > pic.estimate_image_entropy(pic.create_blurred_image(image, mask))


def test_other_data_points_are_told() -> None:
    """Curves over different points are refused, equal points in a row are not; PAIR has it the other way round."""
    result = pic.PicMetricResult(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.5, 1.0]), [], [], [], 0.5)
    other = result._replace(curve_x=np.array([0.0, 0.25, 1.0]))
    twice = result._replace(curve_x=np.array([0.0, 0.0, 1.0]))

    with pytest.raises(ValueError, match="different x-axis data points"):
        pic.aggregate_individual_pic_results([result, other])
    assert pic.aggregate_individual_pic_results([twice, twice]).auc == 0.75


def test_a_blur_without_less_information_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the blurred picture needs as many bytes, PAIR's message is raised."""
    monkeypatch.setattr(pic, "estimate_image_entropy", lambda image: 5.0)
    told = "exclude this image from evaluation. Blurred entropy: 5.0, original entropy 5.0"

    with pytest.raises(pic.ComputePicMetricError, match=told):
        pic.compute_pic_metric(crop(), pieces.pic_saliency(), np.zeros((24, 28), bool), lambda x: [0.9], [0.1])


@pytest.mark.parametrize("wrong", ["saliency_map", "random_mask"])
def test_shapes_that_do_not_fit_are_refused(wrong: str) -> None:
    """A mask with channels is refused with the shape that was expected."""
    given: dict[str, Any] = {"saliency_map": pieces.pic_saliency(), "random_mask": np.zeros((24, 28), bool)}
    given[wrong] = np.ones((24, 28, 3))

    with pytest.raises(saliency.BadShape, match=rf"{wrong} must have the image's shape \(24, 28\), got \(24, 28, 3\)"):
        pic.compute_pic_metric(crop(), pred_func=lambda x: [0.9], saliency_thresholds=[0.1], **given)
