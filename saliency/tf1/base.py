"""What the classes bound to a graph and a session share."""

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
    """A method bound to a model: a graph, a session of it, and the tensors that are its input and its score.

    Args:
        graph: a ``tf.Graph``.
        session: a ``tf.compat.v1.Session`` of it, with the variables initialised.
        y: the score that is explained: of shape (), (N,) or (None,), one number per image.
        x: the input, its first axis the batch.
    """

    def __init__(self, graph: Any, session: Any, y: Any, x: Any) -> None:
        self.graph = graph
        self.session = session
        self.y = y
        self.x = x

    def GetMask(self, x_value: Any, feed_dict: FeedDict = None) -> Any:
        """The mask of one image.

        Args:
            x_value: without a batch axis.
            feed_dict: what the model is fed beside x; it is left as it was.
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
        """SmoothGrad of this method: its masks on noisy images, averaged (arXiv:1706.03825).

        Args:
            x_value: without a batch axis.
            feed_dict: what the model is fed beside x; it is left as it was.
            stdev_spread: standard deviation of the noise as a share of max(x) - min(x).
            nsamples: how many noisy images.
            magnitude: average the squares of the masks (as PAIR does unless told otherwise).
            **kwargs: handed to GetMask.

        Returns:
            shape of `x_value`, in its own floating type; float32 for integers.
        """
        image = np.asarray(x_value)
        if not np.issubdtype(image.dtype, np.floating):
            image = image.astype(np.float32)
        total = np.zeros_like(image)  # in the image's own type, where saliency.core takes float32 for all
        stdev = stdev_spread * (np.max(image) - np.min(image))
        for _ in range(nsamples):
            # one draw a sample, as PAIR draws: notebooks that seed np.random repeat
            noise = np.random.normal(0, stdev, image.shape)  # noqa: NPY002  the global generator is what they seed
            mask = self.GetMask((image + noise).astype(image.dtype), feed_dict, **kwargs)
            total += np.asarray(mask * mask if magnitude else mask, image.dtype)
        return np.asarray(total / nsamples)


class TF1CoreSaliency(TF1Saliency):
    """A method of ``saliency.core``, asked through a graph and a session.

    Args:
        graph: see :class:`TF1Saliency`.
        session: see :class:`TF1Saliency`.
        y: see :class:`TF1Saliency`.
        x: see :class:`TF1Saliency`.
        conv_layer: a layer's output, channels last, where the method needs one.

    Attributes:
        call_model_function: asks the session; any method of ``saliency.core`` can use it.
        core_instance: the method that does the work.
    """

    core_instance: CoreSaliency

    def __init__(self, graph: Any, session: Any, y: Any, x: Any, conv_layer: Any = None) -> None:
        super().__init__(graph, session, y, x)
        self.call_model_function = utils.create_tf1_call_model_function(graph, session, y, x, conv_layer)

    def validate_xy_tensor_shape(self, x_steps: int = 1, batch_size: int = 1) -> None:
        """Refuse tensors that cannot take the batches of a path.

        Args:
            x_steps: points of the path.
            batch_size: points a call.

        Raises:
            ValueError: y is not one number per image, or x or y has a fixed batch that is not `batch_size`.
        """
        if batch_size < 1:
            raise BadField(f"batch_size must be at least 1, got {batch_size}.")
        # the last batch is a smaller one unless all divide evenly; then a fixed size will do
        fits = batch_size if x_steps % batch_size == 0 else None

        # what has no known rank cannot be judged beforehand; each call checks what came
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
        """The mask of the core's method, with the session for a model."""
        return self.core_instance.GetMask(
            x_value, call_model_function=self.call_model_function, call_model_args=feed_dict, **parameters
        )
