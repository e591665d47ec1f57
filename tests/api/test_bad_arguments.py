"""Whatever a public callable is given, it answers with an error of the package's own, or with a result that holds.

Callables, their arguments and the fields of methods are read from the package itself: a new function, method or field
is tried without a change here, as long as a good value is known for each argument that it requires.
"""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import saliency
from saliency.core.catalogue import METHODS
from saliency.core.method import Method
from saliency_widget import SaliencyWidget
from tests.nets import few, small_net

SIZE = 12, 10
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


class Unprintable:
    """Raises when it is printed."""

    def __repr__(self) -> str:
        raise RuntimeError("it cannot be printed")


def means(images: np.ndarray) -> np.ndarray:
    """A model of three classes that answers at once."""
    return images.mean((1, 2))


def numbers() -> Iterator[int]:
    """An iterable that can be read only once."""
    yield from (1, 2)


JUNK: list[Callable[[], Any]] = [
    *(lambda value=value: value for value in (None, True, False, 0, 1, 2, 3, -1, 2**31, 2**70, -(10**400), 10**400)),
    *(lambda value=value: value for value in (0.5, 1.5, -0.0, 1e-9, 1e300, math.nan, math.inf, -math.inf, 1j)),
    *(
        lambda value=value: value
        for value in ("", "x", "3", "auto", "\ud800", "\0", "a" * 5000, b"x", b"", int, Method)
    ),
    *(lambda value=value: value for value in ((), (1,), (1, 2), ("a", "b"), range(3), frozenset("ab"), 2 * "é")),
    list,
    lambda: [None],
    lambda: [1, "a", 0.5],
    lambda: [[1]],
    lambda: [math.nan],
    dict,
    lambda: {"a": 1},
    lambda: {1: "a"},
    lambda: {"a", "b"},
    object,
    numbers,
    Unprintable,
    lambda: [Unprintable()],
    lambda: io.BytesIO(b"x"),
    lambda: Path("none") / "there",
    lambda: np.float32(0.5),
    lambda: np.int64(2),
    lambda: np.array(2),
    lambda: np.array([]),
    lambda: np.array([1.0, math.nan]),
    lambda: np.array(["a", "b"]),
    lambda: np.array([None, object()]),
    lambda: np.zeros(SIZE),
    lambda: np.zeros(SIZE, bool),
    lambda: np.ones((*SIZE, 3), complex),
    lambda: np.full((*SIZE, 3), math.nan),
    lambda: np.zeros((2, 3, 4, 5, 6)),
    lambda: np.datetime64("2020-01-01"),
    lambda: torch.tensor(1),
    lambda: torch.full(SIZE, math.inf),
    lambda: torch.nn.ReLU,
    lambda: lambda: 1,
    lambda: lambda *_: None,
    lambda: lambda *_: "a",
    lambda: lambda *given: given[0] if given else 0,
    saliency.GradientSaliency,
    lambda: saliency.GradCam,
]
"""Values of every kind, made afresh for each example."""


