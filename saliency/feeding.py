"""What a model is fed of a picture: with the preprocessing given or declared; and whether another would suit better."""

from __future__ import annotations

import hashlib
import logging
from typing import Any, NamedTuple

import numpy as np

from saliency.head import Head
from saliency.images import Picture, fitted, read, unscaled
from saliency.inputs import Inputs
from saliency.model import Adapted
from saliency.pictures.presets import PRESETS, UNITS, Declared, Preprocess, preset
from saliency.targets import label_of

logger = logging.getLogger("saliency")

LARGE = 1_000_000
"""Pixels from which on a picture that is fed whole is reported."""

SURE = 0.5
"""Probability that the top class must have under another preset for it to be reported."""

ODDS = 8.0
"""By how much the odds p / (1 - p) of the top class must be larger under it than as fed."""

WIDE = "0..255"
"""The preset that is compared only where the model does not see the picture as it is fed."""

BLIND = 0.1
"""Largest distance (total variation) between the probabilities of the picture and of a black one for that."""

USUAL = 224
"""Height and width of what most networks were trained on."""

FIRST = 3
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
    read_already = isinstance(image, Picture)
    channels = getattr(adapted, "channels", None)
    picture = (
        image if read_already else read(image, preprocess, channels_first=adapted.channels_first, channels=channels)
    )
    if picture.scaled:
        picture = as_declared(picture, adapted)
    if getattr(adapted, "scales_itself", False):
        picture = unscaled(picture)
    wants = getattr(adapted, "wants", None)
    picture = picture if wants is None else fitted(picture, wants)
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
    """A preset under which a model is much surer of a picture than as it is fed."""

    preset: str
    label: str
    probability: float
    now_label: str
    now: float
    """The probability of the top class as fed."""

    def __str__(self) -> str:
        share, now = f"{100 * self.probability:.0f} %", f"{100 * self.now:.0f} %"
        fed = now if self.label == self.now_label else f"{self.now_label} {now}"
        return (
            f"with preprocess={self.preset!r} the model says {self.label} {share}, as fed now {fed}: the preprocessing "
            "seems to be missing"
        )


def surer_preset(adapted: Adapted[Any], picture: Picture) -> Surer | None:
    """Compare the presets on a picture for which no preprocessing was given or declared: a forward pass each.

    A picture larger than 224×224, fed to a model that has no size of its own, is compared at that size too. Only a
    model's first pictures are compared, as long as none is much surer; what was found of a picture is remembered.
    Functions of NumPy are left out, as their calls may be dear, and so are outputs other than three or more exclusive
    classes.

    Returns:
        the preset under which the model is much surer; None where there is none, or where it cannot be known.
    """
    unit = _unit(adapted, picture)
    if unit is None:
        return None
    known = adapted.compared
    if len(known) >= FIRST and not any(known.values()):
        return None
    key = adapted.version, hashlib.blake2b(unit.tobytes(), digest_size=16).digest(), unit.shape
    if key not in known:
        if len(known) == KEPT:
            known.clear()
        known[key] = _compared(adapted, picture.fed, unit)
    found: Surer | None = known[key]
    return found


def _unit(adapted: Adapted[Any], picture: Any) -> np.ndarray | None:
    """What the model is fed, as 0–1; None where it is not known to be that, or presets are not to be compared."""
    if not isinstance(picture, Picture) or picture.again is None or not adapted.comparable:
        return None
    if getattr(adapted, "scales_itself", False) or picture.fed.shape[-1] not in (1, 3):
        return None
    if picture.scaled:
        return picture.fed
    return picture.fed / np.float32(picture.high) if (picture.low, picture.high) in UNITS else None


def _compared(adapted: Adapted[Any], fed: np.ndarray, unit: np.ndarray) -> Surer | None:
    now = _shares(adapted, fed)
    if now is None:
        return None
    best: tuple[str, np.ndarray] | None = None
    blind = _blind(adapted, fed, now)
    for name in (*PRESETS, *_at_another_size(adapted, unit)):
        # fed 255 times what it wants, any network is sure of something
        if name.startswith(WIDE) and not blind:
            continue
        other = preset(name)(unit[0])[None]
        if other.shape == fed.shape and np.allclose(other, fed):
            continue
        shares = _shares(adapted, other)
        if shares is not None and (best is None or shares.max() > best[1].max()):
            best = name, shares
    if best is None or best[1].max() < SURE or _odds(best[1].max()) < ODDS * _odds(now.max()):
        return None
    names = adapted.head.names(adapted.labels, len(now))
    then_top, now_top = (label_of(int(shares.argmax()), names) for shares in (best[1], now))
    return Surer(best[0], then_top, float(best[1].max()), now_top, float(now.max()))


def _blind(adapted: Adapted[Any], fed: np.ndarray, now: np.ndarray) -> bool:
    """Whether the model says of the picture what it says of a black one, as if it were fed too small numbers."""
    black = _shares(adapted, np.zeros_like(fed))
    return black is not None and bool(np.abs(now - black).sum() / 2 < BLIND)


def _at_another_size(adapted: Adapted[Any], unit: np.ndarray) -> list[str]:
    """The presets at the usual size, for a larger picture and a model that has no size of its own."""
    if getattr(adapted, "size", None) is not None or min(unit.shape[1:3]) < USUAL or max(unit.shape[1:3]) == USUAL:
        return []
    return [f"{name} {USUAL}" for name in PRESETS]


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
