"""Attention maps of a torch model: every softmax that mixes a transformer's tokens, fused or written out.

A fused operator (``scaled_dot_product_attention``) returns no map, so it is computed here by its definition;
``nn.MultiheadAttention`` is decomposed into its operators.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saliency.adapters.tokens import Grid, no_blocks, no_maps, no_patches, windows
from saliency.adapters.torch.decompositions import attention, inside
from saliency.adapters.torch.gradients import backward, by_each
from saliency.adapters.torch.layers import Replaced, Survey
from saliency.adapters.torch.precision import wide
from saliency.model.protocols import Layer

ADDITIONS = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})
"""Functions that end a transformer's block: they add its result to its input."""


class Call(NamedTuple):
    """One call of an operator."""

    name: str
    number: int
    """Number of the call among those of that name, from 1."""
    output: Tensor


class Attending(Survey):
    """Records every attention map, and the tokens after each block.

    Args:
        module: its forward pass is recorded while the mode is active.
        leaf: the images, (N, H, W, C).
        name: the user's model, in messages.
    """

    def __init__(self, module: nn.Module, leaf: Tensor, name: str) -> None:
        super().__init__(module, leaf)
        self._name = name
        self._maps: list[Tensor] = []
        # by number of preceding maps, the last sum of tokens
        self._sums: dict[int, Call] = {}
        # sums of two rows of tokens, by id
        self._stream: dict[int, Tensor] = {}
        self._calls: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        function = getattr(func, "__name__", "")
        if function == "multi_head_attention_forward" and (opened := inside(func)) is not None:
            TorchFunctionMode.__enter__(self)
            try:
                return opened(*args, **(kwargs or {}))
            finally:
                TorchFunctionMode.__exit__(self, None, None, None)
        if function == "scaled_dot_product_attention":
            func = self.scaled_dot_product_attention
        return super().__torch_function__(func, types, args, kwargs)

    def see(self, name: str, result: Tensor, args: Any) -> Tensor:
        super().see(name, result, args)
        function = name.split(":")[1]
        self._calls[name] += 1
        if function == "softmax":
            return self._kept(result)
        # a bias is added too, but is not a row of tokens
        both = sum(isinstance(each, Tensor) and each.shape == result.shape for each in args) > 1
        if function in ADDITIONS and both and result.ndim == 3 and len(self.leaf) in result.shape[:2]:
            self._sums[len(self._maps)] = Call(name, self._calls[name], result)
            goes_on = result.clone()
            self._stream[id(goes_on)] = goes_on
            return goes_on
        return result

    def scaled_dot_product_attention(self, *args: Any, **kwargs: Any) -> Tensor:
        """Compute torch's function by its definition, so that its map is recorded."""
        return attention(*args, seen=self._kept, **kwargs)

    def _kept(self, weights: Tensor) -> Tensor:
        """Store a softmax that may be a map; return a copy, so that later in-place operators cannot change it."""
        if weights.ndim not in (3, 4) or not weights.shape[-1] == weights.shape[-2] > 1:
            return weights
        self._maps.append(weights)
        return weights.clone()

    def is_sum(self, result: Tensor) -> bool:
        """Return whether a tensor is a recorded sum of two rows of tokens."""
        return id(result) in self._stream

    @property
    def attended(self) -> set[int]:
        """The token counts of all attention maps."""
        return {int(each.shape[-1]) for each in self._maps}

    def maps(self) -> list[Tensor]:
        """Return the maps in order, each with its place in the graph.

        Raises:
            Unsupported: they cover windows only.
        """
        if len(self.attended) > 1 or any(each.ndim == 4 and len(each) != len(self.leaf) for each in self._maps):
            raise windows(self._name)
        return self._maps

    def token_grid(self) -> Grid:
        """Return the grid of the maps' tokens on the image.

        Raises:
            Unsupported: there are no maps, or they do not cover the patches of the whole image.
        """
        if not (maps := self.maps()):
            eager = 'with transformers: model.set_attn_implementation("eager")'
            raise no_maps(self._name, f"a fused kernel ({eager})")
        tokens = int(maps[0].shape[-1])
        if tokens not in self._rows:
            raise windows(self._name)
        if (grid := self._tokens(tokens)) is None:
            raise no_patches(self._name, tokens)
        return grid

    def by_heads(self, gradients: Sequence[Sequence[Tensor]]) -> list[Layer[Tensor]]:
        """Return the maps with their gradients per target, with separate axes for images and heads."""

        def split(weights: Tensor) -> Tensor:
            return wide(weights.detach()).reshape(len(self.leaf), -1, *weights.shape[-2:])

        return [
            Layer(split(each), torch.stack([split(mine[i]) for mine in gradients])) for i, each in enumerate(self._maps)
        ]

    def blocks(self) -> list[Call]:
        """Return the tokens after the block of each map.

        Raises:
            Unsupported: the blocks do not end in a sum of tokens.
        """
        found = [self._sums.get(i + 1) for i in range(len(self._maps))]
        calls = [each for each in found if each is not None]
        if len(calls) < len(found) or len({each.output.shape for each in calls}) > 1:
            raise no_blocks(self._name)
        return calls

    def together(self, exits: Sequence[Tensor]) -> Tensor:
        """Return the tokens after several blocks as one batch, block by block."""
        return torch.cat(list(exits), int(self.tokens_first(self.blocks()[0].output)))


def exits_of(
    watch: Attending, module: nn.Module, scores: Callable[[Replaced, int], Tensor], *, half: bool
) -> list[Layer[Tensor]]:
    """Return the maps, each with the gradients of the scores that the head gives after the map's own block.

    Args:
        watch: has recorded a forward pass.
        module: its forward pass is recorded.
        scores: takes the mode that replaces the last block's tokens by those of all blocks, and the number of images
            that these are; returns the head's scores (k, count).
        half: whether a backward pass goes through float16.
    """
    if not (maps := watch.maps()):
        return []
    blocks = watch.blocks()
    exits = [each.output.detach().requires_grad_() for each in blocks]
    # the head is evaluated once, for all blocks together
    head = Replaced(module, blocks[-1].name, blocks[-1].number, lambda _: watch.together(exits))
    back = by_each(scores(head, len(exits) * len(watch.leaf)), exits, half=half)
    return watch.by_heads([pulled_back(blocks, maps, each) for each in back])


def pulled_back(blocks: Sequence[Call], maps: Sequence[Tensor], back: Sequence[Tensor]) -> list[Tensor]:
    """Return the gradients at the map inside each block, from those at the end of the block."""
    found = (backward(block.output, [each], given)[0] for block, each, given in zip(blocks, maps, back, strict=True))
    return [torch.zeros_like(wide(each)) if back is None else back for each, back in zip(maps, found, strict=True)]
