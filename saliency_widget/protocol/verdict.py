"""The `verdict` message, see docs/widget-protocol.md."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

import saliency
from saliency_widget.protocol.messages import Message, finite, message, readable


def verdict_message(verdict: saliency.Verdict, known: Collection[str] = ()) -> Message:
    """Return the `verdict` of a map, or a `partial_verdict` while measurements are missing.

    Args:
        verdict: the verdict.
        known: notes that are shown elsewhere.
    """
    return message(
        "verdict" if verdict.finished else "partial_verdict",
        supported=verdict.supported,
        strength=finite(verdict.strength),
        sentence=readable(verdict.sentence),
        label=readable(verdict.subject.label),
        percent=verdict.subject.percent,
        images=[verdict.images, verdict.images_of_bands, verdict.images_of_reruns],
        notes=[readable(each) for each in verdict.notes if each not in known],
        measures=[_measure(each) for each in verdict.measures.values()],
    )


def _measure(measure: Any) -> dict[str, Any]:
    metric, found = measure.metric, measure.found
    band: saliency.metrics.Band | None = found.band
    # only the metrics that decide have curves over the share of removed pixels
    curves = found.curves if measure.decides and _drawable(found.curves.values()) else {}
    interval = None if band is None else next((band.curves[name] for name in curves if name in band.curves), None)
    return {
        "title": measure.title,
        "advice": metric.advice,
        "decides": measure.decides,
        "value": finite(found.value),
        "reason": readable(found.reason),
        "low": None if band is None else finite(band.low),
        "high": None if band is None else finite(band.high),
        "curves": [
            {"name": name, "at": each.at.tolist(), "values": each.values.tolist()} for name, each in curves.items()
        ],
        "band": None if interval is None else dict(zip(("at", "low", "high"), map(_floats, interval), strict=True)),
    }


def _drawable(curves: Collection[saliency.metrics.Curve]) -> bool:
    return all(np.isfinite(each.at).all() and np.isfinite(each.values).all() for each in curves)


def _floats(values: np.ndarray) -> list[float]:
    return [float(each) for each in values]
