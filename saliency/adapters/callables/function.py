"""Plain functions: a black box on NumPy arrays, and finding out whose arrays a function takes."""

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
from saliency.model.protocols import FRAMEWORKS, Adapted, Attentive, Differentiable, Inspectable, Rewirable
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
        self.lacks = {Differentiable: why, Inspectable: why, Attentive: why, Rewirable: why}

    @property
    def version(self) -> Hashable:
        """A function's weights, if it has any, are its own affair."""
        return id(self.function)

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """What the function says, (N, classes)."""
        said, choice, output = self._choice(ARRAYS).chosen(self._said(images), len(images))
        if len(said) != len(images):
            raise BadOutput(f"The function must return scores of shape ({len(images)}, classes), got {said.shape}.")
        if self._undecided:
            self._decide(said, self._ending(output), choice)
            self._remember(said.shape[1])
        return said

    def _ending(self, output: int | str | None) -> Ending:  # a session's outputs have names
        """The operator that an output comes out of: a function hides it."""
        return Ending()

    def _remember(self, width: int) -> None:
        """Let what the range of one image's numbers refuted hold for the next image."""
        head: Any = self.head
        key = (self.output, self.labels and len(self.labels), self.activation, width)
        known = self._shared.heads.get(key)
        if known is not None and head.guessed and not known.guessed:
            self.head = known
            self.notes[self.notes.index(head.note)] = known.note
        elif not callable(self.output):
            self._shared.heads[key] = head

    def scores(self, images: np.ndarray) -> np.ndarray:
        """(k, N)."""
        raw, choice = self._said(images), self._choice(ARRAYS)
        rows = []
        for target in self._targets:
            said = choice.rows(raw, len(images)) if isinstance(target, OfScores) else choice.given(raw)
            rows.append(one_number_each(np.asarray(target(said)), target, ARRAYS, len(images)))
        return np.stack(rows)

    def automatic_layer(self, images: np.ndarray) -> str:
        """A function has none."""
        raise UnknownName("A plain function has no layers.")

    def _said(self, images: np.ndarray) -> Any:
        """Whatever the function answers: an array, or several."""
        # copied, so that a function that writes into its input cannot write into ours
        return by_batch(self._answer, images.copy(), "numpy")

    def _answer(self, images: np.ndarray) -> Any:
        with self._host_streams.used():
            said = self._call(images)
        if self._host_streams.drew:
            self.note(NOTE)
        if (told := precision_note(getattr(said, "dtype", None))) is not None:
            self.note(told)
        return _on_host(said, len(images))


class ProbabilityModel(FunctionModel):
    """What answers to ``predict_proba``, as scikit-learn's classifiers do: on rows of features, or on images.

    Args:
        model: fitted already.
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

    def _said(self, images: np.ndarray) -> Any:
        if self._features is None:
            return super()._said(images)
        if images[0].size != self._features:
            shape = " × ".join(map(str, images.shape[1:]))
            raise BadImage(
                f"Your {type(self.model).__name__} was fitted on {self._features} features, but the image has "
                f"{shape} = {images[0].size}. Pass preprocess=… that turns a picture into these features."
            )
        return super()._said(images.reshape(len(images), -1))


def function_model(
    function: Callable[..., Any],
    labels: Sequence[str] | None = None,
    framework: str | None = None,
    image: Callable[[], np.ndarray] | None = None,
) -> Adapted[Any]:
    """A function of any framework as a model.

    Args:
        function: from images to scores (N, classes): torch's take (N, C, H, W), all others (N, H, W, C).
        labels: names of the classes.
        framework: "numpy", "torch", "tensorflow" or "jax"; found out by asking once, where there is an image.
        image: gives (1, H, W, C) to ask with.
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
    """Whose arrays a function takes: it is asked with NumPy's, then with those of each framework already imported.

    Which it answers with says which it is of; "numpy" where no question was answered. One that has nothing of a
    framework about it is not asked, and none is asked again.
    """
    imported = [name for name in FRAMEWORKS[1:] if name in sys.modules]
    if not imported or not touches_a_framework(function):
        return "numpy"
    try:
        known = _FOUND.setdefault(function, {})
    except TypeError:  # neither hashed nor referred to weakly
        known = {}
    found = known.get(tuple(imported)) or _asked(function, np.asarray(image(), np.float32), imported)
    if found is not None:
        known[tuple(imported)] = found
    return found or "numpy"


_FOUND: weakref.WeakKeyDictionary[Callable[..., Any], dict[tuple[str, ...], str]] = weakref.WeakKeyDictionary()
"""By function, and the frameworks imported when it was asked: whose arrays it takes."""


def _asked(function: Callable[..., Any], asked: np.ndarray, imported: Sequence[str]) -> str | None:
    function = left_alone(function)
    for name in ["numpy", *imported]:
        try:
            with HostStreams().used():
                said = function(_as_arrays_of(name, asked))
        except Exception:  # noqa: BLE001  # whatever a function says to arrays that it does not take
            continue
        of = _framework_of_answer(said)
        # a function that makes tensors of NumPy's arrays takes no tensors itself
        if of == "torch" and name == "numpy" and not _answers(function, _as_arrays_of("torch", asked)):
            return "numpy"
        return of if of in imported else "numpy"
    for name in imported:
        if takes_one(function, _as_arrays_of(name, asked)):
            raise one_image(name)
    return None


def _answers(function: Callable[..., Any], images: Any) -> bool:
    try:
        function(images)
    except Exception:  # noqa: BLE001  # as above
        return False
    return True


def _as_arrays_of(framework: str, images: np.ndarray) -> Any:
    """One question in a framework's own arrays; the framework is imported already."""
    if framework == "torch":
        return sys.modules["torch"].from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 1)))
    if framework == "tensorflow":
        return sys.modules["tensorflow"].convert_to_tensor(images)
    if framework == "jax":
        return sys.modules["jax"].numpy.asarray(images)
    return images.copy()


def _framework_of_answer(said: Any) -> str:
    """By the type of an answer, or of what lies in it."""
    inside = members(said)
    for each in [said] if inside is None else inside.values():
        roots = [base.__module__.partition(".")[0] for base in type(each).__mro__]
        found = next((root for root in roots if root in ("torch", "tensorflow", "jax", "jaxlib")), None)
        if found is not None:
            return "jax" if found == "jaxlib" else found
    return "numpy"


def _on_host(said: Any, count: int) -> Any:
    """An answer of `count` images in NumPy's arrays, of several outputs each by its name or index."""
    inside = members(said)
    if inside is None or _are_rows(said, count):
        return _numbers(said)
    arrays = {name: _on_host(each, count) for name, each in inside.items()}
    return tuple(arrays.values()) if type(said) in (tuple, list) else arrays


def _numbers(said: Any) -> np.ndarray:
    """One output in NumPy's arrays, in float32 or wider."""
    if not hasattr(said, "detach"):
        return widened(np.asarray(said))
    host = said.detach().cpu()
    return widened(np.asarray(host.float() if str(host.dtype) == "torch.bfloat16" else host))


def _are_rows(said: Any, count: int) -> bool:
    """Whether a list is a row of numbers, or of scores for each image; a tuple of arrays is several outputs."""
    shapes = [np.shape(each) for each in said] if type(said) in (tuple, list) else [(0, 0)]
    return all(not shape for shape in shapes) or (
        isinstance(said, list) and len(said) == count and all(len(shape) == 1 for shape in shapes)
    )
