"""The kinds of torch's functions, for which there are rules, independent of their spelling.

Modules, functions and methods (``nn.ReLU``, ``F.relu``, ``torch.relu``, ``Tensor.relu_``) are the same here: all of
them call a function with a name.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from saliency.adapters.torch.ops import TorchOps
from saliency.adapters.torch.precision import wide
from saliency.rules import LINEAR, Change, Ledger

Key = int | str
"""An argument's position or name."""

Arguments = dict[Key, Any]

Depends = Callable[[Any], bool]
"""Returns whether a value depends on the image."""

SAME = {
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "subtract": "sub",
    "negative": "neg",
    "clip": "clamp",
    "bmm": "matmul",
    "mm": "matmul",
    "mv": "matmul",
    "__matmul__": "matmul",
    "__rmatmul__": "rmatmul",
    "__rsub__": "rsub",
    "__rdiv__": "rdiv",
    "__rtruediv__": "rdiv",
    "__rpow__": "rpow",
    "__pow__": "pow",
    "absolute": "abs",
    "swish": "silu",
}
"""Other names of the same function."""

KINDS: Mapping[str, str] = {
    name: kind
    for kind, names in {
        "rectifier": "relu relu6 leaky_relu prelu rrelu elu celu selu gelu silu mish hardswish softplus threshold",
        "activation": "sigmoid tanh hardsigmoid logsigmoid log_sigmoid softsign hardshrink softshrink tanhshrink logit "
        "erf erfc arctan atan expit",
        "elementwise": "exp exp2 expm1 log log1p log2 log10 sqrt rsqrt reciprocal square pow rpow rdiv abs sin cos tan "
        "sinh cosh asin acos asinh acosh atanh clamp_max clamp hardtanh clamp_min nan_to_num frac special_expit",
        "max_pool": "max_pool1d max_pool2d max_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax "
        "max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices max",
        "average": "mean sum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d interpolate upsample nanmean",
        "convolution": "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
        "dense": "linear",
        "batch_norm": "batch_norm",
        "normalization": "layer_norm group_norm instance_norm rms_norm local_response_norm",
        "softmax": "softmax",
        "scale": "neg",
    }.items()
    for name in names.split()
}
"""Kind of a function of one array."""

PAIRS = {"add": "add", "sub": "add", "mul": "multiply", "div": "divide", "matmul": "matmul", "rmatmul": "matmul"}
"""Kind of a function of two arrays that both depend on the image."""

ONE_CONSTANT = {"mul": "scale", "div": "scale", "matmul": "dense", "rmatmul": "dense"}
"""Kind of such a function if one of the two is a constant. (Adding a constant needs no rule.)"""

_PLAIN = (
    "T __get__ __getitem__ __setitem__ add adjoint alpha_dropout argmax as_strided atleast_1d atleast_2d "
    "atleast_3d bfloat16 block_diag broadcast_tensors broadcast_to cat channel_shuffle chunk clone concat "
    "concatenate contiguous copy cpu cuda cumsum detach diagonal double dropout dropout1d dropout2d "
    "dropout3d expand expand_as feature_alpha_dropout fill flatten flip fliplr flipud float fold gather "
    "half hsplit hstack identity index_add index_copy index_put index_select mT masked_fill "
    "masked_scatter masked_select maximum meshgrid minimum moveaxis movedim narrow native_channel_shuffle pad permute "
    "pixel_shuffle pixel_unshuffle ravel real repeat repeat_interleave requires_grad reshape reshape_as "
    "retain_grad roll rot90 scatter scatter_add select set slice_scatter split split_with_sizes squeeze "
    "stack sub swapaxes swapdims t take take_along_dim tensor_split tile to trace transpose tril triu "
    "type type_as unbind unflatten unfold unsqueeze view view_as vsplit vstack where zero"
)
PLAIN = frozenset(_PLAIN.split())
"""Functions that move values or add constants: their plain gradient is correct under every rule."""


