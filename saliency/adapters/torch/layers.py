"""Layers of a torch model with a spatial grid: their survey, and access to their outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from saliency.adapters.cut import other_shape
from saliency.adapters.layers import REARRANGES, Laid, Surveyed, made_by, nameable, read_from_map, spatial
from saliency.adapters.outputs import parts_of
from saliency.adapters.tokens import Grid, map_grid, token_grids
from saliency.adapters.torch.answers import TORCH
from saliency.adapters.torch.gradients import backward
from saliency.adapters.torch.trace import Watch
from saliency.errors import BadShape, UnknownName

ATTENTION = frozenset({"matmul", "bmm", "baddbmm", "softmax", "scaled_dot_product_attention", "einsum", "__matmul__"})
"""Functions whose 4-D results are attention maps or heads, not feature maps."""

CONVOLUTIONAL = ("conv", "_pool", "batch_norm", "group_norm", "instance_norm", "interpolate", "pixel_")
"""Parts of the names of functions that only take the layout (N, K, h, w)."""

STREAM = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__", "layer_norm", "rms_norm"})
"""Functions that form a transformer's residual stream; rows of tokens of other functions are branches of it."""


class Seen(NamedTuple):
    """A result of an operator or module that may have a grid."""

    name: str
    output: Tensor
    operators: tuple[str, ...]
    """Operators called since the previous result, up to its own."""
    aliases: tuple[str, ...] = ()
    """Its earlier names, of inner operators and modules."""


