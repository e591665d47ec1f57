"""The cases of the stored arrays: the script runs them on PAIR's package, the tests on this one.

A case never imports `saliency`; it is handed a package that has PAIR's names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]
Options = Mapping[str, Any]

HERE = Path(__file__).resolve().parent
NOTHING: Options = MappingProxyType({})
DTYPES = ("float32", "float64")


def picture() -> NDArray[np.uint8]:
    """The whole picture, uint8 (64, 80, 3)."""
    with Image.open(HERE / "picture.png") as image:
        return np.asarray(image.convert("RGB"))


def crop() -> NDArray[np.uint8]:
    """The part of it that most cases use, uint8 (24, 28, 3)."""
    return picture()[14:38, 22:50]


def scaled(image: Array, dtype: str) -> Array:
    """The image in [0, 1], divided in its own dtype."""
    return image.astype(dtype) / np.asarray(255, dtype)


def base_attribution(shape: tuple[int, ...] = (64, 80, 3)) -> Array:
    """A signed attribution in float64 made of integers, so that no machine's sine matters."""
    places = np.indices(shape).astype(np.int64)
    waves = sum((k + 2) * place * (place + 11 * k) for k, place in enumerate(places))
    return ((waves % 1009) - 504).astype(np.float64) / 64.0


def own_segments(shape: tuple[int, ...] = (64, 80)) -> list[Array]:
    """A user's own segments: overlapping discs and a band, two of them equal, one empty, one too small, gaps left."""
    rows, columns = np.indices(shape)
    discs = [
        (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        for row, column, radius in ((12, 14, 11), (15, 24, 12), (40, 30, 17), (40, 30, 17), (50, 66, 9), (20, 60, 3))
    ]
    return [*discs, np.zeros(shape, bool), (columns > 48) & (columns < 60)]


@dataclass(frozen=True)
class Case:
    """One call of one method.

    Attributes:
        name: method, variant and dtype, divided by slashes; the arrays are stored under it.
        method: the class in `saliency.core`.
        image: what is explained.
        options: keyword arguments of the entry.
        entry: the method that is called.
        seed: what NumPy's global generator is seeded with before, where it matters.
        parameters: for XRAI, the arguments of `XRAIParameters`.
        experimental: for XRAI, what is put into its `experimental_params`.
    """

    name: str
    method: str
    image: Array
    options: Options = field(default_factory=dict)
    entry: str = "GetMask"
    seed: int | None = None
    parameters: Options | None = None
    experimental: Options = field(default_factory=dict)

    def run(self, core: Any, model: Any) -> dict[str, Array]:
        """The case's arrays by name, computed by `core` (anything with PAIR's names) asking `model`."""
        options = dict(self.options)
        if self.parameters is not None:
            options["extra_parameters"] = core.XRAIParameters(**self.parameters)
            options["extra_parameters"].experimental_params.update(self.experimental)
        if self.seed is not None:
            np.random.seed(self.seed)  # noqa: NPY002  PAIR draws from the global generator
        answer = getattr(getattr(core, self.method)(), self.entry)(self.image, model, {"target": 1}, **options)
        if self.entry != "GetMaskWithDetails":
            return {self.name: np.asarray(answer)}
        found = {"": answer.attribution_mask, "/segments": answer.segments, "/ig": answer.ig_attribution}
        return {self.name + part: np.asarray(array) for part, array in found.items() if array is not None}


def cases() -> Iterator[Case]:
    """All cases."""
    for dtype in DTYPES:
        image = scaled(crop(), dtype)
        yield from _gradient_cases(image, dtype)
        yield from _other_cases(image, dtype)
        yield from _xrai_model_cases(image, dtype)
        yield from _xrai_region_cases(dtype)


def _gradient_cases(image: Array, dtype: str) -> Iterator[Case]:
    def case(method: str, variant: str, seed: int | None = None, entry: str = "GetMask", **options: Any) -> Case:
        return Case(f"{method}/{variant}/{dtype}", method, image, options, entry, seed)

    ramp = np.broadcast_to(np.linspace(0, 1, image.shape[1], dtype=dtype)[:, None], image.shape).copy()
    smooth = "GetSmoothedMask"
    yield case("GradientSaliency", "default")
    yield case("IntegratedGradients", "default")
    yield case("BlurIG", "default", max_sigma=5, steps=10)
    # Random mantissas do not compress, so the rest comes in one of the dtypes.
    if dtype == "float64":
        yield case("GradientSaliency", "smooth_squared", 1, smooth, nsamples=5)
        yield case("IntegratedGradients", "baseline", x_baseline=ramp, x_steps=6)
        yield case("BlurIG", "sqrt", max_sigma=5, steps=10, sqrt=True)
        yield case("GuidedIG", "default", x_steps=20)
    else:
        yield case("GradientSaliency", "smooth_plain", 2, smooth, nsamples=4, magnitude=False, stdev_spread=0.3)
        yield case("IntegratedGradients", "batched", x_steps=7, batch_size=3)
        yield case("IntegratedGradients", "smooth", 3, smooth, nsamples=3, x_steps=4, batch_size=2)
        yield case("BlurIG", "batched", max_sigma=4, steps=7, batch_size=3)
        yield case("GuidedIG", "notebook", x_baseline=ramp, x_steps=10, max_dist=1.0, fraction=0.5)


def _other_cases(image: Array, dtype: str) -> Iterator[Case]:
    for resize in (True, False):
        for deep in (True, False):
            variant = f"{'resized' if resize else 'layer'}_{'rgb' if deep else 'plane'}"
            options = {"should_resize": resize, "three_dims": deep}
            yield Case(f"GradCam/{variant}/{dtype}", "GradCam", image, options)
    smoothed = {"nsamples": 3, "magnitude": False}
    yield Case(f"GradCam/smooth/{dtype}", "GradCam", image, smoothed, "GetSmoothedMask", 4)
    yield Case(f"Occlusion/default/{dtype}", "Occlusion", image, {"size": 5, "value": 0.3})
    if dtype == "float32":
        yield Case(f"Occlusion/grey/{dtype}", "Occlusion", image[..., 1], {"size": 7})
    yield Case(f"Occlusion/too_large/{dtype}", "Occlusion", image, {"size": 60})


def _xrai_model_cases(image: Array, dtype: str) -> Iterator[Case]:
    def case(variant: str, options: Options, **parameters: Any) -> Case:
        name = f"XRAI/{variant}/{dtype}"
        parameters = {"steps": 8, "return_xrai_segments": True, **parameters}
        return Case(name, "XRAI", image, options, "GetMaskWithDetails", parameters=parameters)

    yield case("model", {"batch_size": 3})
    yield case("model_fast", {}, algorithm="fast")
    yield case("model_baselines", {"baselines": [np.zeros_like(image)]}, algorithm="full", steps=5)


def _xrai_region_cases(dtype: str) -> Iterator[Case]:
    """XRAI on an attribution of the user's own: bit for bit the regions' business."""
    attribution = base_attribution().astype(dtype)
    image = scaled(picture(), dtype)

    def case(variant: str, experimental: Options = NOTHING, segments: Any = None, **parameters: Any) -> Case:
        parameters = {"return_xrai_segments": True, **parameters}
        options = {"base_attribution": attribution, "segments": segments}
        name = f"XRAI/{variant}/{dtype}"
        return Case(name, "XRAI", image, options, "GetMaskWithDetails", None, parameters, experimental)

    for algorithm in ("full", "fast"):
        yield case(f"{algorithm}_flat", algorithm=algorithm)
        yield case(f"{algorithm}_own", segments=own_segments(), algorithm=algorithm)
        yield case(f"{algorithm}_tiny", {"min_pixel_diff": 1}, own_segments(), algorithm=algorithm)
        yield _line_case(algorithm, dtype)
        if dtype == "float64":
            yield case(f"{algorithm}_list", algorithm=algorithm, flatten_xrai_segments=False)
            yield case(f"{algorithm}_half", algorithm=algorithm, area_threshold=0.5)


def _line_case(algorithm: str, dtype: str) -> Case:
    """A one-dimensional "image", which PAIR takes where the segments are the user's."""
    line = np.array([3.0, 5.0, 4.0, 4.0, -1.0, 0.0, 2.0], dtype)
    parts = [[True, True, False, False, False, False, False], [False, False, True, True, True, False, False]]
    return Case(
        f"XRAI/{algorithm}_line/{dtype}",
        "XRAI",
        line,
        {"base_attribution": line * 2, "segments": [np.array(part) for part in parts]},
        "GetMaskWithDetails",
        parameters={"return_xrai_segments": True, "algorithm": algorithm},
        experimental={"min_pixel_diff": 1},
    )
