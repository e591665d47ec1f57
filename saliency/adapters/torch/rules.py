"""A torch model's backward pass made to follow rules, operator by operator, for the length of one question.

Functions are intercepted as they are called (``TorchFunctionMode``), so nothing of the model is changed: module,
functional, in-place and reused operators are all the same, and there is nothing to undo.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from saliency.adapters.torch.decompositions import ALWAYS, OPENED, inside
from saliency.adapters.torch.operators import (
    PLAIN,
    Arguments,
    Call,
    apart,
    call_of,
    meant,
    signature_of,
    spelt,
)
from saliency.adapters.torch.precision import HALF, wide, without_autocast
from saliency.errors import Unsupported
from saliency.rules import LINEAR, Composite, Ledger, Rule

T = TypeVar("T")

OUT_OF_SIGHT = "a custom autograd.Function or scripted function"
"""What stands for operators that no mode sees."""

SCRIPTED = "contains scripted code (torch.jit), whose operators are not visible: pass the module before scripting"
"""Ends the reason why some modules follow no rules; the module's name precedes it."""

TURNS = frozenset({"permute", "transpose", "movedim", "swapaxes", "contiguous"})
"""Functions that turn axes about, as where channels come last outside a function and first inside."""

CASTS = frozenset({"to", "half", "bfloat16", "type"})
"""Functions by which a model turns what it computes to a type of its own."""

UNTOUCHED = frozenset({"__get__", "requires_grad", "backward", "register_hook", "retain_grad", "size", "dim"})
"""Functions that make nothing of a tensor's values."""


class Follow(torch.autograd.Function):
    """An operator that goes forward as it is and backward by its rule."""

    @staticmethod
    def forward(ctx: Any, call: Call, rule: Rule, output: list[Tensor], *inputs: Tensor) -> Tensor:
        """Return the output, which was computed already."""
        ctx.call, ctx.rule, ctx.dtypes = call, rule, [each.dtype for each in inputs]
        return output.pop()

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> Any:
        """What the rule makes of what came back."""
        call: Call = ctx.call
        arrived = relevance[0].to(call.kept[0].dtype)
        back = ctx.rule(call, call.x, arrived)
        several = back if isinstance(back, tuple) else (back,)
        if call.ledger is not None:
            call.ledger.passed(call, arrived, several)
        return None, None, None, *(part.to(dtype) for part, dtype in zip(several, ctx.dtypes, strict=True))


class Made:
    """How a tensor came to be.

    Args:
        behind: whether an operator with weights lies between it and the image.
        call: the operator whose output it is.
        image: whether it was made of the image at all; parameters need gradients too, where they may not be touched.
    """

    def __init__(self, behind: bool, call: Call | None = None, image: bool = True) -> None:
        self.behind, self.call, self.image = behind, call, image
        self._versions = [] if call is None else [each._version for each in call.tensors]

    @property
    def fresh(self) -> bool:
        """Whether the call's inputs are still what they were."""
        return self.call is not None and self._versions == [each._version for each in self.call.tensors]


