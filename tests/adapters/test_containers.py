"""Containers of a model (files, pipelines, Learners), and values without a complete model."""

from __future__ import annotations

import gc
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import saliency
from tests.nets import CLASSES, LABELS, SmallNet, picture, small_net

IMAGE = picture(24, 20)


def scores(model: Any, **options: Any) -> np.ndarray:
    """Return a model's outputs for the picture, by class."""
    found = saliency.predict(model, IMAGE, 10, **options)
    return np.array([each.score for each in sorted(found, key=lambda each: each.index)])


def onnx_proto(**metadata: str) -> Any:
    """A model with one convolution, (1, 3, 24, 20) to (1, 4)."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(CLASSES, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", kind, ["n", 3, 24, 20])],
        [helper.make_tensor_value_info("y", kind, ["n", CLASSES])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    helper.set_model_props(model, metadata)
    return model


def onnx_file(folder: Path) -> tuple[Path, Any]:
    """A file, and the same model as it is passed otherwise."""
    proto = onnx_proto()
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path, proto


def keras_file(folder: Path, suffix: str) -> tuple[Path, Any]:
    """A file of Keras, and its model."""
    keras = pytest.importorskip("keras")
    ends = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(CLASSES)]
    model = keras.Sequential([keras.Input((24, 20, 3)), keras.layers.Conv2D(4, 3, activation="relu"), *ends])
    path = folder / f"net{suffix}"
    model.save(path)
    return path, model


def scripted_file(folder: Path) -> tuple[Path, Any]:
    """A file of TorchScript, and the module it was made of."""
    net = small_net()
    path = folder / "net.pt"
    traced: Any = torch.jit.trace(net, torch.zeros(1, 3, 24, 20))
    traced.save(str(path))
    return path, net


def saved_model(folder: Path) -> tuple[Path, Any]:
    """A folder of TensorFlow, and its module."""
    tf = pytest.importorskip("tensorflow")
    kernel = tf.random.stateless_normal((3, CLASSES), (0, 1))

    class Net(tf.Module):  # type: ignore[misc, name-defined]
        @tf.function(input_signature=[tf.TensorSpec([None, 24, 20, 3], tf.float32)])  # type: ignore[untyped-decorator]
        def __call__(self, images: Any) -> Any:
            return tf.reduce_mean(images, (1, 2)) @ kernel

    model, path = Net(), folder / "saved"
    tf.saved_model.save(model, str(path))
    return path, model


FILES = {
    ".onnx": onnx_file,
    ".keras": lambda folder: keras_file(folder, ".keras"),
    "TorchScript": scripted_file,
    "SavedModel": saved_model,
}


@pytest.mark.filterwarnings("ignore:.*(torch.jit|__array__).*:DeprecationWarning")
@pytest.mark.parametrize("kind", FILES)
def test_a_path_is_a_model(kind: str, tmp_path: Path) -> None:
    """A file, as a path or as text, gives the numbers of the model that was saved in it; a note names the file."""
    path, model = FILES[kind](tmp_path)
    wanted = scores(model)

    for given in (path, str(path)):
        np.testing.assert_allclose(scores(given), wanted, rtol=1e-4, atol=1e-5)
    exp = saliency.explain(path, IMAGE, "occlusion", 1, size=8, progress=False)
    assert f"loaded from {path.name}" in exp.notes


@pytest.mark.filterwarnings("ignore:.*(torch.jit|__array__).*:DeprecationWarning")
def test_a_file_is_loaded_once_while_it_is_used(tmp_path: Path) -> None:
    """As long as somebody uses the model of a file, the file is not loaded again; one that was written to is."""
    path, _ = scripted_file(tmp_path)
    first, second = saliency.adapt(path), saliency.adapt(str(path))

    assert first.loaded is second.loaded is not None

    content = path.read_bytes()
    path.write_bytes(content + b" ")
    path.write_bytes(content)
    import os

    os.utime(path, (1, 1))
    assert saliency.adapt(path).loaded is not first.loaded


@pytest.mark.filterwarnings("ignore:.*(torch.jit|__array__).*:DeprecationWarning")
def test_nobody_keeps_a_file_s_model(tmp_path: Path) -> None:
    """The model of a file goes with the last that uses it."""
    from saliency.adapters import containers

    path, _ = scripted_file(tmp_path)
    adapted = saliency.adapt(path)
    assert str(path.resolve()) in {key[0] for key in containers._LOADED}
    del adapted
    gc.collect()
    assert str(path.resolve()) not in {key[0] for key in containers._LOADED}


def test_a_model_proto_is_a_model() -> None:
    """An ``onnx.ModelProto`` gives the numbers of a session of it."""
    proto = onnx_proto()
    import onnxruntime

    session = onnxruntime.InferenceSession(proto.SerializeToString())
    np.testing.assert_allclose(scores(proto), scores(session), rtol=1e-6)


def small_vit(**labels: Any) -> tuple[Any, Any]:
    """A transformer of Hugging Face's with random weights, and its image processor."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    config = transformers.ViTConfig(**sizes, patch_size=8, image_size=16, **labels)
    processor = transformers.ViTImageProcessorPil(size={"height": 16, "width": 16})
    return transformers.ViTForImageClassification(config).eval(), processor


