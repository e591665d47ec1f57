"""Backward passes of a torch model by rules, operator by operator.

Functions are intercepted when they are called (``TorchFunctionMode``), so the model is not changed: module, functional,
in-place and reused operators are treated alike, and nothing has to be restored.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from saliency.adapters.torch.decompositions import ALWAYS, OPENED, inside
from saliency.adapters.torch.operators import (
    KINDS,
    PLAIN,
    Arguments,
    Call,
    base_name,
    call_of,
    canonical_name,
    out_of_place,
    place_of_inplace,
    possible_kinds,
)
from saliency.adapters.torch.ops import TorchOps
from saliency.adapters.torch.precision import HALF, wide, without_autocast
from saliency.errors import Unsupported
from saliency.rules import LINEAR, Composite, Ledger, PassOn, Rule, ThenGradient

Change = Callable[[Tensor], Tensor]
"""A function that changes relevance."""

OUT_OF_SIGHT = "a custom autograd.Function or scripted function"
"""Name of operators that no mode intercepts, in notes."""

SCRIPTED = "contains scripted code (torch.jit), whose operators are not visible: pass the module before scripting"
"""Ends the reason why some modules follow no rules; the module's name precedes it."""

TURNS = frozenset({"permute", "transpose", "movedim", "swapaxes", "contiguous"})
"""Functions that permute axes, as between channels-last and channels-first code."""

CASTS = frozenset({"to", "half", "bfloat16", "type"})
"""Functions that convert to another type."""

UNTOUCHED = frozenset({"__get__", "requires_grad", "backward", "register_hook", "retain_grad", "size", "dim"})
"""Functions that do not use a tensor's values."""


class Follow(torch.autograd.Function):
    """An operator with its own forward pass, and a backward pass by its rule."""

    @staticmethod
    def forward(ctx: Any, call: Call, rule: Rule, output: list[Tensor], *inputs: Tensor) -> Tensor:
        """Return the output, which is already computed."""
        ctx.call, ctx.rule, ctx.dtypes = call, rule, [each.dtype for each in inputs]
        return output.pop()

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> Any:
        """Return the rule's relevance of the inputs, from that of the output."""
        call: Call = ctx.call
        arrived = relevance[0].to(call.kept[0].dtype)
        back = ctx.rule(call, call.x, arrived)
        several = back if isinstance(back, tuple) else (back,)
        if call.ledger is not None:
            call.ledger.passed(call, arrived, several)
        return None, None, None, *(part.to(dtype) for part, dtype in zip(several, ctx.dtypes, strict=True))


class Passed(torch.autograd.Function):
    """An operator of one value with its own forward pass, whose relevance is passed on; nothing is kept."""

    @staticmethod
    def forward(ctx: Any, change: Change | None, run: Callable[[], Tensor], in_place: bool, x: Tensor) -> Tensor:
        """Return the output, shaped like the input.

        Args:
            ctx: of the function.
            change: of the relevance; None for none.
            run: evaluates the operator, and writes into `x` if it is `in_place`.
            in_place: whether it does.
            x: the input.
        """
        ctx.change, ctx.dtype = change, x.dtype
        output = run()
        if in_place:
            ctx.mark_dirty(x)
        return x if in_place else output.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> Any:
        """Return the changed relevance."""
        (arrived,) = relevance
        return None, None, None, arrived if ctx.change is None else ctx.change(wide(arrived)).to(ctx.dtype)


class Own(NamedTuple):
    """A function call as the model makes it."""

    run: Callable[[], Any]
    """Calls the function."""
    writes: Tensor | None
    """The tensor that it overwrites; None for none."""


class Made:
    """The origin of a tensor.

    Args:
        weighted: whether an operator with weights is between it and the image.
        call: the operator that returned it.
        image: whether it depends on the image; parameters may require gradients without depending on it.
    """

    def __init__(self, weighted: bool, call: Call | None = None, image: bool = True) -> None:
        self.weighted, self.call, self.image = weighted, call, image
        self._versions = [] if call is None else [each._version for each in call.tensors]

    @property
    def fresh(self) -> bool:
        """Whether the call's inputs are unchanged since."""
        return self.call is not None and self._versions == [each._version for each in self.call.tensors]


