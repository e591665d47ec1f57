"""Checks of the properties of every method: functions that raise where a method violates one.

:data:`OF_CLASSES` take the class of a method, :data:`OF_MASKS` a class and a :class:`~tests.conformance.models.Subject`
whose model has what the method needs. tests/conformance/test_methods.py runs them for the whole catalogue; to run them
on a method from another package::

    for check in OF_CLASSES:
        check(MyMethod)
    for check in OF_MASKS:
        check(MyMethod, subject("torch"))
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import Field, fields
from typing import Any

import numpy as np
import pytest

import saliency
from saliency.api.fitting import layers_for
from saliency.core.method import FAMILIES, Method, default_of, described, run
from saliency.model.protocols import capability, lacking
from saliency.session.session import Session
from tests.conformance.models import Subject
from tests.nets import everything, few, near, same

TARGETS = (1, 2)
"""The explained classes."""

ROUNDING = 1e-4
"""Largest difference by rounding between runs in other batches, as a share of the maximum."""

SUM = 0.1
"""Largest share of the scores' difference that a method with few steps may miss without suggesting a remedy."""


def masks(
    method: Method, subject: Subject, targets: tuple[int, ...] = TARGETS, which: slice = slice(None), **options: Any
) -> tuple[list[np.ndarray], Session[Any]]:
    """Return all masks that a method yields for the subject's images, and the session that called the model."""
    model = subject.model.at(targets)
    images = model.ops.asarray(subject.images[which])
    session = Session(model.at(targets, layers_for(method, model, images, [])), **{"batch_size": 4, **options})
    return [np.array(model.ops.tohost(each)) for each in run(method, session, images)], session


def final(
    method: Method, subject: Subject, targets: tuple[int, ...] = TARGETS, which: slice = slice(None), **options: Any
) -> np.ndarray:
    """Return the last of :func:`masks`, one for each target even if they are equal."""
    last = masks(method, subject, targets, which, **options)[0][-1]
    return np.array(np.broadcast_to(last, (len(targets), *last.shape[1:])))


def alike(found: np.ndarray, expected: np.ndarray, largest: float) -> None:
    """Raise where masks differ by more than `ROUNDING` of the largest value of all compared masks."""
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=ROUNDING * largest)


def explained(method: Any, subject: Subject, **options: Any) -> list[saliency.Explanation]:
    """Return the explanations of both classes of the first image."""
    options = {"progress": False, "batch_size": 4, **options}
    found: list[saliency.Explanation] = saliency.explain(subject.user, subject.images[0], method, TARGETS, **options)
    return found


def cheap(cls: type[Method], subject: Subject) -> Method:
    """Return a method that evaluates few images."""
    return cls(**few(cls, subject.shape))


def others(method: Method) -> Iterator[tuple[Field[Any], Any]]:
    """Yield each field with a different value: a number, a flag or a choice."""
    for each in fields(method):
        value = getattr(method, each.name)
        choices = [name for name in each.metadata["choices"] or () if name != value]
        if isinstance(value, bool):
            yield each, not value
        elif isinstance(value, int | float):
            steps = (value + 1, value - 1, value * 2, value / 2)
            yield each, next(new for new in steps if new != value and accepted(method, each, type(value)(new)))
        elif choices:
            yield each, choices[0]


def accepted(method: Method, each: Field[Any], value: Any) -> bool:
    """Return whether a field accepts that value."""
    try:
        method.but(**{each.name: value})
    except saliency.BadField:
        return False
    return bool(value != getattr(method, each.name))


def check_describes_itself(cls: type[Method]) -> None:
    """A method has an id, title, family, formula, advice, a source cited in its docstring, and help for each field."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.id)
    assert cls.title
    assert cls.family in FAMILIES
    assert cls.paper
    assert cls.paper in (cls.__doc__ or "")
    assert cls.formula
    assert cls.advice
    assert cls().sign in ("absolute", "positive", "signed")
    assert capability(cls().needs)
    assert [each["name"] for each in described(cls())] == [each.name for each in fields(cls)]
    assert all(each["help"] for each in described(cls()))


def check_signature_is_its_fields(cls: type[Method]) -> None:
    """The arguments of a method's class are its fields, each with its default."""
    given = inspect.signature(cls).parameters

    assert list(given) == [each.name for each in fields(cls)]
    assert all(each.default is not inspect.Parameter.empty for each in given.values())
    assert cls().changed() == {}


