"""recommend() ranks methods by the verdicts on their maps, at a bounded cost, and says why."""

from __future__ import annotations

import numpy as np
import pytest

import saliency
from tests.nets import LABELS, picture, small_net


def recommend(**options: object) -> saliency.Recommendations:
    """Rank four methods on the small network, one of which it does not support."""
    methods = ("gradient", saliency.IntegratedGradients(steps=90), "rise", "attention_rollout")
    return saliency.recommend(small_net(), picture(), 1, methods, labels=LABELS, progress=False, **options)  # type: ignore[arg-type]


def test_methods_are_ranked_by_the_strength_of_their_verdicts() -> None:
    """The order is that of the strengths; a method that the model does not support is last, with the reason."""
    found = recommend(images=60)
    strengths = [each.verdict.strength for each in found if each.verdict is not None]

    assert len(strengths) == 3
    assert strengths == sorted(strengths, reverse=True)
    assert found[-1].verdict is None
    assert "attention weights" in found[-1].why
    assert all(each.why == each.verdict.sentence for each in found[:3] if each.verdict is not None)
    assert {row.split()[0] for row in repr(found).splitlines()[1:]} >= {"GradientSaliency()", "AttentionRollout()"}


def test_a_method_gets_no_more_images_than_asked_for() -> None:
    """Samples and steps are reduced to the number of images; what cannot be reduced is left out."""
    found = {each.method.id: each for each in recommend(images=60)}

    assert found["rise"].method.cost((1, 16, 16, 3)) == 60
    assert found["integrated_gradients"].method.cost((1, 16, 16, 3)) <= 60
    assert all(each.images <= 60 for each in found.values())
    left_out = saliency.recommend(
        small_net(), picture(), 1, ["gradient", "occlusion"], images=3, progress=False, labels=LABELS
    )
    assert left_out[1].why == "needs more than 3 images"


def test_the_verdict_is_that_of_check() -> None:
    """The strength of a method is that of check() on its explanation."""
    exp = saliency.explain(small_net(), picture(), "gradient", 1, labels=LABELS, progress=False)
    verdict = saliency.check(small_net(), picture(), exp, rerun=None, progress=False)
    found = next(each for each in recommend(images=60) if each.method.id == "gradient")

    assert found.verdict is not None
    assert found.verdict.strength == pytest.approx(verdict.strength)
    assert np.isfinite(found.verdict.measures["random_logit"].found.value)


def test_bad_arguments_are_refused() -> None:
    """An empty list, an unknown method, and methods that the model does not support at all are errors."""
    with pytest.raises(saliency.BadField, match="empty list"):
        saliency.recommend(small_net(), picture(), methods=[])
    with pytest.raises(saliency.UnknownName, match="grad_cam"):
        saliency.recommend(small_net(), picture(), methods=["gradcam"])
    with pytest.raises(saliency.Unsupported, match="can be explained by"):
        saliency.recommend(small_net(), picture(), methods=["attention_rollout"], progress=False)
