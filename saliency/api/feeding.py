"""Turn a picture into model input: apply the given or declared preprocessing, and check whether another fits better."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from saliency.model.head import Head
from saliency.model.inputs import Inputs
from saliency.model.protocols import Adapted, require_adapted
from saliency.pictures.picture import Picture, fitted, read, unscaled
from saliency.pictures.presets import PRESETS, UNITS, Declared, Preprocess, preset
from saliency.targets import label_of

logger = logging.getLogger("saliency")

LARGE = 1_000_000
"""Number of pixels from which feeding a picture at full size is reported."""

SURE, ODDS = 0.5, 8.0
"""For few classes: the minimal probability of the top class under another preset for that preset to be reported, and
the minimal factor by which its odds p / (1 - p) grow."""

MANY = 100
"""Number of classes from which presets are compared by how far the top logit stands out, which is more reliable."""

RISE = 0.35
"""Minimal gain in the logarithm of that distance, summed over pictures, for a preset to be reported."""

SEEN = 0.05
"""Mean brightness, in 0–1, from which a picture clearly differs from a black one."""

WIDE = "0..255"
"""The preset that is compared only where the model ignores the picture at its current scale."""

BLIND = 0.1
"""Largest distance (total variation) between the probabilities of the picture and of a black one for that case."""

BLIND_ODDS = 4.0
"""Minimal factor by which the odds of the top class grow under that preset."""

USUAL = 224
"""Height and width that most networks were trained on."""

FIRST = 5
"""Number of pictures per model on which presets are compared, as long as none is reported."""

KEPT = 64
"""Number of pictures per model for which the comparison is stored."""


def picture_for(image: Any, preprocess: Preprocess | None, adapted: Adapted[Any]) -> Any:
    """Return a picture together with the model's input; multi-input data is returned unchanged.

    Args:
        image: see :func:`saliency.read`; or its result.
        preprocess: see :func:`saliency.read`; by default, 8- and 16-bit pictures get what the model declares.
        adapted: the model.

    Raises:
        BadImage: see :func:`saliency.read`.
    """
    if isinstance(image, Inputs):
        return image
    require_adapted(adapted)
    read_already = isinstance(image, Picture)
    layout: dict[str, Any] = {"channels_first": adapted.channels_first, "channels": adapted.channels}
    picture = image if read_already else read(image, preprocess, **layout)
    if picture.scaled:
        picture = as_declared(picture, adapted)
    if adapted.scales_itself:
        picture = unscaled(picture)
    picture = fitted(picture, adapted.wants)
    return large(picture) if picture.again is not None else picture


def as_declared(picture: Picture, adapted: Adapted[Any]) -> Picture:
    """Return a picture with the preprocessing that the model declares; unchanged if it declares none."""
    declared = adapted.declared
    if declared is None or picture.again is None:
        return picture
    try:
        return picture.once(declared.preprocess, lambda: _declared(picture, declared))
    except TypeError:  # an unhashable preprocessing
        return _declared(picture, declared)


def _declared(picture: Picture, declared: Declared) -> Picture:
    assert picture.again is not None
    again = picture.again(declared.preprocess)
    note = f"{declared.note}; preprocess=… overrules it, and floats are fed as they are"
    again.notes[:] = [note, *(each for each in again.notes if not each.startswith("preprocess: "))]
    return again


def large(picture: Picture) -> Picture:
    """Warn if a large picture is fed at full size."""
    height, width = picture.fed.shape[1:3]
    if height * width > LARGE and not picture.warnings:
        size = f"{height}×{width} = {height * width / 1e6:.1f} megapixels"
        way = "preprocess='0..1 224' shrinks it, and the map still covers the whole picture"
        warning = f"the picture is fed at full size, {size}, which may take minutes and much memory: {way}"
        picture.warnings.append(warning)
        picture.notes.append(warning)
        logger.warning("%s", warning)
    return picture


class Surer(NamedTuple):
    """A preset under which a model is much more confident about its pictures than with the current preprocessing."""

    preset: str
    label: str
    probability: float
    now_label: str
    now: float
    """The probability of the top class with the current preprocessing."""
    pictures: int = 1
    """Number of pictures on which the presets were compared."""

    def __str__(self) -> str:
        share, now = f"{100 * self.probability:.0f} %", f"{100 * self.now:.0f} %"
        fed = now if self.label == self.now_label else f"{self.now_label} {now}"
        whole = f", and is more confident over the {self.pictures} pictures so far" if self.pictures > 1 else ""
        return (
            f"with preprocess={self.preset!r} the model predicts {self.label} {share}, without it {fed}{whole}: the "
            "preprocessing seems to be missing"
        )


class Compared(NamedTuple):
    """The model's outputs for one picture under the presets."""

    now: np.ndarray
    """Probabilities of the classes with the current preprocessing."""
    shares: dict[str, np.ndarray]
    """The same under each preset."""
    rises: dict[str, float]
    """Evidence for each preset: it is reported once the sum over pictures reaches `RISE`."""