def check_is_a_value(cls: type[Method]) -> None:
    """Equal fields give equal keys, and different values different keys; ``repr`` is the expression that creates it."""
    method = cls()
    assert method.key() == cls().key()
    assert repr(method) == f"{cls.__name__}()"
    for each, value in others(method):
        changed = method.but(**{each.name: value})
        assert changed.key() != method.key()
        assert changed.changed() == {each.name: value}
        assert repr(changed) == f"{cls.__name__}({each.name}={value!r})"
        assert getattr(method, each.name) == default_of(each)  # the first instance is unchanged


def check_refuses_bad_fields(cls: type[Method]) -> None:
    """Unknown fields, numbers out of bounds and unknown choices are refused, and the error names them."""
    unknown: dict[str, Any] = {"no_such_field": 1}
    with pytest.raises(saliency.UnknownName, match="'no_such_field'"):
        cls().but(**unknown)
    with pytest.raises(TypeError):
        cls(**unknown)
    for each in fields(cls):
        low, high, choices = (each.metadata[name] for name in ("low", "high", "choices"))
        wrong: list[Any] = ["no_such_choice"] if choices else []
        wrong += [bound + away for bound, away in ((low, -1), (high, 1)) if bound is not None]
        for value in wrong:
            with pytest.raises((saliency.BadField, saliency.UnknownName), match=each.name):
                cls(**{each.name: value})


def check_cost_is_per_image(cls: type[Method]) -> None:
    """Two images cost twice as much as one, for any size and number of channels, and the cost is not zero."""
    for shape in ((24, 20, 3), (64, 64, 1)):
        method = cls(**few(cls, shape))
        assert method.cost((1, *shape)) >= 1
        assert method.cost((2, *shape)) == 2 * method.cost((1, *shape))


def check_mask_fits_the_image(cls: type[Method], subject: Subject) -> None:
    """A mask is finite float32 (H, W) or (H, W, C), or of its layer, not constant, and records its method."""
    method = cheap(cls, subject)
    exp = explained(method, subject)[0]

    assert isinstance(exp, saliency.LayerExplanation) == cls.over_layer
    assert exp.mask.ndim == 3 if cls.over_layer else exp.mask.shape in (subject.shape, subject.shape[:2])
    assert exp.on_picture().shape[:2] == exp.picture.shape[:2]
    assert exp.mask.dtype == np.float32
    assert np.isfinite(exp.mask).all()
    assert np.ptp(exp.mask) > 0
    assert (exp.method, exp.caption) == (cls.id, repr(method))


def check_is_found_by_id(cls: type[Method], subject: Subject) -> None:
    """An id with fields, a class with fields, and an instance all select the same method."""
    given = {name: value for name, value in few(cls, subject.shape).items() if not isinstance(value, Method)}
    by_value = explained(cls(**given), subject)[0].mask

    for name in (cls.id, cls):
        np.testing.assert_array_equal(explained(name, subject, **given)[0].mask, by_value)


def check_last_partial_is_the_mask(cls: type[Method], subject: Subject) -> None:
    """Partial masks are (k, b, H, W) or (k, b, H, W, C), finite, for b not decreasing; the last is the final mask."""
    method = cheap(cls, subject)
    streamed, _ = masks(method, subject, streaming=True, batch_size=2)
    reached = [each.shape[1] for each in streamed]

    assert reached == sorted(reached)
    assert reached[-1] == len(subject.images)
    for each in streamed:
        assert each.shape[0] in (1, len(TARGETS))
        over = (streamed[-1].shape[2:],) if cls.over_layer else (subject.shape, subject.shape[:2])
        assert each.shape[2:] in over
        assert np.isfinite(each).all()
    near(streamed[-1], masks(method, subject)[0][-1])


def check_batch_size_does_not_matter(cls: type[Method], subject: Subject) -> None:
    """The mask is the same in batches of 1, 3 and 64."""
    expected = final(cheap(cls, subject), subject, batch_size=3)

    for batch_size in (1, 64):
        near(final(cheap(cls, subject), subject, batch_size=batch_size), expected, ROUNDING)


def check_repeats_itself(cls: type[Method], subject: Subject) -> None:
    """A second run gives the same mask to the last bit, independent of the state of NumPy's global generator."""
    state = np.random.get_state()  # noqa: NPY002  # the very thing that must not matter
    try:
        found = []
        for seed in (1, 2):
            np.random.seed(seed)  # noqa: NPY002  # as above
            found.append(final(cheap(cls, subject), subject))
    finally:
        np.random.set_state(state)  # noqa: NPY002  # as above

    np.testing.assert_array_equal(found[0], found[1])


