"""What-if requests of the browser, run as jobs on the model's thread: selections at once, others when it is free."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import saliency
from saliency_widget.pictures import drawing
from saliency_widget.pictures.drawing import View
from saliency_widget.pictures.film import Film, Plan, Scene, encoded
from saliency_widget.pictures.selection import Brushed
from saliency_widget.protocol.messages import Message, message
from saliency_widget.traits.parameters import Layers
from saliency_widget.work.concepts import Region
from saliency_widget.work.jobs import Job
from saliency_widget.work.queue import HEARTBEAT, LATER, NOW, JobQueue
from saliency_widget.work.result_cache import Result
from saliency_widget.work.subject import Subject
from saliency_widget.work.tasks import Listener, as_exception, error_message
from saliency_widget.work.what_if import Evaluator, WhatIfCache, progress_messages

T = TypeVar("T")

GetExplanation = Callable[[], saliency.Explanation]
"""Returns the explanation that a request is about once its job runs; raises ValueError if it is not computed."""

Progress = Callable[[int, int], None]
"""Called with the numbers of images evaluated, and in total."""

QUALITY = 92
"""Quality of the JPEG files from which a browser makes a video."""

KEPT = ("verdict", "change", "channels", "concepts", "examples")
"""Answers that are sent again to a page that is opened later."""


class WhatIfRequests:
    """Runs what-if requests about the explanations of one model and picture, and caches the answers.

    Args:
        queue: the jobs on the model's thread.
        listener: receives the answers.
        subject: returns the model, the picture and the settings.
    """

    def __init__(self, queue: JobQueue, listener: Listener, subject: Callable[[], Subject]) -> None:
        self._queue, self._listener, self._subject = queue, listener, subject
        self._cache = WhatIfCache()
        self._open: dict[str, tuple[Job, Callable[[], None]]] = {}
        """By request id: the job, and what is called if it is cancelled."""

    def respond(self, rid: str, make: Callable[[], Message]) -> None:
        """Create an answer on the model's thread, before any other job, and send it."""

        def run() -> None:
            try:
                answer = make()
            except BaseException as error:  # noqa: BLE001  # the thread must survive whatever a model raises
                answer = error_message(rid, as_exception(error))
            self._listener.post(answer.but(rid=rid))

        self._queue.enqueue(run, NOW)

    def what_if(self, rid: str, explanation: GetExplanation, view: View, fill: str) -> None:
        """Send the prediction for the selection of a view, between two model calls of the running job."""
        self.respond(rid, lambda: self._evaluator().what_if(explanation(), view, fill))

    def curve(self, rid: str, explanation: GetExplanation, fill: str) -> None:
        """Send the insertion and deletion curves of an explanation."""
        self._measure(rid, lambda evaluator, progress: evaluator.curve(explanation(), fill, progress))

    def check(self, rid: str, explanation: GetExplanation) -> None:
        """Send the verdict on an explanation: a `partial_verdict` after each measurement, and the final `verdict`."""

        def partial(verdict: Message) -> None:
            self._listener.post(verdict.but(rid=rid))

        self._measure(rid, lambda evaluator, progress: evaluator.check(explanation(), partial, progress).message)

    def change(self, rid: str, explanation: GetExplanation, kind: str, fill: str, to: float | None) -> None:
        """Send the smallest set of segments that changes the answer, or that is enough for it."""
        self._measure(
            rid, lambda evaluator, progress: evaluator.change(explanation(), kind, fill, to, progress).message
        )

    def channels(
        self, rid: str, explanation: GetExplanation, layer: str, by: str, layers: Callable[[], Layers | None]
    ) -> None:
        """Send the top channels of a layer; `layers` returns the layers of the model, once they are found."""
        self._measure(rid, lambda evaluator, progress: evaluator.channels(explanation(), layer, by, layers(), progress))

    def concepts(
        self,
        rid: str,
        explanation: GetExplanation,
        layer: str,
        brushed: Sequence[Brushed],
        regions: Callable[[], Sequence[Region]],
        layers: Callable[[], Layers | None],
    ) -> None:
        """Send the test of the concepts; for the arguments see :meth:`Evaluator.concepts`."""
        self._measure(
            rid,
            lambda evaluator, progress: evaluator.concepts(
                explanation(), self._subject(), layer, brushed, regions, layers(), progress
            ),
        )

    def examples(self, rid: str, explanation: GetExplanation) -> None:
        """Send the training images for and against the answer."""
        self._measure(rid, lambda evaluator, progress: evaluator.examples(explanation(), self._subject(), progress))

    def film(
        self, rid: str, explanation: GetExplanation, scene: Callable[[], Scene], plan: Plan, encoding: str
    ) -> None:
        """Send a film of what `scene` returns, as a GIF file or as a JPEG file of each frame."""

        def compute(evaluator: Evaluator, progress: Progress) -> Message:
            found = evaluator.film(explanation(), scene(), plan, progress)
            if encoding == "gif":
                files = {"film": encoded(found, "GIF")}
            else:
                frames = enumerate(found.frames)
                files = {str(i): drawing.encoded(frame, "JPEG", quality=QUALITY) for i, frame in frames}
            return Message({"op": "film", "rid": rid, "durations": found.durations}, files)

        self._measure(rid, compute)

    def _measure(self, rid: str, compute: Callable[[Evaluator, Progress], Message]) -> None:
        """Enqueue what needs several model calls: send its progress, and the message that it returns."""

        def run(job: Job) -> None:
            answer = compute(self._evaluator(job), progress_messages(self._listener.post, rid))
            self._listener.post(answer.but(rid=rid))
            self._listener.on_result()

        self._enqueue(rid, run, lambda error: self._listener.post(error_message(rid, error)))

    def wait_for_verdict(self, result: Result) -> saliency.Verdict:
        """Measure the verdict on a result, send it, and return it; see :meth:`_wait_for`."""
        return self._wait_for(lambda evaluator: self._check(evaluator, result), "verdict")

    def wait_for_change(self, result: Result, kind: str, fill: str, to: float | None) -> saliency.Counterfactual:
        """Find the smallest change of a result, send it, and return it; see :meth:`_wait_for`."""

        def compute(evaluator: Evaluator) -> saliency.Counterfactual:
            found = evaluator.change(result.explanation, kind, fill, to).change
            assert found is not None
            self._post(result, "change")
            return found

        return self._wait_for(compute, "smallest change")

    def wait_for_film(self, result: Result, scene: Scene, plan: Plan) -> Film:
        """Draw a film of a result, and return it; see :meth:`_wait_for`."""
        return self._wait_for(lambda evaluator: evaluator.film(result.explanation, scene, plan), "film")

    def _wait_for(self, compute: Callable[[Evaluator], T], what: str) -> T:
        """Compute something on the model's thread, and return it. An interrupt cancels it.

        Raises:
            Cancelled: it was cancelled.
            Exception: any error of the model.
        """
        self._queue.refuse_own_thread()
        found: Future[T] = Future()
        rid = f"python:{id(found)}"

        def run(job: Job) -> None:
            found.set_result(compute(self._evaluator(job)))

        def cancelled() -> None:
            found.set_exception(saliency.Cancelled(f"The {what} was cancelled."))

        self._enqueue(rid, run, found.set_exception, cancelled)
        try:
            while not found.done():
                wait([found], HEARTBEAT)
        except KeyboardInterrupt:
            self.cancel(rid)
            raise
        return found.result()

    def _check(self, evaluator: Evaluator, result: Result) -> saliency.Verdict:
        """Measure the verdict on a result, and send it with its request."""
        verdict = evaluator.check(result.explanation).verdict
        assert verdict is not None
        self._post(result, "verdict")
        return verdict

    def _post(self, result: Result, op: str) -> None:
        """Send the answers of one kind about a result, each with its request."""
        for each in self.answers(result):
            if each.fields["op"] == op:
                self._listener.post(each)
        self._listener.on_result()

    def precompute(
        self,
        results: Iterable[Result],
        view: View,
        fill: str,
        on_error: Callable[[Exception], None],
        *,
        what_if: bool,
        evidence: bool,
    ) -> None:
        """Compute the answers about each result of the present weights that a page can look up.

        Args:
            results: the results.
            view: see :meth:`Evaluator.precompute`.
            fill: see :meth:`Evaluator.precompute`.
            on_error: called with an error of the model.
            what_if: whether to compute predictions and curves, see :meth:`Evaluator.precompute`.
            evidence: whether to measure verdicts.
        """
        for i, result in enumerate(results):

            def run(job: Job, result: Result = result) -> None:
                evaluator = self._evaluator(job)
                if result.version != evaluator.prepared.adapted.version:
                    return
                if what_if:
                    evaluator.precompute(result.explanation, view, fill)
                if evidence:
                    self._check(evaluator, result)

            self._enqueue(f"precompute:{i}", run, on_error)

    def answers(self, result: Result) -> list[Message]:
        """Return the cached answers about a result, each with its request as `asked`."""
        fields = result.message.fields["result"]
        about = {"method": fields["method"], "target": fields["target"]}
        messages = [each.message for each in self._cache.answers(result.explanation)]
        return [each.but(asked={**each.fields["asked"], **about}) for each in messages]

    def verdict(self, result: Result) -> saliency.Verdict | None:
        """Return the verdict on a result; None if it was not measured."""
        answers = self._cache.answers(result.explanation)
        return next((each.verdict for each in answers if each.verdict is not None), None)

    def kept(self, result: Result) -> list[Message]:
        """Return the measurements of a result that are :data:`KEPT`, each with its request as `asked`."""
        return [each for each in self.answers(result) if each.fields["op"] in KEPT]

    def changes(self, result: Result) -> dict[tuple[str, str, float | None], saliency.Counterfactual]:
        """Return the smallest changes that were computed for a result, by kind, fill and the class to reach."""
        answers = [(each.message.fields["asked"], each.change) for each in self._cache.answers(result.explanation)]
        return {(asked["kind"], asked["fill"], asked["to"]): change for asked, change in answers if change is not None}

    def layers(self, result: Result) -> list[tuple[str, str]]:
        """Return the layer and the method of each ranking of channels that was computed for a result."""
        answers = [each.fields for each in self.answers(result) if each.fields["op"] == "channels"]
        return list(dict.fromkeys((each["layer"], each["asked"]["by"]) for each in answers))

    def tests(self, result: Result) -> list[tuple[str, list[dict[str, Any]], bool]]:
        """Return the layer and the brushed regions of each test of concepts for a result, and whether it has maps."""
        answers = [each.fields for each in self.answers(result) if each.fields["op"] == "concepts"]
        return [(each["layer"], each["asked"]["brushed"], each["shape"] is not None) for each in answers]

    def explained_by_examples(self, result: Result) -> bool:
        """Return whether the training images for and against the answer of a result were found."""
        return any(each.fields["op"] == "examples" for each in self.answers(result))

    def cancel(self, rid: str | None = None) -> bool:
        """Cancel the request `rid`, or all. Return False if no such request is open."""
        open_now = [each for each in list(self._open) if rid in (None, each)]
        for each in open_now:
            found = self._open.get(each)
            if found is not None and self._queue.withdraw(found[0]):
                del self._open[each]
                found[1]()
        return bool(open_now)

    def _enqueue(
        self,
        rid: str,
        run: Callable[[Job], None],
        on_error: Callable[[Exception], None],
        on_cancelled: Callable[[], None] | None = None,
    ) -> None:
        """Enqueue a job of several model calls that `rid` can cancel; by default, the browser is notified of this."""
        cancelled = on_cancelled or (lambda: self._listener.post(message("cancelled", rid)))

        def run_and_report() -> None:
            try:
                run(job)
            except saliency.Cancelled:
                cancelled()
            except BaseException as error:  # noqa: BLE001  # the thread must survive whatever a model raises
                on_error(as_exception(error))
            finally:
                self._open.pop(rid, None)

        job = self._queue.create(run_and_report, LATER)
        self._open[rid] = job, cancelled
        self._queue.submit(job)

    def _evaluator(self, job: Job | None = None) -> Evaluator:
        """Return an evaluator for use on the model's thread. A job gives way between its model calls."""
        subject = self._subject()
        return Evaluator(
            subject.prepared(),
            subject.placement,
            subject.options.batch_size,
            self._cache,
            lambda: job is not None and self._queue.interrupted(job),
            lambda: self._queue.in_demand,
        )
