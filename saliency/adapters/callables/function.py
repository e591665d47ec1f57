"""Plain functions: black boxes on NumPy arrays, and detection of the framework whose arrays a function takes."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from saliency import checks
from saliency.adapters.answers import Arrays, by_batch, one_image, one_number_each, takes_one
from saliency.adapters.base import Adapter
from saliency.adapters.callables.closure import touches_a_framework
from saliency.adapters.callables.untouched import left_alone
from saliency.adapters.host_random import NOTE, HostStreams
from saliency.adapters.outputs import members
from saliency.errors import BadImage, BadOutput, UnknownName, Unsupported
from saliency.model.head import Ending
from saliency.model.ops import NumpyOps
from saliency.model.precision import precision_note, widened
from saliency.model.protocols import (
    FRAMEWORKS,
    Adapted,
    Attentive,
    Differentiable,
    Inspectable,
    Reweightable,
    Rewirable,
)
from saliency.targets import OfScores

ARRAYS = Arrays(lambda value: isinstance(value, np.ndarray), np.reshape)


class FunctionModel(Adapter):
    """A function from images (N, H, W, C) to scores (N, classes), with targets bound.

    Args:
        function: called with a float32 array.
        labels: names of the classes.
    """

    channels_first = False
    comparable = False

    def __init__(self, function: Callable[[np.ndarray], Any], labels: Sequence[str] | None = None) -> None:
        super().__init__(function, labels, NumpyOps())
        self.function = function
        self._call, self._host_streams = left_alone(function), HostStreams()
        self._offers_only_scores("a plain function offers only scores")

    def _offers_only_scores(self, why: str) -> None:
        self.lacks = dict.fromkeys((Differentiable, Inspectable, Attentive, Rewirable, Reweightable), why)

    @property
    def version(self) -> Hashable:
        """The identity of the function; changes of its weights are not tracked."""
        return id(self.function)

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """Return the function's scores, (N, classes)."""
        found, choice, output = self._choice(ARRAYS).chosen(self._call_on(images), len(images))
        if len(found) != len(images):
            raise BadOutput(f"The function must return scores of shape ({len(images)}, classes), got {found.shape}.")
        if self._undecided:
            self._decide(found, self._ending(output), choice)
            self._remember(found.shape[1])
        return found

    def _ending(self, output: int | str | None) -> Ending:  # a session's outputs have names
        """Return the last operator of an output: unknown for a function."""
        return Ending()

    def _remember(self, width: int) -> None:
        """Keep a head that outputs have confirmed for later images: their range alone may be ambiguous."""
        head: Any = self.head
        key = (self.output, self.labels and len(self.labels), self.activation, width)
        known = self._shared.heads.get(key)
        if known is not None and head.guessed and not known.guessed:
            self.head = known
            self.notes[self.notes.index(head.note)] = known.note
        elif not callable(self.output):
            self._shared.heads[key] = head

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Return the scores, (k, N)."""
        raw, choice = self._call_on(images), self._choice(ARRAYS)
        rows = []
        for target in self._targets:
            found = choice.rows(raw, len(images)) if isinstance(target, OfScores) else choice.given(raw)
            rows.append(one_number_each(np.asarray(target(found)), target, ARRAYS, len(images)))
        return np.stack(rows)

    def automatic_layer(self, images: np.ndarray) -> str:
        """Raise UnknownName: a function has no layers."""
        raise UnknownName("A plain function has no layers.")

    def _call_on(self, images: np.ndarray) -> Any:
        """Return the function's outputs: an array, or several."""
        # copied, since the function may write into its input
        return by_batch(self._answer, images.copy(), "numpy")

    def _answer(self, images: np.ndarray) -> Any:
        with self._host_streams.used():
            found = self._call(images)
        if self._host_streams.drew:
            self.note(NOTE)
        if (text := precision_note(getattr(found, "dtype", None))) is not None:
            self.note(text)
        return _on_host(found, len(images))


class ProbabilityModel(FunctionModel):
    """An object with ``predict_proba``, as scikit-learn's classifiers: of rows of features, or of images.

    Args:
        model: a fitted classifier.
        labels: names of the classes; its own ``classes_`` by default.
    """

    def __init__(self, model: Any, labels: Sequence[str] | None = None) -> None:
        super().__init__(model.predict_proba, labels)
        self._features = getattr(model, "n_features_in_", None)
        self._offers_only_scores(f"predict_proba of {type(model).__name__} offers only scores")
        if labels is None and getattr(model, "classes_", None) is not None:
            self.labels = [str(name) for name in model.classes_]
        if self._features is not None:
            self.notes.append("images fed as rows of features, (N, H × W × C)")

    def _call_on(self, images: np.ndarray) -> Any:
        if self._features is None:
            return super()._call_on(images)
        if images[0].size != self._features:
            shape = " × ".join(map(str, images.shape[1:]))
            raise BadImage(
                f"Your {type(self.model).__name__} was fitted on {self._features} features, but the image has "
                f"{shape} = {images[0].size}. Pass preprocess=… that turns a picture into these features."
            )
        return super()._call_on(images.reshape(len(images), -1))


