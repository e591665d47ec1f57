"""The mean of a method's masks on noisy copies of the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from saliency.core.gradients import GradientSaliency
from saliency.method import Method, parameter
from saliency.samples import Noisy
from saliency.session import Session


@dataclass(eq=False, repr=False)
class SmoothGrad(Method):
    """Mean of a method's masks over noisy copies of the image (arXiv:1706.03825).

    Costs `samples` times the method it smooths.
    """

    id = "smooth_grad"
    title = "SmoothGrad"
    paper = "arXiv:1706.03825"

    method: Method = parameter(GradientSaliency, "what is smoothed")
    samples: int = parameter(25, "noisy copies", low=1, high=10_000)
    spread: float = parameter(0.15, "standard deviation of the noise, as a share of the image's range", low=0, high=10)
    seed: int = parameter(0, "of the noise", low=0)

    @property
    def needs(self) -> type:  # depends on the method inside
        needs: type = self.method.needs
        return needs

    @property
    def layers(self) -> tuple[str | None, ...]:
        return self.method.layers

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        host = session.ops.tohost(images).reshape(len(images), -1)
        stdevs = self.spread * (host.max(1) - host.min(1))
        noisy = Noisy(session.ops, images, stdevs, self.samples, self.seed)
        for masks in self.method(noisy[slice(0, len(noisy))], session):
            yield means(masks, self.samples, session)

    def cost(self, shape: tuple[int, ...]) -> int:
        return self.method.cost((shape[0] * self.samples, *shape[1:]))


def means(masks: Any, each: int, session: Session[Any]) -> Any:
    """Means over the copies of each image, as far as they have come: (k, B * each or less, ...) -> (k, b, ...)."""
    reached = int(masks.shape[1])
    parts = [
        session.ops.sum(masks[:, start : start + each], 1)[:, None] / min(each, reached - start)
        for start in range(0, reached, each)
    ]
    return session.ops.concat(parts, 1) if len(parts) > 1 else parts[0]
