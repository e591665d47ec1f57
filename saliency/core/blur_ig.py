"""Blur Integrated Gradients: gradients along a path of decreasing blur."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from saliency.core.base import INPUT_OUTPUT_GRADIENTS, CoreSaliency, floating
from saliency.core.called import CallModelFunction
from saliency.core.method import parameter
from saliency.core.paths import Evaluation, Path
from saliency.model.protocols import Differentiable, Ops
from saliency.session.samples import PerImage
from saliency.session.session import Session

A = TypeVar("A")

TRUNCATE = 4.0
"""Truncation of a Gaussian, in standard deviations: SciPy's default, and so PAIR's."""


@dataclass(eq=False, repr=False)
class BlurIG(CoreSaliency):
    """Gradients along a path of decreasing blur, times the change in each step (arXiv:2004.03383, eq. 6).

    No baseline is needed: the path begins at the image blurred with `max_sigma`, with zeros beyond its border. The mask
    converges to a sum of f(image) - f(most blurred image) with more steps. Cost: `steps` forward and backward passes.
    """

    id = "blur_ig"
    title = "Blur IG"
    paper = "arXiv:2004.03383"
    family = "paths"
    formula = r"M = \int_\infty^0 \nabla f(L_\sigma)\, \frac{\partial L_\sigma}{\partial \sigma}\, d\sigma"
    advice = (
        "Needs no baseline, and the path contains no new colours: good for texture and fine detail. Slower than "
        "Integrated Gradients, and dark borders bleed into the image."
    )
    needs = Differentiable
    complete = True
    expected_keys: ClassVar[list[str]] = [INPUT_OUTPUT_GRADIENTS]

    max_sigma: float = parameter(50, "Standard deviation of the strongest blur, in pixels", low=0, high=10_000)
    steps: int = parameter(100, "Number of steps", low=1, high=10_000)
    grad_step: float = parameter(0.01, "Step in sigma for differentiating the blur", low=1e-6, high=10)
    sqrt: bool = parameter(False, "Space steps evenly in the variance of the blur instead of its standard deviation")

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        sigmas = self.sigmas()
        order = session.order(self.steps)
        path = BlurPath(session.ops, images, sigmas[:-1][order], self.grad_step)
        widths = np.diff(sigmas)[order]
        for total, seen in session.summed_gradients(path, widths, path.speeds):
            # blur grows with sigma but the path runs backwards; partial sums are scaled to the whole path
            yield total * (-widths.sum() / session.ops.maximum(seen, np.finfo(np.float32).tiny))

    def sigmas(self) -> np.ndarray:
        """Return the ends of all steps, (steps + 1,) from 0 to `max_sigma`; each is evaluated at its weaker blur."""
        evenly = np.arange(self.steps + 1) * (self.max_sigma / self.steps)
        return np.sqrt(evenly) if self.sqrt else evenly

    def paths(self, images: Any, session: Session[Any], steps: int) -> list[Path[Any]]:
        """See :class:`~saliency.core.paths.Walkable`."""
        return [DeblurringPath(session.ops, images, i, self.max_sigma, self.sqrt) for i in range(len(images))]

    def beginnings(self, images: Any, session: Session[Any]) -> list[Any]:
        strongest = BlurPath(session.ops, images, self.sigmas()[-1:], self.grad_step)
        return [strongest[slice(0, len(strongest))]]

    def remedy(self) -> str:
        return f"try steps={4 * self.steps}"

    def cost(self, shape: tuple[int, ...]) -> int:
        return shape[0] * self.steps

    def GetMask(
        self,
        x_value: Any,
        call_model_function: CallModelFunction,
        call_model_args: Any = None,
        max_sigma: float = 50,
        steps: int = 100,
        grad_step: float = 0.01,
        sqrt: bool = False,
        batch_size: int = 1,
    ) -> np.ndarray:
        """Return PAIR's Blur IG.

        Args:
            x_value: (H, W, C) or (H, W).
            call_model_function: see :class:`~saliency.core.base.CoreSaliency`.
            call_model_args: passed on.
            max_sigma: strongest blur, where the path begins; not evaluated itself.
            steps: number of steps.
            grad_step: step for differentiating the blur.
            sqrt: whether steps are even in sigma squared.
            batch_size: steps per call.

        Returns:
            shape of `x_value`.
        """
        image = np.asarray(x_value)
        mask = self._called(
            image,
            call_model_function,
            call_model_args,
            batch_size,
            max_sigma=max_sigma,
            steps=steps,
            grad_step=grad_step,
            sqrt=bool(sqrt),
        )
        return mask.astype(floating(image), copy=False)


class BlurPath(PerImage[A]):
    """Each image blurred with each sigma, with zeros beyond the border.

    A blur is K X Kᵀ, with K the Toeplitz matrix of the Gaussian: two matrix products in the model's own arrays. K is
    symmetric, so it maps even pictures to even ones and odd to odd. The image is therefore split into even and odd
    parts along both axes, which are multiplied by matrices of half the size: half the work.

    The blur's derivative is PAIR's difference quotient, (blur(s + step) - blur(s)) / step. It is computed from the
    matrices' own quotient D, in float64 on the host: K X D + D X (K + step D). Dividing the difference of two blurred
    pictures by 0.01 would lose two digits, which float32 cannot afford.

    Args:
        images: (B, H, W, C), or (B, H, W).
        sigmas: (n,), in pixels.
        step: step of the difference quotient.
    """

    def __init__(self, ops: Ops[A], images: Any, sigmas: np.ndarray, step: float) -> None:
        super().__init__(ops, images, each=len(sigmas))
        self.sigmas, self.step = sigmas, step
        height, width, *channels = self.shape
        planes = ops.reshape(images, (self.count, height, width, int(np.prod(channels))))
        folded = _folded(ops, _folded(ops, planes, 1), 3)
        # (B, 2 of the columns, 2 of the rows, h, C, w): a layout that both products can use directly
        self._parts: Any = ops.transpose(folded, (0, 3, 1, 2, 5, 4))
        self._speeds: dict[tuple[int, int, int], A] = {}

    def __getitem__(self, rows: slice) -> A:
        self._speeds.clear()
        return super().__getitem__(rows)

    def copies(self, image: int, which: slice) -> A:
        points, speeds = self._blurred(image, self.sigmas[which])
        self._speeds[image, which.start, which.stop] = speeds
        return points

    def blurred(self, sigmas: np.ndarray) -> Any:
        """Return the first image with other sigmas, (n, H, W, C)."""
        down, across = (_halves(self.ops, profiles(sigmas, length)) for length in self._lengths)
        return self._unfolded(self.ops.matmul(down[:, None], self._across(0, across)))

    def speeds(self, image: int, which: slice) -> A:
        """Return the derivatives by sigma of the copies that were built last, (n, H, W, C)."""
        return self._speeds[image, which.start, which.stop]

    def _blurred(self, image: int, sigmas: np.ndarray) -> tuple[Any, Any]:
        """Return one image at each sigma, and its derivatives, (n, H, W, C) both."""
        ops = self.ops
        (k_down, d_down), (k_across, d_across) = (self._matrices(sigmas, length) for length in self._lengths)
        blurred, changed = self._across(image, k_across), self._across(image, d_across)
        point: Any = ops.matmul(k_down[:, None], blurred)
        speed: Any = ops.matmul(k_down[:, None], changed)
        speed = speed + ops.matmul(d_down[:, None], blurred + self.step * changed)
        return self._unfolded(point), self._unfolded(speed)

    def _across(self, image: int, matrices: Any) -> Any:
        """Multiply the lines of an image's parts by each of the matrices: (n, 2, 2, h, C * w)."""
        parts: Any = self._parts[image]
        columns, rows, h, channels, w = (int(size) for size in parts.shape)
        lines: Any = self.ops.reshape(parts, (1, columns, rows * h * channels, w))
        return self.ops.reshape(self.ops.matmul(lines, matrices), (len(matrices), columns, rows, h, channels * w))

    @property
    def _lengths(self) -> tuple[int, int]:
        """Height and width, rounded up to even numbers."""
        return 2 * int(self._parts.shape[3]), 2 * int(self._parts.shape[5])

    def _matrices(self, sigmas: np.ndarray, length: int) -> tuple[Any, Any]:
        """Return K and D of each sigma along an axis, folded: (n, 2, length / 2, length / 2) both."""
        now, then = (profiles(each, length) for each in (sigmas, sigmas + self.step))
        return _halves(self.ops, now), _halves(self.ops, (then - now) / self.step)

    def _unfolded(self, parts: Any) -> Any:
        """Return parts (n, 2, 2, h, C * w) as pictures (n, H, W, C)."""
        ops, (height, width) = self.ops, self.shape[:2]
        parts = ops.reshape(parts, (len(parts), *(int(size) for size in self._parts.shape[1:])))
        even, odd = parts[:, :, 0], parts[:, :, 1]
        rows: Any = ops.concat([even + odd, ops.flip(even - odd, 2)], 2)
        even, odd = rows[:, 0], rows[:, 1]
        whole: Any = ops.concat([even + odd, ops.flip(even - odd, 3)], 3)
        pictures: Any = ops.transpose(whole, (0, 1, 3, 2))
        return ops.reshape(pictures[:, :height, :width], (len(parts), *self.shape))


