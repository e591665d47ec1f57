"""Forward and backward passes of a torch module through ``torch.compile``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

R = TypeVar("R")

Feed = Callable[[nn.Module, Tensor], Any]
"""Calls a module with images (N, H, W, C)."""


_LINES = itertools.count(1)


class Compiled(nn.Module):
    """A module from images (N, H, W, C) to its outputs, compiled from the leaf of the graph on.

    The compiler warns of inputs that have a gradient and are no leaf.
    """

    def __init__(self, module: nn.Module, feed: Feed) -> None:
        super().__init__()

        def run(images: Tensor) -> Any:
            return feed(module, images)

        # torch keeps what it has compiled by the code object, at most 8 graphs, so each module needs its own
        run.__code__ = run.__code__.replace(co_firstlineno=next(_LINES))
        self._run = torch.compile(run)

    def forward(self, images: Tensor) -> Any:
        return self._run(images)


class Compilation:
    """The compiled working copy of one module, shared by all views of its adapter.

    Args:
        feed: calls the module.

    Attributes:
        failure: why the module is not compiled, as a note; empty while it is.
    """

    def __init__(self, feed: Feed) -> None:
        self.failure = ""
        self._feed = feed
        self._made: tuple[nn.Module, Compiled] | None = None

    def of(self, module: nn.Module) -> nn.Module:
        """Return a module compiled, once for each working copy; after a failure, the module itself.

        It is compiled in the first call for a shape, which takes seconds to minutes.
        """
        if self.failure:
            return module
        if self._made is None or self._made[0] is not module:
            self._made = module, Compiled(module, self._feed)
        return self._made[1]

    def tried(self, run: Callable[[], R]) -> R:
        """Return the result of a function that calls :meth:`of`; call it again without the compiler if it fails.

        Compilers raise errors of many types, in the first forward or backward pass for a shape. An error that the
        module itself raises is raised.
        """
        if self.failure:
            return run()
        try:
            return run()
        except Exception as error:  # noqa: BLE001
            self.failure = f"torch.compile failed, so the model runs without it ({_reason(error)})"
            try:
                return run()
            except BaseException:
                self.failure = ""
                raise


def _reason(error: Exception) -> str:
    """Return the start of the error with which the compiler failed, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
