from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import saliency.core
import saliency.tf1
from tests.pair import reference

SURFACE = reference.table("surface")["saliency.tf1"]


def signature(function: Any) -> str:
    """A signature as PAIR writes it, without types."""
    found = inspect.signature(function)
    bare = [each.replace(annotation=each.empty) for each in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=found.empty))


def described(thing: Any) -> dict[str, Any]:
    """Return surface.json's entry of a name."""
    if isinstance(thing, ModuleType):
        return {"kind": "module", "name": thing.__name__}
    if inspect.isclass(thing):
        public = [(name, each) for name, each in inspect.getmembers(thing) if name[0] != "_" or name == "__init__"]
        return {
            "kind": "class",
            "bases": [base.__name__ for base in inspect.getmro(thing)[1:-1]],
            "methods": {name: signature(each) for name, each in public if inspect.isfunction(each)},
            "attributes": {name: each for name, each in public if isinstance(each, str | int | float | list)},
            "fields": [],
        }
    if inspect.isfunction(thing):
        return {"kind": "function", "signature": signature(thing)}
    return {"kind": "constant", "value": thing}


@pytest.mark.parametrize("name", SURFACE)
def test_a_name_is_what_it_is_in_pairs_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each public name is the same kind of thing, with the same methods, signatures, defaults and values."""
    monkeypatch.setattr(saliency.tf1.GuidedBackprop, "guided_relu_registered", False)  # as before the first is made

    assert SURFACE[name] == described(getattr(saliency.tf1, name))


def test_there_is_no_other_name() -> None:
    """The package has PAIR's public names and no more."""
    assert set(SURFACE) == {name for name in dir(saliency.tf1) if name[0] != "_"}
    assert set(SURFACE) == set(saliency.tf1.__all__)


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("base", ["TF1Saliency", "TF1CoreSaliency", "X_SHAPE_ERROR_MESSAGE", "Y_SHAPE_ERROR_MESSAGE", "utils"]),
        ("blur_ig", ["BlurIG"]),
        ("grad_cam", ["GradCam"]),
        ("gradients", ["GradientSaliency"]),
        ("guided_backprop", ["GuidedBackprop"]),
        ("guided_ig", ["GuidedIG"]),
        ("integrated_gradients", ["IntegratedGradients"]),
        ("occlusion", ["Occlusion"]),
        (
            "utils",
            [
                "create_tf1_call_model_function",
                "MISSING_CONV_LAYER_ERROR_MESSAGE",
                "MISSING_Y_ERROR_MESSAGE",
                "INPUT_OUTPUT_GRADIENTS",
                "OUTPUT_LAYER_VALUES",
                "CONVOLUTION_LAYER_VALUES",
                "CONVOLUTION_OUTPUT_GRADIENTS",
            ],
        ),
        ("visualization", ["VisualizeImageGrayscale", "VisualizeImageDiverging"]),
        ("xrai", ["XRAI", "XRAIParameters"]),
    ],
)
def test_a_module_has_the_names_it_has_in_pairs_package(module: str, names: list[str]) -> None:
    """PAIR's users also import from the modules."""
    found = importlib.import_module(f"saliency.tf1.{module}")

    assert [name for name in names if getattr(found, name) is not getattr(saliency.tf1, name)] == []


def test_what_is_the_cores_is_the_same_object() -> None:
    """XRAI's parameters, the pictures and the keys are the core's own."""
    for name in ("XRAIParameters", "VisualizeImageGrayscale", "VisualizeImageDiverging", "INPUT_OUTPUT_GRADIENTS"):
        assert getattr(saliency.core, name) is getattr(saliency.tf1, name)


def test_an_import_does_not_wake_tensorflow(checkout: Path) -> None:
    """Neither `import saliency` nor `import saliency.tf1` with all its modules imports TensorFlow."""
    modules = ", ".join(f"saliency.tf1.{file.stem}" for file in (checkout / "saliency/tf1").glob("[a-z]*.py"))
    code = f"import sys, saliency, saliency.tf1, {modules}; print(sorted({{'tensorflow', 'keras'}} & set(sys.modules)))"

    result = subprocess.run([sys.executable, "-c", code], cwd=checkout, check=True, capture_output=True, text=True)

    assert result.stdout.strip() == "[]"