def function_model(
    function: Callable[..., Any],
    labels: Sequence[str] | None = None,
    framework: str | None = None,
    image: Callable[[], np.ndarray] | None = None,
) -> Adapted[Any]:
    """Return the adapter of a function of any framework.

    Args:
        function: from images to scores (N, classes); images are (N, C, H, W) in torch, (N, H, W, C) in all others.
        labels: names of the classes.
        framework: "numpy", "torch", "tensorflow" or "jax"; by default it is found by calling the function once.
        image: returns (1, H, W, C) to call the function with.
    """
    checks.function(function, "model, where it is a function,", ("images",), Unsupported)
    if framework is not None:
        checks.choice(framework, "framework", FRAMEWORKS)
    if framework is None:
        framework = "numpy" if image is None else framework_of(function, image)
    if framework == "numpy":
        return FunctionModel(function, labels)
    if framework == "torch":
        from saliency.adapters.torch.function import TorchFunction

        return TorchFunction(function, labels)
    if framework == "tensorflow":
        from saliency.adapters.tensorflow.model import TensorFlowModel

        return TensorFlowModel(function, labels)
    from saliency.adapters.jax.model import JaxModel

    return JaxModel(function, labels)


def framework_of(function: Callable[..., Any], image: Callable[[], np.ndarray]) -> str:
    """Return the framework whose arrays a function takes.

    The function is called with NumPy arrays, then with arrays of each imported framework; the type of its result
    decides. If every call fails, the result is "numpy". Functions that refer to no framework are not called, and the
    result is cached.
    """
    imported = [name for name in FRAMEWORKS[1:] if name in sys.modules]
    if not imported or not touches_a_framework(function):
        return "numpy"
    try:
        known = _FOUND.setdefault(function, {})
    except TypeError:  # neither hashable nor weakly referable
        known = {}
    found = known.get(tuple(imported)) or _detect(function, np.asarray(image(), np.float32), imported)
    if found is not None:
        known[tuple(imported)] = found
    return found or "numpy"


_FOUND: weakref.WeakKeyDictionary[Callable[..., Any], dict[tuple[str, ...], str]] = weakref.WeakKeyDictionary()
"""The framework of each function, by the frameworks imported at the time of the call."""


def _detect(function: Callable[..., Any], images: np.ndarray, imported: Sequence[str]) -> str | None:
    function = left_alone(function)
    for name in ["numpy", *imported]:
        try:
            with HostStreams().used():
                found = function(_as_arrays_of(name, images))
        except Exception:  # noqa: BLE001  # a function may raise anything for unsupported arrays
            continue
        of = _framework_of(found)
        # a function that converts NumPy arrays to tensors does not take tensors itself
        if of == "torch" and name == "numpy" and not _answers(function, _as_arrays_of("torch", images)):
            return "numpy"
        return of if of in imported else "numpy"
    for name in imported:
        if takes_one(function, _as_arrays_of(name, images)):
            raise one_image(name)
    return None


def _answers(function: Callable[..., Any], images: Any) -> bool:
    try:
        function(images)
    except Exception:  # noqa: BLE001  # as above
        return False
    return True


def _as_arrays_of(framework: str, images: np.ndarray) -> Any:
    """Convert images to arrays of a framework that is already imported."""
    if framework == "torch":
        return sys.modules["torch"].from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    if framework == "tensorflow":
        return sys.modules["tensorflow"].convert_to_tensor(images)
    if framework == "jax":
        return sys.modules["jax"].numpy.asarray(images)
    return images.copy()


def _framework_of(outputs: Any) -> str:
    """Return the framework of outputs, by their type or the type of their members."""
    inside = members(outputs)
    for each in [outputs] if inside is None else inside.values():
        roots = [base.__module__.partition(".")[0] for base in type(each).__mro__]
        outputs = next((root for root in roots if root in ("torch", "tensorflow", "jax", "jaxlib")), None)
        if outputs is not None:
            return "jax" if outputs == "jaxlib" else outputs
    return "numpy"


def _on_host(outputs: Any, count: int) -> Any:
    """Convert outputs for `count` images to NumPy arrays; several outputs by name or index."""
    inside = members(outputs)
    if inside is None or _are_rows(outputs, count):
        return _numbers(outputs)
    arrays = {name: _on_host(each, count) for name, each in inside.items()}
    return tuple(arrays.values()) if type(outputs) in (tuple, list) else arrays


def _numbers(outputs: Any) -> np.ndarray:
    """Convert one output to a NumPy array, in float32 or wider."""
    if not hasattr(outputs, "detach"):
        return widened(np.asarray(outputs))
    host = outputs.detach().cpu()
    return widened(np.asarray(host.float() if str(host.dtype) == "torch.bfloat16" else host))


def _are_rows(outputs: Any, count: int) -> bool:
    """Return whether a list holds numbers, or scores for each image; a tuple of arrays is several outputs."""
    shapes = [np.shape(each) for each in outputs] if type(outputs) in (tuple, list) else [(0, 0)]
    return all(not shape for shape in shapes) or (
        isinstance(outputs, list) and len(outputs) == count and all(len(shape) == 1 for shape in shapes)
    )