class Rewire(TorchFunctionMode):
    """While on, operators that depend on the image follow the rules of a composite.

    Rules divide by differences and sums of activations, and relevance is passed on through every operator: a model of
    few digits is computed in float32 meanwhile, with its weights as they are.

    Args:
        rules: which operator follows which.
        references: the calls that were recorded while the model saw each of the references.
        recording: whether calls are recorded for the images to come, instead of followed.
        ledger: where it is counted what the operators lose; nowhere by default.
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
        self._made: Any = WeakIdKeyDictionary()
        # which calls keep a memory, so that it can be copied for them before anyone writes over it
        self._lent: dict[int, list[Call]] = {}
        self._followed: list[Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first = next(_tensors(args), None)
        with nullcontext() if first is None else without_autocast(first.device):
            return self._called(func, args, kwargs or {})

    def _called(self, func: Any, args: Any, kwargs: Any) -> Any:
        name, in_place = spelt(func)
        if not in_place and "out" not in kwargs and name != "__setitem__":
            args, kwargs = self._widened(args, kwargs)
        arguments = _arguments(args, kwargs)
        silent = apart(name, func) if in_place else func
        if (signature := signature_of(func)) is not None:
            bound = signature.bind(*args, **kwargs)
            in_place = bool(bound.arguments.get("inplace"))
            bound.arguments["inplace"] = False
            silent, arguments = func, _arguments(bound.args, bound.kwargs)
        target: Any = arguments.get(0, arguments.get("input", arguments.get("self")))
        writes = kwargs.get("out") if "out" in kwargs else target if in_place or name == "__setitem__" else None
        result = self._answer(name, silent, arguments)
        if isinstance(writes, Tensor):
            self._before_writing(writes)
        if result is NotImplemented:
            result = func(*args, **kwargs)
            if name in CASTS and isinstance(result, Tensor) and result.dtype in HALF and _carries(target):
                result = target.to(result.device, copy=True)
        elif in_place:
            result = target.copy_(result)
        self._remember(arguments, result, anew=in_place)
        return result

    def _widened(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """The arguments, all in float32 where what depends on the image is and weights, say, are not."""
        tensors = list(_tensors((*args, *kwargs.values())))
        if not any(each.dtype in HALF for each in tensors) or not any(map(_carries, tensors)):
            return args, kwargs

        def widened(value: Any) -> Any:
            if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
                return type(value)(map(widened, value))
            if not isinstance(value, Tensor) or value.dtype not in HALF:
                return value
            self._remember({0: value}, found := wide(value), anew=True)
            return found

        return tuple(map(widened, args)), {name: widened(value) for name, value in kwargs.items()}

    def _answer(self, name: str, function: Callable[..., Any], arguments: Arguments) -> Any:
        """The function's result, followed or opened up; NotImplemented where it is to be called as it is."""
        dependent = [each for each in _tensors(arguments.values()) if self._depends(each)]
        if not dependent or not torch.is_grad_enabled() or name in UNTOUCHED or arguments.get("out") is not None:
            return NotImplemented
        if any(each not in self._made for each in dependent):
            self.unknown[OUT_OF_SIGHT] += 1
        name = meant(name, arguments, self._depends)
        if self._rules.folds and (result := self._as_one(name, function, arguments)) is not NotImplemented:
            return result
        call = call_of(name, function, arguments, self._depends)
        opened = OPENED.get(name if call is None or name in OPENED else call.kind) if self._rules.opens else None
        if call is not None:
            call.first = not any(map(self._behind, call.tensors))
            if (result := self._follow(call)) is not NotImplemented:
                return result
        elif opened is None:
            # a fused attention is opened up only for who has rules for its parts
            fused = ALWAYS.get(name) if self._rules.exhaustive else None
            opened = fused or (None if name in PLAIN else inside(function))
        if opened is not None:
            places = sorted(place for place in arguments if isinstance(place, int))
            with self:
                return opened(
                    *(arguments[place] for place in places),
                    **{place: value for place, value in arguments.items() if isinstance(place, str)},
                )
        if call is not None:
            self.kinds[call.kind] += 1
        elif name not in PLAIN:
            self.unknown[name] += 1
        return NotImplemented

    def _follow(self, call: Call) -> Any:
        """The operator's result, with its rule on the way back; NotImplemented if it has none."""
        if call.kind == "batch_norm" and (before := self._before(call.tensors[0])) is not None:
            one = before.normed(call)
            call = one if one is not None and one.says(call.run(*call.kept)) else call
        if (rule := self._rules.rule(call)) is None:
            return NotImplemented
        self.kinds[call.kind] += 1
        for each in call.kept:
            self._lent.setdefault(each.untyped_storage().data_ptr(), []).append(call)
        if self._recording:
            self.recorded.append(call)
            said = call.run(*map(wide, call.tensors))
            result = (said if isinstance(said, Tensor) else said[0]).to(call.tensors[0].dtype)
        else:
            call.ledger = self._ledger
            call.references = tuple(self._reference(each, call) for each in self._references)
            self._followed.append(call)
            with torch.no_grad():
                said = call.run(*call.kept)
            output = [(said if isinstance(said, Tensor) else said[0]).to(call.tensors[0].dtype)]
            result = Follow.apply(call, rule, output, *call.tensors)  # type: ignore[no-untyped-call]
        self._made[result] = Made(call.kind in LINEAR or any(map(self._behind, call.tensors)), call)
        return result if isinstance(said, Tensor) else type(said)((result, *said[1:]))

    def _reference(self, recorded: list[Call], call: Call) -> Any:
        """What the operator's input was when the model saw a reference."""
        place = len(self._followed)
        there = recorded[place] if place < len(recorded) else None
        shapes = [each.shape for each in call.kept]
        if there is None or there.kind != call.kind or [each.shape for each in there.kept] != shapes:
            raise Unsupported(
                "The model runs other operators on the baseline than on the image (they depend on the values), "
                "so the two cannot be compared operator by operator. Use a method that needs only gradients."
            )
        return there.x

    def _before(self, tensor: Tensor) -> Call | None:
        """The operator with weights whose output a tensor is, if rules take it with what follows as one."""
        made = self._made.get(tensor) if self._rules.folds else None
        return made.call if made is not None and made.fresh and made.call.kind in LINEAR else None

    def _as_one(self, name: str, function: Callable[..., Any], arguments: Arguments) -> Any:
        """The result where an operator with weights gets a bias or a scale, as a norm is, or its output is turned."""
        x, other = arguments.get(0), arguments.get(1)
        if not isinstance(x, Tensor) or (before := self._before(x)) is None:
            return NotImplemented
        if name in ("add", "sub", "mul", "div") and isinstance(other, Tensor) and len(arguments) == 2:
            one = None if self._depends(other) else before.plus(other) if name == "add" else before.plus(-other)
            if name in ("mul", "div") and not self._depends(other):
                one = before.times(other if name == "mul" else 1 / other)
            if one is not None and one.says(function(x.detach(), other.detach())):
                return self._follow(one)
        if name in TURNS and all(isinstance(place, int) for place in arguments):
            rest = [value for place, value in arguments.items() if place != 0]
            result = function(x, *rest)
            self._made[result] = Made(True, before.then(lambda y: function(y, *rest)))
            return result
        return NotImplemented

    def _depends(self, value: Any) -> bool:
        """Whether a value depends on the image; what was made out of sight may, so it does."""
        if not isinstance(value, Tensor) or not value.requires_grad or value.grad_fn is None:
            return False
        made = self._made.get(value)
        return made is None or made.image

    def _behind(self, tensor: Tensor) -> bool:
        made = self._made.get(tensor)
        return made is not None and made.behind

    def _remember(self, arguments: Arguments, result: Any, anew: bool) -> None:
        """Pass on whether an operator with weights lies behind."""
        outputs = [each for each in _tensors([result]) if each.requires_grad and (anew or each not in self._made)]
        if outputs:
            inputs = list(_tensors(arguments.values()))
            behind = any(map(self._behind, inputs))
            # the image is a leaf that is no parameter
            leaves = (each.requires_grad and each.is_leaf and not isinstance(each, nn.Parameter) for each in inputs)
            image = any(map(self._depends, inputs)) or any(leaves)
            for each in outputs:
                self._made[each] = Made(behind, image=image)

    def release(self) -> None:
        """Let go of the tensors of the graph, once the forward pass has ended.

        An operator in place makes a tensor's graph hold the call that holds the tensor: a ring through C++, which
        Python's garbage collector does not find.
        """
        for call in self._followed:
            call.tensors = ()

    def _before_writing(self, target: Tensor) -> None:
        """Copy what rules will need of a memory that is about to be written over."""
        place = target.untyped_storage().data_ptr()
        for call in self._lent.pop(place, ()):
            call.kept = tuple(
                each.clone() if each.untyped_storage().data_ptr() == place else each for each in call.kept
            )


