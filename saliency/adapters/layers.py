"""The operators that form a layer for a CAM, and the choice of the default layer.

Operators are identified by their framework's name in lower case: a function of torch, a primitive or small program
of JAX, an operation of a TensorFlow graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from saliency.adapters.outputs import Choice, parts_of
from saliency.adapters.tokens import Grid
from saliency.errors import BadOutput

_REARRANGES = (
    "view view_as reshape reshape_as permute transpose swapaxes swapdims movedim moveaxis flatten unflatten ravel "
    "squeeze unsqueeze __get__ t adjoint contiguous clone detach to type type_as float double half bfloat16 cpu cuda "
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout channel_shuffle "
    "expand_dims convert_element_type copy copy_p broadcast_in_dim reduce_precision stop_gradient optimization_barrier "
    "expanddims cast identity identityn stopgradient preventgradient batchtospacend"
)
REARRANGES = frozenset(_REARRANGES.split())
"""Operators that only change the order or the type of values: their result counts as the layer before them."""

_RESAMPLES = (
    "pad constant_pad_nd interpolate upsample upsample_nearest upsample_bilinear grid_sample pixel_shuffle "
    "pixel_unshuffle __getitem__ select narrow index_select roll flip repeat repeat_interleave tile expand expand_as "
    "broadcast_to fold unfold slice dynamic_slice gather rev split "
    "padv2 mirrorpad stridedslice gatherv2 gathernd tilev2 broadcastto reversev2 depthtospace spacetodepth "
    "spacetobatchnd resizenearestneighbor resizebilinear resizebicubic resizearea scaleandtranslate cropandresize"
)
RESAMPLES = frozenset(_RESAMPLES.split())
"""Operators that pad, crop, copy or resize a map: their result is not a layer, and has another placement."""

_WEIGHTS = (
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear addmm "
    "conv_general_dilated dot_general depthwiseconv2dnative conv2dbackpropinput matmul batchmatmulv2 einsum"
)
WEIGHTS = frozenset(_WEIGHTS.split())
"""Operators that multiply with weights."""

_ACTIVATIONS = (
    "relu relu_ relu6 leaky_relu leaky_relu_ prelu rrelu elu elu_ celu selu selu_ gelu silu silu_ swish mish mish_ "
    "hardswish hardswish_ hard_swish hard_silu softplus threshold hardtanh hardtanh_ clamp clamp_ clamp_min clip "
    "maximum max sigmoid sigmoid_ hardsigmoid hard_sigmoid tanh tanh_ logistic erf select_n glu "
    "leakyrelu softsign"
)
ACTIVATIONS = frozenset(_ACTIVATIONS.split())
"""Elementwise nonlinear operators."""

AVERAGES = frozenset({"avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d", "avgpool", "reduce_window_sum"})
"""The first operators of pooling pyramids."""

STEP, POOLED = 4, 2
"""Largest factor by which a side shrinks from one stage to the next, and in such pooling."""


class Laid(NamedTuple):
    """A layer whose output has a grid on the image."""

    name: str
    shape: tuple[int, ...]
    grid: Grid
    operators: tuple[str, ...] = ()
    """Operators called since the previous layer, up to its own output."""
    aliases: tuple[str, ...] = ()
    """Other names of the same output: of inner modules that end with it."""

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of its grid."""
        return self.grid.height, self.grid.width


class Surveyed(NamedTuple):
    """The layers that a survey of a model found."""

    layers: list[Laid]
    """Layers that the score depends on, in the order of the calls."""
    dense: bool
    """Whether the target reads a map (as of a segmentation), not class scores."""

    def automatic(self) -> list[str]:
        """Return the name of the last layer at each grid size, the last first; of a dense model, its encoder's."""
        layers = self.layers
        if self.dense and layers:
            layers = layers[: layers.index(encoder_last(layers)) + 1]
        found = {layer.sides: layer.name for layer in layers}
        found |= {layer.sides: layer.name for layer in _finished(layers)}
        return [found[sides] for sides in dict.fromkeys(layer.sides for layer in reversed(layers))]


def last_part(name: str) -> str:
    """Return the name of a layer without the names of the models around it: "block/conv" -> "conv"."""
    return name.rpartition("/")[2]


