"""Peers' own implementations, run on the same models at equal cost: those of Captum, pytorch-grad-cam, torch-cam, shap.

They run where they are installed; a peer that cannot explain a model is listed with its own error.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from benchmarks.leaderboard.entries import BUDGET
from benchmarks.packages import (
    Mask,
    Subject,
    captum,
    captum_layer,
    captum_sampled,
    captum_smooth_grad,
    grad_cam,
    has_torchvision,
    is_installed,
    mean,
    shap_gradient,
    shap_partition,
    torchcam,
)
from saliency.core.catalogue import METHODS, ExpectedGradients, FeatureAblation
from saliency.core.method import Method, parameter
from saliency.errors import Unsupported
from saliency.model.protocols import Differentiable
from saliency.pictures.segments import labelled, split
from saliency.session.session import Session
from saliency.targets import ClassScore


class Peer(NamedTuple):
    """A method of another package."""

    package: str
    """The module that must be installed."""
    counterpart: str
    """The id of our method."""
    mask: Mask


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
    return {name: PeerMethod(name) for name, each in PEERS.items() if is_installed(each.package)}


def missing_packages() -> list[str]:
    """Return the packages of peers that are not installed."""
    return [each for each in dict.fromkeys(peer.package for peer in PEERS.values()) if not is_installed(each)]


def notes() -> list[str]:
    """Return how the peers were measured, where it is not as their packages install."""
    found = [f"Not installed: {', '.join(absent)}."] if (absent := missing_packages()) else []
    if "pytorch_grad_cam" not in missing_packages() and not has_torchvision():
        found.append(
            "grad-cam was measured without torchvision, which it imports for transforms of pictures: an empty module "
            "took its place, and none of these methods called it."
        )
    return found


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
    "captum: Saliency": Peer("captum", "gradient", captum("Saliency", abs=False)),
    "captum: InputXGradient": Peer("captum", "input_x_gradient", captum("InputXGradient")),
    "captum: IntegratedGradients": Peer("captum", "integrated_gradients", captum("IntegratedGradients", n_steps=35)),
    "captum: NoiseTunnel(Saliency)": Peer("captum", "smooth_grad", captum_smooth_grad(25)),
    "captum: GuidedBackprop": Peer("captum", "guided_backprop", captum("GuidedBackprop")),
    "captum: Deconvolution": Peer("captum", "deconvolution", captum("Deconvolution")),
    "captum: DeepLift": Peer("captum", "deep_lift", captum("DeepLift")),
    "captum: LRP": Peer("captum", "lrp", captum("LRP")),
    "captum: LayerGradCam": Peer("captum", "grad_cam", captum_layer("LayerGradCam")),
    "captum: GuidedGradCam": Peer("captum", "guided_grad_cam", captum_layer("GuidedGradCam")),
    "captum: Occlusion": Peer(
        "captum", "occlusion", captum("Occlusion", sliding_window_shapes=(3, 15, 15), strides=_strides)
    ),
    "captum: FeatureAblation": Peer(
        "captum", "feature_ablation", captum("FeatureAblation", feature_mask=_slic, baselines=mean)
    ),
    "captum: KernelShap": Peer("captum", "kernel_shap", captum_sampled("KernelShap")),
    "captum: Lime": Peer("captum", "lime", captum_sampled("Lime")),
    "captum: ShapleyValueSampling": Peer("captum", "shapley_sampling", captum_sampled("ShapleyValueSampling")),
    "grad-cam: GradCAM": Peer("pytorch_grad_cam", "grad_cam", grad_cam("GradCAM")),
    "grad-cam: HiResCAM": Peer("pytorch_grad_cam", "hires_cam", grad_cam("HiResCAM")),
    "grad-cam: GradCAMPlusPlus": Peer("pytorch_grad_cam", "grad_cam_plus_plus", grad_cam("GradCAMPlusPlus")),
    "grad-cam: LayerCAM": Peer("pytorch_grad_cam", "layer_cam", grad_cam("LayerCAM")),
    "grad-cam: XGradCAM": Peer("pytorch_grad_cam", "xgrad_cam", grad_cam("XGradCAM")),
    "grad-cam: EigenCAM": Peer("pytorch_grad_cam", "eigen_cam", grad_cam("EigenCAM")),
    "grad-cam: ScoreCAM": Peer("pytorch_grad_cam", "score_cam", grad_cam("ScoreCAM")),
    "grad-cam: AblationCAM": Peer("pytorch_grad_cam", "ablation_cam", grad_cam("AblationCAM")),
    "torch-cam: GradCAM": Peer("torchcam", "grad_cam", torchcam("GradCAM")),
    "torch-cam: LayerCAM": Peer("torchcam", "layer_cam", torchcam("LayerCAM")),
    "shap: GradientExplainer": Peer("shap", "expected_gradients", shap_gradient(ExpectedGradients().samples)),
    "shap: PartitionExplainer": Peer("shap", "partition_shap", shap_partition(250)),
}
"""The peers by the name of their row."""
