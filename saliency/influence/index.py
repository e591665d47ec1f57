"""The training images of a model, with the influence of each on an answer: :class:`Index`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from saliency import checks
from saliency.api.prepare import Prepared
from saliency.datasets.sources import labelled_source_of
from saliency.errors import BadField, BadShape, BadTarget, Unsupported
from saliency.influence.checkpoints import Checkpoint, checkpoints_of
from saliency.influence.classes import classes_of
from saliency.influence.estimator import Estimator, Fitted, Queries, Snapshot
from saliency.influence.estimators import named
from saliency.influence.head import LinearHead
from saliency.influence.result import Influence, Suspect, Suspects, TrainingImage
from saliency.influence.similarity import shared_parts
from saliency.influence.training import Reading, Trained, files_of, is_unchanged, peeked, trained
from saliency.model.inputs import Inputs
from saliency.pictures.presets import Preprocess
from saliency.results.explanation import Explanation
from saliency.session.session import Progress
from saliency.targets import label_of

UNKNOWN_RATES = "the learning rates were not given: every checkpoint has the same weight"


class Index:
    """The training images of a model, with their features at its last layer and an estimator of their influence.

    Each image is read and evaluated once, in batches, when the index is made. The last, linear layer is found and
    verified by the gradients of the logits at the layer before. All estimators except the nearest neighbours compute
    with the gradients of that layer: the influence of an image on the features is not included.

    Args:
        model: see :func:`saliency.adapt`. It must end in a linear layer, whose logits may be followed by a softmax or
            sigmoids.
        dataset: the images that the model was trained with, with their labels: (image, label) pairs in a list or
            another iterable; a folder with one subfolder for each class; a torch ``Dataset``; a data set of Hugging
            Face; or a dict from label to images. Labels are class indices, or names of classes.
        method: "influence" (influence function, the default), "nearest" (signed nearest neighbours), "tracin", "trak";
            or an estimator, such as ``TRAK(size=1024)``.
        targets: the labels, where the data set gives none: (n,) indices or names; of independent labels (n, C) of 0
            and 1.
        layer: the layer that the last linear layer reads, its name or the module; by default it is found.
        checkpoints: for "tracin" and "trak": a list of models, of state dicts of a torch module, or of what `load`
            turns into one of these. By default the model as it is.
        load: a function of one checkpoint, such as ``torch.load`` for paths; called again for each use, so that one at
            a time is in memory.
        rates: for "tracin": the learning rate at each checkpoint, or one for all.
        path: a folder in which the features are kept, so that they are not in memory, and the next index reads them
            from there.
        labels: names of the classes.
        preprocess: see :func:`saliency.explain`.
        activation: see :func:`saliency.adapt`.
        output: see :func:`saliency.adapt`.
        framework: see :func:`saliency.explain`.
        batch_size: images per model call; "auto" measures the fastest size.
        progress: True for a progress bar, False for none, or a callable (images done, images in total).
        cancelled: called between model calls; when it returns true, :class:`saliency.Cancelled` is raised.
        **fields_of_the_method: see the estimator's class.

    Raises:
        BadTarget: there are no labels, or one is no class of the model.
        BadField: an argument is invalid, or a checkpoint is of another architecture.
        BadImage: there are no images, or one cannot be read.
        Unsupported: the model does not end in a linear layer, or exposes no layers.
    """

    def __init__(
        self,
        model: Any,
        dataset: Any,
        method: str | Estimator | type[Estimator] = "influence",
        targets: Any = None,
        *,
        layer: Any = None,
        checkpoints: Sequence[Any] | None = None,
        load: Callable[[Any], Any] | None = None,
        rates: Any = None,
        path: Any = None,
        labels: Sequence[str] | None = None,
        preprocess: Preprocess | None = None,
        activation: str = "auto",
        output: Any = None,
        framework: str | None = None,
        batch_size: int | str = "auto",
        progress: bool | Progress = True,
        cancelled: Callable[[], bool] | None = None,
        **fields_of_the_method: Any,
    ) -> None:
        checks.callbacks(bar=True, progress=progress, cancelled=cancelled)
        self.method = named(method, fields_of_the_method)
        several = _checkpoints(model, self.method, checkpoints, load, rates)
        model_options = {"labels": labels, "framework": framework, "activation": activation, "output": output}
        options = {"batch_size": checks.batch_size(batch_size), "cancelled": cancelled}
        self._reading = Reading(layer, preprocess, model_options, options)
        images, self._source = peeked(labelled_source_of(dataset))
        files = files_of(path, ["model", *(each.name for each in several)])
        self._trained = trained(model, images, self._source, self._reading, progress, files[0])
        self._rated = bool(several) and rates is not None
        self._checkpoints = [
            (each, self._of_checkpoint(each, images, progress, file))
            for each, file in zip(several, files[1:], strict=True)
        ]
        found = self._trained.features
        given = found.labels if targets is None else _listed(targets)
        self.labels, self._label_notes = classes_of(given, found.names, self.head, self.class_names)
        self._version = self._trained.prepared.adapted.version
        self._fitted: Fitted | None = None
        self._self_influence: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"<Index of {len(self)} training images, {self.head.classes} classes, by the {self.method.title}>"

    @property
    def head(self) -> LinearHead:
        """The last, linear layer of the model."""
        return self._trained.last.head

    @property
    def layer(self) -> str:
        """The name of the layer that the head reads."""
        return self._trained.last.layer

    @property
    def features(self) -> np.ndarray:
        """The inputs of the head for the training images, (n, d) float32."""
        return self._trained.features.values

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each image: its path in the folder, or its number."""
        return self._trained.features.names

    @property
    def class_names(self) -> Sequence[str] | None:
        """The names of the classes; None without."""
        adapted = self._trained.prepared.adapted
        width = self.head.outputs
        return None if adapted.head is None else adapted.head.names(adapted.labels, width)

    @property
    def losses(self) -> np.ndarray:
        """The model's loss on each training image with its label, (n,)."""
        return self.head.losses(self.features, self.labels)

    @property
    def notes(self) -> tuple[str, ...]:
        """The settings used, in sentences."""
        last = f"last layer: {self.head.outputs} × {self.head.width} weights after {self.layer}, verified to be linear"
        rates = [UNKNOWN_RATES] if self._checkpoints and not self._rated and self.method.id == "tracin" else []
        own = self._trained.features.notes
        return tuple(dict.fromkeys([last, *self._fit().notes, *rates, *self._label_notes, *own]))

    def using(self, method: str | Estimator | type[Estimator], **fields_of_the_method: Any) -> Self:
        """Return the same images with another estimator; nothing is read again.

        Args:
            method: see :class:`Index`.
            **fields_of_the_method: see the estimator's class.
        """
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other.method = named(method, fields_of_the_method)
        if not other.method.checkpoints:
            other._checkpoints = []
        other._fitted = other._self_influence = None
        return other

    def explain(self, image: Any, target: Any = None, count: int = 5) -> Influence:
        """Return the training images with the largest influence on the model's answer to a picture.

        Args:
            image: see :func:`saliency.explain`.
            target: index or label of a class; by default the top class.
            count: largest number of images for, and of images against.

        Raises:
            BadField: the model's weights have changed since the training images were read.
        """
        count = checks.whole(count, "count", 1)
        self._require_same_weights()
        picture = self._trained.prepared.with_image(image, self._reading.preprocess)
        if isinstance(picture.picture, Inputs):
            raise Unsupported("Training images are of pictures, one input each, and this model has several inputs.")
        index = picture.index(target)
        scores = self._scores([image], np.array([index]))[0]
        order = np.argsort(-scores, kind="stable")
        losses = self.losses
        shares = picture.head.shares(picture.outputs[0])

        def items(chosen: np.ndarray) -> tuple[TrainingImage, ...]:
            return tuple(self._item(int(i), float(scores[i]), float(losses[i]), picture) for i in chosen)

        measure = str(getattr(self.method, "measure", "")).replace("_", " ")
        notes = list(self.notes)
        if not _has_images(self.labels, index):
            notes.insert(0, f"no training image has the label {label_of(index, self.class_names)!r}")
        return Influence(
            target=index,
            label=label_of(index, self.class_names),
            probability=float("nan") if shares is None else float(shares[index]),
            scores=scores,
            proponents=items(order[scores[order] > 0][:count]),
            opponents=items(order[::-1][scores[order[::-1]] < 0][:count]),
            method=self.method.title,
            unit=self.method.unit.format(measure=measure),
            picture=picture.picture.shown,
            notes=tuple(notes),
        )

    def scores(self, images: Any, targets: Any = None) -> np.ndarray:
        """Return the influence of each training image on the answer to each of several pictures, (q, n).

        Args:
            images: q pictures, see :func:`saliency.explain_each`.
            targets: a class index for each, (q,); by default the top classes.

        Raises:
            BadField: the model's weights have changed since the training images were read.
        """
        self._require_same_weights()
        return self._scores(images, targets)

    def self_influence(self) -> np.ndarray:
        """Return the influence of each training image on its own label, (n,): large where the others contradict it.

        Raises:
            Unsupported: the estimator has none.
        """
        if self._self_influence is None:
            self._self_influence = self._fit().self_influence()
        return self._self_influence

    def mislabelled(self, count: int = 20) -> Suspects:
        """Return the images whose labels are most likely wrong, by self-influence, with their rank by the plain loss.

        Args:
            count: number of images.

        Raises:
            Unsupported: the estimator has no self-influence, or the labels are independent.
        """
        count = checks.whole(count, "count", 1)
        if self.labels.ndim == 2:
            raise Unsupported("Images with independent labels have no one label that may be wrong.")
        own, losses = self.self_influence(), self.losses
        order, ranks = np.argsort(-own, kind="stable"), np.empty(len(own), int)
        ranks[np.argsort(-losses, kind="stable")] = np.arange(1, len(own) + 1)
        found = []
        for i in order[:count]:
            shares = self.head.probabilities(self.features[i : i + 1])[0]
            top, names = int(shares.argmax()), self.class_names
            found.append(
                Suspect(
                    index=int(i),
                    name=self.names[i],
                    label=label_of(int(self.labels[i]), names),
                    predicted=label_of(top, names),
                    probability=float(shares[top]),
                    self_influence=float(own[i]),
                    loss=float(losses[i]),
                    loss_rank=int(ranks[i]),
                )
            )
        return Suspects(found)

    def image(self, index: int) -> Any:
        """Return training image `index`, as the data set gives it.

        Raises:
            Unsupported: the data set can be read in order only.
        """
        index = checks.whole(index, "index", 0, len(self) - 1)
        if self._source.at is None:
            raise Unsupported(
                f"The images of a {self._source.kind} can be read in order only, so none can be shown: pass a list, "
                "a folder or a data set with len()."
            )
        return self._source.at(index)[0]

    def similarity(self, image: Any, index: int) -> tuple[Explanation, Explanation]:
        """Return the part of a picture that resembles a training image, and the part of that which resembles it.

        The maps are the cosine of the features at each place of one image with the mean features of the other, at the
        last layer with a spatial grid.

        Args:
            image: see :func:`saliency.explain`.
            index: of the training image.

        Raises:
            UnknownName: the model has no layer with a spatial grid.
            Unsupported: the data set can be read in order only.
        """
        return self._shared(self._trained.prepared.with_image(image, self._reading.preprocess), index)

    def _require_same_weights(self) -> None:
        version = self._trained.prepared.adapted.version
        if version != self._version and not is_unchanged(self._trained):
            raise BadField(
                "The model's weights have changed since the training images were read, so that their features are of "
                "another model: make the index again, saliency.influence.Index(model, dataset)."
            )
        self._version = version

    def _shared(self, picture: Prepared, index: int) -> tuple[Explanation, Explanation]:
        other = picture.with_image(self.image(index), self._reading.preprocess)
        return shared_parts(picture, other, self.names[index])

    def _item(self, index: int, score: float, loss: float, picture: Prepared) -> TrainingImage:
        label: Any = self.labels[index]
        names = np.flatnonzero(label) if np.ndim(label) else [label]
        return TrainingImage(
            index=index,
            name=self.names[index],
            score=score,
            label=", ".join(label_of(int(each), self.class_names) for each in names),
            loss=loss,
            read=lambda: self.image(index),
            shown=lambda: picture.with_image(self.image(index), self._reading.preprocess).picture.shown,
            shared=lambda: self._shared(picture, index),
        )

    def _scores(self, images: Any, targets: Any) -> np.ndarray:
        features = [self._query(self._trained, images)]
        if targets is None:
            targets = self.head.probabilities(features[0]).argmax(1)
        found = checks.array(targets, "targets", BadTarget)
        if found.shape != (len(features[0]),):
            raise BadShape(f"targets must be one class index for each of the {len(features[0])} pictures.")
        if (found != found.astype(int)).any() or (found < 0).any() or (found >= self.head.classes).any():
            raise BadTarget(f"targets must be class indices from 0 to {self.head.classes - 1}.")
        if self._checkpoints:
            features = [self._query(self._again(*each), images) for each in self._checkpoints]
        return self._fit().scores(Queries(features, found.astype(int)))

    def _query(self, at: Trained, images: Any) -> np.ndarray:
        """Return the inputs of the head for pictures, (q, d)."""
        return self._reading.features(labelled_source_of(images), at.prepared, at.last, progress=False).values

    def _fit(self) -> Fitted:
        if self._fitted is None:
            several = self._checkpoints or [(Checkpoint("model", lambda: None, 1.0), self._trained)]
            self._fitted = self.method.fit(
                [
                    Snapshot(each.features.values, self.labels, each.last.head, checkpoint.rate)
                    for checkpoint, each in several
                ]
            )
        return self._fitted

    def _of_checkpoint(
        self, checkpoint: Checkpoint, images: Sequence[Any], progress: bool | Progress, file: Any
    ) -> Trained:
        """Return a checkpoint with its features, without the model.

        Raises:
            BadField: it is of another architecture.
        """
        found = trained(checkpoint.model(), images, self._source, self._reading, progress, file)
        if (wrong := found.last.head.outputs) != self.head.outputs:
            raise BadField(
                f"{checkpoint.name} is of another architecture: it has {wrong} outputs, the model has "
                f"{self.head.outputs}."
            )
        return Trained(self._trained.prepared, found.last, found.features)

    def _again(self, checkpoint: Checkpoint, known: Trained) -> Trained:
        """Return a checkpoint with its model, loaded again."""
        own = self._trained.prepared
        found = self._reading.prepared(checkpoint.model(), [own.picture])
        return Trained(found, known.last, known.features)


def _checkpoints(model: Any, method: Estimator, given: Any, load: Any, rates: Any) -> list[Checkpoint]:
    """Return the checkpoints; none for the model as it is.

    Raises:
        BadField: the estimator uses none.
    """
    if given is None:
        if load is not None or rates is not None:
            raise BadField("load= and rates= belong to checkpoints: pass checkpoints=[…] as well.")
        return []
    if not method.checkpoints:
        raise BadField(
            f"The {method.title} uses the model alone: omit checkpoints, or pass method='tracin' or method='trak'."
        )
    return checkpoints_of(model, given, load, rates)


def _listed(targets: Any) -> list[Any]:
    if isinstance(targets, Iterator | Mapping | str):
        raise BadTarget("targets must be a list or an array of labels, one for each image.")
    return list(targets.tolist() if hasattr(targets, "tolist") else targets)


def _has_images(labels: np.ndarray, index: int) -> bool:
    return bool(labels[:, index].any() if labels.ndim == 2 else (labels == index).any())
