from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import saliency
from saliency.adapters.torch.huggingface import HuggingFaceModel
from tests.frameworks import lazy
from tests.nets import picture

hf = lazy("transformers")
pytestmark = pytest.mark.needs("transformers")

TINY: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "patch_size": 8,
}
LABELS = dict(enumerate(("ape", "bee", "cat", "dog", "eel")))


def named(config: Any) -> Any:
    """The configuration with our five classes."""
    config.id2label = LABELS
    return config


MODELS: dict[str, tuple[Callable[[], Any], tuple[int, int]]] = {
    "ResNet": (
        lambda: hf.ResNetForImageClassification(
            named(hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1]))
        ),
        (32, 24),
    ),
    "ConvNeXt": (
        lambda: hf.ConvNextForImageClassification(
            named(hf.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2))
        ),
        (32, 48),
    ),
    "ViT": (lambda: hf.ViTForImageClassification(named(hf.ViTConfig(image_size=(32, 48), **TINY))), (32, 48)),
    "DeiT": (
        lambda: hf.DeiTForImageClassificationWithTeacher(named(hf.DeiTConfig(image_size=(32, 48), **TINY))),
        (32, 48),
    ),
    "BEiT": (lambda: hf.BeitForImageClassification(named(hf.BeitConfig(image_size=32, **TINY))), (32, 32)),
    "Swin": (
        lambda: hf.SwinForImageClassification(
            named(
                hf.SwinConfig(image_size=32, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4)
            )
        ),
        (32, 48),
    ),
    "DINOv2 with registers": (
        lambda: hf.Dinov2WithRegistersForImageClassification(
            named(
                hf.Dinov2WithRegistersConfig(
                    image_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, patch_size=8
                )
            )
        ),
        (32, 48),
    ),
}

LAYERS = {
    "ResNet": ("resnet.encoder.stages.1", None),
    "ConvNeXt": ("convnext.encoder.stages.1", None),
    "ViT": ("vit.layers.1.layernorm_before", "4×6 patches, 1 leading token skipped"),
    "DeiT": ("deit.layers.1.layernorm_before", "4×6 patches, 2 leading tokens skipped"),
    "BEiT": ("beit.layers.1", "4×4 patches, 1 leading token skipped"),
    "Swin": ("swin.layernorm", "8×12 patches"),
    "DINOv2 with registers": ("dinov2_with_registers.layernorm", "4×6 patches, 5 leading tokens skipped"),
}


def made(name: str, attention: str | None = None) -> tuple[Any, np.ndarray]:
    """A tiny model with random weights, and a picture for it."""
    torch.manual_seed(0)
    make, size = MODELS[name]
    model = make().eval()
    if attention is not None:
        model.set_attn_implementation(attention)
    return model, picture(*size)


def top(model: Any, image: np.ndarray) -> int:
    """The class that the model itself puts first."""
    with torch.no_grad():
        outputs = model(torch.tensor(image / 255, dtype=torch.float32).permute(2, 0, 1)[None])
    return int(outputs.logits.argmax())


@pytest.mark.parametrize("name", MODELS)
def test_any_classifier_needs_nothing_but_itself_and_a_picture(name: str) -> None:
    """Gradient, Integrated Gradients and Grad-CAM of the right top class, by its own label, with no more arguments."""
    model, image = made(name)
    few: dict[str, Any] = {"gradient": {}, "integrated_gradients": {"steps": 3}, "grad_cam": {}}
    for method, fields in few.items():
        exp = saliency.explain(model, image, method, progress=False, **fields)

        assert np.isfinite(exp.mask).all()
        assert exp.mask.shape[:2] == image.shape[:2]
        assert exp.target == top(model, image)
        assert exp.label == LABELS[int(exp.target)]
        assert exp.mask.any() or "the mask is zero everywhere" in exp.notes[-1]


@pytest.mark.parametrize("name", MODELS)
def test_the_automatic_layer_is_where_the_patches_last_matter(name: str) -> None:
    """The layer and its grid are found, tokens without a place are left out, and the notes say so."""
    model, image = made(name)
    layer, grid = LAYERS[name]
    exp = saliency.explain(model, image, "grad_cam", progress=False)

    assert exp.layer == layer
    grids = [note for note in exp.notes if "read as a grid of" in note]
    assert grids == ([] if grid is None else [f"{layer} read as a grid of {grid}"])


@pytest.mark.parametrize("name", ["ViT", "BEiT", "Swin"])
def test_attention_maps_are_no_feature_maps(name: str) -> None:
    """With attention written out, whose maps and heads are 4-D, the layer is the same one."""
    model, image = made(name, "eager")

    assert saliency.explain(model, image, "grad_cam", progress=False).layer == LAYERS[name][0]


def test_the_mask_is_that_of_a_plain_hook() -> None:
    """Grad-CAM on a ViT equals the formula on a hook, with the class token cut off and the patches in rows."""
    model, image = made("ViT")
    kept: list[torch.Tensor] = []
    handle = model.vit.layers[1].layernorm_before.register_forward_hook(lambda m, a, out: kept.append(out))
    score = model(torch.tensor(image / 255, dtype=torch.float32).permute(2, 0, 1)[None]).logits[0, 2]
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    a, g = (each[0, 1:].reshape(4, 6, 16).detach().numpy() for each in (kept[0], gradient))
    cam = (a * g.mean((0, 1))).sum(-1)

    adapted: Any = saliency.adapt(model)
    bound = adapted.at([2], ["vit.layers.1.layernorm_before"])
    (layer,) = bound.layers(bound.ops.asarray(image[None] / 255))
    np.testing.assert_allclose(layer.activations[0].numpy(), a, rtol=1e-5)
    np.testing.assert_allclose(layer.gradients[0, 0].numpy(), g, rtol=1e-4, atol=1e-8)
    got = saliency.GradCam(relu=False)
    exp = saliency.explain(model, image, got, 2, progress=False)
    assert exp.mask.shape == (32, 48)
    assert np.corrcoef(exp.mask[4::8, 4::8].ravel(), cam.ravel())[0, 1] > 0.99


