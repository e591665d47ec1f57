from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import saliency
from saliency_widget.pictures.maps import maps_of
from saliency_widget.pictures.placement import Placement
from saliency_widget.protocol.messages import Message, pack, parts, result_message
from saliency_widget.protocol.quality import quality
from tests.nets import LABELS, picture, small_net
from tests.widget.front_end import Message as Received
from tests.widget.front_end import unpack

WHOLE = Placement((0.0, 0.0, 1.0, 1.0), None)


def explained(mask: np.ndarray, **options: Any) -> saliency.Explanation:
    """Return an explanation with a mask."""
    fields = {"method": "gradient", "caption": "GradientSaliency()", "target": 1, "label": "bee", "score": 2.0}
    return saliency.Explanation(np.asarray(mask, np.float32), **{**fields, **options})


def sent(explanation: saliency.Explanation, place: Placement = WHOLE) -> Message:
    """Return the `result` of an explanation."""
    return result_message(explanation, "gradient", saliency.GradientSaliency(), place)


def noise(*shape: int) -> np.ndarray:
    """A mask."""
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7, 1), (5, 7)])
def test_tables_are_numpys_percentiles(shape: tuple[int, ...]) -> None:
    """Both tables are np.percentile at 0, 0.1, … 100 of their maps, as float32."""
    mask = noise(*shape).astype(np.float32)
    planes = mask.reshape(5, 7, -1)

    maps = maps_of(explained(mask))

    np.testing.assert_allclose(maps.values, planes.sum(2), rtol=1e-6)
    np.testing.assert_allclose(maps.strength, np.abs(planes).sum(2), rtol=1e-6)
    for array, table in ((maps.values, maps.values_table), (maps.strength, maps.strength_table)):
        np.testing.assert_array_equal(table, np.percentile(array, np.arange(1001) / 10).astype(np.float32))


def test_a_magnitude_is_sent_only_where_it_differs() -> None:
    """A mask without negative values has one map; with one negative value there are two."""
    positive = np.abs(noise(4, 4))
    assert list(sent(explained(positive)).buffers) == ["values", "values_table"]
    assert list(sent(explained(-positive)).buffers) == ["values", "values_table", "magnitude", "magnitude_table"]


def test_numbers_json_does_not_know_are_left_out() -> None:
    """An unknown score is sent as null."""
    result = sent(explained(noise(3, 3), score=float("nan"))).fields["result"]

    assert result["score"] is None
    assert result["gap"] is None


@pytest.mark.parametrize(
    ("method", "phrase"),
    [
        (saliency.XRAI(steps=2), "regions"),
        (saliency.IntegratedGradients(steps=4), "Completeness error "),
        (saliency.SmoothGrad(samples=3), "3 samples"),
        (saliency.GradCam(layer="block"), "block"),
        (saliency.Occlusion(size=12, stride=12), "4 windows"),
        (saliency.GradientSaliency(), "1 image evaluated"),
    ],
    ids=lambda value: value.id if isinstance(value, saliency.Method) else "",
)
def test_quality_is_a_phrase(method: saliency.Method, phrase: str) -> None:
    """The quality of a result is its regions, completeness, samples, layer, windows or images evaluated."""
    explanation = saliency.explain(small_net(), picture(), method, 1, labels=LABELS, progress=False)

    assert phrase in quality(explanation, method)


def test_quality_of_a_result_without_passes_of_its_own() -> None:
    """A method that uses the pass of an earlier one has evaluated no image, and says so."""
    methods: list[saliency.Method] = [saliency.GradientSaliency(), saliency.InputXGradient()]
    first, second = saliency.explain(small_net(), picture(), methods, 1, progress=False)

    assert quality(first, methods[0]) == "1 image evaluated"
    assert quality(second, methods[1]) == "no images evaluated"


def test_the_gap_is_a_share_of_what_was_to_be_explained() -> None:
    """A sum that misses 0.01 of a difference of 2.5 has an error of 0.4 %; without a difference it is a number."""
    method = saliency.IntegratedGradients()

    assert quality(explained(noise(2, 2), baseline_score=-0.5, gap=-0.01), method) == "Completeness error 0.4 %"
    assert quality(explained(noise(2, 2), baseline_score=-0.5, gap=0.65), method) == "Completeness error 26 % (high)"
    assert quality(explained(noise(2, 2), baseline_score=2.0, gap=0.25), method) == "Completeness error 0.25 (high)"
    assert (
        quality(explained(noise(2, 2), baseline_score=None, gap=-1.5), saliency.LRP()) == "Conserves 25 % of the score"
    )


