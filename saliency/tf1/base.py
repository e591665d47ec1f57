"""The base classes of methods bound to a graph and a session."""

from __future__ import annotations

from typing import Any

import numpy as np

from saliency.core.base import CoreSaliency
from saliency.errors import BadField, BadShape
from saliency.tf1 import utils

X_SHAPE_ERROR_MESSAGE = "Unexpected outermost dimension for x tensor. Expected {} for outermost dimension, actual {}"
Y_SHAPE_ERROR_MESSAGE = "Unexpected shape for y tensor. Expected shape {}, actual {}"

FeedDict = dict[Any, Any] | None


class TF1Saliency:
    """A method bound to a model: a graph, its session, and the tensors of its input and its score.

    Args:
        graph: a ``tf.Graph``.
        session: a ``tf.compat.v1.Session`` of it, with the variables initialised.
        y: the score to explain, of shape (), (N,) or (None,): one number per image.
        x: the input; its first axis is the batch.
    """

    def __init__(self, graph: Any, session: Any, y: Any, x: Any) -> None:
        self.graph = graph
        self.session = session
        self.y = y
        self.x = x

    def GetMask(self, x_value: Any, feed_dict: FeedDict = None) -> Any:
        """Return the mask of one image.

        Args:
            x_value: without a batch axis.
            feed_dict: additional values to feed; it is not changed.
        """
        raise NotImplementedError("A derived class should implemented GetMask()")

    def GetSmoothedMask(
        self,
        x_value: Any,
        feed_dict: FeedDict = None,
        stdev_spread: float = 0.15,
        nsamples: int = 25,
        magnitude: bool = True,
        **kwargs: Any,
    ) -> np.ndarray:
        """Return SmoothGrad of this method: the average of its masks on noisy images (arXiv:1706.03825).

        Args:
            x_value: without a batch axis.
            feed_dict: additional values to feed; it is not changed.
            stdev_spread: standard deviation of the noise as a share of max(x) - min(x).
            nsamples: number of noisy images.
            magnitude: average the squares of the masks (PAIR's default).
            **kwargs: passed to GetMask.

        Returns:
            The mask, of the shape of `x_value`, in its own floating type; float32 for integers.
        """
        image = np.asarray(x_value)
        if not np.issubdtype(image.dtype, np.floating):
            image = image.astype(np.float32)
        total = np.zeros_like(image)  # in the image's own type; saliency.core uses float32 for all
        stdev = stdev_spread * (np.max(image) - np.min(image))
        for _ in range(nsamples):
            # one draw per sample, as in PAIR: notebooks that seed np.random repeat
            noise = np.random.normal(0, stdev, image.shape)  # noqa: NPY002  the global generator is what they seed
            mask = self.GetMask((image + noise).astype(image.dtype), feed_dict, **kwargs)
            total += np.asarray(mask * mask if magnitude else mask, image.dtype)
        return np.asarray(total / nsamples)


class TF1CoreSaliency(TF1Saliency):
    """A method of ``saliency.core``, run on a graph and a session.

    Args:
        graph: see :class:`TF1Saliency`.
        session: see :class:`TF1Saliency`.
        y: see :class:`TF1Saliency`.
        x: see :class:`TF1Saliency`.
        conv_layer: a layer's output, channels last, if the method needs one.

    Attributes:
        call_model_function: runs the session; any method of ``saliency.core`` can use it.
        core_instance: the method of ``saliency.core``.
    """

    core_instance: CoreSaliency

    def __init__(self, graph: Any, session: Any, y: Any, x: Any, conv_layer: Any = None) -> None:
        super().__init__(graph, session, y, x)
        self.call_model_function = utils.create_tf1_call_model_function(graph, session, y, x, conv_layer)

    def validate_xy_tensor_shape(self, x_steps: int = 1, batch_size: int = 1) -> None:
        """Refuse tensors that cannot take the batches of a path.

        Args:
            x_steps: number of points of the path.
            batch_size: points per call.

        Raises:
            ValueError: y is not one number per image, or x or y has a fixed batch that is not `batch_size`.
        """
        if batch_size < 1:
            raise BadField(f"batch_size must be at least 1, got {batch_size}.")
        # a fixed batch size fits only if it divides the number of points
        fits = batch_size if x_steps % batch_size == 0 else None

        # a tensor of unknown rank is checked in each call
        if self.y.shape.rank is not None:
            shape = list(self.y.shape.as_list())
            known = int(np.prod([size for size in shape if size is not None]))
            if (known, None in shape) not in ((1, True), (fits, False)):
                expected = "[None]" if fits is None else f"[None] or tensor with size {fits}"
                raise BadShape(Y_SHAPE_ERROR_MESSAGE.format(expected, shape))
        if self.x.shape.rank is not None:
            outermost = self.x.shape.as_list()[0]
            if outermost not in (None, fits):
                expected = "None" if fits is None else f"None or {fits}"
                raise BadShape(X_SHAPE_ERROR_MESSAGE.format(expected, outermost))

    def _core_mask(self, x_value: Any, feed_dict: FeedDict, **parameters: Any) -> Any:
        """Return the mask of the core's method, with the session as the model."""
        return self.core_instance.GetMask(
            x_value, call_model_function=self.call_model_function, call_model_args=feed_dict, **parameters
        )