def surer_preset(adapted: Adapted[Any], picture: Picture | Inputs) -> Surer | None:
    """Compare the presets on a picture without given or declared preprocessing, with one forward pass each.

    One picture is weak evidence, so the evidence is summed over a model's first pictures. A picture larger than
    224×224, fed to a model without a fixed input size, is compared at that size too. NumPy functions are skipped,
    because a call may be expensive, and so are outputs other than three or more exclusive classes.

    Returns:
        the preset under which the model is much more confident; None if there is none, or if that cannot be determined.
    """
    require_adapted(adapted)
    unit = _unit(adapted, picture)
    if unit is None:
        return None
    if adapted.head is None:  # the comparison may be known while this adapter has not been called
        _shares(adapted, picture.fed)
    known = adapted.compared
    if len(known) >= FIRST and _best(known.values()) is None:
        return None
    key = adapted.version, hash(unit.tobytes()), unit.shape
    if key not in known:
        if len(known) == KEPT:
            known.clear()
        known[key] = _compared(adapted, picture.fed, unit)
    this: Compared | None = known[key]
    name = _best(known.values())
    if this is None or name not in this.shares:
        return None
    then, names = this.shares[name], adapted.head.names(adapted.labels, len(this.now))
    then_top, now_top = (label_of(int(shares.argmax()), names) for shares in (then, this.now))
    return Surer(name, then_top, float(then.max()), now_top, float(this.now.max()), len(known))


def _best(known: Iterable[Compared | None]) -> str | None:
    """Return the preset with the most evidence over all pictures, if that is enough."""
    sums: dict[str, float] = {}
    for each in known:
        for name, rise in each.rises.items() if each else ():
            sums[name] = sums.get(name, 0.0) + rise
    best = max(sums, key=sums.__getitem__, default="")
    return best if sums.get(best, 0.0) >= RISE else None


def _unit(adapted: Adapted[Any], picture: Picture | Inputs) -> np.ndarray | None:
    """Return the model's input as 0–1; None where its range is unknown, or where presets are not to be compared."""
    if not isinstance(picture, Picture) or picture.again is None or not adapted.comparable:
        return None
    if adapted.scales_itself or picture.fed.shape[-1] not in (1, 3):
        return None
    if picture.scaled:
        return picture.fed
    return picture.fed / np.float32(picture.high) if (picture.low, picture.high) in UNITS else None


def _compared(adapted: Adapted[Any], fed: np.ndarray, unit: np.ndarray) -> Compared | None:
    now = _shares(adapted, fed)
    if now is None:
        return None
    found = Compared(now, {}, {})
    blind = float(unit.mean()) >= SEEN and _blind(adapted, fed, now)
    as_fed = next((name for name in PRESETS if np.allclose(preset(name)(unit[0])[None], fed)), None)
    for size in _sizes(adapted, unit):
        made = {name: preset(name + size)(unit[0])[None] for name in PRESETS}
        # those for three channels turn a grey picture into colours, which its model does not accept
        others = {name: each for name, each in made.items() if each.shape[-1] == unit.shape[-1]}
        # resizing alone may raise the confidence: a preset must also be better than no preset at that size
        same_size = now if as_fed is None or not size else _shares(adapted, made[as_fed])
        for name, other in others.items():
            # fed 255 times too large values, any network is confident of something
            if name == as_fed or (name == WIDE and not blind):
                continue
            shares = _shares(adapted, other)
            if shares is not None and same_size is not None:
                rises = (_rise(each, shares, decisive=name == WIDE) for each in (now, same_size))
                found.shares[name + size], found.rises[name + size] = shares, min(rises)
    return found


def _rise(now: np.ndarray, then: np.ndarray, *, decisive: bool) -> float:
    """Return one picture's evidence for a preset.

    Args:
        now: probabilities (classes,) with the current preprocessing.
        then: probabilities under the preset.
        decisive: whether one picture is enough, because the model ignores the picture at its current scale.
    """
    odds = _odds(then.max()) / _odds(now.max())
    if len(now) < MANY:
        return RISE if then.max() >= SURE and odds >= ODDS else 0.0
    rise = float(np.log(_standing_out(then) / _standing_out(now)))
    if decisive:
        return RISE if rise > 0 and odds >= BLIND_ODDS else 0.0
    return rise


def _standing_out(shares: np.ndarray) -> float:
    """Return how many standard deviations the top logit is above the mean, from probabilities (classes,).

    The scale of the logits has no influence: larger inputs alone give larger logits, not a better decision.
    """
    logits = np.log(np.maximum(shares, 1e-300))
    return float(max(logits.max() - logits.mean(), 1e-12) / max(logits.std(), 1e-12))


def _blind(adapted: Adapted[Any], fed: np.ndarray, now: np.ndarray) -> bool:
    """Return whether the picture's probabilities equal those of a black one, as if its values were too small."""
    black = _shares(adapted, np.zeros_like(fed))
    return black is not None and bool(np.abs(now - black).sum() / 2 < BLIND)


def _sizes(adapted: Adapted[Any], unit: np.ndarray) -> list[str]:
    """Return the current size, and the usual one for a larger picture and a model without a fixed input size."""
    if adapted.size is not None or min(unit.shape[1:3]) < USUAL or max(unit.shape[1:3]) == USUAL:
        return [""]
    return ["", f" {USUAL}"]


def _odds(probability: float) -> float:
    return probability / max(1 - probability, 1e-12)


def _shares(adapted: Adapted[Any], fed: np.ndarray) -> np.ndarray | None:
    """Return the probabilities of the classes; None for fewer than three, not exclusive, or not finite ones."""
    with adapted.lock:
        outputs = np.asarray(adapted.ops.tohost(adapted.outputs(adapted.ops.asarray(fed)))[0], np.float64)
    head: Head = adapted.head
    if head.meaning != "classes" or len(outputs) < 3 or not np.isfinite(outputs).all():
        return None
    return head.shares(outputs)
