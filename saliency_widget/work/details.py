"""Details of large photographs: the part on the screen at its full resolution, where the display copy has less."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from saliency_widget.pictures import drawing
from saliency_widget.protocol.messages import Message, message
from saliency_widget.work.jobs import Job
from saliency_widget.work.queue import NOW, JobQueue
from saliency_widget.work.tasks import Post, as_exception, error_message

QUALITY = 90
"""Quality of the JPEG files, whose colours have full resolution."""


class Box(NamedTuple):
    """A part of a picture in its own pixels; half-open."""

    left: int
    top: int
    right: int
    bottom: int


class Details:
    """Cuts details out of pictures on a thread of its own, so that they do not wait for model calls.

    Args:
        picture: returns an image at its full resolution by its index, uint8 (H, W, 3).
        post: sends a message to the browser.
    """

    def __init__(self, picture: Callable[[int], np.ndarray], post: Post) -> None:
        self._picture, self._post = picture, post
        self._queue = JobQueue(self)
        self._open: dict[str, Job] = {}

    def request(self, rid: str, image: int, box: Box, width: int) -> None:
        """Send a detail, reduced to at most `width` pixels of width."""

        def run() -> None:
            try:
                if not job.cancelled.is_set():
                    self._post(detail(self._picture(image), box, width).but(rid=rid, image=image))
            except BaseException as error:  # noqa: BLE001  # the thread must survive
                self._post(error_message(rid, as_exception(error)))
            finally:
                self._open.pop(rid, None)

        job = self._queue.create(run, NOW)
        self._open[rid] = job
        self._queue.submit(job)

    def cancel(self, rid: str) -> bool:
        """Cancel a request. Return False if it is not open."""
        if (job := self._open.get(rid)) is None:
            return False
        if self._queue.withdraw(job):
            self._open.pop(rid, None)
            self._post(message("cancelled", rid))
        return True

    def close(self) -> None:
        """Cancel all requests."""
        self._queue.close()
        self._open.clear()


def detail(picture: np.ndarray, box: Box, width: int) -> Message:
    """Return the `detail` of a picture, reduced to at most `width` pixels of width.

    Args:
        picture: uint8 (H, W, 3).
        box: the part; what is beyond the picture is left out.
        width: the width at which it is shown, in pixels.

    Raises:
        ValueError: the box is outside the picture.
    """
    height, wide = picture.shape[:2]
    inside = Box(box.left, box.top, min(box.right, wide), min(box.bottom, height))
    size = (inside.right - inside.left, inside.bottom - inside.top)
    if min(size) < 1:
        raise ValueError(f"The box {tuple(box)} is outside the picture of {wide} × {height} pixels.")
    part = Image.fromarray(np.ascontiguousarray(picture[inside.top : inside.bottom, inside.left : inside.right]))
    if width < size[0]:
        reduced = (width, max(1, round(size[1] * width / size[0])))
        part = part.resize(reduced, Image.Resampling.LANCZOS, reducing_gap=drawing.GAP)
    file = drawing.encoded(part, "JPEG", quality=QUALITY, subsampling=0)
    return Message({"op": "detail", "rid": "", "image": 0, "box": list(inside)}, {"picture": file})
