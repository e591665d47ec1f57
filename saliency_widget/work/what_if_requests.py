"""What is asked about results: about selections at once, about whole curves when nobody waits for an explanation."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import saliency
from saliency_widget.pictures.drawing import View
from saliency_widget.protocol.messages import Message, message
from saliency_widget.work.jobs import Job
from saliency_widget.work.queue import LATER, NOW, Agenda
from saliency_widget.work.result_cache import Found
from saliency_widget.work.subject import Subject
from saliency_widget.work.tasks import Listener, error_message, tamed
from saliency_widget.work.what_if import Answers, Asker, at_intervals

Explained = Callable[[], saliency.Explanation]
"""Gives the result that is asked about, when its time comes; a ValueError where there is none."""


class Enquiries:
    """Asks a model about its own explanations, and remembers what it has said.

    Args:
        agenda: of the model's thread.
        listener: is told.
        subject: gives what is explained, and how.
    """

    def __init__(self, agenda: Agenda, listener: Listener, subject: Callable[[], Subject]) -> None:
        self._agenda, self._listener, self._subject = agenda, listener, subject
        self._answers = Answers()
        self._open: dict[str, Job] = {}

    def tell(self, rid: str, make: Callable[[], Message]) -> None:
        """Have an answer made on the model's thread before anything else, and sent."""

        def run() -> None:
            try:
                told = make()
            except BaseException as error:  # noqa: BLE001  # whatever a model raises is told, and the thread goes on
                told = error_message(rid, tamed(error))
            self._listener.post(told.but(rid=rid))

        self._agenda.bring(run, NOW)

    def what_if(self, rid: str, explained: Explained, view: View, fill: str) -> None:
        """Send what the model says to the selection of a view; between two questions of whatever is running."""
        self.tell(rid, lambda: self._asker().what_if(explained(), view, fill))

    def curve(self, rid: str, explained: Explained, fill: str) -> None:
        """Send insertion and deletion of a result."""

        def ask(job: Job) -> None:
            told = self._asker(job).curve(explained(), fill, at_intervals(self._listener.post, rid))
            self._listener.post(told.but(rid=rid))
            self._listener.found()

        self._bring(rid, ask, lambda error: self._listener.post(error_message(rid, error)))

    def ahead(self, all_found: Iterable[Found], view: View, fill: str, failed: Callable[[Exception], None]) -> None:
        """Have each of some results asked about, see :meth:`Asker.ahead`."""
        for i, found in enumerate(all_found):

            def ask(job: Job, explanation: saliency.Explanation = found.explanation) -> None:
                self._asker(job).ahead(explanation, view, fill)

            self._bring(f"ahead:{i}", ask, failed)

    def about(self, found: Found) -> list[Message]:
        """What the model has said of a result when it was asked, each with the request it answers as `asked`."""
        told = found.message.fields["result"]
        about = {"method": told["method"], "target": told["target"]}
        return [each.but(asked={**each.fields["asked"], **about}) for each in self._answers.about(found.explanation)]

    def cancel(self, rid: str | None = None) -> bool:
        """Cancel the request `rid`, or all; False where there is none that takes its time."""
        open_now = [each for each in list(self._open) if rid in (None, each)]
        for each in open_now:
            if (job := self._open.get(each)) is not None and self._agenda.withdraw(job):
                del self._open[each]
                self._listener.post(message("cancelled", each))
        return bool(open_now)

    def _bring(self, rid: str, ask: Callable[[Job], None], failed: Callable[[Exception], None]) -> None:
        """Have something asked that takes its time; `rid` cancels it."""

        def run() -> None:
            try:
                ask(job)
            except saliency.Cancelled:
                self._listener.post(message("cancelled", rid))
            except BaseException as error:  # noqa: BLE001  # as above
                failed(tamed(error))
            finally:
                self._open.pop(rid, None)

        job = self._open[rid] = self._agenda.job(run, LATER)
        self._agenda.submit(job)

    def _asker(self, job: Job | None = None) -> Asker:
        """Whom to ask, about what: for the model's thread. A job lets others by between its questions."""
        subject = self._subject()
        return Asker(
            subject.adapted(),
            subject.picture,
            subject.place,
            subject.batch_size,
            self._answers,
            lambda: job is not None and self._agenda.interrupted(job),
            lambda: self._agenda.in_demand,
        )
