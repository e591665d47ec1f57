"""The arguments of a widget, which prepare its models and images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import saliency
from saliency_widget.traits.methods import MethodLike


class Options(NamedTuple):
    """The arguments of the widget, as they were given."""

    methods: Iterable[MethodLike] | None
    labels: Sequence[str] | None
    preprocess: Any
    fields: Mapping[str, Any]
    batch_size: int | str
    activation: str
    output: Any = None
    index: Any = None
    prefetch: bool = False
    concepts: Any = None
    random: Any = None

    def arguments(self, model: int) -> list[str]:
        """Return the arguments of :func:`saliency.explain` that follow model and image, as Python source.

        Args:
            model: index of the model.
        """
        each = f"preprocess[{model}]" if isinstance(self.preprocess, list | tuple) else "preprocess"
        own = self.preprocess[model] if isinstance(self.preprocess, list | tuple) else self.preprocess
        written = each
        if isinstance(own, str | saliency.Preprocessing):
            written = repr(own) if isinstance(own, str) else f"saliency.{own!r}"
        given = {
            "labels=labels": self.labels is not None,
            f"preprocess={written}": own is not None,
            "batch_size=batch_size": self.batch_size != "auto",
            f"activation={self.activation!r}": self.activation != "auto",
            "output=output" if callable(self.output) else f"output={self.output!r}": self.output is not None,
        }
        return [argument for argument, is_given in given.items() if is_given]

    def prepared(self, model: Any, image: Any, preprocess: Any = None) -> saliency.Prepared:
        """Return one of the models with one of the images, prepared with these options.

        Args:
            model: the model, in its present state.
            image: the image; or a picture that is read already, whose input is not computed again.
            preprocess: of the image, if it is not read yet.
        """
        options = {"activation": self.activation, "output": self.output}
        return saliency.prepare(model, [image], self.labels, preprocess, **options)