class Call(NamedTuple):
    """Something public that can be called."""

    name: str
    call: Callable[..., Any]
    good: dict[str, Any]
    """Arguments with which it works, in little time."""
    may: tuple[str, ...]
    """The arguments that may be replaced, by their names."""

    def __repr__(self) -> str:
        return self.name


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Call]]:
    """Every public callable, with arguments that are good."""
    mpl.use("Agg")
    net = small_net()
    exp = saliency.explain(net, IMAGE, "gradient", 1, progress=False)
    file = tmp_path_factory.mktemp("saved") / "exp.npz"
    exp.save(file)
    offered: list[Any] = [saliency.Occlusion(size=8, stride=8), "gradient"]
    widget = SaliencyWidget(means, IMAGE, offered)
    widget.compute("occlusion", 1, wait=True)
    good = {
        "model": net,
        "image": IMAGE,
        "images": [IMAGE],
        "fill": "blur",
        "img": IMAGE,
        "method": "gradient",
        "adapted": saliency.adapt(net),
        "selection": np.ones(SIZE, bool),
        "mask": exp.mask,
        "masks": [exp.mask] * 5,
        "explanation": exp,
        "picture": saliency.read(IMAGE),
        "path": file,
        "target": 1,
        "needs": saliency.GradCam.needs,
        "preprocess": None,
        "state": widget.state(),
        "a": 0,
        "b": 1,
        "layer": "relu",
        "channel": 0,
        "index": 0,
        "embedding": np.ones(4),
        "labels": None,
    }
    own = {
        "explain": {"progress": False},
        "check": {"progress": False, "rerun": 0},
        "evaluate": {"methods": ["gradient"], "metrics": ["gini"], "progress": False},
        "explain_dataset": {"source": [IMAGE], "methods": "gradient", "progress": False},
        "recommend": {"methods": ["gradient"], "progress": False},
        "features": {"progress": False},
        "counterfactual": {"segments": "grid", "count": 6, "progress": False},
        "pgd": {"steps": 2},
        "minimal_strength": {"points": 3},
        "perturbation_curves": {"points": 3},
        "mean_logit": {"mask": np.ones(SIZE)},
        "described": {"method": saliency.GradCam()},
        "film": {"path": file.with_suffix(".gif"), "method": "occlusion", "frames": 2, "width": 64},
        "SaliencyWidget": {"model": means, "methods": offered, "target": None, "layer": None},
        "from_state": {"model": means},
        "Explanation": {name: value for name, value in vars(exp).items() if name in ("caption", "label", "method")},
    }
    found = list(_public(good, own))
    found += [_of(f"exp.{name}", call, good, own) for name, call in _methods(exp)]
    prepared = saliency.prepare(net, [IMAGE])
    found += [_of(f"prepared.{name}", call, good, own) for name, call in _methods(prepared) if name != "run"]
    # what closes or waits for good is no matter of arguments
    found += [_of(f"widget.{name}", call, good, own) for name, call in _methods(widget, SaliencyWidget)]
    yield found
    widget.close()


def _public(good: dict[str, Any], own: dict[str, Any]) -> Iterator[Call]:
    """Functions and classes of the package, and a run of each method with each field."""
    for name in saliency.__all__:
        if inspect.isfunction(call := getattr(saliency, name)) and inspect.signature(call).parameters:
            yield _of(name, call, good, own)
    for name in ("margin", "contrast", "output", "unit", "mean_logit", "similarity"):
        made = _of(name, getattr(saliency.targets, name), good, own)
        yield made
    for name in ("fgsm", "pgd", "minimal_strength"):
        made = _of(name, getattr(saliency.attacks, name), good, own)
        yield made
    for call in (saliency.Explanation, saliency.Preprocessing, SaliencyWidget, saliency.Explanation.load):
        yield _of(call.__name__, call, good, own)
    for name, method in METHODS.items():
        if own_fields := tuple(each.name for each in fields(method)):
            cheap = {key: each for key, each in few(method).items() if key not in ("segments", "baseline")}
            yield Call(name, partial(_run, method, good["model"]), cheap, own_fields)


def _run(method_class: type[Method], net: Any, **given: Any) -> Any:
    """Explain by a method with some fields; or only make it, where the model cannot answer it."""
    made = method_class(**given)
    if saliency.lacking(saliency.adapt(net), made.needs) is not None:
        return made
    return saliency.explain(net, IMAGE, made, 1, progress=False)


