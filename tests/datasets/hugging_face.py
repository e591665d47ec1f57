"""A data set with the protocol of Hugging Face's `datasets.Dataset`, of which the tests need nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image


class Rows:
    """Rows by number, with names of columns, and columns by name.

    Args:
        pictures: of the column "image".
        labels: of the column "label".
    """

    def __init__(self, pictures: Sequence[np.ndarray], labels: Sequence[int]) -> None:
        self._pictures, self._labels = pictures, labels
        self.column_names, self.shape = ["image", "label"], (len(labels), 2)
        self.num_rows = len(labels)

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            return [self[i][key] for i in range(len(self))]
        if not 0 <= key < len(self):
            raise IndexError(key)
        return {"image": Image.fromarray(self._pictures[key]), "label": self._labels[key]}

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))