class Survey(Watch):
    """Records every result that may have a grid, and the evidence for its layout.

    Args:
        module: its forward pass is recorded while the mode is active.
        leaf: the images, (N, H, W, C).
    """

    def __init__(self, module: nn.Module, leaf: Tensor) -> None:
        super().__init__(module)
        self.leaf = leaf
        self._image = (int(leaf.shape[1]), int(leaf.shape[2])) if leaf.ndim == 4 else (1, 1)
        self.outputs: list[Tensor] = []
        """The model's outputs."""
        self._seen: list[Seen] = []
        self._shapes: set[tuple[int, ...]] = set()
        self.called: list[str] = []
        """Names of all functions that returned maps or tokens."""
        # their number at the last stored result, and at the entry of each module that is being called
        self._kept_at = 0
        self._entered: list[int] = []
        self._first: set[tuple[int, ...]] = set()
        self._last: set[tuple[int, ...]] = set()
        self._attention: set[tuple[int, ...]] = set()
        # the first row of tokens by their number: before attention mixes them, if possible
        self._rows: dict[int, Tensor] = {}
        self._grids: dict[int, Grid | None] = {}
        # where the numbers of images and tokens are equal: whether the tokens come first
        self._turned: dict[int, bool] = {}

    def see(self, name: str, result: Tensor, args: Any) -> Tensor:
        if result.ndim not in (3, 4) or not result.is_floating_point():
            return result
        if len(self.leaf) not in result.shape[: 5 - result.ndim]:
            return result  # the token axis may precede the batch axis
        function, shape = name.split(":")[1], tuple(result.shape[1:])
        if spatial(result.shape):
            self.called.append(function)
        if result.ndim == 4:
            if function in ATTENTION:
                # heads are transposed in any order
                self._attention.add(tuple(sorted(shape)))
            elif any(part in function for part in CONVOLUTIONAL):
                self._first.add(shape)
            elif function == "layer_norm":
                self._last.add(shape)
            self._shapes.add(shape)
            if made_by([function]) is not None:
                self._keep(name, result)
        elif function in STREAM:
            if result.requires_grad:
                row = result.transpose(0, 1) if self.tokens_first(result) else result
                self._rows.setdefault(row.shape[1], row)
            self._keep(name, result)
        return result

    def _keep(self, name: str, result: Tensor) -> None:
        self._seen.append(Seen(name, result, tuple(self.called[self._kept_at :])))
        self._kept_at = len(self.called)

    def tokens_first(self, row: Tensor) -> bool:
        """Return whether a row of tokens is (T, N, K), not (N, T, K)."""
        count = len(self.leaf)
        if len(row) != count or row.shape[1] != count or count == 1:
            return len(row) != count
        if count not in self._turned and not row.requires_grad:
            return False
        if count not in self._turned:
            # as many tokens as images: the slice of a patch depends on every image, that of an image on one
            (depends,) = backward(row[count // 2].cos(), [self.leaf])
            self._turned[count] = depends is not None and int((depends != 0).flatten(1).any(1).sum()) > 1
        return self._turned[count]

    def enter(self, path: str) -> None:
        super().enter(path)
        self._entered.append(len(self.called))

    def leave(self, path: str, result: Any) -> Any:
        entered = self._entered.pop()
        if not path:
            self.outputs = [each.array for each in parts_of(result, TORCH)]
        elif self._seen and isinstance(result, Tensor) and entered < self._kept_at:
            last = self._seen[-1]
            # only rearranged: the module uses another layout inside
            same = result.ndim == last.output.ndim and result.numel() == last.output.numel()
            if result is last.output or (same and REARRANGES.issuperset(self.called[self._kept_at :])):
                # a module's name is shorter than an operator's
                self._seen[-1] = last._replace(name=path, output=result, aliases=(*last.aliases, last.name))
        return None

    def grid(self, output: Tensor) -> Grid | None:
        """Return the grid of a result on the image; call it after the forward pass."""
        if output.ndim == 4:
            return self._map(tuple(output.shape[1:]))
        if output.ndim != 3 or len(self.leaf) not in output.shape[:2]:
            return None
        turned = self.tokens_first(output)
        grid = self._tokens(int(output.shape[0 if turned else 1]))
        return grid._replace(layout="tokens_first") if grid is not None and turned else grid

    def laid(self, scores: Tensor) -> Surveyed:
        """Return every layer that the scores depend on, in order, without the model's outputs."""
        returned = {id(each) for each in self.outputs}
        places = [
            (each, grid)
            for each in self._seen
            if each.output.requires_grad and id(each.output) not in returned and (grid := self.grid(each.output))
        ]
        outputs = [each for each in self.outputs if each.requires_grad]
        if not scores.requires_grad or not places:
            return Surveyed([], dense=False)
        at = [*(each.output for each, _ in places), *outputs]
        used = backward(scores, at, keep=False)
        explained = [each for each, gradient in zip(outputs, used[len(places) :], strict=True) if gradient is not None]
        layers = [
            Laid(each.name, tuple(each.output.shape), grid, each.operators, each.aliases)
            for (each, grid), gradient in zip(places, used[: len(places)], strict=True)
            # after the last attention a class token's score no longer depends on the patches
            if gradient is not None and (not grid.of_tokens or bool(on_grid(gradient, grid).any()))
        ]
        return Surveyed(nameable(layers), read_from_map([each.shape for each in explained], len(self.leaf)))

    def _map(self, shape: tuple[int, ...]) -> Grid | None:
        first, last = shape in self._first, shape in self._last
        if tuple(sorted(shape)) in self._attention and not first and not last:
            return None
        channels, height, width = shape
        return map_grid((channels, height, width), self._image, first=first, last=last and not first)

    def _tokens(self, tokens: int) -> Grid | None:
        if tokens not in self._grids:
            self._grids[tokens] = self._found(tokens)
        return self._grids[tokens]

    def _found(self, tokens: int) -> Grid | None:
        grids = [grid for shape in self._shapes if (grid := self._map(shape))]
        maps = {(grid.height, grid.width) for grid in grids}
        candidates = token_grids(tokens, self._image, maps)
        for grid in candidates:
            if not grid.before and (grid.height, grid.width) in maps:
                return grid
            for turned in (grid, grid._replace(before=0, after=grid.before)):
                if self._lies_so(turned):
                    return turned
        return candidates[0] if candidates and tokens not in self._rows else None

    def _lies_so(self, grid: Grid) -> bool:
        """Return whether the tokens at three corners depend on the image there."""
        tokens = grid.height * grid.width + grid.before + grid.after
        row = self._rows.get(tokens)
        if row is None or not row.requires_grad:
            return False
        height, width = self._image
        down, across = (torch.arange(n, device=row.device) + 0.5 for n in (height, width))
        # a plain sum is constant after a layer norm
        probe = torch.cos(torch.arange(row.shape[-1], device=row.device)).to(row.dtype)
        for i, j in ((0, 0), (0, grid.width - 1), (grid.height - 1, 0)):
            (gradient,) = backward(row[0, grid.before + i * grid.width + j] * probe, [self.leaf])
            if gradient is None:
                return False
            mass = gradient[0].abs().sum(-1).float()
            total = mass.sum()
            if not total > 0:
                return False
            middle = (mass.sum(1) * down).sum(), (mass.sum(0) * across).sum()
            at = (middle[0] / total * grid.height / height, middle[1] / total * grid.width / width)
            if abs(float(at[0]) - i - 0.5) > 1 or abs(float(at[1]) - j - 0.5) > 1:
                return False
        return True


class Tap(Watch):
    """Calls :meth:`tap` with each result of the named layers.

    Args:
        module: its forward pass is recorded while the mode is active.
        names: names of the layers.
    """

    def __init__(self, module: nn.Module, names: Sequence[str], *args: Any) -> None:
        super().__init__(module, *args)
        self._names = frozenset(names)
        self.calls: Counter[str] = Counter()

    def tap(self, name: str, result: Tensor) -> Tensor:
        """Handle a layer's result; the returned tensor replaces it."""
        return result

    def see(self, name: str, result: Tensor, args: Any) -> Tensor:
        super().see(name, result, args)
        return self._tapped(name, result) if name in self._names else result

    def leave(self, path: str, result: Any) -> Any:
        super().leave(path, result)
        if path not in self._names:
            return None
        if isinstance(result, tuple) and result and isinstance(result[0], Tensor):
            return (self._tapped(path, result[0]), *result[1:])
        if isinstance(result, Mapping) and isinstance(result.get("last_hidden_state"), Tensor):
            # outputs of transformers' encoders
            result["last_hidden_state"] = self._tapped(path, result["last_hidden_state"])  # type: ignore[index]
            return result
        return self._tapped(path, result) if isinstance(result, Tensor) else None

    def _tapped(self, name: str, result: Tensor) -> Tensor:
        self.calls[name] += 1
        return self.tap(name, result)


class Captured(Tap, Survey):
    """Stores the results of the named layers (the last one if a layer is called more than once).

    Args:
        module: its forward pass is recorded while the mode is active.
        names: names of the layers.
        leaf: the images, (N, H, W, C).
    """

    def __init__(self, module: nn.Module, names: Sequence[str], leaf: Tensor) -> None:
        super().__init__(module, names, leaf)
        self._kept: dict[str, Tensor] = {}
        # whether a layer returns its tensor inside something else
        self._wrapped = False

    def output(self, name: str) -> Tensor:
        """Return the layer's output, with its place in the graph."""
        if name not in self._kept:
            raise UnknownName(f"The layer {name!r} was not called in the forward pass, or did not return a tensor.")
        return self._kept[name]

    def is_plain(self, name: str) -> bool:
        """Return whether a layer is a module that returns one map (N, K, h, w)."""
        part = dict(self._module.named_modules()).get(name)
        if part is None or isinstance(part, torch.jit.ScriptModule):
            return False
        grid = None if self._wrapped else self.grid(self.output(name))
        return grid is not None and grid.layout == "first"

    def leave(self, path: str, result: Any) -> Any:
        self._wrapped |= path in self._names and not isinstance(result, Tensor)
        return super().leave(path, result)

    def tap(self, name: str, result: Tensor) -> Tensor:
        self._kept[name] = result
        # return a copy, so that later in-place operators cannot change the stored result
        return result.clone()


class Hooked:
    """Stores the outputs of modules, and records the graph of the forward pass only from there on, or not at all.

    Unlike :class:`Captured` it intercepts no operators, so that it is as fast as a plain forward pass, and learns
    nothing about the grids of the outputs. Call the model with gradients off; they are on from the first output to the
    end of the caller's own context.

    Args:
        module: its forward pass is recorded.
        last: by name of a module that returns one tensor, the number of its last call, from 1.
        graph: whether the graph from there on is recorded.
    """

    def __init__(self, module: nn.Module, last: Mapping[str, int], *, graph: bool = True) -> None:
        self._module, self._last, self._graph = module, last, graph
        self._handles: list[Any] = []
        self._calls: Counter[str] = Counter()
        self.outputs: dict[str, Tensor] = {}

    def __enter__(self) -> Self:
        for name in self._last:
            self._handles.append(self._module.get_submodule(name).register_forward_hook(self._on_leave(name)))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _on_leave(self, name: str) -> Callable[..., Tensor]:
        def hook(_module: nn.Module, _args: Any, result: Tensor) -> Tensor:
            self._calls[name] += 1
            if self._calls[name] != self._last[name]:
                return result
            if not self._graph:
                self.outputs[name] = result.clone()
                return result
            torch.set_grad_enabled(True)
            output = result if result.requires_grad else result.detach().requires_grad_()
            self.outputs[name] = output
            # a copy, so that later in-place operators cannot change the stored result
            return output.clone()

        return hook


class Replaced(Tap):
    """Replaces the result of one call.

    Args:
        module: its forward pass is recorded while the mode is active.
        name: of the layer.
        call: number of the call, from 1.
        put: computes the replacement from the result.
    """

    def __init__(self, module: nn.Module, name: str, call: int, put: Callable[[Tensor], Tensor]) -> None:
        super().__init__(module, [name])
        self._call, self._put = call, put

    def tap(self, name: str, result: Tensor) -> Tensor:
        return self._put(result) if self.calls[name] == self._call else result


def on_grid(array: Tensor, grid: Grid | None) -> Tensor:
    """Convert a layer's output (N, …) to (N, h, w, K); return it unchanged without a grid."""
    if grid is None or grid.layout == "last":
        return array
    if grid.layout == "first":
        return array.permute(0, 2, 3, 1)
    array = array.transpose(0, 1) if grid.layout == "tokens_first" else array
    patches = array[:, grid.before : array.shape[1] - grid.after]
    return patches.reshape(len(array), grid.height, grid.width, array.shape[-1])


def channels_last(array: Tensor, grid: Grid | None) -> Tensor:
    """Convert a layer's output (N, …) to all of its values, channels last: (N, h, w, K), (N, T, K) or (N, K).

    Four axes without a known grid are read as torch's own (N, K, h, w).
    """
    if grid is not None and grid.layout == "tokens_first":
        return array.transpose(0, 1)
    first = array.ndim == 4 and (grid is None or grid.layout == "first")
    return array.permute(0, 2, 3, 1) if first else array


def as_output(values: Tensor, grid: Grid | None, like: Tensor) -> Tensor:
    """Return all values of a layer as its own output `like`: the inverse of :func:`channels_last`."""
    if values.shape != (wanted := channels_last(like, grid).shape):
        raise other_shape("the layer", tuple(wanted), tuple(values.shape))
    turned = values.ndim == 4 and like.ndim == 4 and (grid is None or grid.layout == "first")
    own = values.permute(0, 3, 1, 2) if turned else values
    # a copy: the next operator may write in place
    return (own.transpose(0, 1) if grid is not None and grid.layout == "tokens_first" else own).to(
        like.dtype, copy=True
    )


def off_grid(values: Tensor, grid: Grid | None, like: Tensor) -> Tensor:
    """Convert (N, h, w, K) to the layout of a layer's output `like`; tokens without a position are taken from it."""
    if values.shape != (wanted := on_grid(like, grid).shape):
        raise BadShape(f"Replaced activations must have the layer's shape {tuple(wanted)}, got {tuple(values.shape)}.")
    values = values.to(like.dtype)
    if grid is None or grid.layout == "last":
        return values
    if grid.layout == "first":
        return values.permute(0, 3, 1, 2)
    patches = values.reshape(len(values), -1, values.shape[-1])
    turned = grid.layout == "tokens_first"
    like = like.transpose(0, 1) if turned else like
    rows = torch.cat([like[:, : grid.before], patches, like[:, like.shape[1] - grid.after :]], 1)
    return rows.transpose(0, 1) if turned else rows
