"""Peers' own implementations, run on the same models at equal cost: those of Captum, pytorch-grad-cam, torch-cam, shap.

They run where they are installed; a peer that cannot explain a model is listed with its own error.
"""

from __future__ import annotations

import copy
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from benchmarks.leaderboard.entries import BUDGET
from saliency.core.catalogue import METHODS, ExpectedGradients, FeatureAblation
from saliency.core.method import Method, parameter
from saliency.errors import Unsupported
from saliency.model.protocols import Differentiable
from saliency.pictures.segments import labelled, split
from saliency.session.session import Session
from saliency.targets import ClassScore


class Subject(NamedTuple):
    """What a peer explains."""

    module: Any
    """A copy of the torch module, in evaluation mode."""
    image: Any
    """(1, C, H, W)."""
    target: int
    layer: Callable[[], Any]
    """Returns the module of the layer that our CAMs read."""
    segments: Callable[[], Any]
    """Returns the labels of SLIC segments, an int tensor (1, 1, H, W)."""
    baselines: Callable[[], Any]
    """Returns the baselines that our Expected Gradients takes by default, (n, C, H, W)."""


class Peer(NamedTuple):
    """A method of another package."""

    package: str
    """The module that must be installed."""
    counterpart: str
    """The id of our method."""
    mask: Callable[[Subject], Any]
    """Returns the mask, a tensor or array of (1, C, H, W), (1, 1, H, W), (1, H, W) or (H, W)."""


@dataclass(eq=False, repr=False)
class PeerMethod(Method):
    """A method of another package, by its name in :data:`PEERS`, so that it is measured like ours."""

    name: str = parameter("", "Name of the peer")

    id: ClassVar[str] = "peer"
    title: ClassVar[str] = "Peer"
    family: ClassVar[str] = "peers"
    needs: ClassVar[Any] = Differentiable

    def __post_init__(self) -> None:
        super().__post_init__()
        # the sign is a convention of the display: two implementations differ in their values only
        self.sign = METHODS[PEERS[self.name].counterpart]().sign  # type: ignore[misc]  # of the class elsewhere

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        import torch

        model: Any = session.model
        module = getattr(model, "module", None)
        if not isinstance(module, torch.nn.Module):
            raise Unsupported("peers explain torch modules only")
        peer, copied = PEERS[self.name], _copy_of(module)
        masks = []
        for target in model._targets:
            if not isinstance(target, ClassScore) or model.head.to_logits:
                raise Unsupported("peers explain outputs of the module only")
            image = images.permute(0, 3, 1, 2).contiguous()
            subject = Subject(
                copied,
                image,
                target.index,
                lambda: _layer(model, images, copied),
                lambda: _segments(images),
                lambda: _baselines(session, images),
            )
            calls = _Counter(copied)
            try:
                with torch.enable_grad():
                    found = peer.mask(subject)
            except Exception:
                del _COPIES[module]  # a peer that fails may leave its hooks and layers in the copy
                raise
            session.images += calls.close()
            values = found.detach().numpy() if isinstance(found, torch.Tensor) else np.asarray(found)
            masks.append(np.atleast_2d(values.squeeze()))
        stacked = np.stack(masks)[:, None].astype(np.float32)
        yield session.ops.asarray(np.moveaxis(stacked, 2, -1) if stacked.ndim == 5 else stacked)


class _Counter:
    """Counts the images of a module's forward passes."""

    def __init__(self, module: Any) -> None:
        self.images = 0
        self._handle = module.register_forward_hook(self._count)

    def _count(self, module: Any, inputs: Sequence[Any], output: Any) -> None:
        self.images += len(inputs[0])

    def close(self) -> int:
        """Stop, and return the number of images."""
        self._handle.remove()
        return self.images


_COPIES: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""Copies of modules, which peers may change."""


def _copy_of(module: Any) -> Any:
    """Return the copy of a module that peers explain."""
    if module not in _COPIES:
        _COPIES[module] = copy.deepcopy(module)
    return _COPIES[module]


def peer_methods() -> dict[str, Method]:
    """Return the installed peers by name."""
    return {name: PeerMethod(name) for name, each in PEERS.items() if importlib.util.find_spec(each.package)}


def missing_packages() -> list[str]:
    """Return the packages of peers that are not installed."""
    return [
        each for each in dict.fromkeys(peer.package for peer in PEERS.values()) if not importlib.util.find_spec(each)
    ]


def notes() -> list[str]:
    """Return how the peers were measured, where it is not as their packages install."""
    found = [f"Not installed: {', '.join(absent)}."] if (absent := missing_packages()) else []
    if "pytorch_grad_cam" not in missing_packages() and not _has_torchvision():
        found.append(
            "grad-cam was measured without torchvision, which it imports for transforms of pictures: an empty module "
            "took its place, and none of these methods called it."
        )
    return found


def _has_torchvision() -> bool:
    return any(each.name == "torchvision" for each in metadata.distributions(name="torchvision"))


@contextmanager
def _torchvision() -> Iterator[None]:
    """Let pytorch-grad-cam be imported where torchvision is not installed: its CAMs call nothing of it."""
    placeholders: dict[str, tuple[str, ...]] = {
        "torchvision": (),
        "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
        "torchvision.transforms.functional": ("resize",),
    }
    missing = {} if _has_torchvision() else placeholders
    for name, names in missing.items():
        sys.modules[name] = ModuleType(name)
        vars(sys.modules[name]).update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


def _layer(model: Any, images: Any, module: Any) -> Any:
    """Return the module of the layer that our CAMs read, in a copy of the model's module."""
    (name, *_), _ = model.automatic_layers(images)
    found = dict(module.named_modules()).get(name)
    if found is None:
        raise Unsupported(f"peers read modules only, and the last convolutional stage is the operator {name}")
    return found


