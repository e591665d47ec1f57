"""Calls of PAIR's functions, its metric and its errors: the script runs them on PAIR's package, the tests on this one.

Like the cases they never import `saliency`; they are handed modules that have PAIR's names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.pair.cases import Array, crop, scaled

THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7)


def functions(core: Any, mask: Array) -> dict[str, Array]:
    """The functions of `saliency.core`. `mask`: signed, float (H, W, 3)."""
    image = scaled(crop()[:10, :12], "float64")
    single = scaled(crop()[:10, :12], "float32")
    baseline = np.full_like(image, 0.25)
    between = baseline + 0.3 * (image - baseline)
    with np.errstate(divide="ignore", invalid="ignore"):
        alphas = core.translate_x_to_alpha(between, image, baseline)
    return {
        "VisualizeImageGrayscale/99": core.VisualizeImageGrayscale(mask),
        "VisualizeImageGrayscale/80": core.VisualizeImageGrayscale(mask, percentile=80),
        "VisualizeImageDiverging/99": core.VisualizeImageDiverging(mask),
        "VisualizeImageDiverging/80": core.VisualizeImageDiverging(mask, percentile=80),
        "gaussian_blur/0": core.gaussian_blur(image, 0),
        "gaussian_blur/1.5/float64": core.gaussian_blur(image, 1.5),
        "gaussian_blur/1.5/float32": core.gaussian_blur(single, 1.5),
        "l1_distance": np.asarray(core.l1_distance(image, baseline)),
        "translate_x_to_alpha": alphas,
        "translate_alpha_to_x": core.translate_alpha_to_x(0.75, image, baseline),
    }


def pic_saliency() -> Array:
    """A saliency map (24, 28) without equal values, made of integers."""
    rows, columns = np.indices((24, 28))
    return ((rows * 28 + columns) * 389 % 673) / 673.0


def pic_pieces(pic: Any, predict: Callable[[Array], list[float]]) -> dict[str, Array]:
    """The functions of `saliency.metrics.pic`. The entropies are those that `pic.estimate_image_entropy` gives."""
    image = crop()
    np.random.seed(11)  # noqa: NPY002  PAIR draws from the global generator
    mask = pic.generate_random_mask(24, 28, fraction=0.1)
    found: dict[str, Array] = {
        "pic/random_mask": mask,
        "pic/random_mask_default": pic.generate_random_mask(64, 80),
        "pic/blurred": pic.create_blurred_image(image, mask),
        "pic/blurred_nearest": pic.create_blurred_image(image, mask, method="nearest"),
        "pic/blurred_grey": pic.create_blurred_image(image[..., 0], mask),
        "pic/blurred_float": pic.create_blurred_image(scaled(image[..., 1], "float32"), mask),
        "pic/blurred_all": pic.create_blurred_image(image, np.ones_like(mask)),
        "pic/blurred_none": pic.create_blurred_image(image, np.zeros_like(mask)),
    }
    saliency = pic_saliency()
    settings: dict[str, dict[str, Any]] = {
        "default": {},
        "free": {"keep_monotonous": False, "num_data_points": 50},
        "few": {"num_data_points": 50},
    }
    results = {}
    for name, options in settings.items():
        map_ = saliency.T.reshape(24, 28) if name == "few" else saliency
        result = pic.compute_pic_metric(image, map_, mask, predict, THRESHOLDS, min_pred_value=0.6, **options)
        results[name] = result
        parts = [part for part in result._fields if name == "default" or part != "blurred_images"]
        found |= {f"pic/{name}/{part}": np.asarray(getattr(result, part)) for part in parts}
    pair = [results["free"], results["few"]]
    for method in ("median", "mean"):
        whole = pic.aggregate_individual_pic_results(pair, method)
        found |= {f"pic/{method}/{part}": np.asarray(getattr(whole, part)) for part in whole._fields}
    return found


def fingerprint(array: Array) -> str:
    """A name for an array's dtype, shape and values."""
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def segmented_pictures(picture: Array) -> dict[str, Array]:
    """Inputs of the default segmentation: ranks, dtypes, and sides below and above its working size of 224.

    Felzenszwalb sorts edges unstably, so where many are equal the segments depend on NumPy's version. Only a picture
    that is not resized can keep its equal edges; that one gets a texture.
    """
    large = np.repeat(np.repeat(picture, 4, axis=0), 5, axis=1)
    rows, columns, channels = np.indices((224, 224, 3))
    texture = (rows * (rows + 389) + columns * (columns + 701) + 97 * channels) % 1009 / 200
    return {
        "uint8": picture,
        "float64": scaled(picture, "float64"),
        "float32": scaled(picture, "float32"),
        "grey": picture[..., 1],
        "one_channel": picture[..., :1],
        "odd": picture[5:42, 11:64],
        "slim": picture[:, 30:41],
        "one_row": picture[20:21],
        "large": large,
        "wide": large[:100],
        "working_size": large[:224, :224] + texture,
        "negative": scaled(picture, "float64") * -40 + 7,
    }


def refusals(core: Any, pic: Any, model: Any) -> dict[str, Callable[[], object]]:
    """Calls that PAIR refuses, by name."""
    image = scaled(crop(), "float32")
    params = core.XRAIParameters(steps=2, algorithm="other")

    def wrong(x: Array, call_model_args: Any = None, expected_keys: Any = ()) -> dict[str, Array]:
        return {key: np.zeros((3, 2, 2)) for key in expected_keys}

    def empty(x: Array, call_model_args: Any = None, expected_keys: Any = ()) -> dict[str, Array]:
        return {}

    def metric(**options: Any) -> object:
        given = {"img": crop(), "random_mask": np.zeros((24, 28), bool), "pred_func": model.predict, **options}
        return pic.compute_pic_metric(saliency_map=pic_saliency(), saliency_thresholds=[0.1], **given)

    small = image[:5]
    return {
        "base": lambda: core.CoreSaliency().GetMask(image, model),
        "gradient_shape": lambda: core.GradientSaliency().GetMask(image, wrong),
        "gradient_missing": lambda: core.GradientSaliency().GetMask(image, empty),
        "ig_shape": lambda: core.IntegratedGradients().GetMask(image, wrong),
        "ig_baseline": lambda: core.IntegratedGradients().GetMask(image, model, x_baseline=small),
        "blur_shape": lambda: core.BlurIG().GetMask(image, wrong, steps=2),
        "guided_baseline": lambda: core.GuidedIG().GetMask(image, model, x_baseline=small),
        "cam_shape": lambda: core.GradCam().GetMask(image, wrong),
        "occlusion_shape": lambda: core.Occlusion().GetMask(image, wrong),
        "xrai_attribution": lambda: core.XRAI().GetMask(image, model, base_attribution=small),
        "xrai_baseline": lambda: core.XRAI().GetMask(image, model, baselines=[small]),
        "xrai_algorithm": lambda: core.XRAI().GetMask(image, model, extra_parameters=params),
        "pic_dtype": lambda: metric(img=image),
        "pic_low": lambda: metric(min_pred_value=1.5),
        "pic_not_lower": lambda: metric(min_pred_value=0.0, pred_func=lambda batch: [0.5]),
        "pic_empty": lambda: pic.aggregate_individual_pic_results([]),
        "pic_method": lambda: pic.aggregate_individual_pic_results(
            [pic.PicMetricResult(np.arange(2.0), np.arange(2.0), [], [], [], 0.0)], "max"
        ),
    }