CHANNELS = {"conv1d": 0, "conv2d": 0, "conv3d": 0, "linear": 0, "matmul": -1}
"""By function, the axis of its weights for the output's channels."""

ADDED = "added"
"""Key of a bias that is added after the function itself."""


class Call:
    """A call of one operator; implements :class:`saliency.rules.Operator`.

    Args:
        kind: see :mod:`saliency.rules`.
        function: the function called.
        arguments: all of them, by position or name.
        inputs: keys of the inputs that depend on the image.
        weight: key of the weights.
        bias: key of the bias.
    """

    def __init__(
        self,
        kind: str,
        function: Callable[..., Any],
        arguments: Arguments,
        inputs: tuple[Key, ...],
        weight: Key | None = None,
        bias: Key | None = None,
    ) -> None:
        self.kind, self.name, self.first, self.axis = kind, getattr(function, "__name__", ""), False, -1
        self.references: tuple[Any, ...] = ()
        self.ledger: Ledger | None = None
        self._function, self._inputs, self._weight, self._bias = function, inputs, weight, bias
        self.tensors: tuple[Tensor, ...] = tuple(arguments[key] for key in inputs)
        # without the inputs: they would keep the graph, in a cycle where an operator works in place
        self._others = {key: value for key, value in arguments.items() if key not in inputs}
        # functions of the output that belong to the operator; None marks the place of the bias
        self._steps: tuple[Callable[[Tensor], Tensor] | None, ...] = ()
        # of each output channel, by which the weights are multiplied when they are used
        self._factor: Tensor | None = None
        self._own: Evaluated | None = None

    # computed on first use, as most operators follow no rule
    @cached_property
    def kept(self) -> tuple[Tensor, ...]:
        """The inputs' values, detached; replaced by copies before they are overwritten."""
        return tuple(_wide(each.detach()) for each in self.tensors)

    @cached_property
    def _constants(self) -> dict[Any, Any]:
        return {key: _wide(value) for key, value in self._others.items()}

    @cached_property
    def ops(self) -> TorchOps:
        """See :class:`saliency.rules.Operator`."""
        return TorchOps(self.kept[0].device, self.kept[0].dtype)

    @property
    def x(self) -> Any:
        """Its input, or a tuple of two."""
        return self.kept if len(self.kept) > 1 else self.kept[0]

    @cached_property
    def nonnegative(self) -> bool:
        """Whether its one input has no negative value."""
        return len(self.kept) == 1 and self.kept[0].numel() > 0 and bool(self.kept[0].amin() >= 0)

    @property
    def folds_norms(self) -> bool:
        """Whether the channels of its output are surely those that a following batch norm scales."""
        return self.name.startswith("conv") and self.kept[0].ndim > 3 and not any(self._steps)

    @property
    def weight(self) -> Tensor | None:
        """Its weights."""
        weight: Tensor | None = None if self._weight is None else self._constants.get(self._weight)
        return weight if weight is None or self._factor is None else weight * self._factor

    @property
    def bias(self) -> Tensor | None:
        """Its bias."""
        return None if self._bias is None else self._constants.get(self._bias)

    def _copied(self) -> Call:
        one = copy.copy(self)
        one._own = None  # the graph of this operator alone
        return one

    def then(self, step: Callable[[Tensor], Tensor]) -> Call:
        """Return this operator followed by a step, such as a transpose of its output."""
        one = self._copied()
        one._steps = (*self._steps, step)
        return one

    def plus(self, added: Tensor) -> Call | None:
        """Return this operator with `added` in its bias; None if it is not a bias."""
        bias, one = self.bias, self._copied()
        if self._weight is None or sum(n > 1 for n in added.shape) > 1:
            return None
        if bias is None:
            one._bias, one._steps = ADDED, (*self._steps, None)
            one._constants = {**self._constants, ADDED: _wide(added)}
        elif bias.numel() == added.numel():
            one._constants = {**self._constants, self._bias: bias + _wide(added).reshape(bias.shape)}
        return one if bias is None or bias.numel() == added.numel() else None

    def times(self, factor: Tensor) -> Call | None:
        """Return this operator with each output channel scaled; None if `factor` is not one number per channel."""
        bias, one = self.bias, self._copied()
        weight = None if self._weight is None else self._constants.get(self._weight)
        if weight is None or self.name not in CHANNELS or self._inputs != (0,):
            return None
        axis = CHANNELS[self.name] % weight.ndim
        sizes = [weight.shape[axis] if i == axis else 1 for i in range(weight.ndim)]
        if {factor.numel(), max(factor.shape, default=1)} != {weight.shape[axis]}:
            return None
        each = _wide(factor).reshape(sizes)
        one._factor = each if self._factor is None else self._factor * each
        if bias is not None:
            one._constants = {**self._constants, self._bias: bias * _wide(factor).reshape(bias.shape)}
        return one

    def normed(self, norm: Call) -> Call | None:
        """Return this operator with the following batch norm folded into its weights; None if that is not possible."""
        mean, variance, scale, shift = (norm._constants.get(i, norm._constants.get(name)) for i, name in NORM.items())
        factor = (variance + norm._constants.get(7, norm._constants.get("eps", 1e-5))).rsqrt()
        factor = factor if scale is None else factor * scale
        moved = (0.0 if shift is None else shift) - mean * factor
        one = self.times(factor)
        return None if one is None else one.plus(moved.reshape(1, -1, *(1,) * (norm.kept[0].ndim - 2)))

    def returns(self, output: Tensor) -> bool:
        """Return whether its output equals this one; axes may have been moved between it and the merged operators."""
        own = self.run(*self.kept)
        return own.shape == output.shape and torch.allclose(own, output.to(own.dtype), rtol=1e-3, atol=1e-4)

    def run(self, *inputs: Tensor, changed: Mapping[Any, Tensor] | None = None) -> Any:
        """Evaluate the operator on these inputs."""
        given = {**self._constants, **dict(zip(self._inputs, inputs, strict=True)), **(changed or {})}
        if self._factor is not None and self._weight not in (changed or {}):
            given[self._weight] = self.weight
        added = given.pop(ADDED, None)
        positions = sorted(key for key in given if isinstance(key, int))
        named = {key: value for key, value in given.items() if isinstance(key, str)}
        output = self._function(*(given[key] for key in positions), **named)
        for step in self._steps:
            output = output + added if step is None else step(output)
        return output

    def __call__(self, x: Any, weights: Change | None = None, bias: Change | None = None) -> tuple[Any, Any]:
        """See :class:`saliency.rules.Operator`."""
        several = isinstance(x, tuple)
        if weights is None and bias is None and x is self.x and (own := self._own) is not None and own.is_unchanged:
            leaves, y = own.leaves, own.output
            return y.detach(), lambda relevance: _pulled(y, leaves, relevance, several)
        leaves = tuple(each.detach().requires_grad_() for each in (x if several else (x,)))
        changed: dict[Any, Tensor] = {}
        if weights is not None and self.weight is not None:
            changed[self._weight] = weights(self.weight)
        if (change := bias or weights) is not None and self.bias is not None:
            changed[self._bias] = change(self.bias)
        with torch.enable_grad():
            output = self.run(*leaves, changed=changed)
            y = output if isinstance(output, Tensor) else output[0]
        # the rule may overwrite it, and non-linear operators keep their output for their gradient
        copied = weights is not None and self.kind not in LINEAR
        return y.detach().clone() if copied else y.detach(), lambda relevance: _pulled(y, leaves, relevance, several)

    def evaluated(self) -> Any:
        """Return the output for its own input; the graph is kept, so that a rule need not evaluate it again."""
        leaves = tuple(each.detach().requires_grad_() for each in self.kept)
        with torch.enable_grad():
            output = self.run(*leaves)
        self._own = Evaluated(leaves, output if isinstance(output, Tensor) else output[0])
        return output

    def forget(self) -> None:
        """Free the graph that :meth:`evaluated` keeps; a rule that needs it evaluates the operator again."""
        self._own = None


