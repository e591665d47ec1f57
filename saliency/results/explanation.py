"""The result of an explanation: the mask, its cost, and how to show it."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from saliency import checks
from saliency.core.captions import method_from
from saliency.core.method import Method
from saliency.errors import BadField, BadImage, SaliencyError, brief
from saliency.pictures import display
from saliency.pictures.placement import onto
from saliency.pictures.regions import Region, Regions
from saliency.results import saved

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIGNS = ("absolute", "positive", "signed")
"""The ways to show a mask."""

PICTURES = ("png", "jpg", "jpeg", "webp", "pdf")
"""File extensions of the picture formats that can be saved."""


@dataclass(eq=False, repr=False)
class Explanation:
    """A mask with everything needed to interpret it."""

    mask: np.ndarray
    """float32 (H, W, C), or (H, W) for methods of regions and layers, at the resolution of the model's input.

    For an input that is no picture: the input's own shape, without the batch axis."""
    method: str
    """id of the method."""
    caption: str
    """The method with its fields, as a Python expression."""
    target: int | str
    """Index of the explained class, or name of the callable."""
    label: str
    """Name of the class."""
    layer: str | None = None
    """The layer that was read, for methods that read one."""
    score: float = float("nan")
    """The model's output for the target: a logit, a value or a probability; `notes` names which."""
    baseline_score: float | None = None
    """The same for the baseline (the mean over several baselines); None where the method has none."""
    gap: float | None = None
    """Completeness error: sum of the attribution minus (score - baseline_score). The mask is never rescaled to hide it.

    None for methods without a completeness property. The sum is over the mask; where a pixel shows the value of its
    segment, over the segments; for regions, over the attribution they are built from; for several inputs, over all
    masks. Relevance (LRP) has no baseline: its error is the sum minus the score.
    """
    regions: Regions | None = None
    """The rank of each pixel's region and a table of the regions: XRAI's, or the segments that were attributed to."""
    standard_error: np.ndarray | None = None
    """Standard error of the mask's values, float32 (H, W), for methods that sample at random; else None."""
    notes: tuple[str, ...] = ()
    """The settings used, in sentences."""
    sign: str = "absolute"
    """The best way to show the mask: "absolute", "positive" or "signed"."""
    calls: int = 0
    """Number of model calls."""
    images: int = 0
    """Number of images evaluated in all these calls."""
    seconds: float = 0.0
    """Duration in seconds, from beginning to end."""
    picture: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 3), np.uint8))
    """uint8 (H, W, 3): the picture to show."""
    placement: np.ndarray = field(default_factory=lambda: np.array([[1.0, 0, 0], [0, 1, 0]]))
    """(2, 3): picture (row, column) = placement @ (mask row, mask column, 1)."""

    labels: Sequence[str] | None = None
    """Names of the classes; None without."""
    instance: Method | None = None
    """The method with its fields; None where the caption of a loaded explanation does not give them completely."""

    def __post_init__(self) -> None:
        for name in ("method", "caption", "label"):
            checks.text(getattr(self, name), name)
        if self.instance is not None and not isinstance(self.instance, Method):
            raise BadField(f"instance must be a method, such as saliency.GradCam(), got {brief(self.instance)}.")
        checks.choice(self.sign, "sign", SIGNS)
        if self.regions is not None and not isinstance(self.regions, Regions):
            raise BadField(f"regions must be Regions, such as XRAI returns, got {brief(self.regions)}.")
        self.mask = checks.array(self.mask, "mask", BadImage)
        if self.standard_error is not None:
            self.standard_error = checks.array(self.standard_error, "standard_error", BadImage)
        self.picture = checks.array(self.picture, "picture", BadImage)
        self.placement = checks.array(self.placement, "placement", BadImage)
        if self.picture.dtype != np.uint8 or self.picture.ndim != 3 or self.picture.shape[2] != 3:
            raise BadImage(f"picture must be uint8 (H, W, 3), got {self.picture.dtype} {self.picture.shape}.")
        self._check_mask()
        if self.placement.shape != (2, 3) or not np.linalg.det(self.placement[:, :2]):
            raise BadImage("placement must be an invertible affine map (2, 3).")
        plane = self.mask.shape[:2]
        ranks = None if self.regions is None else self.regions.ranks
        for name, laid in (("standard_error", self.standard_error), ("regions", ranks)):
            if laid is not None and laid.shape != plane:
                raise BadImage(f"{name} must have the mask's shape {plane}, got {laid.shape}.")

    def _check_mask(self) -> None:
        """Raise BadImage unless the mask has a possible shape."""
        if not self.mask.size or self.mask.ndim not in ((2, 3) if self.picture.size else range(1, 9)):
            raise BadImage(f"mask must be (H, W) or (H, W, C) where there is a picture, got {self.mask.shape}.")

    @property
    def _plane(self) -> np.ndarray:
        """The mask as it is placed on the picture: (H, W), or (H, W, C), whose last axis is summed."""
        return self.mask

    @property
    def _is_placed(self) -> bool:
        """Whether the mask has a place on a picture."""
        return bool(self.picture.size)

    @property
    def gap_share(self) -> float | None:
        """The absolute gap as a share of `|score - baseline_score|`, 0.05 for 5 %; None where it is undefined."""
        rise = abs(self.score - (self.baseline_score or 0.0))
        return None if self.gap is None or not np.isfinite(rise) or rise == 0 else abs(self.gap) / rise

    def __repr__(self) -> str:
        cost = f"{self.images} images evaluated in {self.seconds:.2g} s"
        return f"<Explanation of {self.label!r} by {self.caption}: mask {self.mask.shape}, {cost}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the mask, for ``np.asarray(explanation)``."""
        if copy is None:
            return np.asarray(self.mask, dtype)
        return np.array(self.mask, dtype, copy=copy)

    def _repr_png_(self) -> bytes | None:
        """Return the image for a notebook; None where there is no picture to draw."""
        return self._png(dpi=100) if self._is_placed or self.mask.ndim < 3 else None

    def heatmap(self, percentile: float = 99) -> np.ndarray:
        """Return the mask as (H, W) in [0, 1]: absolute sum over channels, with `percentile` and above shown as 1."""
        return display.heat(display.magnitude(self._plane), _percent(percentile, "percentile"))

    def diverging(self, percentile: float = 99) -> np.ndarray:
        """Return the mask as (H, W) in [-1, 1]: summed over channels, symmetric about zero."""
        return _diverging(self._plane, _percent(percentile, "percentile"))

    def top(self, percent: float = 30) -> np.ndarray:
        """Return the most salient `percent` of the pixels, bool (H, W).

        These are the pixels at or above the percentile of the values that `sign` shows.
        """
        percent = _percent(percent, "percent")
        values = self.salience()
        return np.asarray(values >= np.percentile(values, 100 - percent))

    def salience(self) -> np.ndarray:
        """Return the mask as (H, W), larger where more salient: absolute values unless `sign` keeps signs."""
        return display.magnitude(self._plane) if self.sign == "absolute" else display.summed(self._plane)

    def on_picture(self, smooth: bool = True) -> np.ndarray:
        """Return the mask on the picture's own pixels, (H, W, C) or (H, W).

        Resizing and cropping are undone; pixels that were not fed to the model get zero.

        Args:
            smooth: whether to interpolate between the mask's pixels; otherwise the nearest one is used.

        Raises:
            BadImage: the input is no picture.
        """
        return self._placed(self._plane, checks.flag(smooth, "smooth"))

    def _placed(self, mask: np.ndarray, smooth: bool) -> np.ndarray:
        """Return a mask with this mask's placement on the picture's own pixels; see :meth:`on_picture`."""
        if not self.picture.size:
            raise BadImage(f"This mask belongs to an input {self.mask.shape} that is no picture: use exp.mask.")
        height, width = self.picture.shape[:2]
        return onto(mask, self.placement, (height, width), smooth)

    def bbox(self, percent: float = 30) -> tuple[int, int, int, int]:
        """Return the bounding box of the most salient `percent` of the pixels: top, left, bottom, right, half-open.

        In pixels of the picture: ``picture[top:bottom, left:right]`` is the content of the box.
        """
        there = self._placed(self.top(percent).astype(np.float32), smooth=False) > 0
        if not there.any():
            raise BadImage("No pixel of the mask is on the picture: see placement.")
        rows, columns = (np.flatnonzero(there.any(axis)) for axis in (1, 0))
        return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1

    def overlay(
        self, alpha: float = 0.7, colormap: str | None = None, sign: str | None = None, percentile: float = 99
    ) -> np.ndarray:
        """Return the picture blended with the mask's colours, uint8 (H, W, 3), at the picture's own size.

        Args:
            alpha: opacity of the colours, 0–1.
            colormap: name of a matplotlib colormap; by default "inferno", or "RdBu_r" for signed masks.
            sign: "absolute", "positive" or "signed"; the mask's own by default.
            percentile: absolute values at or above it get the colormap's last colour.

        Raises:
            BadField, UnknownName: `alpha`, `colormap` or `sign` is invalid.
            BadImage: the input is no picture.
        """
        alpha, percentile = checks.number(alpha, "alpha", 0, 1), _percent(percentile, "percentile")
        sign = self._sign(sign)
        colours = display.coloured(self._values(self.on_picture(), sign, percentile), sign == "signed", colormap)
        return np.asarray(np.rint((1 - alpha) * self.picture + alpha * 255 * colours), np.uint8)

    def plot(
        self,
        ax: Any = None,
        percentile: float = 99,
        opacity: float = 0.7,
        *,
        colormap: str | None = None,
        sign: str | None = None,
        title: str | None = None,
        colorbar: bool = False,
    ) -> Axes:
        """Draw the heat map over the greyed picture; for other inputs, bars (T,) or a matrix (rows, columns).

        Args:
            ax: matplotlib axes; new ones by default. Of an array of two, the first shows the picture alone.
            percentile: values at or above it get the brightest colour.
            opacity: opacity of the colours, 0–1.
            colormap: see :meth:`overlay`.
            sign: see :meth:`overlay`.
            title: title of the axes; method and label by default.
            colorbar: whether to draw a colour scale beside the axes.

        Returns:
            the axes with the heat map.
        """
        import matplotlib.pyplot as plt

        opacity, percentile = checks.number(opacity, "opacity", 0, 1), _percent(percentile, "percentile")
        title = title if title is None else checks.text(title, "title")
        colorbar = checks.flag(colorbar, "colorbar")
        sign = self._sign(sign)
        colours = display.colormap(colormap, sign == "signed")
        if ax is None:
            _, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
        several = list(np.ravel(np.asarray(ax, object)))
        if not 1 <= len(several) <= 2:
            raise BadField(f"plot() draws on one or two axes, got {len(several)}: pass ax=axes[0].")
        if wrong := [each for each in several if not hasattr(each, "imshow")]:
            raise BadField(f"ax must be matplotlib axes, as from plt.subplots(), got {brief(wrong[0])}.")
        ax = several[-1]
        # a label may contain a $, which would start a formula, and lone surrogates, which no font has
        shown_title = (f"{self.caption}\n{self.label}" if title is None else title).encode(errors="replace").decode()
        ax.set_title(shown_title, fontsize="small", parse_math=False)
        if not self._is_placed:
            self._plot_values(ax, percentile)
            return cast("Axes", ax)
        if len(several) == 2:
            several[0].imshow(self.picture)
            several[0].set_axis_off()
        shown = self._values(self.on_picture(), sign, percentile)
        ax.imshow(self.picture.mean(2), cmap="gray", vmin=0, vmax=255)
        drawn = ax.imshow(shown, alpha=opacity, vmin=-1 if sign == "signed" else 0, vmax=1, cmap=colours)
        if colorbar:
            ax.figure.colorbar(drawn, ax=ax)
        ax.set_axis_off()
        return cast("Axes", ax)

    def _sign(self, sign: str | None) -> str:
        """Return how the mask is shown."""
        return self.sign if sign is None else checks.choice(sign, "sign", SIGNS)

    def _plot_values(self, ax: Axes, percentile: float) -> None:
        """Draw the values of an input that is no picture."""
        if self.mask.ndim == 1:
            ax.bar(np.arange(len(self.mask)), self.mask, width=1)
            ax.axhline(0, color="0.5", linewidth=0.5)
        elif self.mask.ndim == 2:
            shown = _diverging(self.mask, percentile)
            ax.imshow(shown, vmin=-1, vmax=1, cmap="RdBu_r", aspect="auto", interpolation="nearest")
        else:
            raise BadImage(
                f"A mask of shape {self.mask.shape} is neither (T,) nor (rows, columns): sum exp.mask over some axes "
                "and draw the result."
            )

    def _values(self, mask: np.ndarray, sign: str, percentile: float) -> np.ndarray:
        """Return the mask as shown, (H, W): in [-1, 1] if signed, otherwise in [0, 1]."""
        if sign == "signed":
            return _diverging(mask, percentile)
        if sign == "absolute":
            return display.heat(display.magnitude(mask), percentile)
        return display.heat(np.maximum(display.summed(mask), 0), percentile)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the picture with its heat map, or the whole explanation (``.npz``), depending on the file extension.

        Picture formats are ``.png``, ``.jpg``, ``.jpeg``, ``.webp`` and ``.pdf``.
        """
        path = checks.path(path)
        ending = path.suffix.lower().removeprefix(".")
        if ending == "npz":
            self._save_arrays(path)
        elif ending in PICTURES:
            drawn = self._drawn(ending, dpi=150)
            with checks.opening(path, BadField):
                path.write_bytes(drawn)
        else:
            raise BadField(
                f"save() writes .npz or {', '.join(f'.{each}' for each in PICTURES)}, got {brief(path.name)}."
            )

    def _png(self, dpi: int) -> bytes:
        return self._drawn("png", dpi)

    def _drawn(self, kind: str, dpi: int) -> bytes:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.5, 4.5), layout="constrained")
        self.plot(figure.add_subplot())
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=dpi)
        return buffer.getvalue()

    def _save_arrays(self, path: Path) -> None:
        arrays: dict[str, Any] = {"mask": self.mask, "picture": self.picture, "placement": self.placement}
        if self.standard_error is not None:
            arrays["standard_error"] = self.standard_error
        kept_apart = {*arrays, "regions", "standard_error", "instance"}
        record = {name: value for name, value in vars(self).items() if name not in kept_apart}
        record["labels"] = None if self.labels is None else list(self.labels)
        if type(self) is not Explanation:
            record["kind"] = type(self).__name__
        if self.regions is not None:
            arrays["ranks"] = self.regions.ranks
            record["table"] = self.regions.table
        saved.write(path, arrays, record)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Return the explanation that ``save("….npz")`` wrote.

        Nothing in the file is executed, and at most 1 GiB is read; see :mod:`saliency.results.saved`.

        Raises:
            BadImage: the file contains no explanation, or is damaged.
            BadField: `path` is no path.
            FileNotFoundError: there is no such file.
        """
        path = checks.path(path)
        arrays, record = saved.read(path)
        try:
            kinds: dict[str, type[Explanation]] = {each.__name__: each for each in Explanation.__subclasses__()}
            kind = kinds[record.pop("kind")] if "kind" in record else cls
            return kind(**_fields_of(arrays, record))
        except (SaliencyError, TypeError, ValueError, KeyError, OverflowError) as reason:
            raise BadImage(f"{str(path)!r} contains no explanation saved by save(): {brief(str(reason))}.") from reason


