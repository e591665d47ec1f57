"""What the adapters of channels-last frameworks share: reading a model's answer, and retelling its complaints.

No framework is needed for that: an array is whatever the caller says it is.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

from saliency.adapters.tokens import Grid, token_grids
from saliency.errors import BadImage, BadOutput, BadTarget, UnknownName, Unsupported
from saliency.targets import ClassScore

COMPLAINTS = ("shape", "dimension", "channels", "incompatible", "must be equal", "size", "rank", "features", "axis")
"""Words by which a framework's complaint about what it was fed is known."""

NO_GRID = (
    "No layer with a spatial grid was found in the model (an output of shape (N, h, w, K) with h, w > 1, on the way "
    "from the image to the scores). Name one with layer=…"
)

NO_ATTENTION = "no part of the model is called attention"
"""Why a model lacks attention maps."""

NO_MAPS = "No attention maps were seen in the model: it has no softmax over the products of its tokens, or hides it in "
"""Begins what is said of a model that was thought to have some."""

WINDOWS = (
    "The model attends within windows, or among other numbers of tokens from layer to layer, as Swin does: "
    "no map says where a token of the whole image looks. Grad-CAM and its kin read its layers."
)

NOT_A_LAYER = frozenset({"transpose", "reshape", "broadcast_in_dim", "convert_element_type", "cast", "pad", "padv2"})
"""Operators that only move numbers about: what they say is no layer of its own."""


class Shared:
    """What belongs to one underlying model, whoever adapts it.

    Holds the lock, the batch sizes found best, and the questions that were compiled: none of them may hold the model.
    """

    MOST = 24
    """Compiled questions that are kept; the least recently asked goes first."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.batch_sizes: dict[Hashable, Any] = {}
        self._compiled: OrderedDict[Hashable, Any] = OrderedDict()
        self._weights: list[weakref.ref[Any]] = []
        self._version = 0

    def version(self, weights: Sequence[Any]) -> int:
        """A number that changes whenever one of these objects is another than last time."""
        with self.lock:
            if len(weights) != len(self._weights) or any(
                seen() is not now for seen, now in zip(self._weights, weights, strict=True)
            ):
                # not by id, which a new array may inherit from one that is gone
                self._weights = [weakref.ref(each) for each in weights]
                self._version += 1
            return self._version

    def compiled(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` made for this key, now or before."""
        with self.lock:
            if key not in self._compiled:
                self._compiled[key] = make()
            self._compiled.move_to_end(key)
            while len(self._compiled) > self.MOST:
                self._compiled.popitem(last=False)
            return self._compiled[key]


_SHARED: dict[int, tuple[weakref.ref[Any], Shared]] = {}


def shared_by(model: Any) -> Shared:
    """The one :class:`Shared` of an object, for as long as it lives; a fresh one for what cannot be referred to weakly.

    By identity: many models cannot be hashed, and two equal ones are still two.
    """
    kept = _SHARED.get(id(model))
    if kept is not None and kept[0]() is model:
        return kept[1]
    shared, key = Shared(), id(model)

    def forget(gone: weakref.ref[Any]) -> None:
        if key in _SHARED and _SHARED[key][0] is gone:
            del _SHARED[key]

    try:
        reference = weakref.ref(model, forget)
    except TypeError:
        return shared
    _SHARED[key] = (reference, shared)
    return shared


def class_scores(outputs: Any, is_array: Callable[[Any], bool], reshape: Callable[[Any, tuple[int, ...]], Any]) -> Any:
    """The (N, classes) scores in whatever a model returned.

    Args:
        outputs: as they came.
        is_array: whether something is one of the framework's arrays.
        reshape: its `reshape`.
    """
    found: Any = outputs
    if isinstance(outputs, Mapping):
        keys = [key for key in ("logits", "out", "output") if key in outputs]
        found = outputs[keys[0]] if keys else next(iter(outputs.values())) if len(outputs) == 1 else None
    elif not is_array(outputs) and is_array(getattr(outputs, "logits", None)):
        found = outputs.logits
    elif isinstance(outputs, tuple | list):
        found = next((part for part in outputs if is_array(part) and len(part.shape) == 2), None)
    if is_array(found):
        shape = tuple(found.shape)
        if len(shape) == 4 and shape[1:3] == (1, 1):
            return reshape(found, (-1, shape[3]))
        if len(shape) == 1:
            return reshape(found, (-1, 1))
        if len(shape) == 2:
            return found
    raise BadOutput(
        f"No class scores of shape (N, classes) were found in the model's output, {described(outputs, is_array)}. "
        "Say what to explain: target=lambda outputs: … -> one number per image."
    )


def described(outputs: Any, is_array: Callable[[Any], bool]) -> str:
    """What came, in words."""
    if is_array(outputs):
        return f"an array of shape {_shape(outputs)}"
    if isinstance(outputs, Mapping):
        return "a mapping with " + ", ".join(f"{key!r}: {described(each, is_array)}" for key, each in outputs.items())
    if isinstance(outputs, tuple | list):
        return f"a {type(outputs).__name__} of " + ", ".join(described(each, is_array) for each in outputs)
    return f"a {type(outputs).__name__}"


def one_number_each(row: Any, target: Callable[..., Any], is_array: Callable[[Any], bool], count: int | None) -> Any:
    """`row`, if it has one number per image; `count` is None where that is not known yet."""
    if not is_array(row) or len(row.shape) != 1 or (count is not None and row.shape[0] not in (None, count)):
        wanted = "N" if count is None else count
        raise BadTarget(
            f"The target {getattr(target, '__name__', target)!r} must give one number per image, "
            f"an array of shape ({wanted},), got {described(row, is_array)}."
        )
    return row


