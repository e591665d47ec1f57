"""Group the maps of a data set by what they show: :func:`cluster` (SpRAy, arXiv:1902.10178)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.datasets.masks import Masks, store_of
from saliency.datasets.pooled import described, given_maps, place_of, unit
from saliency.errors import BadField, BadImage, BadShape, MissingPackage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALGORITHMS, EMBEDDINGS = ("spectral", "hdbscan"), ("t-sne", "umap")

MOST = 1500
"""Number of maps that are clustered directly; others join the cluster of the nearest one."""

LARGEST = 10
"""Largest number of clusters that is considered where it is automatic."""


class Cluster(NamedTuple):
    """Pictures whose maps are alike.

    Attributes:
        number: its number.
        group: the class that its pictures are explained for; None if classes are clustered together.
        images: numbers of its pictures, the most typical first.
        place: where the maps have their mass: "a corner", "the border", "a small spot", or "".
        mean: the mean map, (g, g), whose sum is 1.
    """

    number: int
    group: str | None
    images: list[int]
    place: str
    mean: np.ndarray


@dataclass(frozen=True, eq=False)
class Clusters:
    """The result of :func:`cluster`; prints as a table.

    Attributes:
        clusters: the clusters, the largest of each class first.
        images: numbers of the pictures.
        numbers: for each picture, the number of its cluster; -1 for those that HDBSCAN assigns to none.
        features: (N, D), by which they were grouped.
        eigenvalues: for each class, the smallest eigenvalues of the graph Laplacian. The number of clusters is where
            the gap to the next one is largest.
    """

    clusters: list[Cluster]
    images: np.ndarray
    numbers: np.ndarray
    features: np.ndarray
    eigenvalues: dict[str | None, np.ndarray]
    _store: Masks | None = field(default=None, repr=False)
    _method: str | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Cluster]:
        return iter(self.clusters)

    def __len__(self) -> int:
        return len(self.clusters)

    def __getitem__(self, number: int) -> Cluster:
        return self.clusters[number]

    def __str__(self) -> str:
        lines = [("cluster", "class", "pictures", "mass on")]
        for each in self.clusters:
            share = f"{len(each.images)} ({100 * len(each.images) / len(self.images):.0f} %)"
            lines.append((str(each.number), each.group or "all", share, each.place or "no one place"))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    __repr__ = __str__

    def embedding(self, seed: int = 0, by: str = "t-sne") -> np.ndarray:
        """Return a position (N, 2) for each picture, from the features; near ones are alike.

        Args:
            seed: seed of the random parts.
            by: "t-sne", or "umap", which needs umap-learn.

        Raises:
            MissingPackage: umap-learn is not installed.
        """
        if checks.choice(by, "by", EMBEDDINGS) == "umap":
            try:
                from umap import UMAP
            except ImportError as error:
                raise MissingPackage(f"by='umap' needs umap-learn ({error}): pip install umap-learn.") from error
            near = min(15, len(self.images) - 1)
            return np.asarray(UMAP(n_neighbors=near, random_state=seed).fit_transform(self.features))
        from sklearn.manifold import TSNE

        perplexity = min(30.0, max(1.0, (len(self.images) - 1) / 3))
        found: np.ndarray = TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(self.features)
        return found

    def plot(self, ax: Any = None, by: str = "t-sne") -> Axes:
        """Draw the embedding, one colour for each cluster; return the matplotlib axes.

        Args:
            ax: matplotlib axes; by default new ones.
            by: see :meth:`embedding`.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(5, 5), layout="constrained")
        at = self.embedding(by=by)
        for each in self.clusters:
            mine = self.numbers == each.number
            title = " ".join(filter(None, [str(each.number), each.group, each.place]))
            ax.scatter(at[mine, 0], at[mine, 1], s=12, label=title)
        if (self.numbers < 0).any():
            ax.scatter(*at[self.numbers < 0].T, s=6, color="0.7", label="none")
        ax.legend(fontsize="x-small")
        ax.set_axis_off()
        found: Axes = ax
        return found

    def montage(self, number: int, count: int = 8, side: int = 112) -> np.ndarray:
        """Return the most typical pictures of a cluster with their maps, side by side, uint8 (side, count * side, 3).

        Raises:
            BadImage: the clusters are not of stored masks that were opened with their pictures.
        """
        from PIL import Image

        if self._store is None or self._store.picture(int(self.images[0])) is None:
            raise BadImage("Pass masks opened with their pictures: cluster(saliency.open_masks(path, images)).")
        number = checks.whole(number, "number", 0, len(self.clusters) - 1)
        shown = []
        for i in self.clusters[number].images[: checks.whole(count, "count", 1)]:
            overlay = self._store.explanation(i, self._method).overlay()
            shown.append(np.asarray(Image.fromarray(overlay).resize((side, side), Image.Resampling.BOX)))
        return np.concatenate(shown, 1)


