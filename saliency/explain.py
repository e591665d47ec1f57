"""The one place that sees both methods and models: explain, methods, layers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from saliency.adapters import adapt
from saliency.asked import Asked, asked_of, for_inputs
from saliency.core import (
    IDGI,
    LRP,
    XRAI,
    AblationCam,
    AttentionRelevance,
    AttentionRollout,
    BlurIG,
    Deconvolution,
    DeepLift,
    EigenCam,
    ExpectedGradients,
    FeatureAblation,
    GradCam,
    GradCamPlusPlus,
    GradientSaliency,
    GradSam,
    GuidedBackprop,
    GuidedGradCam,
    GuidedIG,
    HiResCam,
    Hsic,
    InputXGradient,
    IntegratedDecisionGradients,
    IntegratedGradients,
    KernelShap,
    LayerCam,
    LeGrad,
    Lime,
    Occlusion,
    PartitionShap,
    RefineCam,
    Rise,
    ScoreCam,
    Shapley,
    ShapleySampling,
    SmoothGrad,
    SmoothGradSquared,
    Sobol,
    VarGrad,
    XGradCam,
)
from saliency.errors import BadOutput, UnknownName, Unsupported, unknown
from saliency.explanation import Explanation
from saliency.images import Picture
from saliency.inputs import Inputs, inputs_of
from saliency.method import Baseline, Method
from saliency.model import Adapted, Differentiable, Layered, capability, lacking
from saliency.predictions import adapted_for, picture_for
from saliency.session import Progress, Session
from saliency.tables import LayerInfo, LayerTable, MethodInfo, MethodTable

METHODS: dict[str, type[Method]] = {
    each.id: each
    for each in (
        GradientSaliency,
        InputXGradient,
        SmoothGrad,
        SmoothGradSquared,
        VarGrad,
        IntegratedGradients,
        ExpectedGradients,
        IDGI,
        IntegratedDecisionGradients,
        BlurIG,
        GuidedIG,
        XRAI,
        GuidedBackprop,
        Deconvolution,
        DeepLift,
        LRP,
        GradCam,
        GradCamPlusPlus,
        HiResCam,
        LayerCam,
        XGradCam,
        RefineCam,
        EigenCam,
        ScoreCam,
        AblationCam,
        GuidedGradCam,
        AttentionRollout,
        AttentionRelevance,
        GradSam,
        LeGrad,
        Occlusion,
        FeatureAblation,
        Rise,
        Lime,
        KernelShap,
        ShapleySampling,
        Shapley,
        PartitionShap,
        Sobol,
        Hsic,
    )
}
"""Every method that has a name, by its id."""

EMPTY = "the mask is zero everywhere", "the mask is zero everywhere: what was found speaks only against the target"
"""Said of a mask without content; the second where only what speaks for the target is shown."""

SHOWINGS = 20
"""How many partial results a run shows at most."""


def methods() -> MethodTable:
    """The methods there are: id, class, what they need of a model, what they cost, where they come from."""
    found = []
    for name, cls in METHODS.items():
        method = cls()
        needs, cost = capability(method.needs), method.cost((1, 224, 224, 3))
        found.append(MethodInfo(name, cls, cls.title, needs, cost, cls.paper, cls.family, cls.advice))
    return MethodTable(found)


def layers(model: Any, image: Any = None, *, preprocess: Callable[..., Any] | None = None) -> LayerTable:
    """The layers of a model with a spatial grid, in the order they are called: what ``layer=`` may name.

    Args:
        model: see :func:`saliency.adapt`.
        image: to ask the model with; without one, grey of the size the model says it was made for, or 224×224.
        preprocess: from the image to what the model is fed.
    """
    adapted = adapt(model)
    if (why := lacking(adapted, Layered)) is not None:
        raise Unsupported(f"The layers cannot be listed: {why}.")
    if (table := getattr(adapted, "layer_table", None)) is None:
        raise Unsupported(f"{type(adapted).__name__} cannot list its layers; layer=… takes its framework's names.")
    height, width = getattr(adapted, "size", None) or (224, 224)
    picture = picture_for(np.full((height, width), 0.5) if image is None else image, preprocess, adapted)
    with adapted.lock:
        return LayerTable(LayerInfo(*row) for row in table(adapted.ops.asarray(picture.fed)))


def explain(
    model: Any,
    image: Any,
    method: str | Method | type[Method] = "auto",
    target: Any = None,
    *,
    labels: Sequence[str] | None = None,
    preprocess: Callable[..., Any] | None = None,
    layer: str | Sequence[str] | None = None,
    baseline: Baseline | None = None,
    batch_size: int | str = "auto",
    progress: bool | Progress = True,
    seed: int | None = None,
    cancelled: Callable[[], bool] | None = None,
    shared: Callable[[], bool] | None = None,
    partial: Callable[[Any], None] | None = None,
    framework: str | None = None,
    **fields_of_the_method: Any,
) -> Any:
    """Why the model decided: one mask over the image.

    Args:
        model: see :func:`saliency.adapt`, or what it gave.
        image: PIL image, path, uint8 or float array (H, W), (H, W, C) or (C, H, W), tensor; with or without a batch
            axis of one. uint8 and PIL images are scaled to 0–1, floats fed as they are, unless `preprocess` is given.
            Or a list of arrays, of any shape: the model is called with them as they are, each with its batch axis of
            one, and explained by each. For methods that need no picture.
        method: an id of :func:`methods`, a method as a value, or "auto": XRAI where the model gives gradients, RISE
            where it gives only scores.
        target: class index, label, None (the top class), a callable from the model's own outputs to one number per
            image (N,), or a list of these: one explanation each, from shared forward passes.
        labels: names of the classes.
        preprocess: from the image, in the kind it came, to what the model is fed.
        layer: name of the layer, for methods that read one, names for those that read several; automatic by default.
        baseline: for methods that have one: "black", "white", "grey", "mean", "blur", "noise" (in picture space),
            a number, an array or a tensor (in model space), or a list of these, averaged. For a list of inputs: a
            number for all, a list with one for each, or a list of such lists, averaged.
        batch_size: images a question; "auto" measures.
        progress: True for a bar, False for none, or a callable told (images asked, images in all).
        seed: for methods that draw.
        cancelled: asked between questions; when true, :class:`saliency.Cancelled` is raised.
        shared: asked between questions; while true, somebody else asks the model too, and questions whose size is
            measured are of one image, so that they wait least.
        partial: given explanations on the way, at most 20 a run, each a fair estimate.
        framework: whose arrays a plain function takes ("numpy", "torch", "tensorflow", "jax"); found out by asking it
            once.
        **fields_of_the_method: see the method's class.

    Returns:
        :class:`Explanation`; a list of them, one per input, when `image` is a list; a list of that when `target` is.

    Raises:
        SaliencyError: everything that can be told about wrong input, see :mod:`saliency.errors`.
    """
    started = time.perf_counter()
    image = inputs_of(image)
    adapted = adapted_for(model, image, labels, preprocess, framework)
    notes: list[str] = []
    chosen = _method(method, adapted, notes, isinstance(image, Inputs))
    given = {"layer": layer, "baseline": baseline, "seed": seed, **fields_of_the_method}
    for name, value in given.items():
        if value is not None:
            chosen = _set(chosen, name, value)
    if (why := lacking(adapted, chosen.needs)) is not None:
        raise _unsupported(chosen, adapted, why, isinstance(image, Inputs))
    picture = picture_for(image, preprocess, adapted)
    caption = repr(chosen)
    if isinstance(picture, Inputs):
        chosen = for_inputs(chosen, picture, _offered(adapted, True))
    images = adapted.ops.asarray(picture.fed)

    several = isinstance(target, list | tuple)
    targets = asked_of(list(target) if several else [target], adapted, picture, notes)
    bound = adapted.at([each.ask for each in targets])
    layers = _layers(chosen, bound, images, notes)
    bound = bound.at([each.ask for each in targets], layers)
    total = chosen.cost(tuple(picture.fed.shape))
    with ProgressBar(progress, total, chosen) as tell:
        session = Session(
            bound,
            batch_size=batch_size,
            progress=tell,
            cancelled=cancelled,
            shared=shared,
            total=total,
            streaming=partial is not None,
            named_baseline=lambda name, _: picture.without(name),
            inputs=picture.packing.places if isinstance(picture, Inputs) else (),
        )
        build = _Builder(chosen, caption, targets, layers, picture, bound, session, notes, started)
        shown = 0
        for mask in session.run(chosen, images):
            share = session.images / max(session.total, 1)
            if partial is not None and shown < share * SHOWINGS < SHOWINGS:
                shown = int(share * SHOWINGS) + 1
                found = build(mask)
                partial(found if several else found[0])
        build.measure(images)
        found = build(mask)
    return found if several else found[0]


class _Builder:
    """Makes explanations of a run's masks."""

    def __init__(
        self,
        method: Method,
        caption: str,
        targets: list[Asked],
        layers: Sequence[str],
        picture: Picture | Inputs,
        adapted: Adapted[Any],
        session: Session[Any],
        notes: list[str],
        started: float,
    ) -> None:
        self.method, self.caption, self.targets, self.layers = method, caption, targets, layers
        self.session = session
        self.picture, self.adapted, self.notes, self.started = picture, adapted, notes, started
        self.scores = np.full(len(targets), np.nan)
        self.baseline_scores: np.ndarray | None = None

    def measure(self, images: Any) -> None:
        """Ask the scores of the image, and of the baselines where the mask should sum to the difference."""
        self.scores = self._mean_scores([images])
        if self.method.complete:
            self.baseline_scores = self._mean_scores(self.method.beginnings(images, self.session))

    def _mean_scores(self, several: list[Any]) -> np.ndarray:
        ops, model = self.session.ops, self.session.model
        with model.lock:
            asked = [ops.tohost(model.scores(images)).astype(np.float64).mean(1) for images in several]
        return np.asarray(np.mean(asked, axis=0))

    def __call__(self, masks: Any) -> list[Any]:
        """One explanation per target, of masks (k, 1, H, W, C) or (k, 1, H, W); of inputs, a list of them each."""
        host = self.session.ops.tohost(masks)[:, 0].astype(np.float32)
        host = np.array(np.broadcast_to(host, (len(self.targets), *host.shape[1:])))
        if not np.isfinite(host).all():
            raise BadOutput(f"The mask of {self.method!r} holds NaN or infinite values: it overflowed float32.")
        details = self.session.details
        regions, errors, sums = (details.get(name) for name in ("regions", "standard_error", "attributed"))
        placement = self.picture.placement
        notes = tuple(dict.fromkeys([*self.picture.notes, *self.adapted.notes, *self.notes, *self.session.notes]))
        found = []
        for i, target in enumerate(self.targets):
            mine = None if self.baseline_scores is None else float(self.baseline_scores[i])
            score = float(self.scores[i])
            empty = () if host[i].any() else (EMPTY[self.method.sign == "positive"],)
            attributed = float(host[i].sum(dtype=np.float64) if sums is None else sums[i][0])
            gap = None if mine is None else attributed - (score - mine)
            picture = self.picture
            parts = picture.split(host[i]) if isinstance(picture, Inputs) else (host[i],)
            each = [
                Explanation(
                    mask=part,
                    method=self.method.id,
                    caption=self.caption,
                    target=target.name,
                    label=target.label,
                    layer=", ".join(self.layers) or None,
                    score=score,
                    baseline_score=mine,
                    gap=gap,
                    regions=None if regions is None else regions[i][0],
                    standard_error=None if errors is None else errors[i][0].astype(np.float32),
                    notes=(*notes, *empty),
                    sign=self.method.sign,
                    calls=self.session.calls,
                    images=self.session.images,
                    seconds=time.perf_counter() - self.started,
                    picture=self.picture.shown,
                    placement=placement,
                )
                for part in parts
            ]
            found.append(each if isinstance(picture, Inputs) else each[0])
        return found


