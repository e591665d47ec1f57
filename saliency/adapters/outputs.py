"""Choose and read the output to explain among the outputs of a model."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from saliency import checks
from saliency.adapters.answers import Arrays, described
from saliency.errors import BadField, BadOutput, SaliencyError, brief
from saliency.model.names import capitalized

WELL_KNOWN = "logits"
"""The name of an output that always holds class scores."""

OTHER_NAMES = ("embed", "hidden", "pooler", "feature")
"""Parts of names of outputs that hold something other than class scores."""

MOST_DEEP = 4
"""Greatest depth of nested containers that is searched."""


class Part(NamedTuple):
    """One array among several outputs."""

    path: str
    """Python expression that follows `outputs`: ``[1]``, ``["logits"]``, ``.logits``."""
    key: int | str | None
    """The value of ``output=`` that selects it; None if only a callable does."""
    array: Any

    @property
    def line(self) -> str:
        """The argument that selects it."""
        return f"output=lambda outputs: outputs{self.path}" if self.key is None else f"output={self.key!r}"


class Chosen(NamedTuple):
    """The output that is explained."""

    array: Any
    note: str
    """Note on the choice; empty if there was only one output."""
    key: int | str | None = None
    """Its index or name among several outputs."""


class Choice(NamedTuple):
    """A rule that picks the output to explain. It depends only on structure and shapes, so each call picks the same.

    Without `output`: the only array that can be class scores, (N, K); else the one whose width is the number of labels;
    else the one named "logits".
    """

    arrays: Arrays
    output: Any = None
    """An index, key, attribute or callable; None for the rule."""
    labels: int | None = None
    """Number of labels; None without labels."""
    name: str = "the model"
    """The user's model, in messages."""

    def given(self, raw: Any) -> Any:
        """Return the argument of a callable target: the model's outputs, or the one selected by ``output=``."""
        return raw if self.output is None else self._named(raw)

    def rows(self, raw: Any, count: int | None = None) -> Any:
        """Return the class scores, (N, K)."""
        return self.chosen(raw, count).array

    def chosen(self, raw: Any, count: int | None = None) -> Chosen:
        """Return the class scores, (N, K), and how they were found.

        Args:
            raw: the model's outputs.
            count: number of images; None if it is not known.

        Raises:
            BadOutput: no array or more than one can be class scores, or `output` selects none.
        """
        if self.output is not None:
            named = self._named(raw)
            if self._width(named) is None:
                raise BadOutput(
                    f"{self._argument()} selects {described(named, self.arrays)}, not class scores of shape "
                    "(N, classes). Pass target=…, too: a callable from this output to one number per image."
                )
            key = None if callable(self.output) else self.output
            return Chosen(self._as_rows(named), f"explained the output selected by {self._argument()}", key)
        parts = list(parts_of(raw, self.arrays))
        able = [each for each in parts if self._width(each.array) is not None]
        if len(parts) > 1:
            able = [each for each in able if _is_scored(each, count)]
        if not able:
            raise BadOutput(
                f"No class scores of shape (N, classes) were found in the output of {self.name}, "
                f"{described(raw, self.arrays)}. Pass target=lambda outputs: …, which returns one number per image."
            )
        part, why = self._best(able)
        if part is None:
            raise BadOutput(self._which(able))
        return Chosen(self._as_rows(part.array), _note(part, why, len(parts)), part.key)

    def _best(self, able: list[Part]) -> tuple[Part | None, str]:
        """Return the output to explain and the reason; None if there is no clear choice."""
        if len(able) == 1:
            return able[0], "the only one that can be class scores"
        fitting = [each for each in able if self._width(each.array) in self._fitting_widths()]
        if len(fitting) == 1:
            return fitting[0], f"its width equals the number of labels, {self.labels}"
        known = [each for each in fitting or able if each.key == WELL_KNOWN]
        return (known[0], "by its name") if len(known) == 1 else (None, "")

    def _fitting_widths(self) -> tuple[int, ...]:
        """Widths that match the labels; two labels may share one output."""
        return () if self.labels is None else (self.labels, 1) if self.labels == 2 else (self.labels,)

    def _named(self, raw: Any) -> Any:
        """Return the output selected by `output`."""
        if callable(self.output):
            try:
                return self.output(raw)
            except SaliencyError:
                raise
            except Exception as error:
                raise BadOutput(
                    f"{self._argument()} failed on the model's output, {described(raw, self.arrays)}: "
                    f"{type(error).__name__}: {error}"
                ) from error
        for part in _inside(raw, self.arrays):
            if part.key == self.output:
                return part.array
        if not self.arrays.is_array(raw):
            if isinstance(self.output, str) and hasattr(raw, self.output):
                return getattr(raw, self.output)
            values = [part.array for part in _inside(raw, self.arrays)]
            if isinstance(self.output, int) and -len(values) <= self.output < len(values):
                return values[self.output]
        raise BadOutput(
            f"{capitalized(self.name)} returned no output {brief(self.output)}, but {described(raw, self.arrays)}. "
            "output= takes an index, a key, an attribute, or a callable from the model's outputs to one array."
        )

    def _which(self, able: list[Part]) -> str:
        """Return the message that lists every output with the argument that selects it."""
        lines = "\n".join(f"  {each.line}: {described(each.array, self.arrays)}" for each in able)
        return (
            f"{capitalized(self.name)} returned {len(able)} outputs that can be class scores. Choose one with one of "
            f"these lines, or pass target=lambda outputs: …, which returns one number per image:\n{lines}"
        )

    def _argument(self) -> str:
        return f"output={getattr(self.output, '__name__', self.output)!r}"

    def _width(self, array: Any) -> int | None:
        """Return K of class scores (N, K), (N,), or (N, K) with axes of length 1; None for any other array."""
        shape = tuple(array.shape) if self.arrays.is_array(array) else ()
        sides, channels = (shape[2:], 1) if self.arrays.channels_first else (shape[1:3], 3)
        if len(shape) == 4 and sides == (1, 1):
            return shape[channels]
        return 1 if len(shape) == 1 else shape[1] if len(shape) == 2 else None

    def _as_rows(self, array: Any) -> Any:
        """Reshape class scores to (N, K)."""
        return array if len(array.shape) == 2 else self.arrays.reshape(array, (-1, self._width(array) or 1))


