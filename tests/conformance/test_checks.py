"""A method defined at run time conforms without any entry, and each check fails for a method that violates it."""

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
from tests.conformance.models import Subject, precise, subject
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
    """Add the method to the catalogue."""
    monkeypatch.setitem(METHODS, Powered.id, Powered)
    return Powered


def test_a_new_method_conforms(listed: type[Method]) -> None:
    """A method of twenty lines passes every check; only the catalogue names it."""
    for check in OF_CLASSES:
        check(listed)
    for kind in WHOLE:
        with precise(kind) as model:
            for each in [check_is_refused] if model.refusal(listed) else OF_MASKS:
                each(listed, model)
    check_agrees(listed, subject("torch function"), subject("torch"))


def test_a_new_method_is_shown_everywhere(listed: type[Method]) -> None:
    """The method is found by its id, and listed by ``methods``, by the widget and by the page of methods."""
    widget = SaliencyWidget(small_net(), picture(), labels=LABELS)
    try:
        assert listed.id in [each["id"] for each in widget.spec["methods"]]
    finally:
        widget.close()
    assert saliency.methods()[-1].cls is listed
    assert f'### <a id="{listed.id}"></a>{listed.title}' in methods_page.text()
    assert saliency.explain(small_net(), picture(), listed.id, 1, power=3, progress=False).mask.any()


class Unsorted(Powered):
    """A method of an unknown family."""

    family = "none of them"


class Taking(Powered):
    """A method with an argument that is not a field."""

    def __init__(self, power: float = 2.0, extra: int = 1) -> None:
        super().__init__(power)


class Keyless(Powered):
    """A method with the same key for all powers."""

    def key(self) -> str:
        return self.id


class Lenient(Powered):
    """A method without bounds."""

    def _checked(self, each: Any, value: Any) -> Any:
        return value


class Flat(Powered):
    """A method with the same cost for any number of images."""

    def cost(self, shape: tuple[int, ...]) -> int:
        return 1


@dataclass(eq=False, repr=False)
class Changed(Powered):
    """A method that modifies its masks before it yields them."""

    id = "changed"

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        for mask in super().__call__(images, session):
            yield self.change(mask, session)

    def change(self, mask: Any, session: Session[Any]) -> Any:
        """Return the modified mask."""
        raise NotImplementedError


class Narrow(Changed):
    """The mask has one colour of three."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask[..., :1]


class Counting(Changed):
    """The mask grows with each run."""

    runs = 0

    def change(self, mask: Any, session: Session[Any]) -> Any:
        Counting.runs += 1
        return mask * Counting.runs


class Hasty(Changed):
    """The mask differs if partial masks are requested."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask * (2 if session.streaming else 1)


class Batched(Changed):
    """The mask has a factor that depends on the number of model calls."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask * session.calls


class Drawn(Changed):
    """The mask has a factor from NumPy's global generator."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask * np.random.uniform()  # noqa: NPY002  # what the check forbids


class Mixed(Changed):
    """A quarter of the sum over the images is subtracted."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask - session.ops.sum(mask, 1)[:, None] / 4


class Contrasted(Changed):
    """A quarter of the sum over the classes is subtracted."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        return mask - session.ops.sum(mask, 0)[None] / 4


class Costly(Powered):
    """Every image is evaluated twice."""

    def __call__(self, images: Any, session: Session[Any]) -> Iterator[Any]:
        yield from super().__call__(images, session)
        yield from super().__call__(images, session)


class Promising(Powered):
    """The mask does not have the sum that is declared."""

    complete = True


class Writing(Changed):
    """The weights of the model are changed."""

    def change(self, mask: Any, session: Session[Any]) -> Any:
        model: Any = session.model
        model.model.head.bias.data += 1
        return mask


class Partial(Changed):
    """The mask has a factor that depends on the framework's adapter."""

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
"""For each check, a method that violates it."""

FAILURE = (AssertionError, pytest.fail.Exception)


@pytest.mark.parametrize("check", [*OF_CLASSES, *OF_MASKS], ids=name_of)
def test_a_check_fails_on_a_broken_method(check: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check raises for a method that violates it, and not for the method from which that one derives."""
    broken = BROKEN[name_of(check)]
    monkeypatch.setitem(METHODS, broken.id, broken)
    model = () if check in OF_CLASSES else (Subject(small_net().double(), subject("torch").images),)
    with pytest.raises(FAILURE):
        check(broken, *model)
    monkeypatch.setitem(METHODS, Powered.id, Powered)

    check(Powered, *(Subject(small_net().double(), each.images) for each in model))


def test_agreement_fails_where_frameworks_differ() -> None:
    """The comparison of frameworks raises for a method that depends on the framework."""
    with pytest.raises(FAILURE):
        check_agrees(Partial, subject("torch function"), subject("torch"))


def test_a_refusal_fails_where_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that claims not to support gradients, but is explained by them, does not conform."""
    monkeypatch.setattr(Subject, "refusal", lambda *_: "no gradients")
    with pytest.raises(FAILURE):
        check_is_refused(GradientSaliency, subject("torch"))