def test_a_pipeline_is_its_model_processor_and_labels() -> None:
    """A pipeline of image-classification gives what it would give itself."""
    transformers = pytest.importorskip("transformers")
    from PIL import Image

    model, processor = small_vit(num_labels=3, id2label={0: "ape", 1: "bee", 2: "cat"}, label2id={})
    pipe = transformers.pipeline("image-classification", model=model, image_processor=processor)
    own = {each["label"]: each["score"] for each in pipe(Image.fromarray(IMAGE))}

    found = {each.label: each.probability for each in saliency.predict(pipe, Image.fromarray(IMAGE))}
    exp = saliency.explain(pipe, Image.fromarray(IMAGE), "grad_cam", "bee", progress=False)

    assert found.keys() == own.keys()
    for label, share in own.items():
        assert found[label] == pytest.approx(share, abs=1e-4)
    assert exp.label == "bee"
    assert exp.mask.shape == (16, 16)


def test_a_pipeline_of_another_task_is_refused() -> None:
    """Of a pipeline that does not classify images the error says what to pass."""
    transformers = pytest.importorskip("transformers")
    model, processor = small_vit()
    pipe = transformers.pipeline("image-classification", model=model, image_processor=processor)
    pipe.task = "image-segmentation"

    with pytest.raises(saliency.Unsupported, match=r"got 'image-segmentation'.*explain\(pipe\.model"):
        saliency.adapt(pipe)


class Normalize:
    """Shaped as fastai's: mean and deviation, (1, 3, 1, 1)."""

    def __init__(self) -> None:
        self.mean = torch.tensor([0.5, 0.4, 0.3])[None, :, None, None]
        self.std = torch.tensor([0.2, 0.3, 0.4])[None, :, None, None]


def learner(**dls: Any) -> Any:
    """Shaped as fastai's, with these attributes of its DataLoaders."""
    return SimpleNamespace(model=small_net(), dls=SimpleNamespace(**dls))


def test_a_learner_is_its_model_vocabulary_and_normalisation() -> None:
    """Of a fastai Learner the model, the names of the classes and the normalisation are used."""
    given = learner(vocab=LABELS, after_batch=SimpleNamespace(fs=[object(), Normalize()]))

    def normalised(image: np.ndarray) -> np.ndarray:
        return (image / 255 - np.array([0.5, 0.4, 0.3])) / np.array([0.2, 0.3, 0.4])

    np.testing.assert_allclose(scores(given), scores(given.model, preprocess=normalised), rtol=1e-4, atol=1e-5)
    exp = saliency.explain(given, IMAGE, "gradient", "bee", progress=False)
    assert exp.target == 1
    assert any("normalisation of the Learner's dls" in note for note in exp.notes)


@pytest.mark.parametrize("vocabulary", [None, [["a", "b"], ["c"]]], ids=str)
def test_a_learner_without_names_or_normalisation_is_a_model(vocabulary: Any) -> None:
    """Without a vocabulary of classes there are no labels."""
    given = learner(vocab=vocabulary)

    assert saliency.adapt(given).labels is None
    np.testing.assert_allclose(scores(given), scores(given.model))