def _segments(images: Any) -> Any:
    """Return the segments that our methods take by default."""
    import torch

    picture = images[0].numpy()
    count = FeatureAblation().features
    return torch.as_tensor(labelled(split(picture, "slic", count), picture.shape[:2]))[None, None]


def _baselines(session: Session[Any], images: Any) -> Any:
    """Return the baselines that our Expected Gradients takes by default, (n, C, H, W)."""
    import torch

    return torch.cat(list(session.baselines(ExpectedGradients().baseline, images))).permute(0, 3, 1, 2).contiguous()


def _mean(subject: Subject) -> Any:
    """Return the replacement of removed segments that our methods take by default."""
    return subject.image.mean((2, 3), keepdim=True).expand_as(subject.image)


def _captum(name: str, **options: Any) -> Callable[[Subject], Any]:
    """Return a call of an attribution of Captum; options that are callables are called with the subject."""

    def mask(subject: Subject) -> Any:
        from captum import attr

        given = {key: value(subject) if callable(value) else value for key, value in options.items()}
        return getattr(attr, name)(subject.module).attribute(subject.image, target=subject.target, **given)

    return mask


def _captum_smooth_grad(subject: Subject) -> Any:
    import torch
    from captum import attr

    torch.manual_seed(0)
    spread = 0.15 * float(subject.image.max() - subject.image.min())
    tunnel = attr.NoiseTunnel(attr.Saliency(subject.module))
    return tunnel.attribute(subject.image, nt_samples=25, stdevs=spread, target=subject.target, abs=False)


def _captum_layer(name: str) -> Callable[[Subject], Any]:
    def mask(subject: Subject) -> Any:
        from captum import attr

        made = getattr(attr, name)(subject.module, subject.layer())
        if name == "GuidedGradCam":
            return made.attribute(subject.image, target=subject.target)
        found = made.attribute(subject.image, target=subject.target, relu_attributions=True)
        return attr.LayerAttribution.interpolate(found, subject.image.shape[2:], "bilinear")

    return mask


