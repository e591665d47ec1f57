"""The accuracy of a result: a phrase, and a concern with its remedy where a result is poor."""

from __future__ import annotations

from typing import Any

import numpy as np

import saliency

HIGH = 0.1
"""Completeness error, as a share of the scores' difference, above which a result is poor."""

NOISY = 0.1
"""Share of a map's variance that is noise, above which the samples are too few."""

CONSTANT = 1e-3
"""Range of a map, as a share of its largest magnitude, below which it is nearly constant."""

MORE = 4
"""Factor by which a remedy raises a number of steps."""

MOST = 16
"""Maximum factor by which a remedy raises a number of samples."""

TOLERANCE = 0.01
"""Tolerance that a remedy sets first."""


def quality(explanation: saliency.Explanation, method: saliency.Method) -> str:
    """Return a short phrase on the accuracy or the extent of a result."""
    if explanation.regions is not None:
        return _count(len(explanation.regions.table), "region")
    if explanation.gap is not None:
        return _completeness(explanation)
    if isinstance(method, saliency.SmoothGrad):
        return _count(method.samples, "sample")
    if isinstance(method, saliency.Occlusion):
        down, across = method.windows((1, *explanation.mask.shape[:2]))
        return _count(len(down) * len(across), "window")
    if explanation.layer:
        return f"layer: {explanation.layer}"
    if not explanation.images:
        return "no images evaluated"  # stored, or from the passes of an earlier method
    return f"{_count(explanation.images, 'image')} evaluated"


def concern(explanation: saliency.Explanation, method: saliency.Method) -> dict[str, Any] | None:
    """Return why a result is poor, and one change of the method that improves it; None if nothing is found.

    A completeness error is no concern where regions are ranked, as by XRAI: it is that of the map inside, and the
    order of the regions' means hardly depends on it.

    Args:
        explanation: the result.
        method: the method that computed it.

    Returns:
        `sentence`; and `remedy`: None, or the `label` of a button and the `fields` that it changes.
    """
    fields = {each["name"]: each for each in saliency.described(method)}
    constant = _constant(explanation)
    if constant:
        return {"sentence": constant, "remedy": None}
    # a ranking of regions does not depend on their sum
    share = None if explanation.regions is not None else explanation.gap_share
    if share is not None and share > HIGH:
        remedy = _steps(method, fields) or _samples(fields, MORE)
        return {"sentence": _incomplete(explanation), "remedy": remedy}
    noise = _noise(explanation)
    if noise > NOISY:
        sentence = f"Few samples: about {_percent(noise)} of the map's variance is noise."
        return {"sentence": sentence, "remedy": _samples(fields, noise / NOISY)}
    return _few_samples(method, fields)


def _constant(explanation: saliency.Explanation) -> str:
    """Return a sentence on a map that distinguishes no pixels, else an empty text."""
    values = explanation.mask
    largest = float(np.abs(values).max(initial=0))
    if largest == 0:
        return "All values of the map are zero: it distinguishes no pixels."
    plane = values.sum(2) if values.ndim == 3 else values
    if float(np.ptp(plane)) < CONSTANT * float(np.abs(plane).max()):
        return "The map is nearly constant: it distinguishes no pixels."
    return ""


def _incomplete(explanation: saliency.Explanation) -> str:
    phrase = _completeness(explanation).removesuffix(" (high)")
    if explanation.baseline_score is None:
        return f"{phrase}: relevance was lost or added on the way to the picture."
    return f"{phrase}: the values do not add up to the change of the score."


def _steps(method: saliency.Method, fields: dict[str, Any]) -> dict[str, Any] | None:
    """Return the remedy for a high completeness error; None for methods without steps."""
    steps = fields.get("steps")
    if steps is None:
        return None
    default = int(getattr(type(method), "steps", None) or saliency.IntegratedGradients().inside().steps or 1)
    if "tolerance" in fields and fields["tolerance"]["value"] is None:
        fixed = {name: None for name in ("steps", "quadrature") if fields[name]["value"] is not None}
        return {"label": f"Tolerance {_percent(TOLERANCE)}", "fields": {**fixed, "tolerance": TOLERANCE}}
    return _raised("steps", steps, max(default, (steps["value"] or default) * MORE))


def _noise(explanation: saliency.Explanation) -> float:
    """Return the share of a map's variance that its standard errors account for; 0 if there are none."""
    errors = explanation.standard_error
    variance = float(np.var(explanation.mask))
    return 0.0 if errors is None or not variance else float(np.mean(np.square(errors, dtype=np.float64))) / variance


def _samples(fields: dict[str, Any], factor: float) -> dict[str, Any] | None:
    """Return the remedy that raises the samples by about a factor, a power of two."""
    samples = fields.get("samples")
    if samples is None or not samples["value"]:
        return None
    return _raised("samples", samples, samples["value"] * min(MOST, 2 ** int(np.ceil(np.log2(factor)))))


def _few_samples(method: saliency.Method, fields: dict[str, Any]) -> dict[str, Any] | None:
    """Return the concern about fewer than half of the samples that a method draws by default."""
    default = getattr(type(method), "samples", None)
    value = fields.get("samples", {}).get("value")
    if not isinstance(default, int) or value is None or 2 * value >= default:
        return None
    sentence = f"Few samples: {value}, where the default is {default:,}."
    return {"sentence": sentence, "remedy": _raised("samples", fields["samples"], default)}


def _raised(name: str, field: dict[str, Any], value: int) -> dict[str, Any] | None:
    """Return the remedy that raises a field, at most to its maximum; None if it is there already."""
    value = value if field.get("high") is None else min(value, field["high"])
    before = field["value"] or 0
    if value <= before:
        return None
    return {
        "label": f"{value:,} steps" if name == "steps" else f"{value - before:,} more samples",
        "fields": {name: value},
    }


def _completeness(explanation: saliency.Explanation) -> str:
    """Return how far the attribution is from the sum it promises."""
    assert explanation.gap is not None
    share = explanation.gap_share
    if share is None or share >= 100:
        return f"Completeness error {abs(explanation.gap):.2g} (high)"
    if explanation.baseline_score is None:
        return f"Conserves {_percent(1 + explanation.gap / explanation.score)} of the score"
    return f"Completeness error {_percent(share)}{' (high)' if share > HIGH else ''}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.{1 if abs(percent) < 10 and percent % 1 else 0}f} %"
