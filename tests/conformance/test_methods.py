"""Every method of the catalogue passes every check, on a small model of every framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from saliency.core.catalogue import METHODS
from saliency.core.method import Method
from tests.conformance.checks import OF_CLASSES, OF_MASKS, check_agrees, check_is_refused
from tests.conformance.models import CNNS, TRANSFORMERS, precise, reads_attention, subject
from tests.nets import one_each

WHOLE = ("torch", "function", "torch transformer")
"""Models on which every check is run in `make test`; the others take minutes, because each is compiled."""

SAMPLED = ("jax", "flax nnx", "equinox", "equinox transformer")
"""Frameworks with one method for each capability: their variants run all methods."""


def name_of(check: Callable[..., None]) -> str:
    """Return the name of the checked class or function."""
    return check.__name__.removeprefix("check_")


def subjects(cls: type[Method]) -> list[str]:
    """Return the models on which a method is checked: methods that read attention on transformers, others on CNNs."""
    return list(TRANSFORMERS if reads_attention(cls) else CNNS)


def cases(kinds: Callable[[type[Method]], list[str]], is_long: Callable[[str, str], bool]) -> list[Any]:
    """Return (model, method) for every method and the models on which it is checked."""
    return [
        pytest.param(kind, method, id=f"{kind}-{method}", marks=pytest.mark.long if is_long(kind, method) else ())
        for method, cls in METHODS.items()
        for kind in kinds(cls)
    ]


def in_sample(kind: str, method: str) -> bool:
    """Return whether masks of that model are compared in each run."""
    return kind not in SAMPLED or method in one_each()


@pytest.mark.parametrize("check", OF_CLASSES, ids=name_of)
@pytest.mark.parametrize("method", METHODS)
def test_a_class_conforms(method: str, check: Callable[[type[Method]], None]) -> None:
    """See the check's docstring."""
    check(METHODS[method])


@pytest.mark.parametrize(("kind", "method"), cases(subjects, lambda kind, _: kind not in WHOLE))
def test_a_method_conforms(kind: str, method: str, subtests: pytest.Subtests) -> None:
    """A method passes each check of a mask, or the model refuses it with its own reason."""
    cls = METHODS[method]
    with precise(kind) as model:
        for check in [check_is_refused] if model.refusal(cls) else OF_MASKS:
            with subtests.test(name_of(check)):
                check(cls, model)


@pytest.mark.agreement
@pytest.mark.parametrize(
    ("kind", "method"), cases(lambda cls: subjects(cls)[1:], lambda kind, method: not in_sample(kind, method))
)
def test_frameworks_agree(kind: str, method: str) -> None:
    """The same network has the same masks and scores in every framework, or refuses with its own reason."""
    cls, model = METHODS[method], subject(kind)
    if model.refusal(cls):
        check_is_refused(cls, model)
    else:
        check_agrees(cls, model, subject(subjects(cls)[0]))


@pytest.mark.parametrize("kind", CNNS)
def test_attention_is_refused_where_there_is_none(kind: str) -> None:
    """A CNN of any framework refuses methods that read attention maps."""
    for cls in METHODS.values():
        if reads_attention(cls):
            check_is_refused(cls, subject(kind))