def cluster(
    masks: Any,
    method: str | None = None,
    *,
    features: Any = "shape",
    algorithm: str = "spectral",
    clusters: int | str = "auto",
    by_class: bool = True,
    seed: int = 0,
) -> Clusters:
    """Group pictures by what their maps show, to find decisions that rest on a logo, a border or a corner.

    Args:
        masks: stored masks, or their path; or explanations or arrays (H, W) or (H, W, C).
        method: id of the method; may be omitted if there is only one.
        features: "shape" compares maps wherever they are on the picture, by the amplitudes of their Fourier transform;
            "place" compares where they are; or an array (N, D), such as the relevance of each channel of a layer.
        algorithm: "spectral" for spectral clustering, or "hdbscan".
        clusters: number of clusters of each class; "auto" takes the largest gap between the smallest eigenvalues of
            the graph Laplacian. Not used by HDBSCAN.
        by_class: whether to group the pictures of each explained class apart; of stored masks only.
        seed: seed of the random parts of the algorithm.

    Raises:
        BadField, BadShape: an argument is invalid, or there are too few maps.
        MissingPackage: scikit-learn is not installed.
    """
    checks.choice(algorithm, "algorithm", ALGORITHMS)
    count = None if clusters == "auto" else checks.whole(clusters, "clusters", 1)
    seed = checks.whole(seed, "seed", 0)
    try:
        import sklearn.cluster  # noqa: F401
    except ImportError as error:
        raise MissingPackage(f"cluster needs scikit-learn ({error}): pip install scikit-learn.") from error
    store, groups = store_of(masks), list[str | None]()
    if store is None:
        maps = given_maps(checks.several(masks, "masks"))
        images, groups = np.arange(len(maps)), [None] * len(maps)
    else:
        rows, maps = store.maps(method)
        images = np.array([each["image"] for each in rows])
        groups = [each["label"] if checks.flag(by_class, "by_class") else None for each in rows]
    points = _features(features, maps)
    found: list[Cluster] = []
    numbers = np.full(len(maps), -1)
    eigenvalues: dict[str | None, np.ndarray] = {}
    for group in dict.fromkeys(groups):
        which = np.array([i for i, each in enumerate(groups) if each == group])
        labels, values = _grouped(points[which], algorithm, count, seed)
        if values is not None:
            eigenvalues[group] = values
        sizes = np.bincount(labels[labels >= 0])
        order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
        for label in order:
            mine = which[labels == label]
            numbers[mine] = len(found)
            centre = points[mine].mean(0)
            typical = mine[np.argsort(((points[mine] - centre) ** 2).sum(1), kind="stable")]
            found.append(Cluster(len(found), group, images[typical].tolist(), place_of(maps[mine]), maps[mine].mean(0)))
    return Clusters(found, images, numbers, points, eigenvalues, store, method)


def _features(features: Any, maps: np.ndarray) -> np.ndarray:
    """Return the features (N, D), each picture's of length 1."""
    if isinstance(features, str):
        return described(maps, features)
    found = checks.array(features, "features", BadField).astype(np.float32)
    if found.ndim != 2 or len(found) != len(maps):
        raise BadShape(f"features must be (N, D) with N = {len(maps)}, got {found.shape}.")
    return unit(found)


def _grouped(
    features: np.ndarray, algorithm: str, count: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the label of each row, and the smallest eigenvalues of spectral clustering."""
    from sklearn.neighbors import KNeighborsClassifier

    if len(features) < 4:
        return np.zeros(len(features), int), None
    some = np.arange(len(features))
    if len(features) > MOST:
        some = np.sort(np.random.default_rng(seed).choice(len(features), MOST, replace=False))
    if algorithm == "hdbscan":
        from sklearn.cluster import HDBSCAN

        labels: np.ndarray = HDBSCAN(min_cluster_size=max(5, len(some) // 50), copy=True).fit_predict(features[some])
        values = None
    else:
        labels, values = _spectral(features[some], count, seed)
    if len(some) == len(features):
        return labels, values
    nearest = KNeighborsClassifier(1).fit(features[some], labels)
    return np.asarray(nearest.predict(features)), values


def _spectral(features: np.ndarray, count: int | None, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of spectral clustering (Ng, Jordan and Weiss, 2001) on the graph of nearest neighbours."""
    from scipy.sparse.csgraph import laplacian
    from sklearn.cluster import KMeans
    from sklearn.neighbors import kneighbors_graph

    neighbours = min(len(features) - 1, max(4, round(2 * np.log2(len(features)))))
    graph = kneighbors_graph(features, neighbours, include_self=False)
    values, vectors = np.linalg.eigh(laplacian(0.5 * (graph + graph.T), normed=True).toarray())
    smallest = values[: min(LARGEST + 1, len(values))]
    if count is None:
        count = int(np.argmax(np.diff(smallest))) + 1
    rows = vectors[:, : min(count, len(vectors))]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    labels = KMeans(rows.shape[1], n_init=10, random_state=seed).fit_predict(rows)
    return np.asarray(labels), np.asarray(smallest)


def purity(numbers: Sequence[int] | np.ndarray, truth: Sequence[Any] | np.ndarray) -> float:
    """Return the share of pictures that are in a cluster where most are of their own kind."""
    numbers, truth = np.asarray(numbers), np.asarray(truth)
    most = sum(np.unique(truth[numbers == each], return_counts=True)[1].max() for each in np.unique(numbers))
    return float(most / len(truth))
