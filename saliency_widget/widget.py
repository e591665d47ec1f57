"""The widget: its Python interface, and the parts that it connects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import traitlets

import saliency
from saliency_widget import export
from saliency_widget.front_end import built, compressed
from saliency_widget.handlers import MessageHandler, WidgetActions
from saliency_widget.host import after_each_cell
from saliency_widget.live import LivePage
from saliency_widget.pictures import drawing, film
from saliency_widget.pictures.selection import of_mask
from saliency_widget.protocol.cells import Cell, Key
from saliency_widget.protocol.messages import readable
from saliency_widget.protocol.outbox import Outbox
from saliency_widget.protocol.requests import TOP, index_of
from saliency_widget.protocol.summary import summary
from saliency_widget.protocol.values import FILLS, KINDS, BadTrait
from saliency_widget.screen import Screen
from saliency_widget.snapshot import SnapshotWriter
from saliency_widget.stills import Stills
from saliency_widget.traits.methods import MethodLike, first_choices
from saliency_widget.traits.parameters import Controls, Layers
from saliency_widget.traits.settings import SETTINGS, STATE, Settings, checked_state, linked, shown_in, view_of
from saliency_widget.work.details import Details
from saliency_widget.work.explainer import REFUSALS, Explainer
from saliency_widget.work.explainers import Explainers, Opening
from saliency_widget.work.gallery import Gallery
from saliency_widget.work.inputs import UNREADABLE, grid_of, index_in, read_inputs
from saliency_widget.work.options import Options
from saliency_widget.work.picture import ShownPicture
from saliency_widget.work.stored import NO_MODEL, StoredGallery, StoredImages, StoredMasks

NAME_LENGTH = 1000
"""Maximum number of characters of an image's name."""

MOST_WIDTH = 16_384
"""Maximum width of a PNG file in pixels."""