class Origins:
    """The origin of tensors, by identity.

    An entry outlives its tensor, but never longer than the forward pass, whose graph holds more.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], Made]] = {}

    def of(self, tensor: Tensor) -> Made | None:
        """Return the origin of a tensor; None if it is not known."""
        known = self._known.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def keep(self, tensor: Tensor, made: Made) -> None:
        """Keep the origin of a tensor."""
        self._known[id(tensor)] = weakref.ref(tensor), made


class Rewire(TorchFunctionMode):
    """While active, operators that depend on the image follow the rules of a composite.

    Rules divide by differences and sums of activations in every operator, so a half-precision model computes in float32
    meanwhile, with unchanged weights.

    Args:
        rules: map operators to rules.
        references: the calls recorded in the forward pass of each reference.
        recording: whether calls are recorded as a reference, instead of following rules.
        ledger: counts the relevance that operators lose; None counts nothing.
    """

    def __init__(
        self,
        rules: Composite,
        references: Sequence[list[Call]] = (),
        recording: bool = False,
        ledger: Ledger | None = None,
    ) -> None:
        super().__init__()
        self._ledger = ledger
        self.kinds: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.recorded: list[Call] = []
        self._rules, self._references, self._recording = rules, references, recording
        self._made = Origins()
        self._indifferent: dict[Any, bool] = {}
        self._without_rule: dict[Any, bool] = {}
        # calls by the memory that they use, so that it can be copied before it is overwritten
        self._lent: dict[int, list[Call]] = {}
        self._followed: list[Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # nothing is written that a rule still needs, and nothing need be known about the result
        if not self._lent and self._is_indifferent(func) and _is_full(args, kwargs):
            return func(*args, **kwargs)
        if self._follows_nothing(func) and self._is_plain(func, args, kwargs):
            result = func(*args, **kwargs)
            self._remember([args[0]], result, overwritten=False)
            self.kinds.update(possible_kinds(base_name(func)[0]))
            return result
        tensors = _tensors(args, kwargs)
        if not tensors or not torch.is_autocast_enabled(tensors[0].device.type):
            return self._called(func, args, kwargs, tensors)
        with without_autocast(tensors[0].device):
            return self._called(func, args, kwargs, tensors)

    def _is_indifferent(self, func: Any) -> bool:
        """Return whether calls of a function follow no rule, and no rule depends on them."""
        known = self._indifferent.get(func)
        if known is None:
            rules, (name, _) = self._rules, base_name(func)
            watches = rules.folds or rules.opens or rules.exhaustive or rules.accounts or rules.first is not None
            kinds = possible_kinds(name)
            whole = bool(kinds) or name in PLAIN or inside(func) is None
            known = whole and not watches and kinds.isdisjoint(kind for kind, _ in rules.rules)
            self._indifferent[func] = known
        return known

    def _follows_nothing(self, func: Any) -> bool:
        """Return whether calls of a function follow no rule if only their first argument depends on the image."""
        known = self._without_rule.get(func)
        if known is None:
            rules, (name, in_place) = self._rules, base_name(func)
            kinds = possible_kinds(name)
            fixed = (len(kinds) == 1 and name in KINDS) or (not kinds and name in PLAIN)
            fixed = fixed and not in_place and place_of_inplace(func) is None and name not in {"__setitem__", *CASTS}
            opened = name in OPENED or name in ALWAYS or not kinds.isdisjoint(OPENED)
            ruled = {kind for kind, _ in rules.rules}
            known = fixed and not opened and not rules.folds and rules.first is None and kinds.isdisjoint(ruled)
            self._without_rule[func] = known
        return known

    def _is_plain(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> bool:
        """Return whether the first argument of a call is known to depend on the image, and no other can."""
        first, *others = _tensors(args, kwargs) or (None,)
        made = None if first is None or first is not args[0] else self._made.of(first)
        if made is None or not made.image or any(each.requires_grad for each in others) or "out" in kwargs:
            return False
        trains = base_name(func)[0] == "batch_norm" and (len(args) < 6 or args[5])
        return not trains and torch.is_grad_enabled() and _is_full(args, kwargs)

    def _called(self, func: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> Any:
        name, in_place = base_name(func)
        if not in_place and "out" not in kwargs and name != "__setitem__" and any(t.dtype in HALF for t in tensors):
            args, kwargs = self._widened(args, kwargs, tensors)
            tensors = _tensors(args, kwargs)
        arguments = _arguments(args, kwargs)
        silent = out_of_place(name, func) if in_place else func
        if (place := place_of_inplace(func)) is not None:
            in_place = bool(kwargs["inplace"] if "inplace" in kwargs else len(args) > place and args[place])
            silent = func
            if in_place:
                arguments["inplace" if "inplace" in kwargs else place] = False
        target: Any = arguments.get(0, arguments.get("input", arguments.get("self")))
        writes = kwargs.get("out") if "out" in kwargs else target if in_place or name == "__setitem__" else None
        own = Own(partial(func, *args, **kwargs), target if in_place else None)
        result = self._replaced(name, silent, arguments, tensors, own)
        if isinstance(writes, Tensor):
            self._before_writing(writes)
        if result is NotImplemented:
            result = func(*args, **kwargs)
            if name in CASTS and isinstance(result, Tensor) and result.dtype in HALF and _carries(target):
                result = target.to(result.device, copy=True)
        elif in_place and result is not target:
            result = target.copy_(result)
        self._remember(tensors, result, overwritten=in_place)
        return result

    def _widened(self, args: Any, kwargs: Any, tensors: list[Tensor]) -> tuple[Any, Any]:
        """Return the arguments in float32 if values that depend on the image are float32 and others are not."""
        if not any(map(_carries, tensors)):
            return args, kwargs

        def widened(value: Any) -> Any:
            if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
                return type(value)(map(widened, value))
            if not isinstance(value, Tensor) or value.dtype not in HALF:
                return value
            self._remember([value], found := wide(value), overwritten=True)
            return found

        return tuple(map(widened, args)), {name: widened(value) for name, value in kwargs.items()}

    def _replaced(
        self, name: str, function: Callable[..., Any], arguments: Arguments, tensors: list[Tensor], own: Own
    ) -> Any:
        """Return the function's result by a rule or decomposed; NotImplemented if it is to be called unchanged."""
        dependent = [each for each in tensors if self._depends(each)]
        if not dependent or not torch.is_grad_enabled() or name in UNTOUCHED or arguments.get("out") is not None:
            return NotImplemented
        if any(self._made.of(each) is None for each in dependent):
            self.unknown[OUT_OF_SIGHT] += 1
        name = canonical_name(name, arguments, self._depends)
        if self._rules.folds and (result := self._as_one(name, function, arguments)) is not NotImplemented:
            return result
        call = call_of(name, function, arguments, self._depends)
        if call is not None:
            call.first = not any(map(self._is_weighted, call.tensors))
            if (result := self._follow(call, own)) is not NotImplemented:
                return result
        if (decomposed := self._decomposition(name, function, call)) is not None:
            with self:
                return decomposed(*_positional(arguments), **_named(arguments))
        if call is not None:
            self.kinds[call.kind] += 1
        elif name not in PLAIN:
            self.unknown[name] += 1
        return NotImplemented

    def _decomposition(self, name: str, function: Callable[..., Any], call: Call | None) -> Callable[..., Any] | None:
        """Return the function that computes an operator by simpler ones; None if it is not decomposed."""
        known = OPENED.get(name if call is None or name in OPENED else call.kind) if self._rules.opens else None
        if known is not None or call is not None:
            return known
        # fused attention is decomposed only if there are rules for its parts
        fused = ALWAYS.get(name) if self._rules.exhaustive else None
        return fused or (None if name in PLAIN else inside(function))

    def _follow(self, call: Call, own: Own | None = None) -> Any:
        """Return the operator's result, with its rule in the backward pass; NotImplemented without a rule."""
        known: Any = None
        if call.kind == "batch_norm" and (before := self._before(call.tensors[0])) is not None:
            one = before.normed(call)
            with torch.no_grad():
                known = call.run(*call.kept)
            # otherwise axes may have been moved between the two
            if one is not None and (before.folds_norms or one.returns(known)):
                call = one
                before.forget()
        if (rule := self._rules.rule(call)) is None:
            return NotImplemented
        self.kinds[call.kind] += 1
        if own is not None and (result := self._without_values(call, rule, own)) is not NotImplemented:
            return result
        for each in call.kept:
            self._lent.setdefault(each.untyped_storage().data_ptr(), []).append(call)
        if self._recording:
            self.recorded.append(call)
            output = call.run(*map(wide, call.tensors))
            result = _first(output).to(call.tensors[0].dtype)
        else:
            call.ledger = self._ledger
            call.references = tuple(self._reference(each, call) for each in self._references)
            self._followed.append(call)
            output = call.evaluated() if known is None else known
            first = [_first(output).detach().to(call.tensors[0].dtype)]
            result = Follow.apply(call, rule, first, *call.tensors)  # type: ignore[no-untyped-call]
        self._made.keep(result, Made(call.kind in LINEAR or any(map(self._is_weighted, call.tensors)), call))
        return result if isinstance(output, Tensor) else type(output)((result, *output[1:]))

    def _without_values(self, call: Call, rule: Rule, own: Own) -> Any:
        """Return the result of an operator whose rule does not need its values; NotImplemented if it does."""
        x, *others = call.tensors
        if others or x.dtype in HALF or not isinstance(rule, ThenGradient | PassOn):
            return NotImplemented
        if self._rules.accounts and not (isinstance(rule, PassOn) and rule.change is None):
            return NotImplemented  # the losses of the others are counted where they are followed
        change = None if rule.change is None else partial(rule.change, TorchOps(x.device, x.dtype))
        if isinstance(rule, ThenGradient):
            if own.writes is not None:
                self._before_writing(own.writes)
            result = own.run()
            if change is not None and not self._recording:
                _first(result).register_hook(change)
            return result
        if own.writes is not None and not x._is_view():
            self._before_writing(own.writes)
            result = Passed.apply(change, own.run, True, x)  # type: ignore[no-untyped-call]
        else:
            with torch.no_grad():
                output = own.run()
            if not isinstance(output, Tensor) or output.shape != x.shape:
                return NotImplemented
            result = Passed.apply(change, lambda: output, False, x)  # type: ignore[no-untyped-call]
        self._made.keep(result, Made(call.kind in LINEAR or self._is_weighted(x)))
        return result

    def _reference(self, recorded: list[Call], call: Call) -> Any:
        """Return the operator's input in the forward pass of a reference."""
        place = len(self._followed)
        there = recorded[place] if place < len(recorded) else None
        shapes = [each.shape for each in call.kept]
        if there is None or there.kind != call.kind or [each.shape for each in there.kept] != shapes:
            raise Unsupported(
                "Your model runs other operators on the baseline than on the image (they depend on the values), "
                "so the two cannot be compared operator by operator. Use a method that needs only gradients."
            )
        return there.x

    def _before(self, tensor: Tensor) -> Call | None:
        """Return the operator with weights that returned a tensor, if rules fold the next operator into it."""
        made = self._made.of(tensor) if self._rules.folds else None
        call = None if made is None or not made.fresh else made.call
        return call if call is not None and call.kind in LINEAR else None

    def _as_one(self, name: str, function: Callable[..., Any], arguments: Arguments) -> Any:
        """Return the result if a bias, scale, norm or transpose is folded into the operator with weights before it."""
        x, other = arguments.get(0), arguments.get(1)
        if not isinstance(x, Tensor) or (before := self._before(x)) is None:
            return NotImplemented
        if name in ("add", "sub", "mul", "div") and isinstance(other, Tensor) and len(arguments) == 2:
            one = None if self._depends(other) else before.plus(other) if name == "add" else before.plus(-other)
            if name in ("mul", "div") and not self._depends(other):
                one = before.times(other if name == "mul" else 1 / other)
            if one is not None and one.returns(function(x.detach(), other.detach())):
                return self._follow(one)
        if name in TURNS and all(isinstance(place, int) for place in arguments):
            rest = [value for place, value in arguments.items() if place != 0]
            result = function(x, *rest)
            self._made.keep(result, Made(True, before.then(lambda y: function(y, *rest))))
            return result
        return NotImplemented

    def _depends(self, value: Any) -> bool:
        """Return whether a value depends on the image, or may: if its operators were not intercepted, it does."""
        if not isinstance(value, Tensor) or not value.requires_grad or value.grad_fn is None:
            return False
        made = self._made.of(value)
        return made is None or made.image

    def _is_weighted(self, tensor: Tensor) -> bool:
        made = self._made.of(tensor)
        return made is not None and made.weighted

    def _remember(self, inputs: list[Tensor], result: Any, overwritten: bool) -> None:
        """Record the origin of the result, and whether an operator with weights precedes it."""
        found = [result] if isinstance(result, Tensor) else _tensors([result])
        outputs = [each for each in found if each.requires_grad and (overwritten or self._made.of(each) is None)]
        if outputs:
            weighted = any(map(self._is_weighted, inputs))
            # the image is a leaf that is not a parameter
            leaves = (each.requires_grad and each.is_leaf and not isinstance(each, nn.Parameter) for each in inputs)
            image = any(map(self._depends, inputs)) or any(leaves)
            made = Made(weighted, image=image)
            for each in outputs:
                self._made.keep(each, made)

    def release(self) -> None:
        """Release the tensors of the graph after the forward pass.

        An in-place operator creates a reference cycle of a tensor's graph and the call that holds the tensor. It goes
        through C++, where Python's garbage collector does not find it.
        """
        for call in self._followed:
            call.tensors = ()

    def _before_writing(self, target: Tensor) -> None:
        """Copy the values that rules need from memory that is about to be overwritten."""
        place = target.untyped_storage().data_ptr()
        for call in self._lent.pop(place, ()):
            call.kept = tuple(
                each.clone() if each.untyped_storage().data_ptr() == place else each for each in call.kept
            )


