"""Read collections of pictures: lists, arrays, folders, and data sets of torch and Hugging Face."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from saliency import checks
from saliency.errors import BadImage, BadTarget, brief
from saliency.pictures.picture import decoded

ENDINGS = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Extensions of the files of a folder that are read as pictures."""

IMAGE_KEYS = "image", "img", "pixel_values", "picture"
LABEL_KEYS = "label", "labels", "target", "fine_label"
"""Keys of the picture and of its class in the rows of a data set, the first that is there."""


FOLDER = "folder"
"""The kind of source that is a folder."""


THREADS, DECODED = 2, 4
"""Threads that decode files, and pictures that they are ahead of their use."""


class Item(NamedTuple):
    """One picture of a collection.

    Attributes:
        id: its name: the path inside a folder, else its number.
        read: returns the picture, of any type that :func:`saliency.explain` accepts, and its class, or None.
    """

    id: str
    read: Callable[[], tuple[Any, Any]]


@dataclass(frozen=True)
class Source:
    """A collection of pictures.

    Attributes:
        kind: what it is, in words.
        ids: the names of the pictures; None where their number is known only at the end.
        at: returns picture i; None where the collection can only be read in order.
        stream: yields the pictures in order.
    """

    kind: str
    ids: Sequence[str] | None
    at: Callable[[int], tuple[Any, Any]] | None
    stream: Callable[[], Iterator[Item]]

    def __len__(self) -> int:
        return 0 if self.ids is None else len(self.ids)


def source_of(images: Any) -> Source:
    """Return a collection of pictures.

    Args:
        images: a list, a generator or another iterable of pictures; an array or tensor (N, H, W, C) or (N, C, H, W); a
            folder, whose files with extensions of pictures are read in the order of their names; a torch ``Dataset`` or
            ``DataLoader``; or a data set of Hugging Face. An item may be a pair (picture, class), or a mapping with
            the keys "image" and "label".

    Raises:
        BadImage: it is one picture, or empty.
    """
    if isinstance(images, Source):
        return images
    if isinstance(images, str | os.PathLike):
        return _folder(checks.path(images, "images", BadImage))
    if isinstance(images, bytes | bytearray | Mapping) or type(images).__module__.partition(".")[0] == "PIL":
        if isinstance(images, Mapping) and all(hasattr(each, "column_names") for each in images.values()):
            raise BadImage(f"Expected one data set, got the splits {', '.join(map(str, images))}: pass one of them.")
        raise BadImage(f"Expected many pictures, got {brief(images)}: pass a list, or call saliency.explain.")
    shape = getattr(images, "shape", None)
    if shape is not None and len(shape) != 1 and not hasattr(images, "column_names"):
        if len(shape) != 4:
            raise BadImage(
                f"Expected a batch of pictures (N, H, W, C) or (N, C, H, W), got the shape {tuple(shape)}: for one "
                "picture call saliency.explain."
            )
        return _indexed(f"array {tuple(shape[1:])}", images)
    if _is_loader(images):
        return Source("DataLoader", None, None, lambda: _numbered(_rows_of(images)))
    if hasattr(images, "__getitem__") and hasattr(images, "__len__"):
        return _indexed(type(images).__name__, images)
    if not isinstance(images, Iterable):
        raise BadImage(f"Expected many pictures (a list, an array, a folder, a data set), got {brief(images)}.")
    return Source(type(images).__name__, None, None, lambda: _numbered(images))


def labelled_source_of(images: Any) -> Source:
    """Return a collection of pictures with classes, where it gives them.

    Args:
        images: see :func:`source_of`; the subfolders of a folder are the classes of their pictures. Or a dict from
            class to the pictures of that class.

    Raises:
        BadImage: it is one picture, or empty.
    """
    if isinstance(images, Mapping):
        return _by_class({label: source_of(each) for label, each in images.items()})
    source = source_of(images)
    return _by_subfolder(source) if source.kind == FOLDER else source


def _by_class(sources: Mapping[Any, Source]) -> Source:
    """Return the pictures of several sources, each with the class of its source."""
    if not sources:
        raise BadImage("There are no pictures: the dict is empty. Expected {class: pictures}.")

    def of(label: Any, read: Callable[[], tuple[Any, Any]]) -> Callable[[], tuple[Any, Any]]:
        return lambda: (read()[0], _class_of(label))

    def stream() -> Iterator[Item]:
        for label, source in sources.items():
            yield from (Item(f"{label}/{each.id}", of(label, each.read)) for each in source.stream())

    known = all(each.ids is not None for each in sources.values())
    ids = [f"{label}/{name}" for label, each in sources.items() for name in each.ids or ()]
    if not known:
        return Source("dict", None, None, stream)
    places = [(label, each, i) for label, each in sources.items() for i in range(len(each))]

    def at(i: int) -> tuple[Any, Any]:
        label, source, inside = places[i]
        return _at(source, inside)[0], _class_of(label)

    return Source("dict", ids, at if all(each.at for each in sources.values()) else None, stream)


def _by_subfolder(folder: Source) -> Source:
    """Return the pictures of a folder with the names of its subfolders as classes."""

    def label(name: str) -> str | None:
        first, slash, _ = name.partition("/")
        return first if slash else None

    ids = folder.ids or ()
    return _listed(FOLDER, ids, lambda i: (_at(folder, i)[0], label(ids[i])))


def _at(source: Source, i: int) -> tuple[Any, Any]:
    assert source.at is not None
    return source.at(i)