def checked_output(output: Any) -> Any:
    """Validate ``output=`` and return it, a NumPy integer as an int.

    Raises:
        BadField: it is neither an index, a name nor a callable.
    """
    if output is None or isinstance(output, str):
        return output
    if callable(output):
        return checks.function(output, "output", ("outputs",))
    try:
        if not isinstance(output, bool):
            return operator.index(output)
    except TypeError:
        pass
    raise BadField(
        f"output= takes an index, a key or attribute as text, or a callable from the model's outputs to one of them, "
        f"got {brief(output)}."
    )


def parts_of(raw: Any, arrays: Arrays) -> Iterator[Part]:
    """Yield every array in a model's outputs, including those in nested containers."""
    if arrays.is_array(raw):
        yield Part("", None, raw)
    else:
        yield from _opened(raw, arrays, "", 0)


def _opened(raw: Any, arrays: Arrays, path: str, depth: int) -> Iterator[Part]:
    for part in _inside(raw, arrays):
        key = part.key if depth == 0 else None
        if arrays.is_array(part.array):
            yield Part(path + part.path, key, part.array)
        elif depth < MOST_DEEP:
            yield from _opened(part.array, arrays, path + part.path, depth + 1)


def members(raw: Any) -> Mapping[Any, Any] | None:
    """Return the members of a container by key, name or index; None if `raw` is not a container.

    Containers are mappings, tuples, lists, dataclasses, and objects with an attribute ``logits``.
    """
    if isinstance(raw, Mapping):
        return raw
    names = getattr(raw, "_fields", ()) if isinstance(raw, tuple) else ()
    if is_dataclass(raw) and not isinstance(raw, type):
        names = tuple(each.name for each in fields(raw))
    elif hasattr(raw, WELL_KNOWN) and not names:
        names = (WELL_KNOWN,)
    if names:
        return {name: getattr(raw, name) for name in names}
    return dict(enumerate(raw)) if isinstance(raw, tuple | list) else None


def _inside(raw: Any, arrays: Arrays) -> list[Part]:
    """Return the members of a container, each with the expression that selects it."""
    if arrays.is_array(raw):
        return []
    indexed = isinstance(raw, Mapping) or type(raw) in (tuple, list)
    return [
        Part(f"[{key!r}]" if indexed else f".{key}", key if isinstance(key, str | int) else None, each)
        for key, each in (members(raw) or {}).items()
    ]


def _note(part: Part, why: str, count: int) -> str:
    """Return the note on the choice; empty if there was only one array."""
    if count == 1:
        return ""
    return f"the model returned {count} outputs; explained outputs{part.path}: {why} (to choose another: output=…)"


def _is_scored(part: Part, count: int | None) -> bool:
    """Return whether one of several outputs holds floats for each image, and its name does not exclude class scores."""
    each_image = count is None or part.array.shape[0] in (None, count)
    named_otherwise = any(name in str(part.key).lower() for name in OTHER_NAMES)
    return "float" in str(part.array.dtype) and each_image and not named_otherwise
