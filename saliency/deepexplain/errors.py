"""What DeepExplain raises, as what it raises it, and as one of this package's own errors too."""

from __future__ import annotations

from saliency.errors import BadField, SaliencyError


class DeepExplainError(SaliencyError, RuntimeError):
    """DeepExplain's RuntimeError: no session, no context, no such method, or arrays that do not fit the tensors."""


class BadParameter(BadField, AssertionError):
    """A method's parameter that it cannot have; an AssertionError, for DeepExplain asserts."""
