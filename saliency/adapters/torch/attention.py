"""Attention maps of a torch model: every softmax that a transformer's tokens are mixed by, fused or written out.

A fused operator (``scaled_dot_product_attention``) tells no map, so that it is computed here as its definition has it;
``nn.MultiheadAttention`` is opened up, so that the operators inside it are seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saliency.adapters.tokens import NO_BLOCKS, NO_MAPS, WINDOWS, Grid
from saliency.adapters.torch.decompositions import attention, inside
from saliency.adapters.torch.gradients import backward, by_each
from saliency.adapters.torch.layers import Replaced, Survey
from saliency.adapters.torch.precision import wide
from saliency.errors import Unsupported
from saliency.model.protocols import Layer

ADDITIONS = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})
"""Functions that end a transformer's block: what it made is added to what it was given."""


class Call(NamedTuple):
    """One call of an operator."""

    name: str
    number: int
    """Which of the calls by that name it is, from 1."""
    output: Tensor


class Attending(Survey):
    """Notes every attention map, and what the tokens were after each block.

    Args:
        module: its forward pass is watched while the mode is on.
        leaf: the images, (N, H, W, C).
    """

    def __init__(self, module: nn.Module, leaf: Tensor) -> None:
        super().__init__(module, leaf)
        self._maps: list[Tensor] = []
        # by number of the maps seen before it, the last sum of tokens
        self._sums: dict[int, Call] = {}
        # the very sums of two rows of tokens, by id
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
        # a bias is added too, but is no row of tokens
        both = sum(isinstance(each, Tensor) and each.shape == result.shape for each in args) > 1
        if function in ADDITIONS and both and result.ndim == 3 and len(self.leaf) in result.shape[:2]:
            self._sums[len(self._maps)] = Call(name, self._calls[name], result)
            goes_on = result.clone()
            self._stream[id(goes_on)] = goes_on
            return goes_on
        return result

    def scaled_dot_product_attention(self, *args: Any, **kwargs: Any) -> Tensor:
        """Torch's own, by its definition, so that its map is seen."""
        return attention(*args, seen=self._kept, **kwargs)

    def _kept(self, weights: Tensor) -> Tensor:
        """A softmax, kept if it may be a map; what goes on is a copy, lest a later in-place operator change it."""
        if weights.ndim not in (3, 4) or not weights.shape[-1] == weights.shape[-2] > 1:
            return weights
        self._maps.append(weights)
        return weights.clone()

    def is_sum(self, result: Tensor) -> bool:
        """Whether something is the very sum of two rows of tokens."""
        return id(result) in self._stream

    @property
    def attended(self) -> set[int]:
        """How many tokens attend to each other, wherever some do."""
        return {int(each.shape[-1]) for each in self._maps}

    def maps(self) -> list[Tensor]:
        """The maps in their order, each as it stands in the graph.

        Raises:
            Unsupported: they are of windows.
        """
        if len(self.attended) > 1 or any(each.ndim == 4 and len(each) != len(self.leaf) for each in self._maps):
            raise Unsupported(WINDOWS)
        return self._maps

    def lie(self) -> Grid:
        """How the tokens of the maps lie over the image.

        Raises:
            Unsupported: there are none, or they are not of the patches of the whole image.
        """
        if not (maps := self.maps()):
            eager = 'with transformers: model.set_attn_implementation("eager")'
            raise Unsupported(f"{NO_MAPS}a fused kernel ({eager}).")
        tokens = int(maps[0].shape[-1])
        if tokens not in self._rows:
            raise Unsupported(WINDOWS)
        if (grid := self._tokens(tokens)) is None:
            raise Unsupported(
                f"The model attends between {tokens} tokens, which do not form a grid of patches of the image."
            )
        return grid

    def by_heads(self, gradients: Sequence[Sequence[Tensor]]) -> list[Layer[Tensor]]:
        """The maps with their gradients per target, images and heads in axes of their own."""

        def split(weights: Tensor) -> Tensor:
            return wide(weights.detach()).reshape(len(self.leaf), -1, *weights.shape[-2:])

        return [
            Layer(split(each), torch.stack([split(mine[i]) for mine in gradients])) for i, each in enumerate(self._maps)
        ]

    def blocks(self) -> list[Call]:
        """What the tokens were after the block of each map.

        Raises:
            Unsupported: blocks do not end in a sum of tokens.
        """
        found = [self._sums.get(i + 1) for i in range(len(self._maps))]
        calls = [each for each in found if each is not None]
        if len(calls) < len(found) or len({each.output.shape for each in calls}) > 1:
            raise Unsupported(NO_BLOCKS)
        return calls

    def together(self, exits: Sequence[Tensor]) -> Tensor:
        """What the tokens were after several blocks as one batch, block by block."""
        return torch.cat(list(exits), int(self.tokens_first(self.blocks()[0].output)))


def exits_of(
    watch: Attending, module: nn.Module, scores: Callable[[Replaced, int], Tensor], *, half: bool
) -> list[Layer[Tensor]]:
    """Return the maps, each with the gradients of the scores that the head gives behind the map's own block.

    Args:
        watch: has seen a forward pass.
        module: its forward pass is watched.
        scores: from what puts the ends of all blocks in the place of the last one, and how many images these are, to
            the head's scores (k, count).
        half: whether a backward pass goes through float16.
    """
    if not (maps := watch.maps()):
        return []
    blocks = watch.blocks()
    exits = [each.output.detach().requires_grad_() for each in blocks]
    # the head is called with all of them at once
    head = Replaced(module, blocks[-1].name, blocks[-1].number, lambda _: watch.together(exits))
    back = by_each(scores(head, len(exits) * len(watch.leaf)), exits, half=half)
    return watch.by_heads([pulled_back(blocks, maps, each) for each in back])


def pulled_back(blocks: Sequence[Call], maps: Sequence[Tensor], back: Sequence[Tensor]) -> list[Tensor]:
    """From what came back to the end of each block, what goes on to the map inside it."""
    found = (backward(block.output, [each], given)[0] for block, each, given in zip(blocks, maps, back, strict=True))
    return [torch.zeros_like(wide(each)) if back is None else back for each, back in zip(maps, found, strict=True)]