def _method(
    method: str | Method | type[Method], adapted: Adapted[Any], notes: list[str], no_picture: bool = False
) -> Method:
    if isinstance(method, Method):
        return method
    if isinstance(method, type) and issubclass(method, Method):
        return method()
    if method == "auto":
        gives = lacking(adapted, Differentiable) is None
        chosen = IntegratedGradients() if no_picture else XRAI() if gives else Rise()
        notes.append(f"method: {chosen.title}, as the model gives {'gradients' if gives else 'only scores'}")
        return chosen
    if method not in METHODS:
        raise unknown("method", method, ["auto", *METHODS])
    return METHODS[str(method)]()


def _set(method: Method, name: str, value: Any) -> Method:
    """The method with a field set, its own or that of the method inside it."""
    own = {each.name for each in fields(method)}
    if name in own:
        return method.but(**{name: value})
    inner = [each for each in own if isinstance(getattr(method, each), Method)]
    for each in inner:
        try:
            return method.but(**{each: _set(getattr(method, each), name, value)})
        except UnknownName:
            continue
    raise unknown(f"field of {method.id}", name, sorted(own))


def _unsupported(method: Method, adapted: Adapted[Any], why: str, several: bool = False) -> Unsupported:
    needed = f"{type(method).__name__} needs {capability(method.needs)}: {why}"
    return Unsupported(f"{needed}. {_offered(adapted, several)}")