def test_a_layer_after_the_last_attention_is_refused_with_the_reason() -> None:
    """The last block's output of a ViT with a class token has no gradient at the patches: a note says what to do."""
    model, image = made("ViT")
    exp = saliency.explain(model, image, "grad_cam", layer="vit.layers.1", progress=False)

    assert not exp.mask.any()
    assert any("does not depend on the patches at vit.layers.1: choose an earlier layer" in note for note in exp.notes)


def test_an_encoder_s_dataclass_is_a_layer_too() -> None:
    """A module that answers with last_hidden_state is read there."""
    model, image = made("Swin")
    exp = saliency.explain(model, image, "grad_cam", layer="swin.encoder", progress=False)

    assert exp.mask.shape == image.shape[:2]
    assert any("swin.encoder read as a grid of 8×12 patches" in note for note in exp.notes)


def test_embeddings_are_explained_by_a_target() -> None:
    """CLIP's vision tower has no classes: the error offers a target, and with one every method works."""
    torch.manual_seed(0)
    clip = hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(image_size=32, projection_dim=8, **TINY)).eval()
    image = picture(32, 32)
    with pytest.raises(saliency.BadOutput, match=r"'image_embeds': a tensor of shape \(1, 8\).*target=lambda"):
        saliency.explain(clip, image, "gradient")

    for method in ("gradient", "grad_cam"):
        exp = saliency.explain(clip, image, method, target=lambda out: out.image_embeds[:, 1], progress=False)
        assert np.isfinite(exp.mask).all()
        assert exp.layer in (None, "vision_model.encoder.layers.1.layer_norm1")


def test_an_image_processor_is_a_preprocess() -> None:
    """It receives a PIL image; the mask has its output's size and is placed on the cropped region of the picture."""
    model, _ = made("BEiT")
    image = picture(60, 40)
    processor = hf.ViTImageProcessorPil(size={"height": 32, "width": 32})
    exp = saliency.explain(model, Image.fromarray(image), "gradient", preprocess=processor, progress=False)

    assert exp.mask.shape == (32, 32, 3)
    assert exp.on_picture().shape == (60, 40, 3)
    fed = torch.as_tensor(processor(images=Image.fromarray(image), return_tensors="np")["pixel_values"])
    assert exp.target == int(model(fed).logits.argmax())


def test_numbered_labels_are_no_names() -> None:
    """LABEL_0, LABEL_1, … of a fresh configuration are not shown as names."""
    model = hf.ResNetForImageClassification(hf.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1]))

    assert isinstance(saliency.adapt(model), HuggingFaceModel)
    assert saliency.adapt(model).labels is None
    assert saliency.adapt(model, labels=["a", "b"]).labels == ["a", "b"]


ATTENTION = ("attention_rollout", "attention_relevance", "grad_sam", "le_grad")


@pytest.mark.parametrize("name", ["ViT", "DeiT", "BEiT", "DINOv2 with registers"])
def test_the_attention_maps_are_the_model_s_own(name: str) -> None:
    """Fused or written out, they equal the model's own output_attentions, and every method has a mask."""
    model, image = made(name, "eager")
    fed = torch.tensor(image / 255, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = model(pixel_values=fed, output_attentions=True).attentions
    masks = {method: saliency.explain(model, image, method, 1, progress=False).mask for method in ATTENTION}
    fused, _ = made(name, "sdpa")
    adapted: Any = saliency.adapt(fused).at([1])
    found = adapted.attentions(adapted.ops.asarray(image[None] / 255))

    assert len(found.layers) == len(expected) == 2
    for layer, own in zip(found.layers, expected, strict=True):
        np.testing.assert_allclose(layer.activations, own, atol=1e-6)
    for method, mask in masks.items():
        assert mask.shape == image.shape[:2]
        assert np.ptp(mask) > 0
        np.testing.assert_allclose(
            saliency.explain(fused, image, method, 1, progress=False).mask, mask, atol=1e-4 * mask.max()
        )


@pytest.mark.parametrize("method", ATTENTION)
def test_attention_of_an_embedding(method: str) -> None:
    """CLIP's vision tower by a target of one's own."""
    torch.manual_seed(0)
    clip = hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(image_size=32, projection_dim=8, **TINY)).eval()
    exp = saliency.explain(clip, picture(32, 32), method, lambda out: out.image_embeds[:, 1], progress=False)

    assert "attention between 4×4 patches, 1 leading token skipped" in exp.notes
    assert np.ptp(exp.mask) > 0


@pytest.mark.parametrize("method", ATTENTION)
def test_windows_are_refused(method: str) -> None:
    """Swin's maps are of windows: the sentence says what to use instead."""
    model, image = made("Swin")
    with pytest.raises(saliency.Unsupported, match=r"attends within windows.*Use Grad-CAM"):
        saliency.explain(model, image, method, 1, progress=False)
