"""What a model is fed of a picture: with the preprocessing given or declared; and whether another would suit better."""

from __future__ import annotations

import hashlib
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
"""Pixels from which on a picture that is fed whole is reported."""

SURE, ODDS = 0.5, 8.0
"""Of a few classes: the probability that the top class must have under another preset for it to be reported, and by how
much its odds p / (1 - p) must be larger than as fed."""

MANY = 100
"""Classes from which on presets are compared by how far the top logit stands out, which tells more than its odds."""

RISE = 0.35
"""By how much the logarithm of that must be larger under another preset, summed over pictures, to be reported."""

SEEN = 0.05
"""Mean brightness, in 0–1, of a picture that a model cannot mistake for a black one."""

WIDE = "0..255"
"""The preset that is compared only where the model does not see the picture as it is fed."""

BLIND = 0.1
"""Largest distance (total variation) between the probabilities of the picture and of a black one for that."""

BLIND_ODDS = 4.0
"""By how much the odds of the top class must be larger under it than as fed."""

USUAL = 224
"""Height and width of what most networks were trained on."""

FIRST = 5
"""Pictures of a model on which presets are compared, as long as none is reported."""

KEPT = 64
"""Pictures of a model for which it is remembered what came of comparing presets."""


def picture_for(image: Any, preprocess: Preprocess | None, adapted: Adapted[Any]) -> Any:
    """Return a picture as a model is fed it; inputs that are no picture are returned as they are.

    Args:
        image: see :func:`saliency.read`; or what it returned.
        preprocess: see there; without one, what the model declares is used for 8- and 16-bit pictures.
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
    """Return a picture with the preprocessing that the model declares; as it is, where it declares none."""
    declared = adapted.declared
    if declared is None or picture.again is None:
        return picture
    try:
        return picture.once(declared.preprocess, lambda: _declared(picture, declared))
    except TypeError:  # one that cannot be hashed
        return _declared(picture, declared)


def _declared(picture: Picture, declared: Declared) -> Picture:
    assert picture.again is not None
    again = picture.again(declared.preprocess)
    note = f"{declared.note}; preprocess=… overrules it, and floats are fed as they are"
    again.notes[:] = [note, *(each for each in again.notes if not each.startswith("preprocess: "))]
    return again


def large(picture: Picture) -> Picture:
    """Warn that a large picture is fed whole."""
    height, width = picture.fed.shape[1:3]
    if height * width > LARGE and not picture.warnings:
        size = f"{height}×{width} = {height * width / 1e6:.1f} megapixels"
        way = "preprocess='0..1 224' shrinks it, and the map covers the whole picture as before"
        warning = f"the picture is fed whole, {size}, which may take minutes and much memory: {way}"
        picture.warnings.append(warning)
        picture.notes.append(warning)
        logger.warning("%s", warning)
    return picture


class Surer(NamedTuple):
    """A preset under which a model is much surer of its pictures than as they are fed."""

    preset: str
    label: str
    probability: float
    now_label: str
    now: float
    """The probability of the top class as fed."""
    pictures: int = 1
    """On how many pictures the presets were compared."""

    def __str__(self) -> str:
        share, now = f"{100 * self.probability:.0f} %", f"{100 * self.now:.0f} %"
        fed = now if self.label == self.now_label else f"{self.now_label} {now}"
        whole = f", and is surer over the {self.pictures} pictures so far" if self.pictures > 1 else ""
        return (
            f"with preprocess={self.preset!r} the model says {self.label} {share}, as fed now {fed}{whole}: the "
            "preprocessing seems to be missing"
        )


class Compared(NamedTuple):
    """What a model says of one picture under the presets."""

    now: np.ndarray
    """Probabilities of the classes, as fed."""
    shares: dict[str, np.ndarray]
    """The same under each preset."""
    rises: dict[str, float]
    """How much speaks for each preset: it is reported once the sum over pictures reaches `RISE`."""


def surer_preset(adapted: Adapted[Any], picture: Picture | Inputs) -> Surer | None:
    """Compare the presets on a picture for which no preprocessing was given or declared: a forward pass each.

    One picture says little, so what speaks for a preset is summed over a model's first pictures. A picture larger than
    224×224, fed to a model that has no size of its own, is compared at that size too. Functions of NumPy are left out,
    as their calls may be dear, and so are outputs other than three or more exclusive classes.

    Returns:
        the preset under which the model is much surer; None where there is none, or where it cannot be known.
    """
    require_adapted(adapted)
    unit = _unit(adapted, picture)
    if unit is None:
        return None
    known = adapted.compared
    if len(known) >= FIRST and _best(known.values()) is None:
        return None
    key = adapted.version, hashlib.blake2b(unit.tobytes(), digest_size=16).digest(), unit.shape
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
    """Return the preset for which most speaks over all pictures, if that is enough."""
    sums: dict[str, float] = {}
    for each in known:
        for name, rise in each.rises.items() if each else ():
            sums[name] = sums.get(name, 0.0) + rise
    best = max(sums, key=sums.__getitem__, default="")
    return best if sums.get(best, 0.0) >= RISE else None


def _unit(adapted: Adapted[Any], picture: Picture | Inputs) -> np.ndarray | None:
    """What the model is fed, as 0–1; None where it is not known to be that, or presets are not to be compared."""
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
        others = {name: preset(name + size)(unit[0])[None] for name in PRESETS}
        # another size alone may make it surer: a preset must be better than what is fed at that size, too
        same_size = now if as_fed is None or not size else _shares(adapted, others[as_fed])
        for name, other in others.items():
            # fed 255 times what it wants, any network is sure of something
            if name == as_fed or (name == WIDE and not blind):
                continue
            shares = _shares(adapted, other)
            if shares is not None and same_size is not None:
                rises = (_rise(each, shares, decisive=name == WIDE) for each in (now, same_size))
                found.shares[name + size], found.rises[name + size] = shares, min(rises)
    return found


def _rise(now: np.ndarray, then: np.ndarray, *, decisive: bool) -> float:
    """Return how much one picture says for a preset.

    Args:
        now: probabilities (classes,) as fed.
        then: those under the preset.
        decisive: whether one picture is enough, of a model that does not see it as fed.
    """
    odds = _odds(then.max()) / _odds(now.max())
    if len(now) < MANY:
        return RISE if then.max() >= SURE and odds >= ODDS else 0.0
    rise = float(np.log(_standing_out(then) / _standing_out(now)))
    if decisive:
        return RISE if rise > 0 and odds >= BLIND_ODDS else 0.0
    return rise


def _standing_out(shares: np.ndarray) -> float:
    """Return by how many standard deviations the top logit is above the mean, of probabilities (classes,).

    The scale of the logits plays no part: larger numbers alone make a network louder, not surer.
    """
    logits = np.log(np.maximum(shares, 1e-300))
    return float(max(logits.max() - logits.mean(), 1e-12) / max(logits.std(), 1e-12))


def _blind(adapted: Adapted[Any], fed: np.ndarray, now: np.ndarray) -> bool:
    """Whether the model says of the picture what it says of a black one, as if it were fed too small numbers."""
    black = _shares(adapted, np.zeros_like(fed))
    return black is not None and bool(np.abs(now - black).sum() / 2 < BLIND)


def _sizes(adapted: Adapted[Any], unit: np.ndarray) -> list[str]:
    """The size as fed; and the usual one, for a larger picture and a model that has no size of its own."""
    if adapted.size is not None or min(unit.shape[1:3]) < USUAL or max(unit.shape[1:3]) == USUAL:
        return [""]
    return ["", f" {USUAL}"]


def _odds(probability: float) -> float:
    return probability / max(1 - probability, 1e-12)


def _shares(adapted: Adapted[Any], fed: np.ndarray) -> np.ndarray | None:
    """The probabilities of the classes; None where the outputs are no three exclusive classes, or not finite."""
    with adapted.lock:
        outputs = np.asarray(adapted.ops.tohost(adapted.outputs(adapted.ops.asarray(fed)))[0], np.float64)
    head: Head = adapted.head
    if head.meaning != "classes" or len(outputs) < 3 or not np.isfinite(outputs).all():
        return None
    return head.shares(outputs)