class SaliencyWidget(Settings):
    """Notebook widget that shows which parts of a picture led to a vision model's prediction.

    The constructor reads the image and returns; explanations are computed when the browser or :meth:`compute` requests
    them.

    Args:
        model: any model that :func:`saliency.explain` takes; or several, in a list or a dict by name.
        img: picture, path, array or tensor, see :func:`saliency.explain`; or a result of :func:`saliency.read`; or
            several of these, in a list or a dict by name. Nine or more open a gallery, as do a folder, an array of
            pictures (N, H, W, C) or (N, C, H, W), and a data set of torch or Hugging Face.
        methods: ids, instances or classes of methods; None for all methods.
        target: index or label of the class to explain; None for the class with the highest score.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`; or a list with one for each model.
        layer: the layer for the methods that read one.
        baseline: the baseline for the methods that have one.
        batch_size: images per model call; "auto" measures the fastest.
        activation: what the model's outputs are, see :func:`saliency.adapt`.
        output: which of several outputs is explained, see :func:`saliency.adapt`.
        concepts: for the tab *Concepts*, for each name the images of a concept, at least 10, see
            :class:`saliency.concepts.TCAV`; regions that are brushed in the widget are concepts too.
        random: images without a common concept with which concepts are compared, at least 200: a folder, a list, …; by
            default, brushed regions are compared with the rest of their pictures.
        index: the model's training images, a :class:`saliency.influence.Index`, for the tab *Like these*; or a list
            with one, or None, for each model.
        truth: the true class of each image of a gallery, an index or a label; None for one that is not known. By
            default the classes that a data set gives. A list with `truth` opens a gallery however short it is.
        prefetch: whether to compute XRAI for the shown class while the model is idle, once a map that the browser
            requested is there. It ends if it would take more than 10 seconds, and any request comes first. With several
            models none is computed.
        **initial_traits: `method`, `model_index`, `image_index`, `grid`, `mode`, `sign`, `keep`, `threshold`,
            `opacity`, `colormap`, `gamma`, `smooth`, `contours`, `scale`, `region`, `layout`, ….

    Raises:
        SaliencyError: the image cannot be read, the model is not one, or a method, field or label is unknown.
    """

    _esm = built("widget.js")
    _css = built("widget.css")
    _code = built("more.js")
    """The second module of the front end. It is read at the same time as the first, as both must be of one build."""
    _compressed = compressed(_code)

    _explainers: Explainers | None = None
    _gallery: Gallery | None = None
    _live_pages: Sequence[LivePage] = ()
    _fallbacks: Sequence[str] = ()
    """Ids of the methods that are shown, in this order, while the model turns out not to support the shown one."""

    def __init__(
        self,
        model: Any,
        img: Any,
        methods: Iterable[MethodLike] | None = None,
        target: int | str | None = None,
        *,
        labels: Sequence[str] | None = None,
        preprocess: Any = None,
        layer: str | None = None,
        baseline: Any = None,
        batch_size: int | str = "auto",
        activation: str = "auto",
        output: Any = None,
        concepts: Mapping[str, Any] | None = None,
        random: Any = None,
        index: Any = None,
        truth: Any = None,
        prefetch: bool = True,
        **initial_traits: Any,
    ) -> None:
        for name in initial_traits:
            if name.startswith("_") or name == "spec" or not self.has_trait(name):
                raise saliency.BadArgument(
                    f"SaliencyWidget has no argument {name!r}. Its traits are: {', '.join(SETTINGS)}, layout."
                )
        fields = {name: value for name, value in {"layer": layer, "baseline": baseline}.items() if value is not None}
        options = Options(
            methods=methods,
            labels=labels,
            preprocess=preprocess,
            fields=fields,
            batch_size=saliency.checks.batch_size(batch_size),
            activation=activation,
            output=output,
            index=index,
            # the threads of several models would compete
            prefetch=saliency.checks.flag(prefetch, "prefetch") and not isinstance(model, list | tuple | dict),
            concepts=concepts,
            random=random,
        )
        shown = initial_traits.get("image_index")
        stored = img if isinstance(img, StoredImages) else None
        opening: Opening | None = None
        if stored is None or model is not None:
            images = img if stored is None else stored.images
            inputs = read_inputs(model, images, options, truth, shown, many=stored is not None)
        else:
            opening = stored.opening(options)
            inputs = stored.inputs(options, truth, shown)
        offered = {each.id: each.method for each in inputs.methods}
        controls = Controls(offered, inputs.shape, self._known_layers)
        choices = first_choices(inputs.methods, methods is not None)
        # a method that the user chose is not replaced
        fallbacks = [] if methods is not None or "method" in initial_traits else choices[1:]
        many = inputs.collection is not None
        initial_traits = {
            "method": choices[0],
            "target": TOP if target is None else index_of(target, inputs.labels),
            "image_index": next(iter(inputs.pictures)),
            "gallery": many and "image_index" not in initial_traits,
            **initial_traits,
        }
        spec = {"title": _title(inputs.models), **inputs.spec, "images": inputs.image_specs}
        if inputs.collection is not None:
            spec["gallery"] = {"count": len(inputs.collection)}
        super().__init__(controls, spec=spec, **initial_traits)
        self._fallbacks = fallbacks
        self._outbox = Outbox(self._send_everywhere)
        self._explainers = Explainers(
            inputs,
            options,
            post=self._outbox.post,
            shown=self._shown_cell,
            on_prediction=self._on_prediction,
            on_result=self._on_result,
            on_unsupported=self._on_unsupported,
            opening=opening,
        )
        if inputs.collection is not None:
            given = inputs.collection, self._explainers, self._outbox.post, lambda: view_of(self)
            self._gallery = Gallery(*given) if stored is None else StoredGallery(stored, *given)
            self._write(spec={**self.spec, "gallery": self._gallery.spec}, _more=self._compressed)
            for image in self.grid.get("images", []):
                self._open(image)
        self._screen = Screen(self, self._explainers, None if stored is None or model is not None else stored.script)
        self._stills = Stills(self, self._explainers, controls, self._screen, self._gallery)
        self._snapshot_writer = SnapshotWriter(self, self._write_snapshot, self._explainers, self._stills)
        self._apply_parameters()
        self._details = Details(self._explainers.full_picture, self._outbox.post)
        actions = WidgetActions(
            self._screen,
            self._configure,
            self.add,
            self._compressed,
            self._details,
            self._gallery,
            self._open_from_gallery,
        )
        self._handler = MessageHandler(self._explainers, controls, self._outbox, actions)
        self.on_msg(self._handler)
        self._stop_watching_cells = after_each_cell(self, "_check_weights")

    @classmethod
    def from_masks(
        cls, path: str | os.PathLike[str] | saliency.Masks, images: Any = None, model: Any = None, **options: Any
    ) -> SaliencyWidget:
        """Create a widget with the gallery of the masks that :func:`saliency.explain_dataset` stored.

        Pictures are sorted and filtered by the columns of the index, and each lists those with the nearest maps.
        Without a model the stored maps are shown, and nothing new is computed.

        Args:
            path: the folder, or the result of :func:`saliency.open_masks`.
            images: the pictures that were explained, in the same order; None to show the maps alone.
            model: the model, for all tools on an opened picture; it needs `images`.
            **options: as for the widget. Without a model: `labels`, `truth` and traits.

        Raises:
            BadImage: there are more or fewer `images` than masks.
            BadArgument: a model was passed without images.
            BadField: the folder holds no masks.
            FileNotFoundError: there is no such folder.
            MissingPackage: zarr or pyarrow is not installed.
        """
        if model is not None and images is None:
            raise saliency.BadArgument("A model needs the pictures: pass images=…, the collection that was explained.")
        masks = saliency.open_masks(path.path if isinstance(path, saliency.Masks) else path, images)
        return cls(model, StoredImages(StoredMasks(masks), images), **options)

    # the Python interface

    @overload
    def compute(
        self,
        method: str | None = None,
        target: int | str | None = None,
        wait: Literal[False] = False,
        *,
        model: int | str | None = None,
        image: int | str | None = None,
    ) -> None: ...

    @overload
    def compute(
        self,
        method: str | None = None,
        target: int | str | None = None,
        *,
        wait: Literal[True],
        model: int | str | None = None,
        image: int | str | None = None,
    ) -> saliency.Explanation: ...

    def compute(
        self,
        method: str | None = None,
        target: int | str | None = None,
        wait: bool = False,
        *,
        model: int | str | None = None,
        image: int | str | None = None,
    ) -> saliency.Explanation | None:
        """Compute an explanation, unless the same weights have given it already.

        Args:
            method: id of a method on offer; by default the shown one.
            target: index or label of a class; by default the shown one.
            wait: whether to wait for the explanation and return it. An interrupt then cancels it.
            model: index or name of a model; by default the shown one.
            image: index or name of an image; by default the shown one.

        Returns:
            The explanation; None without `wait`.

        Raises:
            SaliencyError: an argument is invalid; or, with `wait`, the explanation failed.
        """
        wait = saliency.checks.flag(wait, "wait")
        explainer, key = self._explainer_and_key(method, target, model, image)
        task = explainer.compute(key)
        if not wait:
            return None
        try:
            return explainer.wait_for(task)
        except REFUSALS:
            if method is not None or self.method == key[0]:
                raise
        # the widget shows the next method instead
        return self.compute(None, target, wait=True, model=model, image=image)

    def check(
        self,
        method: str | None = None,
        target: int | str | None = None,
        *,
        model: int | str | None = None,
        image: int | str | None = None,
    ) -> saliency.Verdict:
        """Measure whether the model supports a map, as *Measure evidence* does, and return the verdict.

        The tab *Evidence* and the ranking of compared maps show it too. The explanation is computed first, if it is not
        computed yet. A verdict that was measured before is returned at once. An interrupt cancels it.

        Args:
            method: see :meth:`compute`.
            target: see :meth:`compute`.
            model: see :meth:`compute`.
            image: see :meth:`compute`.

        Returns:
            the result of :func:`saliency.check`.

        Raises:
            SaliencyError: an argument is invalid, the explanation or the measurement failed, or it was cancelled.
        """
        explainer, key = self._explainer_and_key(method, target, model, image)
        task = explainer.compute(key)
        explainer.wait_for(task)
        return explainer.what_if_requests.wait_for_verdict(explainer.result_of(task.key))

    def change(
        self,
        kind: str = "remove",
        fill: str | None = None,
        *,
        to: float | str | None = None,
        method: str | None = None,
        target: int | str | None = None,
        model: int | str | None = None,
        image: int | str | None = None,
    ) -> saliency.Counterfactual:
        """Find the smallest part on which the model's answer depends, as *Find smallest change* does, and return it.

        The tab *Smallest change* shows it too. It is searched first along the map, which is computed if it is not yet.
        A change that was found before is returned at once. An interrupt cancels the search.

        Args:
            kind: "remove" or "keep", see :func:`saliency.counterfactual`.
            fill: what removed pixels are replaced by; by default the trait `fill`.
            to: index or label of the class that the answer is to change to, or that the kept segments are to give; by
                default the trait `change_to`, and if that is -1 or the model's answer, any other class. For models
                whose output is a value, the number that is to be reached, see :func:`saliency.counterfactual`.
            method: see :meth:`compute`.
            target: see :meth:`compute`; the model's answer.
            model: see :meth:`compute`.
            image: see :meth:`compute`.

        Returns:
            the result of :func:`saliency.counterfactual`.

        Raises:
            NotReached: no set of segments was found.
            SaliencyError: an argument is invalid, the explanation or the search failed, or it was cancelled.
        """
        kind = saliency.checks.choice(kind, "kind of counterfactual", KINDS)
        fill = saliency.checks.choice(self.fill if fill is None else fill, "fill", FILLS)
        explainer, key = self._explainer_and_key(method, target, model, image)
        task = explainer.compute(key)
        explainer.wait_for(task)
        goal = self._chosen_goal(explainer) if to is None else self._class_or_value(to)
        return explainer.what_if_requests.wait_for_change(explainer.result_of(task.key), kind, fill, goal)

    def add(self, img: Any, name: str | None = None) -> int:
        """Add an image and show it, as if it had been dropped onto the widget.

        Args:
            img: one image, as for the widget.
            name: its name; by default the name of its file, or its number.

        Returns:
            The index of the image, for `image_index` and ``compute(image=…)``.

        Raises:
            SaliencyError: the image cannot be read, or there are too many images.
        """
        explainers = self._ready_explainers()
        if self.spec.get("stored"):
            raise saliency.Unsupported(NO_MODEL)
        if name is not None and len(saliency.checks.text(name, "name")) > NAME_LENGTH:
            raise saliency.BadField(f"name must have at most {NAME_LENGTH} characters, got {len(name)}.")
        picture = explainers.add(img, name)
        self._announce(picture)
        # show the top class of the new image
        self._write(image_index=picture.index, target=TOP, picked={}, gallery=False)
        return picture.index

    def _announce(self, picture: ShownPicture) -> None:
        """Send a picture that was read."""
        spec = {**self.spec, "images": self._ready_explainers().inputs.image_specs}
        if self._gallery is not None:
            spec["gallery"] = self._gallery.spec
        self._write(spec=spec)
        self._outbox.post(picture.welcome())

    def compare(
        self,
        methods: Iterable[str] = (),
        targets: Iterable[int | str] = (),
        *,
        models: Iterable[int | str] = (),
        images: Iterable[int | str] = (),
    ) -> None:
        """Show results side by side: every combination of the named methods, classes, models and images.

        Of each kind that is not named, the shown one is used. Without arguments, all models and images are compared if
        there are several; otherwise the supported methods. ``widget.grid = {}`` goes back to one picture.

        Args:
            methods: ids of methods on offer.
            targets: indices or labels of classes; -1 is the top class of each model and image.
            models: indices or names.
            images: indices or names.

        Raises:
            SaliencyError: a label or name is unknown.
            TraitError: a method is unknown, or there would be more than 36 cells.
        """
        self.grid = grid_of(self._ready_explainers().inputs, methods, targets, models, images)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for all requested explanations. Return False if that takes longer than `timeout` seconds."""
        timeout = timeout if timeout is None else saliency.checks.number(timeout, "timeout", 0)
        if self._gallery is not None and not self._gallery.wait(timeout):
            return False
        return self._explainers is None or self._explainers.wait(timeout)

    def cancel(self) -> None:
        """Cancel all waiting and running explanations; a running one ends after the current model call."""
        if self._gallery is not None:
            self._gallery.cancel()
        if self._explainers is not None:
            self._explainers.cancel()

    def close(self) -> None:
        """Remove the widget from the screen, cancel all explanations and release the model. Explanations stay."""
        if self._gallery is not None:
            self._gallery.close()
        if self._explainers is not None:
            self._details.close()
            self._explainers.close()
            self._stop_watching_cells()
        for page in self._live_pages:
            page.close()
        super().close()

    @property
    def predictions(self) -> list[saliency.Prediction]:
        """Every class with its probability, highest first, of the shown model and image; empty until computed."""
        return [] if self._explainers is None else list(self._explainers.shown.predictions)

    @property
    def explanations(self) -> dict[Key, saliency.Explanation]:
        """Every computed explanation of the shown model and image, by (id of the method, index of the class)."""
        results = {} if self._explainers is None else dict(self._explainers.shown.results)
        return {key: each.explanation for key, each in results.items()}

    @property
    def explanation(self) -> saliency.Explanation | None:
        """The shown explanation; None if it is not computed."""
        return self.explanations.get(shown_in(self).key)

    @property
    def verdicts(self) -> dict[Key, saliency.Verdict]:
        """Every measured verdict of the shown model and image, by (id of the method, index of the class)."""
        if self._explainers is None:
            return {}
        shown = self._explainers.shown
        measured = {key: shown.what_if_requests.verdict(each) for key, each in dict(shown.results).items()}
        return {key: verdict for key, verdict in measured.items() if verdict is not None}

    @property
    def changes(self) -> dict[tuple[str, int, str, str, float | None], saliency.Counterfactual]:
        """Every smallest change of the shown model and image.

        By (id of the method, index of the class, kind, fill, index of the class that was to be reached, None for any).
        """
        if self._explainers is None:
            return {}
        shown = self._explainers.shown
        return {
            (*key, *asked): change
            for key, each in dict(shown.results).items()
            for asked, change in shown.what_if_requests.changes(each).items()
        }

    @property
    def selection(self) -> np.ndarray:
        """The pixels selected by `picked`, `region` or `keep`, at the mask's resolution: bool (H, W).

        Raises:
            BadField: the shown explanation is not computed.
        """
        if (shown := self.explanation) is None:
            raise saliency.BadField(f"{self.method!r} is not computed for this class: call compute(wait=True) first.")
        placing = self._ready_explainers().inputs.placings[shown_in(self).pair]
        return drawing.selection_of(shown, view_of(self), placing.placement)

    def select(self, mask: np.ndarray | None = None, *, regions: Iterable[int] | None = None) -> None:
        """Select pixels or regions by hand; without arguments, return to the selection by `keep` or `region`.

        Args:
            mask: bool (H, W), at the mask's resolution, in the orientation of the shown picture.
            regions: ranks of regions, 0 for the first.

        Raises:
            BadArgument: both are given.
            BadField, BadShape: `mask` is not a mask, or `regions` are not ranks.
        """
        if mask is not None and regions is not None:
            raise saliency.BadArgument("select() takes a mask or regions, not both.")
        if mask is not None:
            self.picked = of_mask(saliency.checks.selection(mask, "mask"))
        elif regions is not None:
            ranks = saliency.checks.several(regions, "regions")
            self.picked = {"regions": [saliency.checks.whole(each, "regions", 0) for each in ranks]}
        else:
            self.picked = {}

    def code(self) -> str:
        """Return a Python script that needs no widget and computes each explanation, the selection and the figure.

        Raises:
            Unsupported: no model supports the shown methods.
        """
        return self._screen.script()

    def state(self) -> dict[str, Any]:
        """Return the settings of the widget as a dict that JSON can hold; see :meth:`from_state`."""
        settings = {name: getattr(self, name) for name in SETTINGS}
        return {"version": STATE, **settings, "parameters": self.parameters, "methods": self._ids}

    def link(self) -> str:
        """Return the settings of the widget as one line of text, to share a view; see :meth:`from_state`."""
        return linked(self.state())

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | str, model: Any, img: Any, **options: Any) -> SaliencyWidget:
        """Create a widget with the settings of another.

        Args:
            state: the result of :meth:`state` or :meth:`link`; it does not hold the model and the image.
            model: as for the widget.
            img: as for the widget.
            **options: as for the widget; pass `methods` if the other widget was given instances, not ids.

        Raises:
            BadField: `state` is neither of these, or of a newer version.
        """
        settings = checked_state(state)
        methods, target = settings.pop("methods", None), settings.pop("target", TOP)
        methods = options.pop("methods", methods)
        return cls(model, img, methods, None if target == TOP else target, **{**settings, **options})

    def snapshot_png(self, width: int | None = None) -> bytes:
        """Return what is shown as a PNG file; only the picture if nothing is computed.

        Args:
            width: width in pixels, at most 16,384; by default that of the shown picture, and at least 448.
        """
        width = width if width is None else saliency.checks.whole(width, "width", 1, MOST_WIDTH)
        return self._stills.png(width)

    def film(
        self,
        path: str | os.PathLike[str],
        sweep: str | None = None,
        fill: str | None = None,
        *,
        frames: int = 20,
        seconds: float = 6.0,
        width: int = 448,
        method: str | None = None,
        target: int | str | None = None,
        model: int | str | None = None,
        image: int | str | None = None,
    ) -> Path:
        """Write a film of a map: the selection grows, with the model's output for the selection only on each frame.

        The output is that of *Selection only* in the tab *What if…*. It is evaluated for each frame once, with the
        output for the selection removed: two images a frame. The explanation is computed first, if it is not computed
        yet. An interrupt cancels the film. It needs no browser.

        Args:
            path: file to write: .gif, .webp, or .apng.
            sweep: "regions" adds the regions of the map one by one, or in equal steps if there are more of them than
                frames; "percentile" adds equal shares of the pixels, or as many regions as come nearest; None chooses
                regions where the map has them.
            fill: what removed pixels are replaced by; by default the trait `fill`.
            frames: maximum number of frames, 2 to 200; steps that select the same pixels are one frame.
            seconds: duration, 0.1 to 120. The first and the last frame are shown four times as long as the others; then
                the film repeats.
            width: width in pixels, 64 to 2,048.
            method: see :meth:`compute`.
            target: see :meth:`compute`.
            model: see :meth:`compute`.
            image: see :meth:`compute`.

        Returns:
            The path.

        Raises:
            Unsupported: `sweep` is "regions", and the map has none.
            SaliencyError: an argument is invalid, the explanation or a model call failed, or it was cancelled.
        """
        file = saliency.checks.path(path)
        kind = film.kind_of(file)
        plan = film.Plan(
            sweep if sweep is None else saliency.checks.choice(sweep, "sweep", film.SWEEPS),
            saliency.checks.choice(self.fill if fill is None else fill, "fill", FILLS),
            saliency.checks.whole(frames, "frames", 2, 200),
            saliency.checks.number(seconds, "seconds", 0.1, 120),
            saliency.checks.whole(width, "width", 64, 2048),
        )
        explainer, key = self._explainer_and_key(method, target, model, image)
        task = explainer.compute(key)
        explainer.wait_for(task)
        pair = next(pair for pair, each in self._ready_explainers().items() if each is explainer)
        scene = self._screen.scene(Cell(*task.key, *pair))
        drawn = explainer.what_if_requests.wait_for_film(explainer.result_of(task.key), scene, plan)
        with saliency.checks.opening(file, saliency.BadField):
            file.write_bytes(film.encoded(drawn, kind))
        return file

    @overload
    def to_html(
        self, path: None = None, title: str | None = None, *, what_if: bool = False, evidence: bool = False
    ) -> str: ...

    @overload
    def to_html(
        self, path: str | os.PathLike[str], title: str | None = None, *, what_if: bool = False, evidence: bool = False
    ) -> Path: ...

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        title: str | None = None,
        *,
        what_if: bool = False,
        evidence: bool = False,
    ) -> str | Path:
        """Return an HTML page with the widget and every explanation computed so far; it needs no kernel and no network.

        The page includes the verdicts, what-if predictions and curves computed so far.

        Args:
            path: file to write the page to.
            title: title of the page.
            what_if: whether to compute what-if results for the page, as it has no model: after the running
                explanations, for each explanation its insertion and deletion curves, and the predictions for its top
                5, 10, … 95 % (or as many regions) alone and removed, with the current `fill`. This evaluates about 90
                images for each explanation.
            evidence: whether to measure the verdict on each explanation for the page, see :meth:`check`. This evaluates
                about 60 images for each explanation, about 190 for each class, and up to 500 to run methods again.

        Returns:
            The path, or the page if no path is given.

        Raises:
            Exception: with `what_if` or `evidence`, any error of the model.
        """
        return write_page([self], path, title, what_if=what_if, evidence=evidence)

    def live_html(self, title: str | None = None) -> str:
        """Return a page for a frame in an app, such as of Streamlit or Gradio, that needs no notebook.

        Unlike the page of :meth:`to_html` it computes: it posts texts to the page around it, which passes each to
        :func:`saliency_widget.exchange`, and the result back. Each call makes another page of the same widget. See
        docs/hosts.md.

        Args:
            title: title of the page.
        """
        title = title if title is None else saliency.checks.text(title, "title")
        page = LivePage(self, lambda content, buffers: self._handler(self, content, buffers), self._forget_page)
        self._live_pages = (*self._live_pages, page)
        return _page([self], title, page.name)

    def __repr__(self) -> str:
        shown = self.explanation
        what = repr(shown.label) if shown is not None else "the top class" if self.target == TOP else self.target
        name = " and ".join(self.spec["models"])
        return f"<SaliencyWidget of {name}: {self.method} for {what}, {len(self.explanations)} computed>"

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the widget, and a picture for hosts that cannot show widgets."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return {**data, **self._stills.bundle()}, metadata

    # reactions to changes

    def _open(self, image: int) -> None:
        """Read an image of a gallery, unless it is open.

        Raises:
            BadTrait: it cannot be read.
        """
        if (explainers := self._explainers) is None:
            return
        needed = {self.image_index, *self.grid.get("images", [])}
        try:
            picture = explainers.open(image, needed)
        except UNREADABLE as error:
            raise BadTrait(f"image {image} cannot be opened: {error}") from error
        if picture is not None:
            self._announce(picture)

    def _open_from_gallery(self, image: int) -> None:
        """Show an image of the gallery with the top class of its own."""
        if image == self.image_index:
            self._write(gallery=False)
        else:
            self._open(image)
            self._write(image_index=image, target=TOP, picked={}, gallery=False)

    def _class_index(self, name: str, label: str) -> int:
        try:
            return index_of(label, None if self._explainers is None else self._explainers.inputs.labels)
        except saliency.SaliencyError as error:
            raise BadTrait(f"{name}: {error}") from None

    @traitlets.validate("target", "change_to")
    def _check_target(self, proposal: Any) -> int:
        classes = 1 + max((each.index for each in self.predictions), default=-1)
        if classes and proposal.value >= classes:
            name = proposal.trait.name
            raise BadTrait(f"{name} must be the index of a class, 0 to {classes - 1}, got {proposal.value}.")
        return int(proposal.value)

    @traitlets.observe("parameters")
    def _apply_parameters(self, _change: object = None) -> None:
        """Offer the methods with the parameters of the trait."""
        if (explainers := self._explainers) is None:
            return
        spec = dict(self.spec, methods=[dict(each) for each in self.spec["methods"]])
        for each in spec["methods"]:
            method = self._controls.method(each["id"], self.parameters.get(each["id"], {}))
            if method.key() != explainers.shown.methods[each["id"]].method.key():
                explainers.configure(each["id"], method)
                each["cost"] = self._controls.cost(each["id"], self.parameters.get(each["id"], {}))
        if spec != self.spec:
            self.spec = spec

    @traitlets.observe("method", "target", "model_index", "image_index", "grid")
    def _follow(self, change: Any) -> None:
        """Leave the gallery for a picture, replace the top class by its index if known, and update the snapshot."""
        if self._explainers is None:
            return
        if change.name == "image_index":
            self.gallery = False
        if self.target == TOP and (predictions := self._explainers.shown.predictions):
            self.target = predictions[0].index
        else:
            self._snapshot_writer.on_view()

    def _on_prediction(self, predictions: Sequence[saliency.Prediction]) -> None:
        self._write(target=predictions[0].index)

    def _on_unsupported(self, method: str) -> None:
        """Show the next method if the model does not support the one that the widget chose."""
        if self._fallbacks and method == self.method:
            first, *self._fallbacks = self._fallbacks
            self._write(method=first)

    def _on_result(self) -> None:
        self._snapshot_writer.on_result()

    def _forget_page(self, page: LivePage) -> None:
        self._live_pages = tuple(each for each in self._live_pages if each is not page)

    def _send_everywhere(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """Send a message to the notebook, and to every live page."""
        self.send(content, buffers)
        for page in self._live_pages:
            page.send(content, buffers)

    def _write_snapshot(self, packet: bytes) -> None:
        self._write(_snapshot=packet, _more=self._compressed)

    def _check_weights(self) -> None:
        """Look for changed weights after a cell has run, as it may have trained a model."""
        self._ready_explainers().check_weights()
        if self._gallery is not None:
            self._gallery.check_weights()

    def _shown_cell(self) -> Cell:
        return shown_in(self)

    def _known_layers(self) -> Layers | None:
        return None if self._explainers is None else self._explainers.layers

    def _chosen_goal(self, explainer: Explainer) -> int | None:
        """Return the class of `change_to`; None if it is the model's answer already, which cannot change to itself."""
        return None if self.change_to in (TOP, explainer.predictions[0].index) else self.change_to

    def _class_or_value(self, to: float | str) -> float:
        """Return the index of a class given by its label, and any other number as it is."""
        if isinstance(to, str):
            return index_of(to, self._ready_explainers().inputs.labels)
        number = float(saliency.checks.number(to, "to"))
        return int(number) if number.is_integer() else number

    def _explainer_and_key(
        self,
        method: str | None,
        target: int | str | None,
        model: int | str | None,
        image: int | str | None,
    ) -> tuple[Explainer, Key]:
        """Return which explainer computes what, see :meth:`compute`."""
        explainers = self._ready_explainers()
        inputs = explainers.inputs
        pair = (
            self.model_index if model is None else index_in(inputs.models, model, "model"),
            self.image_index if image is None else index_in(inputs.images, image, "image"),
        )
        method_id: Any = self.method if method is None else method
        if not isinstance(method_id, str) or method_id not in self._ids:
            raise saliency.UnknownName(
                f"This widget offers no method {summary(method_id)}. It offers: {', '.join(self._ids)}."
            )
        self._open(pair[1])
        return explainers[pair], (method_id, self.target if target is None else index_of(target, inputs.labels))

    def _ready_explainers(self) -> Explainers:
        if self._explainers is None:
            raise RuntimeError("The widget is not initialised.")
        return self._explainers