class Lightning(SmallNet):
    """Shaped as Lightning's module: it keeps its trainer, leaves it out of copies, and has steps of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._trainer = Trainer(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trainer": None}

    def training_step(self, batch: Tensor, index: int) -> Tensor:
        raise AssertionError


class Trainer:
    """Return the preprocessing of a module's training."""

    def __init__(self, module: nn.Module) -> None:
        self.lightning_module = module

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("a trainer cannot be copied")


def test_a_lightning_module_is_a_module() -> None:
    """A module that keeps its trainer is explained, and left as it is."""
    torch.manual_seed(0)
    module = Lightning()
    before = module.training

    exp = saliency.explain(module, IMAGE, "grad_cam", 1, progress=False)

    assert np.isfinite(exp.mask).all()
    assert module.training is before
    assert not any("cannot be copied" in note for note in exp.notes)


def state() -> dict[str, Tensor]:
    """Weights without a module."""
    return dict(small_net().state_dict())


def weights_file(folder: Path, content: Any) -> Path:
    """A file of torch.save."""
    torch.save(content, folder / "net.pth")
    return folder / "net.pth"


NO_MODELS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "state dict": (lambda _: state(), r"got weights: this dict contains 11 arrays.*model\.load_state_dict\(state\)"),
    "ordered dict": (lambda _: OrderedDict(state()), "got weights"),
    "checkpoint": (lambda _: {"epoch": 3, "state_dict": state()}, r"load_state_dict\(state\['state_dict'\]\)"),
    "file of weights": (
        lambda folder: weights_file(folder, state()),
        r"load_state_dict\(torch\.load\(.*weights_only=True",
    ),
    "pickled module": (lambda folder: weights_file(folder, small_net()), r"runs any code.*weights_only=False"),
    "class": (lambda _: SmallNet, r"got the class SmallNet: create an instance, model = SmallNet\(…\)"),
    "name": (lambda _: "resnet50", r"timm\.create_model\('resnet50', pretrained=True\)"),
    "name on the hub": (lambda _: "google/vit-base-patch16-224", r"from_pretrained\('google/vit-base-patch16-224'\)"),
    "empty dict": (lambda _: {}, "which contains none"),
    "folder": (lambda folder: folder, "contains no SavedModel"),
    "picture": (
        lambda folder: (folder / "a.png").write_bytes(b"x") and folder / "a.png",
        "Expected the path of a model",
    ),
    "safetensors": (
        lambda folder: (folder / "a.safetensors").write_bytes(b"x") and folder / "a.safetensors",
        "load_file",
    ),
}


@pytest.mark.parametrize("kind", NO_MODELS)
def test_the_error_for_values_that_are_no_model_shows_the_fix(kind: str, tmp_path: Path) -> None:
    """The error for weights, classes, names and other files names their kind and how to create a model from them."""
    make, message = NO_MODELS[kind]
    given: Any = make(tmp_path)

    with pytest.raises(saliency.Unsupported, match=message):
        saliency.explain(given, IMAGE, "gradient")


def test_a_missing_file_of_a_model_is_reported() -> None:
    """A path of a model that leads nowhere raises FileNotFoundError."""
    with pytest.raises(FileNotFoundError, match=r"no/such/net\.onnx"):
        saliency.adapt("no/such/net.onnx")


class Payload:
    """Runs code when it is unpickled."""

    ran = False

    def __reduce__(self) -> Any:
        return exec, ("import tests.adapters.test_containers as t; t.Payload.ran = True",)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin"])
def test_no_file_is_unpickled(suffix: str, tmp_path: Path) -> None:
    """Code in a pickled file is not run."""
    path = tmp_path / f"net{suffix}"
    if suffix == ".pt":
        path.write_bytes(pickle.dumps(Payload()))
    else:
        torch.save(Payload(), path)

    with pytest.raises(saliency.Unsupported, match="pickled object"):
        saliency.adapt(path)
    assert not Payload.ran
