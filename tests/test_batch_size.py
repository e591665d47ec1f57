from collections.abc import Hashable
from typing import Any

from saliency.batch_size import BatchSize, is_out_of_memory


def test_out_of_memory_is_known_by_name() -> None:
    """Each framework's way to say it is known, and no other error is."""
    torch_like = type("OutOfMemoryError", (RuntimeError,), {})

    assert is_out_of_memory(torch_like("CUDA"))
    assert is_out_of_memory(RuntimeError("RESOURCE_EXHAUSTED: while allocating"))
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("size mismatch"))


def run_tuner(cost: Any, kept: dict[Hashable, Any] | None = None, questions: int = 14) -> list[int]:
    """What a tuner asks for, given a law seconds = cost(count)."""
    size = BatchSize(None, {} if kept is None else kept, "key")
    asked = []
    for _ in range(questions):
        asked.append(size.now)
        size.measured(size.now, cost(size.now))
    return asked


def test_auto_batch_size_stays_where_an_image_is_cheapest() -> None:
    """With the cheapest images at 16 a question, its neighbours are tried twice and left."""
    each = {1: 9.0, 4: 1.0, 8: 0.8, 16: 0.6, 32: 0.7}

    assert run_tuner(lambda n: n * each[n]) == [1, 4, 8, 16, 32, 32, 8] + [16] * 7


def test_auto_batch_size_follows_the_machine() -> None:
    """Where every image costs the same the smallest size wins, where only the question costs the largest."""
    assert run_tuner(lambda n: n * 1.0)[-1] == BatchSize.FIRST
    assert run_tuner(lambda n: 1.0)[-1] == BatchSize.LAST


def test_one_slow_question_does_not_decide() -> None:
    """A size that had bad luck the first time gets its second chance, in this session or the next."""
    each = {1: 9.0, 4: 1.0, 8: 0.8, 16: 0.6, 32: 0.7}
    unlucky = iter([9.0, 1.0, 0.8, 3.0])
    kept: dict[Hashable, Any] = {}
    run_tuner(lambda n: n * next(unlucky, each[n]), kept, questions=5)

    assert run_tuner(lambda n: n * each[n], kept)[-1] == 16


def test_auto_batch_size_is_remembered_with_the_model() -> None:
    """A second session on the same model goes on with what the first found."""
    kept: dict[Hashable, Any] = {}
    first = run_tuner(lambda n: 1.0, kept, questions=20)

    assert first[-1] == BatchSize.LAST
    assert run_tuner(lambda n: 1.0, kept, questions=2) == [BatchSize.LAST] * 2