class Evaluated:
    """The graph of an operator from its inputs to its output.

    Args:
        leaves: the inputs.
        output: computed from them.
    """

    def __init__(self, leaves: tuple[Tensor, ...], output: Tensor) -> None:
        self.leaves, self.output = leaves, output
        self._versions = [each._version for each in (*leaves, output)]

    @property
    def is_unchanged(self) -> bool:
        """Whether no in-place operator has overwritten its tensors."""
        return self._versions == [each._version for each in (*self.leaves, self.output)]


def _pulled(output: Tensor, leaves: tuple[Tensor, ...], relevance: Tensor, several: bool) -> Any:
    """Return the gradient by each of the leaves, weighted by the relevance of the output."""
    back = torch.autograd.grad(output, leaves, relevance, retain_graph=True)
    return back if several else _unshared(back[0], relevance)


def _unshared(gradient: Tensor, relevance: Tensor) -> Tensor:
    """Return a gradient in memory of its own, which may be overwritten: some operators return views of `relevance`."""
    memory = gradient.untyped_storage()
    small = memory.nbytes() < gradient.numel() * gradient.itemsize
    shared = memory.data_ptr() == relevance.untyped_storage().data_ptr()
    return gradient.clone(memory_format=torch.contiguous_format) if small or shared else gradient


