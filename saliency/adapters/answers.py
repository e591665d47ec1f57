"""Reading what a model answered, and retelling its complaints.

No framework is needed for that: an array is whatever the caller says it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from saliency.errors import BadImage, BadOutput, BadTarget, UnknownName
from saliency.model.inputs import Packing
from saliency.session.batch_size import is_out_of_memory
from saliency.targets import ClassScore

COMPLAINTS = ("shape", "dimension", "channels", "incompatible", "must be equal", "size", "rank", "features", "axis")
"""Words by which a framework's complaint about what it was fed is known."""

NO_ATTENTION = "no part of the model is called attention"
"""Why a model lacks attention maps."""


class Arrays(NamedTuple):
    """What is needed of a framework to read a model's answer."""

    is_array: Callable[[Any], bool]
    reshape: Callable[[Any, tuple[int, ...]], Any]
    called: str = "an array"
    channels_first: bool = False


def described(outputs: Any, arrays: Arrays) -> str:
    """What came, in words."""
    if arrays.is_array(outputs):
        return f"{arrays.called} of shape {_shape(outputs)}"
    if isinstance(outputs, Mapping):
        return "a mapping with " + ", ".join(f"{key!r}: {described(each, arrays)}" for key, each in outputs.items())
    if isinstance(outputs, tuple | list):
        return f"a {type(outputs).__name__} of " + ", ".join(described(each, arrays) for each in outputs)
    if is_dataclass(outputs) and not isinstance(outputs, type):
        parts = (f"{each.name}: {described(getattr(outputs, each.name), arrays)}" for each in fields(outputs))
        return f"a {type(outputs).__name__} with " + ", ".join(parts)
    return f"a {type(outputs).__name__}"


def one_number_each(row: Any, target: Callable[..., Any], arrays: Arrays, count: int | None) -> Any:
    """`row`, if it has one number per image; `count` is None where that is not known yet."""
    if not arrays.is_array(row) or len(row.shape) != 1 or (count is not None and row.shape[0] not in (None, count)):
        wanted = "N" if count is None else count
        raise BadTarget(
            f"The target {getattr(target, '__name__', target)!r} must give one number per image, "
            f"{arrays.called} of shape ({wanted},), got {described(row, arrays)}."
        )
    return row


def told_by_the_model(error: Exception, shape: Sequence[Any]) -> Exception | None:
    """The model's own complaint about what it was fed, retold with the image's shape; None if it is about another."""
    told = re.sub(r"\x1b\[\d*m", "", str(error))  # Keras writes in bold
    if isinstance(error, BadImage | BadOutput | BadTarget) or len(shape) != 4:
        return None
    names = ("InvalidArgument", "Fail", "RuntimeException")  # of TensorFlow and ONNX Runtime
    complains = isinstance(error, TypeError | ValueError | RuntimeError) or type(error).__name__.startswith(names)
    nothing_left = isinstance(error, ZeroDivisionError)  # Flax divides by how many pixels remain
    if not nothing_left and not (complains and any(sign in told.lower() for sign in COMPLAINTS)):
        return None
    fed = tuple("N" if n is None else int(n) for n in shape)
    first = next((line.strip() for line in told.splitlines() if any(sign in line.lower() for sign in COMPLAINTS)), told)
    return unfit(f"{_said(fed)} (N, H, W, C)", fed[3], fed[1], fed[2], first[:400])


def unfit(fed: str, channels: Any, height: Any, width: Any, said: str) -> BadImage:
    """Return the error for an image that a model cannot take, with the line that makes a larger or smaller one."""
    return BadImage(
        f"The model cannot take this image: it was fed {fed}, that is {channels} channels at {height}×{width} pixels. "
        "Pass preprocess=… that makes what the model was trained on; for another size of a PIL image: "
        f"image=image.resize((224, 224)). The model says: {said}"
    )


def told_of_inputs(error: Exception, packing: Packing) -> BadImage | None:
    """The model's own complaint about what it was called with, retold with the shapes; None if it is about another."""
    if not isinstance(error, TypeError | ValueError | RuntimeError) or type(error).__module__.startswith("saliency"):
        return None
    signs = (*COMPLAINTS, "argument", "mat1")
    if not any(sign in str(error).lower() for sign in signs):
        return None
    return BadImage(
        f"The model cannot take these inputs: it was called with {len(packing.shapes)}, of shapes {packing.told()}. "
        f"The model says: {str(error).strip().splitlines()[0][:400]}"
    )


def by_batch(function: Callable[[Any], Any], images: Any, framework: str) -> Any:
    """Call a function with images; where it takes one image alone, say how to wrap it.

    Args:
        function: from images (N, …) to whatever.
        images: (N, …) with four axes, else it is simply called.
        framework: whose arrays they are.

    Raises:
        BadOutput: it takes one image, not a batch.
    """
    try:
        found = function(images)
    except Exception as error:
        # a function that works may fail later, for memory say: that it was fed a batch is not why
        if complains_of_shape(error) and not is_out_of_memory(error) and takes_one(function, images):
            raise one_image(framework) from error
        raise
    counts = [each.shape[0] for each in (found, images) if len(getattr(each, "shape", ())) > 0]
    if None not in counts and len(set(counts)) == 2 and takes_one(function, images):
        raise one_image(framework)
    return found


def complains_of_shape(error: Exception) -> bool:
    """Whether an error is about what the model was fed, by its words; an assertion often has none."""
    try:
        said = str(error).lower()
    except Exception:  # noqa: BLE001  # an error of the user's may fail at this, too
        return False
    return isinstance(error, AssertionError) or any(sign in said for sign in COMPLAINTS)


def takes_one(function: Callable[[Any], Any], images: Any) -> bool:
    """Whether a function gives the scores (classes,) of a single image."""
    if len(images.shape) != 4:
        return False
    try:
        return len(getattr(function(images[0]), "shape", ())) == 1
    except Exception:  # noqa: BLE001  # whatever it says to an image that it does not take
        return False


def one_image(framework: str) -> BadOutput:
    """Return the error for a function that takes a single image, with the line that wraps it."""
    return BadOutput(
        f"The function takes one image; it must take a batch of them, (N, …), and give scores (N, classes). Wrap it: "
        f"saliency.explain({WRAPPED[framework]}, image)."
    )


WRAPPED = {
    "numpy": "lambda images: np.stack([f(image) for image in images])",
    "torch": "lambda images: torch.stack([f(image) for image in images])",
    "tensorflow": "tf.function(lambda images: tf.map_fn(f, images))",
    "jax": "jax.vmap(f)",
    "jax with weights": "(jax.vmap(f, (None, 0)), weights)",
}
"""By framework: a function `f` of one image as a function of a batch."""


def called_attention(parts: Iterable[tuple[str, Any]]) -> bool:
    """Whether any (name, part) of a model is called attention, by its name or its class's."""
    names = (f"{name.rpartition('.')[2]} {type(part).__name__}" for name, part in parts)
    return any(re.search("attn|attention|qkv", name, re.IGNORECASE) for name in names)


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
