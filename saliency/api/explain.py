"""Explain a model's decision: :func:`explain`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from saliency import checks
from saliency.api.prepare import only, prepare
from saliency.core.method import Method
from saliency.pictures.presets import Preprocess
from saliency.results.assemble import explained
from saliency.session.baselines import Baseline
from saliency.session.session import Progress


def explain(
    model: Any,
    image: Any,
    method: str | Method | type[Method] | Sequence[Any] = "auto",
    target: Any = None,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Preprocess | None = None,
    layer: Any = None,
    at: Any = None,
    baseline: Baseline | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = True,
    seed: int | None = None,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
    partial: Callable[[Any], None] | None = None,
    framework: str | None = None,
    activation: str = "auto",
    output: Any = None,
    **fields_of_the_method: Any,
) -> Any:
    """Explain a model's decision on an image: attribute the target's score to the pixels.

    Args:
        model: see :func:`saliency.adapt`; or its result.
        image: PIL image, path, bytes of a file, open file, array or tensor (H, W), (H, W, C) or (C, H, W) with any
            number of channels, with or without a batch axis of one. Integers are scaled to 0–1 by the range of their
            type and floats are fed unchanged, unless `preprocess` is given or the model declares a preprocessing. See
            :func:`saliency.read`.
            Or a list of arrays of any shape: a multi-input model is called with them unchanged, each with its batch
            axis of one, and each gets its own explanation. Only methods that need no picture support this.
        method: an id from :func:`methods`, a method instance or class, or "auto": the method highest on
            docs/leaderboard.md that evaluates at most 64 images and that the model supports.
            A list of methods gives a list of explanations; methods that need the same pass over the image, such as
            all CAMs of one layer, share it, and only the first of them counts it.
        target: class index, label, None (the top class), a callable from the model's own outputs to one number per
            image (N,), or a list of these: one explanation each, from shared forward passes.
        labels: names of the classes.
        preprocess: a callable from the image, of the type that was passed, to the model's input; or a preset:
            "imagenet", "0..1", "0..255" or "-1..1"; see :func:`saliency.read`. By default, integer pictures get the
            preprocessing that the model declares. A note names the preprocessing used, or a preset under which the
            model is much more confident.
        layer: for methods that read a layer: its name, or the torch module or Keras layer itself; a list of these for
            methods that read several. Chosen automatically by default.
        at: a layer that cuts the model in two, by its name or as the module itself: the method runs on the part after
            it, and attributes to the values of the layer. The mask is (h, w, K), (tokens, K) or (K,), and the result a
            :class:`LayerExplanation` with ranked channels. The baseline is given in the space of the input as always;
            of perturbation methods, each channel is one segment. A layer that the score depends on only in part,
            because of a skip connection around it, is refused.
        baseline: for methods that have one: "black", "white", "grey", "mean", "blur", "noise" (in picture space),
            a number, an array or a tensor (in model space), or a list of these, whose attributions are averaged. For
            multi-input models: a number for all inputs, a list with one baseline per input, or a list of such lists.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: True for a progress bar, False for none, or a callable (images evaluated, images in total).
        seed: seed of methods that use random numbers.
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        shared: called between model calls; while it returns true, other code is waiting for the model, and an
            automatic batch size drops to one image to keep that wait short.
        partial: called with intermediate explanations, at most 20 per run, each an estimate of the final one.
        framework: array type that a plain function takes: "numpy", "torch", "tensorflow" or "jax"; by default found
            with a trial call.
        activation: what the outputs are: "softmax" or "sigmoid" for logits, which are explained; "none" for values
            without activation; "auto" decides by the model's last operator, the labels and the shape. See
            :func:`saliency.adapt`.
        output: which of several outputs is explained: an index, a key, an attribute or a callable. A callable `target`
            then receives only that output.
        **fields_of_the_method: see the method's class.

    Returns:
        :class:`Explanation`, or :class:`LayerExplanation` if the mask is over the values of a layer; a list with one
        per input, or one for the layer, if `image` is a list; a list of these if `target` is a list; a list of all
        that, by method, if `method` is a list.

    Raises:
        SaliencyError: an argument, the image, or the model's output is invalid, see :mod:`saliency.errors`.
    """
    started = time.perf_counter()
    checks.callbacks(bar=True, progress=progress, cancelled=cancelled, shared=shared, partial=partial)
    prepared = prepare(model, [image], labels, preprocess, framework, activation, output)
    fields = {"layer": layer, "baseline": baseline, "seed": seed, **fields_of_the_method}
    options: dict[str, Any] = {
        "progress": progress,
        "partial": None if partial is None else lambda found: partial(only(found)),
        "batch_size": batch_size,
        "cancelled": cancelled,
        "shared": shared,
    }
    if isinstance(method, str) or not isinstance(method, Sequence):
        # without the state that calls are compared by: reading the weights' version may take as long as a pass
        return only(explained(prepared.run(method, target, fields, at), started, **options))
    return [only(prepared.explain(each, target, fields, at, **options)) for each in method]