def _captum_sampled(name: str) -> Callable[[Subject], Any]:
    def mask(subject: Subject) -> Any:
        import torch
        from captum import attr

        torch.manual_seed(0)
        segments = subject.segments()
        made = getattr(attr, name)(subject.module)
        # as many images as our budget
        samples = {"n_samples": 250 if name != "ShapleyValueSampling" else max(1, 250 // int(segments.max() + 1))}
        given = {"feature_mask": segments, "baselines": _mean(subject), **samples}
        return made.attribute(subject.image, target=subject.target, **given)

    return mask


def _grad_cam(name: str) -> Callable[[Subject], Any]:
    def mask(subject: Subject) -> Any:
        with _torchvision():
            import pytorch_grad_cam
            from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        made = getattr(pytorch_grad_cam, name)
        with made(model=subject.module, target_layers=[subject.layer()], reshape_transform=_grid) as cam:
            if hasattr(cam, "batch_size"):
                cam.batch_size = 32  # of Score-CAM and Ablation-CAM
            return cam(input_tensor=subject.image, targets=[ClassifierOutputTarget(subject.target)])
        raise Unsupported("it failed")  # grad-cam suppresses an IndexError, and prints it

    return mask


def _grid(activations: Any) -> Any:
    """Return the activations of a layer as (N, C, h, w): those of a transformer are tokens, its class token first."""
    if activations.ndim != 3:
        return activations
    side = int(activations.shape[1] ** 0.5)
    patches = activations[:, activations.shape[1] - side**2 :]
    return patches.transpose(1, 2).unflatten(2, (side, side))


def _torchcam(name: str) -> Callable[[Subject], Any]:
    def mask(subject: Subject) -> Any:
        import torch
        from torchcam import methods

        with getattr(methods, name)(subject.module, target_layer=subject.layer()) as cam:
            image = subject.image.clone().requires_grad_()
            (found,) = cam(subject.target, subject.module(image))
        return torch.nn.functional.interpolate(found[None], subject.image.shape[2:], mode="bilinear")

    return mask


def _shap_partition(subject: Subject) -> Any:
    import shap
    import torch

    def scores(pictures: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return subject.module(torch.as_tensor(pictures).permute(0, 3, 1, 2).float())[:, subject.target].numpy()

    picture = subject.image.permute(0, 2, 3, 1).numpy()
    masker = shap.maskers.Image("blur(16,16)", picture[0].shape)
    found = shap.PartitionExplainer(scores, masker)(picture, max_evals=250, batch_size=32, silent=True)
    return np.moveaxis(found.values.reshape(picture.shape), 3, 1)


def _shap_gradient(subject: Subject) -> Any:
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
    found = np.asarray(explainer.shap_values(subject.image, nsamples=ExpectedGradients().samples, rseed=0))
    return found.reshape(tuple(subject.image.shape))


def _strides(subject: Subject) -> tuple[int, int, int]:
    """Return the step of Captum's windows that our budget allows; it covers the border with one more window."""
    counts = {
        step: int(np.prod([-(-(side - 15) // step) + 1 for side in subject.image.shape[2:]])) for step in range(8, 16)
    }
    step = next(step for step, count in counts.items() if count <= BUDGET)
    return 3, step, step


def _slic(subject: Subject) -> Any:
    return subject.segments()


PEERS: dict[str, Peer] = {
    "captum: Saliency": Peer("captum", "gradient", _captum("Saliency", abs=False)),
    "captum: InputXGradient": Peer("captum", "input_x_gradient", _captum("InputXGradient")),
    "captum: IntegratedGradients": Peer("captum", "integrated_gradients", _captum("IntegratedGradients", n_steps=35)),
    "captum: NoiseTunnel(Saliency)": Peer("captum", "smooth_grad", _captum_smooth_grad),
    "captum: GuidedBackprop": Peer("captum", "guided_backprop", _captum("GuidedBackprop")),
    "captum: Deconvolution": Peer("captum", "deconvolution", _captum("Deconvolution")),
    "captum: DeepLift": Peer("captum", "deep_lift", _captum("DeepLift")),
    "captum: LRP": Peer("captum", "lrp", _captum("LRP")),
    "captum: LayerGradCam": Peer("captum", "grad_cam", _captum_layer("LayerGradCam")),
    "captum: GuidedGradCam": Peer("captum", "guided_grad_cam", _captum_layer("GuidedGradCam")),
    "captum: Occlusion": Peer(
        "captum", "occlusion", _captum("Occlusion", sliding_window_shapes=(3, 15, 15), strides=_strides)
    ),
    "captum: FeatureAblation": Peer(
        "captum", "feature_ablation", _captum("FeatureAblation", feature_mask=_slic, baselines=_mean)
    ),
    "captum: KernelShap": Peer("captum", "kernel_shap", _captum_sampled("KernelShap")),
    "captum: Lime": Peer("captum", "lime", _captum_sampled("Lime")),
    "captum: ShapleyValueSampling": Peer("captum", "shapley_sampling", _captum_sampled("ShapleyValueSampling")),
    "grad-cam: GradCAM": Peer("pytorch_grad_cam", "grad_cam", _grad_cam("GradCAM")),
    "grad-cam: HiResCAM": Peer("pytorch_grad_cam", "hires_cam", _grad_cam("HiResCAM")),
    "grad-cam: GradCAMPlusPlus": Peer("pytorch_grad_cam", "grad_cam_plus_plus", _grad_cam("GradCAMPlusPlus")),
    "grad-cam: LayerCAM": Peer("pytorch_grad_cam", "layer_cam", _grad_cam("LayerCAM")),
    "grad-cam: XGradCAM": Peer("pytorch_grad_cam", "xgrad_cam", _grad_cam("XGradCAM")),
    "grad-cam: EigenCAM": Peer("pytorch_grad_cam", "eigen_cam", _grad_cam("EigenCAM")),
    "grad-cam: ScoreCAM": Peer("pytorch_grad_cam", "score_cam", _grad_cam("ScoreCAM")),
    "grad-cam: AblationCAM": Peer("pytorch_grad_cam", "ablation_cam", _grad_cam("AblationCAM")),
    "torch-cam: GradCAM": Peer("torchcam", "grad_cam", _torchcam("GradCAM")),
    "torch-cam: LayerCAM": Peer("torchcam", "layer_cam", _torchcam("LayerCAM")),
    "shap: GradientExplainer": Peer("shap", "expected_gradients", _shap_gradient),
    "shap: PartitionExplainer": Peer("shap", "partition_shap", _shap_partition),
}
"""The peers by the name of their row."""
