"""Containers of a model (file, pipeline, Learner), and errors for values that contain no complete model."""

from __future__ import annotations

import importlib
import os
import weakref
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from saliency import checks
from saliency.adapters.declared import normalised_as
from saliency.errors import MissingPackage, Unsupported
from saliency.pictures.presets import Declared


class Contained(NamedTuple):
    """A model taken out of its container."""

    model: Any
    labels: Sequence[str] | None = None
    declared: Declared | None = None
    note: str | None = None
    loaded: bool = False
    """Whether it was loaded here, so that nobody else holds a reference."""


def contained(given: Any) -> Contained | None:
    """Return the model inside a file, a pipeline or a Learner; None if `given` is none of these.

    Raises:
        Unsupported: it is weights, a name or a class without a model, or a pipeline for another task.
        MissingPackage: the library that reads the file is not installed.
        FileNotFoundError: there is no such file.
    """
    if isinstance(given, type):
        name = given.__qualname__
        raise Unsupported(
            f"Expected a model, got the class {name}: create an instance, model = {name}(…), with its weights."
        )
    if isinstance(given, str | os.PathLike):
        path = str(checks.path(given, "model, where it is a file,", Unsupported))
        with checks.opening(Path(path), Unsupported):
            return _from_path(path)
    roots = {base.__module__.partition(".")[0] for base in type(given).__mro__}
    if type(given).__name__ == "ModelProto" and "onnx" in roots:
        return Contained(_session(given.SerializeToString()), loaded=True)
    if "transformers" in roots and hasattr(given, "task") and hasattr(given, "model"):
        return _from_pipeline(given)
    if hasattr(given, "dls") and hasattr(given, "model"):
        return _from_learner(given)
    if isinstance(given, Mapping):
        raise Unsupported(_weights_alone("this dict", given, "model.load_state_dict(state)"))
    return None


def _from_pipeline(pipe: Any) -> Contained:
    if pipe.task != "image-classification":
        raise Unsupported(
            f"Expected a pipeline of the task image-classification, got {pipe.task!r}. Explain its model with "
            "a target: saliency.explain(pipe.model, image, preprocess=pipe.image_processor, "
            "target=lambda outputs: …)."
        )
    declared = None
    if (processor := getattr(pipe, "image_processor", None)) is not None:
        declared = Declared(processor, f"preprocessing of the pipeline: {type(processor).__name__}")
    return Contained(pipe.model, None, declared, f"the pipeline's model, {type(pipe.model).__name__}")


def _from_learner(learner: Any) -> Contained:
    """Return the model of a fastai Learner, with the vocabulary and the normalisation of its DataLoaders."""
    vocabulary = getattr(learner.dls, "vocab", None)
    try:
        labels = None if vocabulary is None else list(vocabulary)
    except TypeError:
        labels = None
    if labels is not None and not all(isinstance(each, str | int | bool) for each in labels):
        labels = None  # several targets, each with its own vocabulary
    made = next((made for each in _batch_transforms(learner.dls) if (made := _normalising(each)) is not None), None)
    declared = None
    if made is not None:
        declared = Declared(
            made, f"normalisation of the Learner's dls: {made.described()}; its resizing is not applied"
        )
    names = None if labels is None else [str(each) for each in labels]
    return Contained(learner.model, names, declared, "the Learner's model")


def _batch_transforms(dls: Any) -> Sequence[Any]:
    pipeline: Any = getattr(dls, "after_batch", ())
    return list(getattr(pipeline, "fs", pipeline) or ())


def _normalising(transform: Any) -> Any:
    if type(transform).__name__ != "Normalize":
        return None
    return normalised_as(getattr(transform, "mean", None), getattr(transform, "std", None))


def _from_path(path: str) -> Contained:
    if not Path(path).exists():
        raise _no_such_file(path)
    known = _known(path)
    if (model := _LOADED.get(known)) is None:
        model = _LOADED[known] = _loaded(path)
    return Contained(model, note=f"loaded from {Path(path).name}", loaded=True)


_LOADED: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()
"""Loaded models by file and its state, held weakly."""


def _known(path: str) -> tuple[Any, ...]:
    graph = Path(path, "saved_model.pb")
    state = (graph if graph.exists() else Path(path)).stat()
    return os.path.realpath(path), state.st_mtime_ns, state.st_size


