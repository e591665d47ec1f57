"""Quadrature rules (numerical integration over [0, 1]): the steps and their weights."""

from __future__ import annotations

import numpy as np

RULES = ("pair", "riemann_left", "riemann_right", "riemann_middle", "trapezoid", "gauss_legendre")
"""The quadrature rules. "pair" is PAIR's: evenly spaced steps including both ends, with equal weights."""


def nodes(steps: int, rule: str = "pair") -> tuple[np.ndarray, np.ndarray]:
    """Return the steps of a rule, and their weights.

    Args:
        steps: number of steps, at least 1. A single step of "pair" or "trapezoid" is at the midpoint, which is more
            accurate (PAIR evaluates nothing in that case, and returns zeros).
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
    """Return the weights of the trapezoid rule for increasing steps (n,); they sum to one."""
    half = np.diff(alphas) / 2
    weights = np.zeros(len(alphas))
    weights[:-1] += half
    weights[1:] += half
    return weights