def made_by(operators: Sequence[str]) -> str | None:
    """Return the operator that produced the result of these operators, called in a row.

    None if the values were only rearranged, padded, cropped or resized: the result is not a layer.
    """
    last = next((each for each in reversed(operators) if each not in REARRANGES), None)
    return None if last in RESAMPLES else last


def spatial(shape: Sequence[int | None]) -> bool:
    """Return whether an array (N, …) may be a map (four axes) or tokens (three axes), not one number per channel."""
    return len(shape) == 3 or (len(shape) == 4 and sum(side != 1 for side in shape[1:]) > 1)


def nameable(layers: Sequence[Laid]) -> list[Laid]:
    """Return the layers that can be named.

    If a layer is called more than once, its name refers to the last call. Results before the first operator with
    weights are skipped: they are the image itself, scaled or shifted.
    """
    last = {name: i for i, layer in enumerate(layers) for name in (*layer.aliases, layer.name)}
    first = next((i for i, each in enumerate(layers) if not WEIGHTS.isdisjoint(each.operators)), 0)
    found: list[Laid] = []
    operators: tuple[str, ...] = ()
    for i, layer in enumerate(layers):
        operators += layer.operators
        if i >= first and last[layer.name] == i:
            found.append(layer._replace(operators=operators))
            operators = ()
    return found


def encoder_last(layers: Sequence[Laid]) -> Laid:
    """Return the last layer of the encoder of a model whose output is a map.

    This is the last layer at the coarsest grid that is followed by both weights and an activation. After these the
    score is linear in the layer, and a CAM would be the same for every region of the output.

    Args:
        layers: that the score depends on, in the order of the calls; at least one.
    """
    sides, whole = _coarsest(layers), {layer.name for layer in _finished(layers)}
    bent = followed = False
    found: list[Laid] = []
    for layer in reversed(layers):
        if followed and layer.sides == sides:
            found.append(layer)
        for operator in reversed(layer.operators):
            bent = bent or operator in ACTIVATIONS
            followed = followed or (bent and operator in WEIGHTS)
    found = found or [each for each in reversed(layers) if each.sides == sides]
    return next((each for each in found if each.name in whole), found[0])


def _finished(layers: Sequence[Laid]) -> list[Laid]:
    """Return the layers without an activation before the next weights: outputs of blocks, not layers inside them."""
    found: list[Laid] = []
    bent = False
    for layer in reversed(layers):
        if not bent or made_by(layer.operators) in ACTIVATIONS:
            found.insert(0, layer)
        for operator in reversed(layer.operators):
            bent = (bent or operator in ACTIVATIONS) and operator not in WEIGHTS
    return found


def _coarsest(layers: Sequence[Laid]) -> tuple[int, int]:
    """Return the smallest grid that the stages reach step by step; grids of parallel pooling pyramids do not count."""
    height, width = layers[0].sides
    pooled = set[tuple[int, int]]()
    for layer in layers:
        h, w = layer.sides
        by = max(height / h, width / w)
        if by > STEP or (by > POOLED and not AVERAGES.isdisjoint(layer.operators)):
            pooled.add(layer.sides)
        elif h * w < height * width and layer.sides not in pooled:
            height, width = h, w
    return height, width


def read_from_map(shapes: Sequence[Sequence[int | None]], count: int | None) -> bool:
    """Return whether the explained outputs are maps, not class scores.

    Args:
        shapes: of those outputs.
        count: number of images; None if it is not known.
    """
    vectors = [shape for shape in shapes if len(shape) and shape[0] == count and sum(n != 1 for n in shape[1:]) <= 1]
    return bool(shapes) and not vectors


def scores_or_sum(choice: Choice, outputs: Any, total: Callable[[Any], Any]) -> Any:
    """Return the class scores among a model's outputs; without any, the sum of all outputs.

    Args:
        choice: selects the class scores.
        outputs: as the model returned them.
        total: sums an array of its framework.
    """
    try:
        return choice.rows(outputs)
    except BadOutput:
        found = [each.array for each in parts_of(outputs, choice.arrays) if "float" in str(each.array.dtype)]
        if not found:
            raise
        return sum(map(total, found))
