"""The estimators of influence by id."""

from __future__ import annotations

from typing import Any

from saliency.errors import BadField, brief, unknown
from saliency.influence.estimator import Estimator
from saliency.influence.influence_function import InfluenceFunction
from saliency.influence.nearest_neighbours import NearestNeighbours
from saliency.influence.tracin import TracIn
from saliency.influence.trak import TRAK

ESTIMATORS: dict[str, type[Estimator]] = {
    each.id: each for each in (InfluenceFunction, NearestNeighbours, TracIn, TRAK)
}


def named(method: Any, fields: dict[str, Any]) -> Estimator:
    """Return the estimator for an id, an instance or a class, with these fields.

    Raises:
        UnknownName: there is no such estimator or field.
        BadField: it is no estimator.
    """
    if isinstance(method, str):
        if method not in ESTIMATORS:
            raise unknown("estimator of influence", method, ESTIMATORS)
        method = ESTIMATORS[method]
    if isinstance(method, type) and issubclass(method, Estimator):
        method = method()
    if not isinstance(method, Estimator):
        raise BadField(
            f"method must be an estimator of influence ({', '.join(map(repr, ESTIMATORS))}), got {brief(method)}."
        )
    return method.but(**fields)