def collection(images: Any) -> Source:
    """Return pictures as a collection in which each can be read alone, in any order.

    Args:
        images: a list, an array or tensor (N, H, W, C) or (N, C, H, W), a folder, a torch ``Dataset``, or a data set of
            Hugging Face; for the items see :func:`saliency.explain_each`.

    Returns:
        the collection: `len()` is the number of pictures, `ids` are their names, the paths inside a folder, and
        ``at(i)`` returns picture i with its class, or None.

    Raises:
        BadImage: it can be read in order only, is one picture, or empty.
        FileNotFoundError: there is no such folder.
    """
    if _is_loader(images):
        raise BadImage(
            "A DataLoader is read in order, and its order may be random: pass its data set, loader.dataset; pictures "
            "are batched here. For a stream of explanations call saliency.explain_each."
        )
    source = source_of(images)
    if source.at is None or source.ids is None:
        raise BadImage(
            f"Expected pictures that can be read in any order (a list, an array, a folder, a data set with len()), got "
            f"{brief(images)}: pass list(images), or call saliency.explain_each."
        )
    return source


def decoded_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items whose files are decoded by threads, a few pictures ahead of their use.

    The collection itself is read in the caller's thread, as its code may not be made for several.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        begun: deque[Item] = deque()
        for item in items:
            begun.append(_begun(item, pool))
            if len(begun) > DECODED:
                yield begun.popleft()
        yield from begun


def _begun(item: Item, pool: ThreadPoolExecutor) -> Item:
    """Return an item that has been read, and whose file is being decoded."""
    try:
        image, label = item.read()
    except Exception as error:  # noqa: BLE001  # raised again in its turn
        return Item(item.id, partial(_raised, error))
    if not isinstance(image, str | os.PathLike | bytes | bytearray):
        return Item(item.id, lambda: (image, label))
    future = pool.submit(decoded, image)
    return Item(item.id, lambda: (future.result(), label))


def _raised(error: Exception) -> tuple[Any, Any]:
    raise error


def _is_loader(images: Any) -> bool:
    return hasattr(images, "dataset") and hasattr(images, "batch_sampler") and hasattr(images, "__iter__")


def folder_files(path: Path) -> list[Path]:
    """Return the files of a folder that are read as pictures, in the order of their names, with 2 before 10.

    Raises:
        BadImage: it is no folder, or has no pictures.
        FileNotFoundError: it does not exist.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no folder {str(path)!r}.")
    if not path.is_dir():
        raise BadImage(f"Expected a folder of pictures, got the file {brief(str(path))}: call saliency.explain.")
    files = sorted(
        (each for each in path.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file()),
        key=lambda each: [_natural(part) for part in each.relative_to(path).parts],
    )
    if not files:
        raise BadImage(f"The folder {brief(str(path))} contains no pictures ({', '.join(sorted(ENDINGS))}).")
    return files


def _natural(name: str) -> list[Any]:
    """Return a key by which numbers in names are sorted as numbers, and equal ones by their digits."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(each), each) if i % 2 else each for i, each in enumerate(parts)]


def _folder(path: Path) -> Source:
    files = folder_files(path)
    # a name may contain bytes that are no text
    names = [os.fsencode(each.relative_to(path).as_posix()).decode("utf-8", "backslashreplace") for each in files]
    return _listed(FOLDER, names, lambda i: (files[i], None))


def _indexed(kind: str, images: Any) -> Source:
    if not len(images):
        raise BadImage(f"There are no pictures: {brief(images)} is empty.")
    # an array of one picture keeps its batch axis out: picture i is (H, W, C)
    return _listed(kind, [str(i) for i in range(len(images))], lambda i: pair_of(images[i]))


def _listed(kind: str, ids: Sequence[str], at: Callable[[int], tuple[Any, Any]]) -> Source:
    def stream() -> Iterator[Item]:
        for i, name in enumerate(ids):
            yield Item(name, lambda i=i: at(i))  # type: ignore[misc]  # the default binds the number

    return Source(kind, ids, at, stream)


def _numbered(images: Iterable[Any]) -> Iterator[Item]:
    for i, each in enumerate(images):
        yield Item(str(i), lambda each=each: pair_of(each))  # type: ignore[misc]  # as above


def _rows_of(loader: Any) -> Iterator[Any]:
    """Yield the rows of a loader's batches."""
    for batch in loader:
        if isinstance(batch, Mapping):
            count = len(next(iter(batch.values())))
            yield from ({key: each[i] for key, each in batch.items()} for i in range(count))
        elif isinstance(batch, list | tuple) and len(batch) == 2:
            yield from zip(*batch, strict=True)
        else:
            yield from (batch[0] if isinstance(batch, list | tuple) and len(batch) == 1 else batch)


def pair_of(item: Any) -> tuple[Any, Any]:
    """Return the picture and the class of an item of a data set; None for no class.

    Raises:
        BadImage: the item has no picture.
        BadTarget: its class is no index and no label.
    """
    if isinstance(item, Mapping):
        key = next((each for each in IMAGE_KEYS if each in item), None)
        if key is None:
            raise BadImage(f"Expected a row with one of the keys {', '.join(IMAGE_KEYS)}, got {', '.join(item)}.")
        label = next((item[each] for each in LABEL_KEYS if each in item), None)
        image = item[key]
        if isinstance(image, Mapping):  # an undecoded picture of Hugging Face
            image = image.get("bytes") or image.get("path")
        return image, _class_of(label)
    if isinstance(item, list | tuple) and len(item) == 2 and _is_class(item[1]):
        return item[0], _class_of(item[1])
    return item, None


def _is_class(label: Any) -> bool:
    if label is None or isinstance(label, str | int | np.integer):
        return True
    return getattr(label, "shape", None) == () and "int" in str(label.dtype)


def _class_of(label: Any) -> Any:
    if not _is_class(label):
        raise BadTarget(
            f"The class of a picture must be an index or a label, got {brief(label)}: pass targets=…, one for each."
        )
    return label if label is None or isinstance(label, str) else int(label)
