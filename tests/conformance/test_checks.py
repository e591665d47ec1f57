"""A method made at run time conforms without an entry anywhere, and each check fails where its fact does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.core.catalogue import METHODS
from saliency.core.gradients import GradientSaliency
from saliency.core.method import Method, parameter
from saliency.model.protocols import Differentiable
from saliency.session.session import Session, originals
from saliency_widget import SaliencyWidget
from scripts import methods_page
from tests.conformance.checks import OF_CLASSES, OF_MASKS, check_agrees, check_is_refused
from tests.conformance.models import Subject, subject
from tests.conformance.test_methods import WHOLE, name_of
from tests.nets import LABELS, picture, small_net


@dataclass(eq=False, repr=False)
class Powered(Method):
    """The absolute gradient to a power (arXiv:1312.6034)."""

    id = "powered_gradient"
    title = "Powered Gradient"
    paper = "arXiv:1312.6034"
    family = "gradients"
    formula = r"M = |\partial f / \partial x|^p"
    advice = "Where a few strong pixels should stand out."
    needs = Differentiable
    sign = "positive"

    power: float = parameter(2.0, "exponent of the absolute gradient", low=1, high=4)

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        for sums in session.summed_gradients(originals(session, images), np.ones(1)):
            yield session.ops.abs(sums.total) ** self.power


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> type[Method]:
    """The method, in the catalogue."""
    monkeypatch.setitem(METHODS, Powered.id, Powered)
    return Powered


def test_a_new_method_conforms(listed: type[Method]) -> None:
    """A method of twenty lines passes every check; nothing but the catalogue names it."""
    for check in OF_CLASSES:
        check(listed)
    for kind in WHOLE:
        model = subject(kind)
        if model.refusal(listed):
            check_is_refused(listed, model)
            continue
        for each in OF_MASKS:
            each(listed, model)
    check_agrees(listed, subject("torch function"), subject("torch"))


def test_a_new_method_is_shown_everywhere(listed: type[Method]) -> None:
    """It is found by its id and listed by ``methods``, by the widget and by the page of methods."""
    widget = SaliencyWidget(small_net(), picture(), labels=LABELS)
    try:
        assert listed.id in [each["id"] for each in widget.spec["methods"]]
    finally:
        widget.close()
    assert saliency.methods()[-1].cls is listed
    assert f'### <a id="{listed.id}"></a>{listed.title}' in methods_page.text()
    assert saliency.explain(small_net(), picture(), listed.id, 1, power=3, progress=False).mask.any()


class Unsorted(Powered):
    """No family that is known."""

    family = "none of them"


class Taking(Powered):
    """An argument that is no field."""

    def __init__(self, power: float = 2.0, extra: int = 1) -> None:
        super().__init__(power)


class Keyless(Powered):
    """The same key for all powers."""

    def key(self) -> str:
        return self.id


class Lenient(Powered):
    """No bounds."""

    def _check(self, each: Any) -> None:
        pass


class Flat(Powered):
    """The same cost for any number of images."""

    def cost(self, shape: tuple[int, ...]) -> int:
        return 1


@dataclass(eq=False, repr=False)
class Changed(Powered):
    """The mask, and something done to it before it is yielded."""

    id = "changed"

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        for mask in super().__call__(images, session):
            yield self.change(mask, session)

    def change(self, mask: Any, session: Session[Any]) -> Any:
        """Return another mask."""
        raise NotImplementedError


class Narrow(Changed):
    """One colour of three."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask[..., :1]


class Counting(Changed):
    """Larger with each run."""

    runs = 0

    def change(self, mask: Any, session: Session[Any]) -> Any:
        Counting.runs += 1
        return mask * Counting.runs


class Hasty(Changed):
    """Another mask where partial ones are wanted."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask * (2 if session.streaming else 1)


class Batched(Changed):
    """A factor from how often the model was called."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask * session.calls


class Drawn(Changed):
    """A factor from the global generator."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask * np.random.uniform()  # noqa: NPY002  # what the check forbids


class Mixed(Changed):
    """Less what the images have in common."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask - session.ops.sum(mask, 1)[:, None] / 4


class Contrasted(Changed):
    """Less what the classes have in common."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask - session.ops.sum(mask, 0)[None] / 4


class Costly(Powered):
    """Every image evaluated twice."""

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        yield from super().__call__(images, session)
        yield from super().__call__(images, session)


class Promising(Powered):
    """A sum that is not kept."""

    complete = True


class Writing(Changed):
    """The model is trained a little."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        model: Any = session.model
        model.model.head.bias.data += 1
        return mask


class Partial(Changed):
    """A factor from the framework's adapter."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask * (2 if "Function" in type(session.model).__name__ else 1)


BROKEN: dict[str, type[Method]] = {
    "describes_itself": Unsorted,
    "signature_is_its_fields": Taking,
    "is_a_value": Keyless,
    "refuses_bad_fields": Lenient,
    "cost_is_per_image": Flat,
    "mask_fits_the_image": Narrow,
    "is_found_by_id": Counting,
    "last_partial_is_the_mask": Hasty,
    "batch_size_does_not_matter": Batched,
    "repeats_itself": Drawn,
    "images_do_not_mix": Mixed,
    "targets_do_not_mix": Contrasted,
    "cost_is_counted": Costly,
    "sum_is_known": Promising,
    "leaves_all_as_it_was": Writing,
}
"""For each check, a method of which its fact is not true."""

FAILURE = (AssertionError, pytest.fail.Exception)


@pytest.mark.parametrize("check", [*OF_CLASSES, *OF_MASKS], ids=name_of)
def test_a_check_fails_on_a_broken_method(check: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check raises for a method that breaks its fact, and not for the method that it was made of."""
    broken = BROKEN[name_of(check)]
    monkeypatch.setitem(METHODS, broken.id, broken)
    model = () if check in OF_CLASSES else (Subject(small_net(), subject("torch").images),)
    with pytest.raises(FAILURE):
        check(broken, *model)
    monkeypatch.setitem(METHODS, Powered.id, Powered)

    check(Powered, *(Subject(small_net(), each.images) for each in model))


def test_agreement_fails_where_frameworks_differ() -> None:
    """The comparison of frameworks raises for a method that reads which one it is in."""
    with pytest.raises(FAILURE):
        check_agrees(Partial, subject("torch function"), subject("torch"))


def test_a_refusal_fails_where_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that says it lacks gradients, and is explained by them all the same, does not conform."""
    monkeypatch.setattr(Subject, "refusal", lambda *_: "no gradients")
    with pytest.raises(FAILURE):
        check_is_refused(GradientSaliency, subject("torch"))