class DeblurringPath(Generic[A]):
    """The path from an image at its most blurred to the image itself, as a :class:`~saliency.core.paths.Path`.

    Args:
        images: (B, H, W, C), or (B, H, W).
        image: index of the image.
        max_sigma: blur at the beginning of the path.
        sqrt: whether the path is uniform in the variance of the blur instead of its standard deviation.
    """

    target: int | None = None
    met: Sequence[Evaluation] = ()

    def __init__(self, ops: Ops[A], images: Any, image: int, max_sigma: float, sqrt: bool) -> None:
        self.image, self.max_sigma, self.sqrt = image, max_sigma, sqrt
        self._blurs = BlurPath(ops, images[image : image + 1], np.zeros(1), 0.01)

    def points(self, alphas: np.ndarray) -> Any:
        """See :class:`~saliency.core.paths.Path`."""
        left = (1 - alphas) * self.max_sigma
        return self._blurs.blurred(np.sqrt(left) if self.sqrt else left)

    def ways(self, alphas: np.ndarray) -> Any:
        """See :class:`~saliency.core.paths.Path`."""
        points = self.points(alphas)
        return points[1:] - points[:-1]


def profile(sigma: float, length: int) -> np.ndarray:
    """Return one row of the blur's matrix, (2 * length,): the weight of distance d is at positions d and -d."""
    radius = int(TRUNCATE * sigma + 0.5)
    weights = np.zeros(2 * length)
    if radius == 0:
        weights[0] = 1
        return weights
    gaussian = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    gaussian /= 2 * gaussian.sum() - gaussian[0]
    near = gaussian[:length]
    weights[: len(near)] = near
    weights[2 * length - len(near) + 1 :] = near[:0:-1]
    return weights