def _fields_of(arrays: dict[str, np.ndarray], record: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a saved explanation; the constructor checks the arrays.

    Raises:
        SaliencyError, TypeError, ValueError: a field is missing, unknown, or of another type.
    """
    table, ranks = record.pop("table", None), arrays.pop("ranks", None)
    if (table is None) != (ranks is None) or {"regions", "instance", *arrays} & set(record):
        raise BadField("regions must be stored with their ranks")
    if record.get("layer") is not None:
        checks.text(record["layer"], "layer")
    for name in ("calls", "images"):
        checks.whole(record.get(name), name, 0)
    for name in ("score", "seconds", "gap", "baseline_score"):
        if not isinstance(value := record.get(name), int | float | None) or isinstance(value, bool):
            raise BadField(f"{name} must be a number, got {brief(value)}")
    if isinstance(target := record.get("target"), bool) or not isinstance(target, int | str):
        raise BadField(f"target must be an index or a name, got {brief(target)}")
    if not isinstance(record.get("notes"), list):
        raise BadField(f"notes must be a list, got {brief(record.get('notes'))}")
    notes = tuple(checks.text(each, "notes") for each in record["notes"])
    regions = None if table is None or ranks is None else Regions(ranks, [_region(*row) for row in table])
    if record.get("labels") is not None:
        record["labels"] = checks.names(record["labels"])
    instance = method_from(checks.text(record.get("caption"), "caption"))
    return {**arrays, **record, "notes": notes, "regions": regions, "instance": instance}


def _region(gain: Any, area: Any, cumulative: Any, bbox: Any, centroid: Any) -> Region:
    """Return one row of the saved table of regions."""
    top, left, bottom, right = (checks.whole(each, "bbox", 0) for each in bbox)
    row, column = (checks.number(each, "centroid") for each in centroid)
    shares = checks.number(area, "area", 0, 1), checks.number(cumulative, "cumulative", 0, 1 + 1e-9)
    return Region(checks.number(gain, "gain"), *shares, (top, left, bottom, right), (row, column))


def _percent(value: Any, what: str) -> float:
    """Return a percentile, or a share in per cent."""
    percent: float = checks.number(value, what, 0, 100)
    return percent


def _diverging(mask: np.ndarray, percentile: float) -> np.ndarray:
    values = display.summed(mask)
    # scale by absolute values, so that a mask that is negative almost everywhere keeps its scale
    return display.signed(values, float(np.percentile(np.abs(values), percentile)))