def _offered(adapted: Adapted[Any], several: bool) -> str:
    """What the model can be explained by, in a sentence."""
    made = [cls() for cls in METHODS.values()]
    can = [each.id for each in made if lacking(adapted, each.needs) is None and not (several and each.images_only)]
    if not can:
        return "No other method takes such inputs."
    what = "These take inputs of any shape:" if several else "This model can be explained by"
    return f"{what} {', '.join(can)}."


def _layers(method: Method, adapted: Adapted[Any], images: Any, notes: list[str]) -> list[str]:
    """The names that the method's layers stand for."""
    found: list[str] = []
    for layer in method.layers:
        if isinstance(layer, str):
            found.append(layer)
            continue
        with adapted.lock:
            name = adapted.automatic_layer(images) if layer is None else _stage(adapted, images, layer)
        # a model with fewer grid sizes than are asked for has fewer layers read
        if name is not None and name not in found:
            found.append(name)
            which = "the last with a spatial grid" if layer in (None, -1) else "the last at its grid size"
            notes.append(f"layer: {name}, {which}")
    return found


def _stage(adapted: Adapted[Any], images: Any, stage: int) -> str | None:
    """The last layer at the last (-1), the last but one (-2), … grid size; None where there are fewer."""
    table = getattr(adapted, "layer_table", None)
    if table is None:
        return adapted.automatic_layer(images) if stage == -1 else None
    stages: dict[str, str] = {}
    named: set[str] = set()
    for row in map(LayerInfo._make, reversed(table(images))):
        # of a layer that is called more than once, its name stands for the last call
        if row.name not in named:
            stages.setdefault(row.grid, row.name)
        named.add(row.name)
    found = list(stages.values())
    return found[-1 - stage] if -stage <= len(found) else None


class ProgressBar:
    """A progress bar, the caller's own callable, or nothing."""

    def __init__(self, progress: bool | Progress, total: int, method: Method) -> None:
        self._progress, self._total, self._method = progress, total, method
        self._bar: Any = None

    def __enter__(self) -> Progress | None:
        if callable(self._progress):
            return self._progress
        if not self._progress or (self._total <= 1 and not self._method.beyond):
            return None
        from tqdm.auto import tqdm

        self._bar = tqdm(total=self._total, desc=self._method.title, unit="image", leave=False)
        return self._show

    def _show(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