def profiles(sigmas: np.ndarray, length: int) -> np.ndarray:
    """Return the :func:`profile` of each sigma: (n, 2 * length)."""
    return np.stack([profile(sigma, length) for sigma in sigmas])


def _halves(ops: Ops[A], profiles: np.ndarray) -> Any:
    """Return the action of profiles' (n, 2 L) symmetric Toeplitz matrices on even and odd vectors, (n, 2, L/2, L/2)."""
    n, period = profiles.shape
    length, half = period // 2, period // 4
    repeated: Any = ops.reshape(ops.repeat(ops.asarray(profiles), half), (n, half * period))
    # read in lines one element shorter, each line begins one element earlier: the matrix's upper half
    matrix: Any = ops.reshape(repeated[:, : half * (period - 1)], (n, half, period - 1))
    near: Any = matrix[:, :, :half]
    far: Any = ops.flip(matrix[:, :, half:length], 2)
    return ops.concat([(near + far)[:, None], (near - far)[:, None]], 1)


def _folded(ops: Ops[A], array: Any, axis: int) -> Any:
    """Return the even and the odd part of an axis, the first half each, as a new axis before it: (..., 2, L/2, ...)."""
    before = (slice(None),) * axis
    length = int(array.shape[axis])
    if length % 2:
        # values beyond the border are zero, so that one more line changes nothing
        array = ops.concat([array, 0 * array[(*before, slice(0, 1))]], axis)
    first = (*before, None, slice(0, (length + 1) // 2))
    flipped: Any = ops.flip(array, axis)
    near, far = array[first], flipped[first]
    return ops.concat([(near + far) / 2, (near - far) / 2], axis)


def gaussian_blur(image: Any, sigma: float) -> Any:
    """Return PAIR's blur of an image (H, W, C): `sigma` pixels along rows and columns, zeros beyond the border."""
    if sigma == 0:
        return image
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, sigma=[sigma, sigma, 0], mode="constant")
