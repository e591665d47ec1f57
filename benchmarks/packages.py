"""Calls of Captum, pytorch-grad-cam, torch-cam, shap and zennit, for the leaderboard and the speed benchmark.

Each call returns the mask of a :class:`Subject`. It imports its package.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from saliency.errors import Unsupported


class Subject(NamedTuple):
    """What a peer explains."""

    module: Any
    """A copy of the torch module, in evaluation mode."""
    image: Any
    """(N, C, H, W); N is 1 for methods of segments and of shap."""
    target: int
    layer: Callable[[], Any]
    """Returns the module of the layer that our CAMs read."""
    segments: Callable[[], Any]
    """Returns the labels of SLIC segments, an int tensor (1, 1, H, W)."""
    baselines: Callable[[], Any]
    """Returns the baselines that our Expected Gradients takes by default, (n, C, H, W)."""


Mask = Callable[[Subject], Any]
"""Returns the mask, a tensor or array of (N, C, H, W), (N, 1, H, W), (N, H, W), or (H, W) for one image."""


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, by the name of its module."""
    return importlib.util.find_spec(package) is not None


def has_torchvision() -> bool:
    """Return whether torchvision itself is installed, not a placeholder."""
    return any(each.name == "torchvision" for each in metadata.distributions(name="torchvision"))


@contextmanager
def _torchvision() -> Iterator[None]:
    """Let pytorch-grad-cam and zennit be imported where torchvision is not installed: these calls use nothing of it."""
    placeholders: dict[str, tuple[str, ...]] = {
        "torchvision": (),
        "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
        "torchvision.transforms.functional": ("resize",),
        "torchvision.models": (),
        "torchvision.models.resnet": ("Bottleneck", "BasicBlock"),
    }
    missing = {} if has_torchvision() else placeholders
    for name, names in missing.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


def mean(subject: Subject) -> Any:
    """Return the replacement of removed segments that our methods take by default."""
    return subject.image.mean((2, 3), keepdim=True).expand_as(subject.image)


def captum(name: str, **options: Any) -> Mask:
    """Return a call of an attribution of Captum; options that are callables are called with the subject."""

    def mask(subject: Subject) -> Any:
        from captum import attr

        given = {key: value(subject) if callable(value) else value for key, value in options.items()}
        return getattr(attr, name)(subject.module).attribute(subject.image, target=subject.target, **given)

    return mask


def captum_smooth_grad(samples: int) -> Mask:
    """Return a call of Captum's SmoothGrad."""

    def mask(subject: Subject) -> Any:
        import torch
        from captum import attr

        torch.manual_seed(0)
        spread = 0.15 * float(subject.image.max() - subject.image.min())
        tunnel = attr.NoiseTunnel(attr.Saliency(subject.module))
        return tunnel.attribute(subject.image, nt_samples=samples, stdevs=spread, target=subject.target, abs=False)

    return mask


def captum_layer(name: str) -> Mask:
    """Return a call of an attribution of Captum that reads the CAM layer, resized to the image."""

    def mask(subject: Subject) -> Any:
        from captum import attr

        made = getattr(attr, name)(subject.module, subject.layer())
        if name == "GuidedGradCam":
            return made.attribute(subject.image, target=subject.target)
        found = made.attribute(subject.image, target=subject.target, relu_attributions=True)
        return attr.LayerAttribution.interpolate(found, subject.image.shape[2:], "bilinear")

    return mask


def captum_sampled(name: str) -> Mask:
    """Return a call of an attribution of Captum by segments, at 250 images."""

    def mask(subject: Subject) -> Any:
        import torch
        from captum import attr

        torch.manual_seed(0)
        segments = subject.segments()
        made = getattr(attr, name)(subject.module)
        # as many images as our budget
        samples = {"n_samples": 250 if name != "ShapleyValueSampling" else max(1, 250 // int(segments.max() + 1))}
        given = {"feature_mask": segments, "baselines": mean(subject), **samples}
        return made.attribute(subject.image, target=subject.target, **given)

    return mask


def grad_cam(name: str) -> Mask:
    """Return a call of a CAM of pytorch-grad-cam."""

    def mask(subject: Subject) -> Any:
        with _torchvision():
            import pytorch_grad_cam
            from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        made = getattr(pytorch_grad_cam, name)
        with made(model=subject.module, target_layers=[subject.layer()], reshape_transform=_grid) as cam:
            # the weights may require no gradients: then only the image leads backward
            image = subject.image.clone().requires_grad_()
            if hasattr(cam, "batch_size"):
                cam.batch_size = 32  # of Score-CAM and Ablation-CAM
            return cam(input_tensor=image, targets=[ClassifierOutputTarget(subject.target)] * len(subject.image))
        raise Unsupported("it failed")  # grad-cam suppresses an IndexError, and prints it

    return mask


def _grid(activations: Any) -> Any:
    """Return the activations of a layer as (N, C, h, w): those of a transformer are tokens, its class token first."""
    if activations.ndim != 3:
        return activations
    side = int(activations.shape[1] ** 0.5)
    patches = activations[:, activations.shape[1] - side**2 :]
    return patches.transpose(1, 2).unflatten(2, (side, side))


def torchcam(name: str) -> Mask:
    """Return a call of a CAM of torch-cam, resized to the image."""

    def mask(subject: Subject) -> Any:
        import torch
        from torchcam import methods

        with getattr(methods, name)(subject.module, target_layer=subject.layer()) as cam:
            image = subject.image.clone().requires_grad_()
            (found,) = cam(subject.target, subject.module(image))
        return torch.nn.functional.interpolate(found[None], subject.image.shape[2:], mode="bilinear")

    return mask


def shap_partition(images: int) -> Mask:
    """Return a call of shap's PartitionExplainer."""

    def mask(subject: Subject) -> Any:
        import shap
        import torch

        def scores(pictures: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return subject.module(torch.as_tensor(pictures).permute(0, 3, 1, 2).float())[:, subject.target].numpy()

        picture = subject.image.permute(0, 2, 3, 1).numpy()
        masker = shap.maskers.Image("blur(16,16)", picture[0].shape)
        found = shap.PartitionExplainer(scores, masker)(picture, max_evals=images, batch_size=32, silent=True)
        return np.moveaxis(found.values.reshape(picture.shape), 3, 1)

    return mask


def shap_gradient(samples: int) -> Mask:
    """Return a call of shap's GradientExplainer."""

    def mask(subject: Subject) -> Any:
        import shap
        import torch

        class Target(torch.nn.Module):
            """The score of the target: GradientExplainer takes the gradient of every output of its model."""

            def __init__(self) -> None:
                super().__init__()
                self.module = subject.module

            def forward(self, images: Any) -> Any:
                return self.module(images)[:, subject.target, None]

        explainer = shap.GradientExplainer(Target().eval(), subject.baselines())
        found = np.asarray(explainer.shap_values(subject.image, nsamples=samples, rseed=0))
        return found.reshape(tuple(subject.image.shape))

    return mask


def zennit(composite: str) -> Mask:
    """Return a call of zennit's gradient under a composite, which folds batch norms of sequences."""

    def mask(subject: Subject) -> Any:
        import torch

        with _torchvision():
            from zennit import attribution, canonizers, composites

        folding = [canonizers.SequentialMergeBatchNorm()]
        with attribution.Gradient(subject.module, getattr(composites, composite)(canonizers=folding)) as made:
            output = lambda scores: torch.eye(scores.shape[1])[[subject.target] * len(scores)]  # noqa: E731
            return made(subject.image.clone().requires_grad_(), output)[1]

    return mask
