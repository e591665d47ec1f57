"""Attention maps of a torch model: every softmax that a transformer's tokens are mixed by, fused or written out.

A fused operator (``scaled_dot_product_attention``) tells no map, so that it is computed here as its definition has it;
``nn.MultiheadAttention`` is opened up, so that the operators inside it are seen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saliency.adapters.answers import NO_MAPS, WINDOWS
from saliency.adapters.tokens import Grid
from saliency.adapters.torch_layers import Survey
from saliency.errors import Unsupported
from saliency.model import Attention, Layer

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
        self._calls: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        function = getattr(func, "__name__", "")
        if function == "multi_head_attention_forward":
            TorchFunctionMode.__enter__(self)
            try:
                return _opened(func)(*args, **(kwargs or {}))
            finally:
                TorchFunctionMode.__exit__(self, None, None, None)
        if function == "scaled_dot_product_attention":
            func = self.scaled_dot_product_attention
        return super().__torch_function__(func, types, args, kwargs)

    def see(self, name: str, result: Tensor, args: Any) -> Tensor:
        super().see(name, result, args)
        function = name.split(":")[1]
        self._calls[name] += 1
        if function == "softmax" and result.ndim in (3, 4) and result.shape[-1] == result.shape[-2] > 1:
            return self._kept(result)
        if function in ADDITIONS and result.ndim == 3 and len(result) == len(self._leaf):
            self._sums[len(self._maps)] = Call(name, self._calls[name], result)
            return result.clone()
        return result

    def scaled_dot_product_attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """softmax(query keyᵀ scale + mask) value, as torch's own is defined; nothing is dropped."""
        if enable_gqa:
            key, value = (each.repeat_interleave(query.shape[-3] // each.shape[-3], -3) for each in (key, value))
        logits = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
        if attn_mask is not None:
            logits = logits.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else logits + attn_mask
        weights = logits.softmax(-1)
        square = weights.ndim in (3, 4) and weights.shape[-1] == weights.shape[-2] > 1
        return (self._kept(weights) if square else weights) @ value

    def _kept(self, weights: Tensor) -> Tensor:
        self._maps.append(weights)
        # what goes on is a copy, lest a later in-place operator change what was kept
        return weights.clone()

    def found(self) -> tuple[list[Tensor], Grid]:
        """The maps in their order, each as it stands in the graph, and how their tokens lie over the image.

        Raises:
            Unsupported: there are none, or they are not of the patches of the whole image.
        """
        if not self._maps:
            eager = 'with transformers: model.set_attn_implementation("eager")'
            raise Unsupported(f"{NO_MAPS}a fused kernel ({eager}).")
        count = len(self._leaf)
        sizes = {int(each.shape[-1]) for each in self._maps}
        windows = any(each.ndim == 4 and len(each) != count for each in self._maps)
        if windows or len(sizes) > 1 or not sizes <= self._rows.keys():
            raise Unsupported(WINDOWS)
        (tokens,) = sizes
        if (grid := self._tokens(tokens)) is None:
            raise Unsupported(f"The model attends among {tokens} tokens, which are no grid of patches of the image.")
        return self._maps, grid

    def told(self, gradients: Sequence[Sequence[Tensor]]) -> Attention[Tensor]:
        """The maps with their gradients per target, images and heads in axes of their own."""
        maps, grid = self.found()

        def by_heads(weights: Tensor) -> Tensor:
            return weights.detach().reshape(len(self._leaf), -1, *weights.shape[-2:])

        layers = [
            Layer(by_heads(each), torch.stack([by_heads(mine[i]) for mine in gradients])) for i, each in enumerate(maps)
        ]
        return Attention(layers, grid.height, grid.width, grid.before)

    def blocks(self) -> list[Call]:
        """What the tokens were after the block of each map.

        Raises:
            Unsupported: blocks do not end in a sum of tokens.
        """
        found = [self._sums.get(i + 1) for i in range(len(self._maps))]
        calls = [each for each in found if each is not None]
        if len(calls) < len(found) or len({each.output.shape for each in calls}) > 1:
            raise Unsupported("The model's blocks cannot be told apart: they do not end in a sum of tokens, (N, T, K).")
        return calls


def by_each(scores: Tensor, inputs: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """Per target, the gradients of its scores (k, N) by each of the inputs; zeros where they do not depend on it."""
    last = len(scores) - 1
    return [
        torch.autograd.grad(row.sum(), inputs, retain_graph=i < last, allow_unused=True, materialize_grads=True)
        for i, row in enumerate(scores)
    ]


def pulled_back(blocks: Sequence[Call], maps: Sequence[Tensor], back: Sequence[Tensor]) -> list[Tensor]:
    """From what came back to the end of each block, what goes on to the map inside it."""
    return [
        torch.autograd.grad(block.output, each, given, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
        for block, each, given in zip(blocks, maps, back, strict=True)
    ]


def _opened(function: Any) -> Any:
    """A Python function of torch without the question whether a mode wants to be asked instead.

    So the operators inside it are seen, and not it as one.
    """
    names = {**function.__globals__, "has_torch_function": lambda *_: False}
    return FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