@given(
    sizes=st.lists(st.integers(1, 40), max_size=4),
    limit=st.integers(1, 50),
)
def test_parts_make_the_whole(sizes: list[int], limit: int) -> None:
    """For every size of parts, none exceeds the limit, all carry the fields, and the pieces join up."""
    buffers = {f"b{i}": bytes(range(size)) for i, size in enumerate(sizes)}
    whole = {name: bytearray() for name in buffers}

    cut = list(parts(Message({"op": "result", "rid": "r", "seq": 4}, buffers), limit))

    for i, (content, pieces) in enumerate(cut):
        assert content["op"] == "result"
        assert content["part"] == [i, len(cut)]
        assert content["buffers"] == list(buffers)
        assert sum(map(len, pieces)) <= limit
        for piece, data in zip(content["pieces"], pieces, strict=True):
            assert piece["offset"] == len(whole[piece["name"]])
            assert piece["bytes"] == len(data)
            whole[piece["name"]] += data
    assert whole == {name: bytearray(data) for name, data in buffers.items()}


def test_a_packet_comes_back_as_it_was() -> None:
    """Every message and every bit of its buffers is in the packet, in order."""
    ranks = np.arange(35, dtype=np.uint16).reshape(5, 7)
    regions = saliency.Regions(ranks, [saliency.Region(0.5, 0.1, 0.1, (0, 0, 5, 7), (2.0, 3.0))])
    messages = [
        Message({"op": "welcome", "rid": "", "format": "image/png"}, {"picture": b"\x89PNG and more"}),
        Message(
            {"op": "prediction", "rid": "", "classes": [{"index": 0, "label": "häsin 🐇", "probability": 1.0}]}, {}
        ),
        sent(explained(noise(5, 7), regions=regions)),
    ]

    back = unpack(pack(messages))

    assert [m.op for m in back] == ["welcome", "prediction", "result"]
    assert back[1].fields["classes"] == messages[1].fields["classes"]
    for received, message in zip(back, messages, strict=True):
        assert received.buffers == {name: np.asarray(data).tobytes() for name, data in message.buffers.items()}


@pytest.mark.parametrize("mask", [noise(9, 11, 3), np.abs(noise(9, 11)), np.zeros((9, 11)), -np.ones((9, 11))])
def test_a_compact_packet_is_within_a_step(mask: np.ndarray) -> None:
    """One byte a pixel is accurate to half of a 254th of the range; zero and the pixels above percentiles stay."""
    mask[0, 0] = 0
    whole = sent(explained(mask))

    (back,) = unpack(pack([whole], compact=256))

    for name in {"values", "magnitude"} & set(whole.buffers):
        exact, stored = np.asarray(whole.buffers[name]), back.array(name)
        step = np.ptp(exact) / 254
        np.testing.assert_allclose(stored, exact, atol=0.51 * step + 1e-12)
        np.testing.assert_allclose(stored.flat[0], 0, atol=1e-6 * np.ptp(exact))
        percentiles = np.percentile(stored, np.arange(1001) / 10).astype(np.float32)
        for cut, percentile in zip(back.array(f"{name}_table"), percentiles, strict=True):
            np.testing.assert_array_equal(stored >= cut, stored >= percentile)


def test_a_large_map_is_thinned_for_a_compact_packet() -> None:
    """Maps of more than 256 a side are stored as means of blocks, ranks as samples, in one shape."""
    values = np.zeros((300, 513), np.float32)
    values[:, 300:] = 1
    ranks = values.astype(np.uint16)
    regions = saliency.Regions(ranks, [])

    (back,) = unpack(pack([sent(explained(values, regions=regions))], compact=256))

    assert back.fields["result"]["shape"] == [100, 171]
    np.testing.assert_array_equal(back.array("values"), back.array("step"))
    np.testing.assert_array_equal(back.array("values")[:, 100], 1)
    np.testing.assert_array_equal(back.array("values")[:, 99], 0)


def test_a_message_names_its_buffers() -> None:
    """A message can be read with the documented format alone, without the sender's code."""
    content, pieces = next(iter(parts(sent(explained(noise(4, 6, 3))))))

    received = Received(content, dict(zip(content["buffers"], map(bytes, pieces), strict=True)))

    assert received.array("values").shape == (4, 6)
    assert received.array("values_table").shape == (1001,)