def check_images_do_not_mix(cls: type[Method], subject: Subject) -> None:
    """The masks of two images together equal the masks of each alone."""
    method = cheap(cls, subject)
    together = final(method, subject)

    for i in range(len(subject.images)):
        alike(final(method, subject, which=slice(i, i + 1))[:, 0], together[:, i], np.abs(together).max())


def check_targets_do_not_mix(cls: type[Method], subject: Subject) -> None:
    """The masks of two classes together equal the masks of each alone."""
    method = cheap(cls, subject)
    together = final(method, subject)

    for i, target in enumerate(TARGETS):
        alike(final(method, subject, (target,))[0], together[i], np.abs(together).max())


def check_cost_is_counted(cls: type[Method], subject: Subject) -> None:
    """For one class the model evaluates exactly ``cost`` images, or more if ``beyond`` is set."""
    method = cheap(cls, subject)
    _, session = masks(method, subject, TARGETS[:1])
    known = method.cost((len(subject.images), *subject.shape))

    assert session.images > known if method.beyond else session.images == known
    assert session.calls >= 1


def check_sum_is_known(cls: type[Method], subject: Subject) -> None:
    """A complete method sums to the difference of the scores or suggests a remedy; other methods have no gap."""
    method = cheap(cls, subject)
    exp = explained(method, subject)[0]

    if not method.complete:
        assert exp.gap is None
        return
    assert exp.gap is not None
    rise = exp.score - (exp.baseline_score or 0.0)
    noted = any("completeness error" in note for note in exp.notes)
    assert abs(exp.gap) <= SUM * abs(rise) or not noted or method.remedy()


def check_leaves_all_as_it_was(cls: type[Method], subject: Subject) -> None:
    """The images and the model do not change; for a torch module, all of its state is compared."""
    images, is_module = subject.images.copy(), hasattr(subject.user, "state_dict")
    before = everything(subject.user) if is_module else None
    version = subject.model.version
    final(cheap(cls, subject), subject)

    np.testing.assert_array_equal(subject.images, images)
    assert subject.model.version == version
    assert not is_module or same(before, everything(subject.user))


def check_agrees(cls: type[Method], subject: Subject, reference: Subject) -> None:
    """The same network has the same masks and scores in every framework."""
    method = cheap(cls, subject)
    found, expected = (at_automatic_layer(method, each) for each in (subject, reference))

    ours, theirs = explained(found, subject), explained(expected, reference)
    near(np.stack([each.mask for each in ours]), np.stack([each.mask for each in theirs]))
    assert [each.score for each in ours] == pytest.approx([each.score for each in theirs], rel=1e-4)


def at_automatic_layer(method: Method, subject: Subject) -> Method:
    """Return the method at one layer, the automatic one: earlier layers differ between frameworks."""
    if not any(each.name == "layer" for each in fields(method)):
        return method
    images = subject.model.ops.asarray(subject.images[:1])
    return method.but(layer=subject.model.at(TARGETS).automatic_layer(images))


def check_is_refused(cls: type[Method], subject: Subject) -> None:
    """A model refuses a method that it does not support with its own reason, and suggests methods that it supports."""
    with pytest.raises(saliency.Unsupported) as refused:
        explained(cheap(cls, subject), subject)

    assert str(subject.refusal(cls)) in str(refused.value)
    if lacking(subject.model, cls().needs) is None:
        return  # detected in the model's program, not before
    offered = str(refused.value).rpartition("explained by ")[2].partition(" and ")[0].rstrip(".").split(", ")
    known = {each.id: each.cls for each in saliency.methods()}
    assert offered
    assert all(lacking(subject.model, known[each]().needs) is None for each in offered)


OF_CLASSES: list[Callable[[type[Method]], None]] = [
    check_describes_itself,
    check_signature_is_its_fields,
    check_is_a_value,
    check_refuses_bad_fields,
    check_cost_is_per_image,
]
"""Checks of a method's class."""

OF_MASKS: list[Callable[[type[Method], Subject], None]] = [
    check_mask_fits_the_image,
    check_is_found_by_id,
    check_last_partial_is_the_mask,
    check_batch_size_does_not_matter,
    check_repeats_itself,
    check_images_do_not_mix,
    check_targets_do_not_mix,
    check_cost_is_counted,
    check_sum_is_known,
    check_leaves_all_as_it_was,
]
"""Checks of a method's class on a model that supports it."""