def write_page(
    widgets: Sequence[SaliencyWidget],
    path: str | os.PathLike[str] | None,
    title: str | None,
    *,
    what_if: bool,
    evidence: bool,
) -> str | Path:
    """Return a page with the widgets, or write it to `path` and return that; see :meth:`SaliencyWidget.to_html`."""
    title = title if title is None else saliency.checks.text(title, "title")
    file = path if path is None else saliency.checks.path(path)
    more = {"what_if": saliency.checks.flag(what_if, "what_if")}
    more["evidence"] = saliency.checks.flag(evidence, "evidence")
    if any(more.values()):
        for each in widgets:
            each._stills.precompute(**more)
    text = _page(widgets, title)
    if file is None:
        return text
    with saliency.checks.opening(file, saliency.BadField):
        file.write_text(text, encoding="utf-8")
    return file


def _page(widgets: Sequence[SaliencyWidget], title: str | None, live: str | None = None) -> str:
    """Return a page with the widgets; `live` names one that is live."""
    titles = dict.fromkeys(each.spec["title"] for each in widgets)
    return export.page(
        " · ".join(titles) if title is None else readable(title),
        code=SaliencyWidget._esm,
        more=SaliencyWidget._code,
        css=SaliencyWidget._css,
        parts=[each._stills.part() for each in widgets],
        live=live,
    )


def _title(models: Sequence[str]) -> str:
    """Return the title of a widget of some models."""
    return f"Why {' and '.join(models)} {'decides' if len(models) == 1 else 'decide'}"