def _loaded(path: str) -> Any:
    """Load the model in a file or folder, by its suffix."""
    if Path(path).is_dir():
        return _from_folder(path)
    suffix = Path(path).suffix.lower()
    if suffix == ".onnx":
        return _session(path)
    if suffix in (".keras", ".h5", ".hdf5"):
        keras = _imported("keras", "keras tensorflow")
        try:
            return keras.models.load_model(path, compile=False)
        except ValueError as error:
            raise Unsupported(
                f"Keras cannot load {path}: {_first_line(error)} Load it yourself, keras.models.load_model(…, "
                "custom_objects={…}), or build the model and call model.load_weights; and pass the model."
            ) from error
    if suffix in (".pt", ".pth", ".ts", ".torchscript", ".jit", ".bin", ".ckpt"):
        return _from_torch(path)
    if (line := ELSEWHERE.get(suffix)) is not None:
        raise Unsupported(
            f"Models of this file type are not loaded: {path}. Load it yourself and pass the model: {line}"
        )
    raise Unsupported(
        f"Expected the path of a model, .onnx, .keras, .h5, TorchScript (.pt) or a SavedModel folder, got {path}. "
        "Load it yourself and pass the model."
    )


ELSEWHERE = {
    ".pt2": "model = torch.export.load(path).module()",
    ".safetensors": "model = MyNet(…); model.load_state_dict(safetensors.torch.load_file(path)); model.eval()",
    ".tflite": "a function from images (N, H, W, C) to scores (N, classes) around tf.lite.Interpreter(path).",
    ".pb": "tf.saved_model.load(folder), of the folder in which the file is; for a frozen graph see saliency.tf1.",
    ".pkl": "model = fastai.learner.load_learner(path), or pickle.load, if you trust the file: both run its code.",
    ".joblib": "model = joblib.load(path), if you trust the file: loading it runs its code.",
}
"""By suffix: how to load a model from such a file."""


def _from_folder(path: str) -> Any:
    if Path(path, "saved_model.pb").exists():
        return _imported("tensorflow", "tensorflow").saved_model.load(path)
    if Path(path, "config.json").exists():
        raise Unsupported(
            f"The folder {path} contains a Hugging Face model: pass pipeline('image-classification', {path!r}), or "
            f"transformers.AutoModelForImageClassification.from_pretrained({path!r})."
        )
    raise Unsupported(f"The folder {path} contains no SavedModel (no saved_model.pb).")


def _from_torch(path: str) -> Any:
    """Load TorchScript. Weights and pickled modules are refused: a pickle may run any code."""
    torch = _imported("torch", "torch")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            return torch.jit.load(path, map_location="cpu")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise Unsupported(
            f"{path} is not TorchScript but a pickled object. Loading it runs any code in the file. If you trust "
            f"it: model = torch.load({path!r}, weights_only=False). It is safer to save the weights alone, "
            "model.state_dict(), and to load them into your class."
        ) from error
    way = f"model.load_state_dict(torch.load({path!r}, weights_only=True))"
    raise Unsupported(_weights_alone(path, content, way))


def _weights_alone(what: str, content: Any, way: str) -> str:
    """Return the message that weights are not a model."""
    inside: Any = content
    if isinstance(content, Mapping):
        key = next(
            (key for key in ("state_dict", "model_state_dict", "model") if isinstance(content.get(key), Mapping)), None
        )
        if key is not None:
            inside, way = content[key], f"{way[:-1]}[{key!r}])"
    count = sum(hasattr(each, "shape") for each in inside.values()) if isinstance(inside, Mapping) else 0
    if not count:
        return f"Expected a model, got {what}, which contains none ({type(content).__name__})."
    return (
        f"Expected a model, got weights: {what} contains {count} arrays, but no architecture. Load "
        f"them into your class: model = MyNet(…); {way}; model.eval()."
    )


def _no_such_file(given: str) -> Exception:
    """Return the error for text that is no file: a missing file, or the name of a model and how to create it."""
    if Path(given).suffix.lower() in (".onnx", ".keras", ".h5", ".pt", ".pth", ".ckpt") or given.startswith(
        (".", "/", "~")
    ):
        return FileNotFoundError(f"There is no file {given!r}.")
    if "/" in given and len(given.split("/")) == 2:
        line = f"transformers.AutoModelForImageClassification.from_pretrained({given!r})"
    else:
        line = (
            f"torchvision.models.get_model({given!r}, weights='DEFAULT'), or timm.create_model({given!r}, "
            "pretrained=True), or of keras.applications"
        )
    return Unsupported(
        f"Expected a model, got the text {given!r}, which is not a file. If it is the name of a model, create "
        f"the model: {line}."
    )


def _session(model: str | bytes) -> Any:
    runtime = _imported("onnxruntime", "onnxruntime")
    try:
        return runtime.InferenceSession(model, providers=runtime.get_available_providers())
    except Exception as error:
        name = model if isinstance(model, str) else "the ModelProto"
        raise Unsupported(f"ONNX Runtime cannot load {name}: {_first_line(error)}") from error


def _imported(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackage(f"Loading this model needs {name}: pip install {package}") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
