"""Where a path is asked, and how much each answer weighs: the rules of numerical integration over [0, 1]."""

from __future__ import annotations

import numpy as np

RULES = ("pair", "riemann_left", "riemann_right", "riemann_middle", "trapezoid", "gauss_legendre")
"""The rules there are. "pair" is PAIR's: both ends among the nodes, all of equal weight."""


def nodes(steps: int, rule: str = "pair") -> tuple[np.ndarray, np.ndarray]:
    """The nodes of a rule, and their weights.

    Args:
        steps: how many nodes, at least 1. A single one of "pair" or "trapezoid" is the middle, the better rule (PAIR
            asks nothing there, and returns zeros).
        rule: one of :data:`RULES`.

    Returns:
        alphas (steps,) in [0, 1], increasing, and weights (steps,) that sum to one.
    """
    even = np.full(steps, 1 / steps)
    match rule:
        case "riemann_left":
            return np.arange(steps) / steps, even
        case "riemann_right":
            return np.arange(1, steps + 1) / steps, even
        case "riemann_middle":
            return (np.arange(steps) + 0.5) / steps, even
        case "gauss_legendre":
            at, weights = np.polynomial.legendre.leggauss(steps)
            return (1 + at) / 2, weights / 2
    if steps == 1:
        return np.array([0.5]), even
    alphas = np.linspace(0, 1, steps)
    return alphas, trapezoid(alphas) if rule == "trapezoid" else even


def trapezoid(alphas: np.ndarray) -> np.ndarray:
    """The weights of the trapezoid rule at increasing nodes (n,), from the first to the last; they sum to one."""
    half = np.diff(alphas) / 2
    weights = np.zeros(len(alphas))
    weights[:-1] += half
    weights[1:] += half
    return weights