def _methods(thing: Any, cls: type | None = None) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public methods that its class itself defines, and that take arguments."""
    for name, each in vars(cls or type(thing)).items():
        call = getattr(thing, name) if not name.startswith("_") and callable(getattr(each, "__func__", each)) else None
        if call is not None and inspect.signature(call).parameters and not isinstance(each, type):
            yield name, call


def _of(name: str, call: Callable[..., Any], good: dict[str, Any], own: dict[str, Any]) -> Call:
    """A callable, with a good value for each argument that needs one."""
    # two callables may share a name: `check` and `widget.check`
    accepted = inspect.signature(call).parameters
    anything = any(each.kind == each.VAR_KEYWORD for each in accepted.values())
    chosen = own.get(name.rpartition(".")[2], {})
    given = {key: each for key, each in chosen.items() if anything or key in accepted}
    known = {**good, **given}
    parameters = [each for each in inspect.signature(call).parameters.values() if each.kind != each.VAR_KEYWORD]
    needed = [each.name for each in parameters if each.default is each.empty and each.kind != each.VAR_POSITIONAL]
    missing = [each for each in needed if each not in known]
    assert not missing, f"{name} has arguments for which no good value is known: {missing}"
    return Call(
        name, call, {**{each: known[each] for each in needed}, **given}, tuple(each.name for each in parameters)
    )


def try_out(calls: list[Call], draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    """Call one of them with one argument or two replaced."""
    chosen = draw(st.sampled_from(calls))
    names = draw(st.lists(st.sampled_from(chosen.may), min_size=1, max_size=2, unique=True))
    junk = {name: draw(st.sampled_from(JUNK))() for name in names}
    refused: saliency.SaliencyError | None = None
    found = None
    try:
        found = chosen.call(**{**chosen.good, **junk})
    except saliency.SaliencyError as error:
        refused = error
    except FileNotFoundError:
        pass
    finally:
        plt.close("all")
    if refused is not None:
        assert isinstance(refused, ValueError | TypeError | RuntimeError | ImportError), chosen.name
        assert 0 < len(str(refused)) < 5000, chosen.name
    require_valid(found)
    if isinstance(found, SaliencyWidget):
        found.close()


def require_valid(found: Any) -> None:
    """Raise AssertionError unless a result's numbers are finite and of the shape they should have."""
    if isinstance(found, list):
        for each in found:
            require_valid(each)
    elif isinstance(found, saliency.Prepared):
        assert np.isfinite(np.asarray(found.images)).all()
    elif isinstance(found, saliency.Explanation):
        assert found.mask.ndim in ((2, 3) if found.picture.size else range(1, 9))
        assert np.isfinite(found.mask).all()
    elif isinstance(found, saliency.PerturbationCurves):
        assert np.isfinite([*found.insertion, *found.deletion, found.insertion_auc]).all()
    elif isinstance(found, saliency.attacks.Adversarial):
        assert np.isfinite(found.perturbation).all()
        assert str(found)
    elif isinstance(found, saliency.attacks.StrengthCurve):
        assert np.isfinite([*found.strengths, *found.values]).all()
        assert str(found)
    elif isinstance(found, saliency.Counterfactual):
        assert np.isfinite([found.before, found.after]).all()
        assert found.mask.shape == found.segmentation.shape
        assert str(found)
    elif isinstance(found, saliency.Prediction):
        assert math.isfinite(found.score)
    elif isinstance(found, np.ndarray):
        assert found.dtype.kind in "biuf"
        assert np.isfinite(found).all()


CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=300, derandomize=True, database=None, deadline=None, suppress_health_check=CHECKS)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_a_bad_argument_ends_in_a_sentence(
    calls: list[Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    """The outcome is a SaliencyError that a built-in one catches too, a missing file, or a valid result."""
    monkeypatch.chdir(tmp_path)
    try_out(calls, data.draw)


@pytest.mark.long
@settings(max_examples=2000, database=None, deadline=None, suppress_health_check=CHECKS)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_many_bad_arguments_end_in_a_sentence(
    calls: list[Call], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject
) -> None:
    """The same, of other examples at every run."""
    monkeypatch.chdir(tmp_path)
    try_out(calls, data.draw)


def test_everything_public_is_tried(calls: list[Call]) -> None:
    """The functions, the methods with fields, and what an explanation and a widget can do."""
    names = {each.name for each in calls}

    assert {"explain", "predict", "what_if", "perturbation_curves", "layers", "adapt", "read", "Explanation"} <= names
    assert {name for name, cls in METHODS.items() if fields(cls)} <= names
    assert {"exp.save", "exp.top", "exp.plot", "exp.overlay", "load", "widget.snapshot_png", "from_state"} <= names | {
        each.rpartition(".")[2] for each in names
    }
    assert all(each.may for each in calls)
