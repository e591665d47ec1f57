from typing import Any

import numpy as np
import pytest

from saliency.model.ops import NumpyOps

RANDOM = np.random.default_rng(0)
ARRAY, ROW = RANDOM.normal(size=(3, 4, 5)).astype(np.float32), RANDOM.normal(size=(1, 4, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("array", "other"),
    [(ARRAY, ROW), (ROW, ARRAY), (ARRAY, 0.0), (ARRAY, ROW.astype(np.float64)), (ARRAY > 0, True)],
    ids=["row below", "row above", "number", "wider", "bool"],
)
def test_where_is_numpy_s(array: Any, other: Any) -> None:
    """The same values, shape and type, whatever is broadcast; NaN stays where it is; nothing given is written into."""
    condition = RANDOM.random((3, 1, 5)) > 0.5
    array = np.where(np.arange(array.shape[1])[:, None] == 1, np.nan, array) if array.dtype == np.float32 else array
    before = np.array(array), np.array(other)
    found, expected = NumpyOps().where(condition, array, other), np.where(condition, array, other)

    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected, strict=True)
    np.testing.assert_array_equal(before[0], array)
    np.testing.assert_array_equal(before[1], other)