NORM = {1: "running_mean", 2: "running_var", 3: "weight", 4: "bias"}
"""Arguments of a batch norm."""


def _wide(value: Any) -> Any:
    """Detach a tensor and convert half precision to float32; return other values unchanged."""
    return wide(value.detach()) if isinstance(value, Tensor) else value


def call_of(name: str, function: Callable[..., Any], arguments: Arguments, depends: Depends) -> Call | None:
    """Return the operator that a function call represents; None if there are no rules for it.

    Args:
        name: of the function, without the underscore of the in-place variant.
        function: does not change its inputs.
        arguments: by position or name.
        depends: whether a value depends on the image.
    """
    first, second = key(arguments, 0, "input", "self"), key(arguments, 1, "other", "mat2")
    x = arguments.get(first)
    if name == "einsum":
        return _einsum(function, arguments, depends)
    if name in ("addmm", "baddbmm", "addbmm"):
        return _addmm(name, function, arguments, depends)
    if name in PAIRS:
        return _pair(name, function, arguments, (first, second), depends)
    if name not in KINDS or not isinstance(x, Tensor) or not depends(x):
        return None
    kind = KINDS[name]
    if kind in ("convolution", "dense"):
        weight, bias = key(arguments, 1, "weight"), key(arguments, 2, "bias")
        if depends(arguments[weight]):
            return None
        return Call(kind, function, arguments, (first,), weight, bias if arguments.get(bias) is not None else None)
    if kind == "batch_norm" and arguments.get(key(arguments, 5, "training")):
        return None
    if name in ("clamp", "clamp_min", "hardtanh") and _low(name, arguments) == 0:
        kind = "rectifier"
    if kind == "elementwise" and any(depends(each) for each in arguments.values() if each is not x):
        return None
    call = Call(kind, function, arguments, (first,))
    if kind == "softmax":
        call.axis = _axis(arguments, x)
    return call


@lru_cache(1024)
def possible_kinds(name: str) -> frozenset[str]:
    """Return the kinds that :func:`call_of` may give a function of this name."""
    found = {KINDS.get(name), PAIRS.get(name), ONE_CONSTANT.get(name)} - {None}
    if name in ("clamp", "clamp_min", "hardtanh"):
        found.add("rectifier")
    if name == "div":
        found.add("elementwise")
    if name in ("einsum", "addmm", "baddbmm"):
        found |= {"average", "dense", "matmul"}
    return frozenset(cast(set[str], found))


def key(arguments: Arguments, position: int, *names: str) -> Key:
    """Return the key of an argument that has a position and names."""
    return next((name for name in names if name in arguments), position)


