"""DeepExplain's errors, which are also errors of this package."""

from __future__ import annotations

from saliency.errors import BadField, SaliencyError


class DeepExplainError(SaliencyError, RuntimeError):
    """DeepExplain's RuntimeError: no session, no context, no such method, or arrays that do not fit the tensors."""


class BadParameter(BadField, AssertionError):
    """An invalid parameter of a method; also an AssertionError, as in DeepExplain."""