def run_by_rules(
    rules: Composite,
    forward: Callable[[Tensor], tuple[Tensor, Tensor]],
    images: Tensor,
    notes: list[str],
    ledger: Ledger | None = None,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return the leaf and the scores of the images under the rules, and the scores of the references.

    Args:
        rules: map operators to rules.
        forward: evaluates the model on images; returns them as a leaf, and scores with a graph from there.
        images: (N, H, W, C), or (N, 1 + references, H, W, C).
        notes: receives a note on operators that follow no rule.
        ledger: counts the relevance that operators lose in the backward pass.
    """
    recorded, references = [], []
    for i in range(rules.references):
        with Rewire(rules, recording=True) as watch:
            references.append(forward(images[:, 1 + i])[1].detach())
        recorded.append(watch.recorded)
    with Rewire(rules, recorded, ledger=ledger) as watch:
        try:
            leaf, scores = forward(images[:, 0] if rules.references else images)
        finally:
            watch.release()
    if rules.required and not rules.exhaustive and watch.kinds.keys().isdisjoint(rules.required):
        with Rewire(replace(rules, exhaustive=True)) as watch:  # the error names all operators
            forward(images)
    rules.require(watch.kinds, watch.unknown)
    notes += [note for note in rules.notes(watch.unknown) if note not in notes]
    return leaf, scores, references


def kinds_of(forward: Callable[[Tensor], object], images: Tensor) -> frozenset[str]:
    """Return the kinds of operators that the model applies to images."""
    with Rewire(Composite((), exhaustive=True)) as watch:
        forward(images)
    return frozenset(watch.kinds)


def scripted(module: nn.Module) -> bool:
    """Return whether the module, or a part of it, is a ``torch.jit.ScriptModule``."""
    return any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())


def _is_full(args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Return whether a call computes in full precision, outside of autocast."""
    tensors = _tensors(args, kwargs)
    if any(each.dtype in HALF for each in tensors):
        return False
    return not tensors or not torch.is_autocast_enabled(tensors[0].device.type)


def _carries(value: Any) -> bool:
    """Return whether a value requires a gradient and is of full precision."""
    made = isinstance(value, Tensor) and value.requires_grad and not isinstance(value, nn.Parameter)
    return made and value.dtype not in HALF


def _arguments(args: Any, kwargs: Any) -> Arguments:
    return {**dict(enumerate(args)), **kwargs}


def _positional(arguments: Arguments) -> list[Any]:
    """Return the positional arguments in order."""
    return [arguments[place] for place in sorted(place for place in arguments if isinstance(place, int))]


def _named(arguments: Arguments) -> dict[str, Any]:
    """Return the keyword arguments."""
    return {name: value for name, value in arguments.items() if isinstance(name, str)}


def _first(output: Any) -> Tensor:
    """Return an operator's output, or the first of several."""
    first: Tensor = output if isinstance(output, Tensor) else output[0]
    return first


def _tensors(values: Iterable[Any], named: Mapping[str, Any] = MappingProxyType({})) -> list[Tensor]:
    """Return the tensors among values, and in their lists and tuples."""
    found = []
    for each in (*values, *named.values()) if named else values:
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, list | tuple) and not isinstance(each, torch.Size):
            found += _tensors(each)
    return found