def _pair(
    name: str, function: Callable[..., Any], arguments: Arguments, places: tuple[Key, Key], depends: Depends
) -> Call | None:
    first, second = places
    dependent = tuple(each for each in (first, second) if depends(arguments.get(each)))
    if len(dependent) == 2:
        return Call(PAIRS[name], function, arguments, dependent)
    if len(dependent) == 0 or name not in ONE_CONSTANT:
        return None
    if name == "div" and dependent == (second,):
        return Call("elementwise", function, arguments, dependent)
    kind = ONE_CONSTANT[name]
    constant = second if dependent == (first,) else first
    return Call(kind, function, arguments, dependent, constant if kind == "dense" else None)


def _einsum(function: Callable[..., Any], arguments: Arguments, depends: Depends) -> Call | None:
    operands = arguments.get(1)
    if isinstance(operands, list | tuple):
        arguments = {0: arguments[0], **{i + 1: each for i, each in enumerate(operands)}}
    places = [place for place, value in arguments.items() if isinstance(value, Tensor)]
    dependent = tuple(place for place in places if depends(arguments[place]))
    if not isinstance(arguments.get(0), str) or len(places) > 2 or not dependent:
        return None
    if len(places) == 1:
        return Call("average", function, arguments, dependent)
    if len(dependent) == 2:
        return Call("matmul", function, arguments, dependent)
    return Call("dense", function, arguments, dependent, next(place for place in places if place not in dependent))


def _addmm(name: str, function: Callable[..., Any], arguments: Arguments, depends: Depends) -> Call | None:
    left, right = key(arguments, 1, "mat1", "batch1"), key(arguments, 2, "mat2", "batch2")
    bias = key(arguments, 0, "input", "self")
    factors = arguments.get("beta", 1), arguments.get("alpha", 1)
    if depends(arguments[bias]) or factors[0] not in (0, 1) or name == "addbmm":
        return None
    dependent = tuple(each for each in (left, right) if depends(arguments[each]))
    if len(dependent) == 2:
        # a term added to attention scores is a mask, which takes no part in the product
        return Call("matmul", function, {**arguments, "beta": 0}, dependent) if factors[0] == 0 else None
    weight = right if dependent == (left,) else left
    return Call("dense", function, arguments, dependent, weight, bias) if dependent else None


def _low(name: str, arguments: Arguments) -> Any:
    named, default = ("min_val", -1.0) if name == "hardtanh" else ("min", None)
    low = arguments.get(key(arguments, 1, named), default)
    return None if isinstance(low, Tensor) else low


def _axis(arguments: Arguments, x: Tensor) -> int:
    axis = arguments.get(key(arguments, 1, "dim"))
    if axis is None:  # torch's default
        axis = 0 if x.ndim in (0, 1, 3) else 1
    return int(axis) % x.ndim


def canonical_name(name: str, arguments: Arguments, depends: Depends) -> str:
    """Return the name of a function's operation, if one name has two meanings."""
    first, second = arguments.get(key(arguments, 0, "input")), arguments.get(key(arguments, 1, "other"))
    if name in ("max", "min") and isinstance(second, Tensor):
        return name + "imum"
    if name == "sub" and not depends(first):
        return "rsub_of"
    return name


@lru_cache(1024)
def base_name(function: Callable[..., Any]) -> tuple[str, bool]:
    """Return a function's name without the in-place suffix, and whether it writes into its input."""
    name = getattr(function, "__name__", str(function))
    in_place = name.endswith("_") and not name.endswith("__")
    name = name.rstrip("_") if in_place else name
    return SAME.get(name, name), in_place


def out_of_place(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the out-of-place variant of an in-place function."""
    for place in (torch.Tensor, torch, functional):
        if hasattr(place, name):
            return getattr(place, name)
    return function


@lru_cache(256)
def place_of_inplace(function: Callable[..., Any]) -> int | None:
    """Return the position of the `inplace` argument of a Python function; None for all others."""
    if not isinstance(inspect.unwrap(function), FunctionType):
        return None
    names = list(inspect.signature(function).parameters)
    return names.index("inplace") if "inplace" in names else None
