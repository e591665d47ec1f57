"""A small vision transformer with the same weights in torch, JAX and TensorFlow: the same masks by every method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import saliency
from tests.adapters import same_transformer
from tests.api.test_layers import made
from tests.nets import near, picture, uneven

IMAGE = picture(32, 48)
# torch's names of layers that other frameworks number: the sum after the first block
BLOCK: dict[str, Any] = {"torch": "blocks.0", "jax": 3, "tensorflow": 1}

METHODS: dict[str, dict[str, Any]] = {
    "gradient": {},
    "input_x_gradient": {},
    "integrated_gradients": {"steps": 4},
    "blur_ig": {"steps": 3},
    "guided_ig": {"steps": 3, "baseline": uneven(*IMAGE.shape)},
    "smooth_grad": {"samples": 2},
    "guided_backprop": {},
    "deep_lift": {},
    "lrp": {"composite": "epsilon", "epsilon": 1e-2},
    "occlusion": {"size": 16, "stride": 16},
    "rise": {"samples": 8},
}
AT_A_LAYER: dict[str, dict[str, Any]] = {
    "grad_cam": {"relu": False},
    "eigen_cam": {},
    "ablation_cam": {"relu": False},
    "xgrad_cam": {"relu": False},
}


@pytest.fixture(scope="module", params=["jax", "tensorflow"])
def framework(request: pytest.FixtureRequest) -> str:
    """Whose transformer is compared with torch's."""
    name: str = request.param
    pytest.importorskip(name)
    return name


@pytest.fixture(scope="module")
def net(framework: str) -> Any:
    """The transformer, its attention written out."""
    return same_transformer.in_jax() if framework == "jax" else same_transformer.in_tensorflow()


def explained(net: Any, method: str, **options: Any) -> np.ndarray:
    """Two classes at once, without a bar."""
    return np.stack([each.mask for each in saliency.explain(net, IMAGE, method, [1, 3], progress=False, **options)])


@pytest.mark.agreement
@pytest.mark.parametrize("method", METHODS)
def test_agrees_with_torch(net: Any, method: str) -> None:
    """Gradients, paths, rules through norms and attention, black boxes."""
    near(explained(net, method, **METHODS[method]), explained(made(), method, **METHODS[method]))


@pytest.mark.parametrize("method", AT_A_LAYER)
def test_a_layer_of_tokens_is_a_grid(net: Any, framework: str, method: str) -> None:
    """After the first block the class token is skipped, the patches form a grid, and the map is that of torch."""
    table = saliency.layers(net, IMAGE)
    layer = table[BLOCK[framework]]

    assert layer.shape == (1, 25, 12)
    assert layer.grid == "4×6 patches, 1 leading token skipped"
    expected = explained(made(), method, layer=BLOCK["torch"], **AT_A_LAYER[method])
    near(explained(net, method, layer=layer.name, **AT_A_LAYER[method]), expected)


def test_the_automatic_layer_is_before_the_last_attention(net: Any) -> None:
    """A class token's score does not depend on later patches, so the last layer on which it depends is used."""
    found = saliency.explain(net, IMAGE, "grad_cam", 1, progress=False, relu=False)

    assert found.mask.any()
    assert found.layer is not None
    assert any("a layer read as a grid of 4×6 patches" in note for note in found.notes)
    table = [row.name for row in saliency.layers(net, IMAGE)]
    assert 0 < table.index(found.layer) < len(table) - 1


def test_tokens_of_single_images_are_a_grid() -> None:
    """Of a module that is mapped over a batch: Grad-CAM at its first block is that of torch."""
    pytest.importorskip("equinox")
    net, options = same_transformer.in_equinox(), {"layer": "blocks.0", "relu": False}

    assert "4×6 patches, 1 leading token skipped" in {row.grid for row in saliency.layers(net, IMAGE)}
    near(explained(net, "grad_cam", **options), explained(made(), "grad_cam", **options))