def told_by_the_model(error: Exception, shape: Sequence[Any]) -> Exception | None:
    """The model's own complaint about what it was fed, retold with the image's shape; None if it is about another."""
    told = re.sub(r"\x1b\[\d*m", "", str(error))  # Keras writes in bold
    if isinstance(error, BadImage | BadOutput | BadTarget) or len(shape) != 4:
        return None
    complains = isinstance(error, TypeError | ValueError | RuntimeError) or "InvalidArgument" in type(error).__name__
    if not complains or not any(sign in told.lower() for sign in COMPLAINTS):
        return None
    fed = tuple("N" if n is None else int(n) for n in shape)
    first = next((line.strip() for line in told.splitlines() if any(sign in line.lower() for sign in COMPLAINTS)), told)
    return BadImage(
        f"The model cannot take this image: it was fed {_said(fed)} (N, H, W, C), that is {fed[3]} channels at "
        f"{fed[1]}×{fed[2]} pixels. Pass preprocess=… that makes what the model was trained on. "
        f"The model says: {first[:400]}"
    )


def on_grid(shape: Sequence[int | None], image: tuple[int, int]) -> bool:
    """Whether (N, h, w, K) may be a grid over an image: smaller than it, of its proportions.

    Attention maps (N, heads, T, T) have four axes too.
    """
    if len(shape) != 4 or shape[1] is None or shape[2] is None:
        return False
    (height, width), (h, w) = image, (int(shape[1]), int(shape[2]))
    if h < 2 or w < 2 or h > height or w > width:
        return False
    expected = width * h / height
    return abs(w - expected) <= max(2.0, 0.25 * expected)


def called_attention(parts: Iterable[tuple[str, Any]]) -> bool:
    """Whether any (name, part) of a model is called attention, by its name or its class's."""
    names = (f"{name.rpartition('.')[2]} {type(part).__name__}" for name, part in parts)
    return any(re.search("attn|attention|qkv", name, re.IGNORECASE) for name in names)


def tokens_of(maps: Sequence[Any], count: int) -> int:
    """How many tokens attend to each other in maps (N, heads, T, T) of `count` images.

    Raises:
        Unsupported: there are no maps, or they are of windows.
    """
    if not maps:
        raise Unsupported(f"{NO_MAPS}an operator of its own.")
    sizes = {int(each.shape[-1]) for each in maps}
    if len(sizes) > 1 or any(int(each.shape[0]) != count for each in maps):
        raise Unsupported(WINDOWS)
    return sizes.pop()


def tokens_on_grid(tokens: int, image: tuple[int, int], maps: Collection[tuple[int, int]]) -> Grid:
    """How so many tokens lie over an image; see :func:`saliency.adapters.tokens.token_grids`.

    Raises:
        Unsupported: they are no patches of it.
    """
    for grid in token_grids(tokens, image, maps):
        return grid
    raise Unsupported(f"The model attends among {tokens} tokens, which are no grid of patches of the image.")


def token_grid(
    shape: Sequence[int | None], image: tuple[int, int], maps: Collection[tuple[int, int]], attended: Collection[int]
) -> Grid | None:
    """How a layer's (N, T, K) lies over an image, as patches that attend to each other; None if it does not.

    Args:
        shape: of the layer.
        image: height and width.
        maps: grids that the model made on its way.
        attended: how many tokens attend to each other, wherever some do.
    """
    tokens = shape[1] if len(shape) == 3 else None
    if tokens is None or tokens not in attended:
        return None
    return next(iter(token_grids(tokens, image, maps)), None)


def last_used(
    table: Sequence[tuple[str, tuple[int, ...], str]], used: Callable[[Sequence[str]], Sequence[bool]]
) -> str:
    """Name of the last layer with a grid that the scores depend on.

    Behind the last attention a class token's score does not depend on the patches any more: of rows of tokens it is
    looked where they still count.

    Args:
        table: (name, shape, grid in words) in the model's order.
        used: of names, whether the scores depend on the patches there.

    Raises:
        UnknownName: there is none.
    """
    rows = [name for name, shape, _ in table if len(shape) == 3]
    counts = dict(zip(rows, used(rows), strict=True)) if table and len(table[-1][1]) == 3 else dict.fromkeys(rows, True)
    for name, _, _ in reversed(table):
        if counts.get(name, True):
            return name
    raise UnknownName(NO_GRID)


def patches(array: Any, grid: Grid | None, reshape: Callable[..., Any]) -> Any:
    """The patches (…, h, w, K) of tokens (…, T, K); the array itself where it has no such grid."""
    if grid is None:
        return array
    *before, tokens, channels = (int(n) for n in array.shape)
    rows = array[..., grid.before : tokens - grid.after, :]
    return reshape(rows, (*before, grid.height, grid.width, channels))


def static(targets: Sequence[Any]) -> tuple[Any, ...]:
    """What a compiled question depends on: a callable is part of it, a class's index is handed in."""
    return tuple(None if isinstance(each, ClassScore) else each for each in targets)


def indices(targets: Sequence[Any]) -> list[int]:
    """The classes that are handed in."""
    return [each.index if isinstance(each, ClassScore) else 0 for each in targets]


def not_called(name: str) -> UnknownName:
    """The error for a layer that exists but took no part."""
    return UnknownName(f"The layer {name!r} was not called, or gave no array, while the model saw the image.")


def _shape(array: Any) -> str:
    return _said(tuple("N" if n is None else int(n) for n in array.shape))


def _said(shape: tuple[Any, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + (",)" if len(shape) == 1 else ")")
