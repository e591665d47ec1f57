"""A table of the metrics."""

from __future__ import annotations

from typing import NamedTuple

from saliency.metrics.catalogue import METRICS
from saliency.metrics.metric import Metric
from saliency.model.protocols import Model, capability
from saliency.results.tables import aligned


class MetricInfo(NamedTuple):
    """One row of :func:`table`."""

    id: str
    cls: type[Metric]
    title: str
    family: str
    """One of :data:`saliency.metrics.metric.FAMILIES`."""
    needs: str
    """What it needs besides the mask: the capability of the model, the pixels of the object, the method."""
    better: str
    """The better direction: "higher", "lower" or "neither"."""
    cost: int
    """Images evaluated for one mask of 224×224 with default fields, without the random band and the method's runs."""
    runs: int
    """Masks that the method computes again for one mask."""
    paper: str
    advice: str
    """What high and low values mean."""


class MetricTable(tuple[MetricInfo, ...]):
    """The metrics; prints as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [("id", "class", "needs", "better", "images evaluated", "runs of the method", "paper")]
        rows += [
            (each.id, each.cls.__name__, each.needs, each.better, str(each.cost), str(each.runs), each.paper)
            for each in self
        ]
        return aligned(rows)


def table() -> MetricTable:
    """Return a table of the metrics: id, class, needs, the better direction, cost and the paper."""
    found = []
    for name, cls in METRICS.items():
        metric = cls()
        parts = [capability(metric.needs)] if metric.cost((224, 224)) or metric.needs is not Model else []
        parts += ["the object's pixels"] if metric.needs_truth else []
        parts += ["the method"] if metric.needs_method else []
        better = {True: "higher", False: "lower", None: "neither"}[metric.higher_is_better]
        cost, needs = metric.cost((224, 224)), " and ".join(parts) or "–"
        row = (name, cls, cls.title, cls.family, needs, better, cost, metric.runs(), cls.paper, cls.advice)
        found.append(MetricInfo(*row))
    return MetricTable(found)
