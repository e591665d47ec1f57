"""Check and describe model outputs, and turn a framework's shape errors into messages about the image.

No framework is imported: the caller defines what an array is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from saliency.errors import BadImage, BadOutput, BadTarget, UnknownName
from saliency.model.inputs import Packing
from saliency.model.names import capitalized
from saliency.session.batch_size import is_out_of_memory
from saliency.targets import ClassScore

COMPLAINTS = ("shape", "dimension", "channels", "incompatible", "must be equal", "size", "rank", "features", "axis")
"""Words in a framework's error message that mark it as an error about the input's shape."""


class Arrays(NamedTuple):
    """The functions of a framework that are needed to read a model's outputs."""

    is_array: Callable[[Any], bool]
    reshape: Callable[[Any, tuple[int, ...]], Any]
    called: str = "an array"
    channels_first: bool = False


def described(outputs: Any, arrays: Arrays) -> str:
    """Describe outputs for a message: their container, types and shapes."""
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
    """Return `row` if it has one number per image, else raise BadTarget; `count` is None where it is not known yet."""
    if not arrays.is_array(row) or len(row.shape) != 1 or (count is not None and row.shape[0] not in (None, count)):
        wanted = "N" if count is None else count
        raise BadTarget(
            f"The target {getattr(target, '__name__', target)!r} must give one number per image, "
            f"{arrays.called} of shape ({wanted},), got {described(row, arrays)}."
        )
    return row


def no_attention(name: str) -> str:
    """Return the reason why no attention maps are read from a model without attention modules."""
    return f"{name} exposes no attention weights: no part of it is named attention, attn or qkv"


def shape_error(error: Exception, shape: Sequence[Any], name: str) -> Exception | None:
    """Return the BadImage for a framework's error about an input's shape; None for any other error.

    Args:
        error: raised by the model.
        shape: of the images, (N, H, W, C).
        name: the user's model, see :mod:`saliency.model.names`.
    """
    message = re.sub(r"\x1b\[\d*m", "", str(error))  # Keras writes in bold
    if isinstance(error, BadImage | BadOutput | BadTarget) or len(shape) != 4:
        return None
    names = ("InvalidArgument", "Fail", "RuntimeException")  # of TensorFlow and ONNX Runtime
    complains = isinstance(error, TypeError | ValueError | RuntimeError) or type(error).__name__.startswith(names)
    nothing_left = isinstance(error, ZeroDivisionError)  # Flax divides by how many pixels remain
    if not nothing_left and not (complains and any(sign in message.lower() for sign in COMPLAINTS)):
        return None
    fed = tuple("N" if n is None else int(n) for n in shape)
    lines = (line.strip() for line in message.splitlines() if any(sign in line.lower() for sign in COMPLAINTS))
    return unfit(f"{_in_brackets(fed)} (N, H, W, C)", fed[3], fed[1], fed[2], next(lines, message)[:400], name)


def unfit(fed: str, channels: Any, height: Any, width: Any, message: str, name: str) -> BadImage:
    """Return the error for an image that a model does not accept, with the argument that resizes it."""
    return BadImage(
        f"{capitalized(name)} does not accept this image: its input was {fed}, that is {channels} channels at "
        f"{height}×{width} pixels. Pass preprocess=… that prepares images as in training; to resize a PIL image: "
        f"image=image.resize((224, 224)). Original error: {message}"
    )


def inputs_error(error: Exception, packing: Packing, name: str) -> BadImage | None:
    """Return the BadImage for a framework's error about the shapes of several inputs; None for any other error."""
    if not isinstance(error, TypeError | ValueError | RuntimeError) or type(error).__module__.startswith("saliency"):
        return None
    signs = (*COMPLAINTS, "argument", "mat1")
    if not any(sign in str(error).lower() for sign in signs):
        return None
    return BadImage(
        f"{capitalized(name)} does not accept these inputs: it was called with {len(packing.shapes)}, of shapes "
        f"{packing.described()}. Original error: {str(error).strip().splitlines()[0][:400]}"
    )


def by_batch(function: Callable[[Any], Any], images: Any, framework: str) -> Any:
    """Call a function with images; if it accepts single images only, raise an error that shows how to wrap it.

    Args:
        function: takes images (N, …).
        images: (N, …); only arrays of four axes are checked.
        framework: of the arrays.

    Raises:
        BadOutput: the function takes one image, not a batch.
    """
    try:
        found = function(images)
    except Exception as error:
        # an error about memory is not caused by the batch axis
        if complains_of_shape(error) and not is_out_of_memory(error) and takes_one(function, images):
            raise one_image(framework) from error
        raise
    counts = [each.shape[0] for each in (found, images) if len(getattr(each, "shape", ())) > 0]
    if None not in counts and len(set(counts)) == 2 and takes_one(function, images):
        raise one_image(framework)
    return found


def complains_of_shape(error: Exception) -> bool:
    """Return whether an error is about an input's shape. Assertions count: they often have no message."""
    try:
        message = str(error).lower()
    except Exception:  # noqa: BLE001  # a user-defined error may fail to print
        return False
    return isinstance(error, AssertionError) or any(sign in message for sign in COMPLAINTS)


def takes_one(function: Callable[[Any], Any], images: Any) -> bool:
    """Return whether a function returns the scores (classes,) of a single image."""
    if len(images.shape) != 4:
        return False
    try:
        return len(getattr(function(images[0]), "shape", ())) == 1
    except Exception:  # noqa: BLE001  # a function may raise anything on an unexpected shape
        return False


def one_image(framework: str) -> BadOutput:
    """Return the error for a function that takes a single image, with the code that wraps it."""
    return BadOutput(
        f"The function takes one image; it must take a batch, (N, …), and return scores (N, classes). Wrap it: "
        f"saliency.explain({WRAPPED[framework]}, image)."
    )


WRAPPED = {
    "numpy": "lambda images: np.stack([f(image) for image in images])",
    "torch": "lambda images: torch.stack([f(image) for image in images])",
    "tensorflow": "tf.function(lambda images: tf.map_fn(f, images))",
    "jax": "jax.vmap(f)",
    "jax with weights": "(jax.vmap(f, (None, 0)), weights)",
}
"""By framework: the code that turns a function `f` of one image into a function of a batch."""


def called_attention(parts: Iterable[tuple[str, Any]]) -> bool:
    """Return whether any (name, part) of a model is named attention, by its own name or its class's."""
    names = (f"{name.rpartition('.')[2]} {type(part).__name__}" for name, part in parts)
    return any(re.search("attn|attention|qkv", name, re.IGNORECASE) for name in names)


def static(targets: Sequence[Any]) -> tuple[Any, ...]:
    """Return the part of the targets that is compiled in: callables are, class indices are arguments."""
    return tuple(None if isinstance(each, ClassScore) else each for each in targets)


def indices(targets: Sequence[Any]) -> list[int]:
    """Return the class indices that are passed as arguments; 0 for callables."""
    return [each.index if isinstance(each, ClassScore) else 0 for each in targets]


def not_called(name: str) -> UnknownName:
    """Return the error for a layer that exists but was not called in the forward pass."""
    return UnknownName(f"The layer {name!r} was not called in the forward pass, or did not return an array.")


def _shape(array: Any) -> str:
    return _in_brackets(tuple("N" if n is None else int(n) for n in array.shape))


def _in_brackets(shape: tuple[Any, ...]) -> str:
    return "(" + ", ".join(map(str, shape)) + (",)" if len(shape) == 1 else ")")