def ask_by_rules(
    rules: Composite, ask: Callable[[Tensor], T], images: Tensor, notes: list[str], ledger: Ledger | None = None
) -> T:
    """What `ask` answers of the images while the rules hold; the references are shown to the model before.

    Args:
        rules: which operator follows which.
        ask: asks the model; what it answers has a graph.
        images: (N, H, W, C), or (N, 1 + references, H, W, C).
        notes: what could not follow is told here.
        ledger: where it is counted what the operators lose on the way back.
    """
    recorded = []
    for i in range(rules.references):
        with Rewire(rules, recording=True) as watch:
            ask(images[:, 1 + i])
        recorded.append(watch.recorded)
    with Rewire(rules, recorded, ledger=ledger) as watch:
        try:
            answer = ask(images[:, 0] if rules.references else images)
        finally:
            watch.release()
    rules.require(watch.kinds, watch.unknown)
    notes += [note for note in rules.notes(watch.unknown) if note not in notes]
    return answer


def kinds_of(ask: Callable[[Tensor], object], images: Tensor) -> frozenset[str]:
    """The kinds of operators that the model sends images through."""
    with Rewire(Composite((), exhaustive=True)) as watch:
        ask(images)
    return frozenset(watch.kinds)


def scripted(module: nn.Module) -> bool:
    """Whether the module, or a part of it, is a ``torch.jit.ScriptModule``."""
    return any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())


def _carries(value: Any) -> bool:
    """Whether a value may depend on the image and has enough digits."""
    made = isinstance(value, Tensor) and value.requires_grad and not isinstance(value, nn.Parameter)
    return made and value.dtype not in HALF


def _arguments(args: Any, kwargs: Any) -> Arguments:
    return {**dict(enumerate(args)), **kwargs}


def _tensors(values: Any) -> Iterator[Tensor]:
    """The tensors among values, and in their lists and tuples."""
    for each in values:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, list | tuple) and not isinstance(each, torch.Size):
            yield from _tensors(each)
