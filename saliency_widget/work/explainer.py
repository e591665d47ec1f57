"""The explainer of one model and one picture: its jobs and their results. Independent of traits and notebooks."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Hashable

import saliency
from saliency_widget.protocol.cells import Key
from saliency_widget.protocol.messages import Message, message, readable, result_message
from saliency_widget.protocol.requests import TOP
from saliency_widget.traits.parameters import Layers
from saliency_widget.traits.timing import TimeEstimator
from saliency_widget.work.queue import HEARTBEAT, IDLE, LAST, LATER, NOW, SHOWN, JobQueue
from saliency_widget.work.result_cache import Result, ResultCache
from saliency_widget.work.subject import Subject
from saliency_widget.work.tasks import Listener, Reports, Task, as_exception, class_row, error_message
from saliency_widget.work.what_if_requests import WhatIfRequests

logger = logging.getLogger(__name__.partition(".")[0])

REFUSALS = saliency.Unsupported, saliency.UnknownName
"""Errors of a method that the model does not support; the second where it has no layer that the method could read."""

NEXT = "xrai"
"""Id of the method that is computed while the model is idle: its regions are the easiest map to read."""

MOST_CLASSES = 50
TOP_CLASSES = 5


class Explainer:
    """Explains one picture for one model, on the model's own thread.

    Args:
        subject: the model, the picture and the settings.
        listener: receives messages, predictions and results.
    """

    def __init__(self, subject: Subject, listener: Listener) -> None:
        self.results: dict[Key, Result] = {}
        self.predictions: list[saliency.Prediction] = []
        self.methods = dict(subject.methods)
        self.layers: Layers | None = None
        self.timing = TimeEstimator()
        self._cache = ResultCache()
        self._subject: Subject | None = subject
        self._listener = listener
        self._queue = JobQueue(subject.model)
        self.what_if_requests = WhatIfRequests(self._queue, listener, self._current_subject)
        self._last: saliency.Prepared | None = None
        """The model and the picture of the last explanation; the next one shares its passes."""
        self._predicted_version: Hashable = None
        self._surer_preset: saliency.Surer | None = None
        self._warned = ""
        self._checked_version: Hashable = None
        self._prefetched = False
        self._lock = threading.RLock()
        self._tasks: dict[Key, Task] = {}

    def send_state(self, rid: str, picture: Callable[[], Message] | None = None) -> None:
        """Send the picture, the prediction and every result, the shown one first.

        Args:
            rid: id of the browser's `hello`.
            picture: creates the message with the picture on the model's thread; None if it is sent already.
        """

        def send_picture() -> None:
            if picture is not None:
                self._listener.post(picture())

        def send_results() -> None:
            prepared = self._current_subject().prepared()
            self._warn()
            predicted = self._predict(prepared)
            if not predicted:
                self._listener.post(self.prediction_message())
            for result in self.in_order():
                if result.version == prepared.adapted.version:
                    self._listener.post(result.message)
                    for answer in self.what_if_requests.kept(result):
                        self._listener.post(answer)
            if not predicted:
                self.post_timing()

        if picture is not None:
            self._queue.enqueue(lambda: self._post_errors(rid, send_picture), NOW)
        self._queue.enqueue(
            lambda: self._post_errors(rid, send_results), lambda: LATER if self._listener.shown() is None else NOW
        )

    def check_weights(self) -> None:
        """Send `stale` if the weights are no longer those of the results."""

        def run() -> None:
            version = self._current_subject().prepared().adapted.version
            outdated = any(result.version != version for result in list(self.results.values()))
            if outdated and version != self._checked_version:
                self._listener.post(message("stale"))
            self._checked_version = version

        if self.results:
            self._queue.enqueue(lambda: self._post_errors("", run), LATER)

    def _warn(self) -> None:
        """Send the warnings about the preprocessing of the picture."""
        warnings = [*self._current_subject().picture.warnings]
        if self._surer_preset:
            warnings.append(str(self._surer_preset))
        text = ". ".join(f"{each[:1].upper()}{each[1:]}" for each in warnings)
        if text != self._warned or text:
            self._warned = text
            self._listener.post(message("warning", text=readable(text)))

    def _compare_presets(self) -> None:
        """Check whether the model is much more confident with another preprocessing."""
        # an error of the model is reported when an explanation is computed
        with contextlib.suppress(Exception):
            prepared = self._current_subject().prepared()
            self._surer_preset = saliency.surer_preset(prepared.adapted, prepared.picture)
            self._warn()

    def search(self, rid: str, query: str) -> None:
        """Send the classes whose label or index contains `query`."""

        def run(answering: bool = False) -> None:
            wanted = query.strip().casefold()
            rows = [row for row in self.predictions if wanted in row.label.casefold() or wanted in str(row.index)]
            classes = [class_row(row) for row in rows[:MOST_CLASSES]]
            self._listener.post(message("classes", rid, classes=classes), answering=answering)

        def predict_and_run() -> None:
            self._predict(self._current_subject().prepared())
            run()

        if self.predictions:
            run(answering=True)
        else:
            self._queue.enqueue(lambda: self._post_errors(rid, predict_and_run), NOW)

    def compute(self, key: Key, rid: str = "") -> Task:
        """Request an explanation. A request for one that is on its way takes it over from the older request."""
        self._current_subject()
        with self._lock:
            key = self.resolved(key)
            running = self._tasks.get(key)
            if running is not None and not running.job.cancelled.is_set():
                task, running.requested = running, True
                # a request from Python has no rid: it waits for the task itself
                older, task.rid = (task.rid, rid) if rid else ("", task.rid)
            else:
                older, task = "", self._submitted(Task(key, rid))
        # a message that a host delivers twice is one request
        if older and older != rid:
            self._listener.post(message("cancelled", older), answering=True)
        return task

    def _submitted(self, task: Task) -> Task:
        task.job = self._queue.create(lambda: self._explain(task), lambda: self._urgency(task))
        self._tasks[task.key] = task
        self._queue.submit(task.job)
        return task

    def cancel(self, rid: str | None = None) -> bool:
        """Cancel the request `rid`, or all. Return False if there is none."""
        with self._lock:
            tasks = [task for task in self._tasks.values() if rid is None or task.rid == rid]
        for task in tasks:
            self._cancel(task)
        return self.what_if_requests.cancel(rid) or bool(tasks)

    def _cancel(self, task: Task) -> None:
        if self._queue.withdraw(task.job):
            self._end(task, saliency.Cancelled("The explanation was cancelled before it began."))

    def configure(self, method_id: str, method: saliency.Method) -> None:
        """Offer a method with other parameters; the cached results of these are available at once."""
        with self._lock:
            self.methods[method_id] = self.methods[method_id]._replace(method=method)
            for key in [key for key in self.results if key[0] == method_id]:
                del self.results[key]
            self.results |= self._cache.of(method, method_id)
            outdated = [task for task in self._tasks.values() if task.key[0] == method_id]
        for task in outdated:
            self._cancel(task)
        self.post_timing(answering=True)

    def find_layers(self) -> None:
        """Find the layers of the model; a model that cannot list them keeps None."""

        def run() -> None:
            prepared = self._current_subject().prepared()
            names = [each.name for each in saliency.layers(prepared.adapted, prepared.picture)]
            with prepared.adapted.lock:
                automatic = prepared.adapted.automatic_layer(prepared.images)
            self.layers = Layers(tuple(dict.fromkeys(names)), automatic)

        def run_silently() -> None:
            # an error of the model is reported when an explanation is computed
            with contextlib.suppress(BaseException):
                run()

        self._queue.enqueue(run_silently, NOW)

    def run_when_idle(self, run: Callable[[], None]) -> None:
        """Run a function on the model's thread after all other jobs."""
        self._queue.enqueue(run, LAST)

    def wait_for(self, task: Task) -> saliency.Explanation:
        """Wait for a task and return its explanation; an interrupt cancels it."""
        self._queue.refuse_own_thread()
        try:
            while not task.ended.wait(HEARTBEAT):
                pass
        except KeyboardInterrupt:
            task.job.cancelled.set()
            raise
        if task.explanation is None:
            raise task.error or saliency.Cancelled("The explanation was cut short.")
        return task.explanation

    @property
    def idle(self) -> bool:
        """Whether no requested job is waiting or running."""
        return self._queue.idle

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no requested job waits or runs. Return False if that took longer than `timeout` seconds."""
        return self._queue.wait(timeout)

    def close(self) -> None:
        """Cancel all jobs and release the model."""
        self.cancel()
        self._queue.close()
        self._subject = self._last = None

    def resolved(self, key: Key) -> Key:
        """Return the key with the top class replaced by its index, if that is known."""
        method, target = key
        return (method, self.predictions[0].index) if target == TOP and self.predictions else key

    def explanation_of(self, key: Key) -> saliency.Explanation:
        """Return a computed explanation.

        Raises:
            ValueError: it is not computed.
        """
        if (result := self.results.get(self.resolved(key))) is None:
            raise ValueError(f"{key[0]!r} is not computed for this class.")
        return result.explanation

    def result_of(self, key: Key) -> Result:
        """Return the result of an explanation that was just computed.

        Raises:
            Cancelled: the parameters of its method have changed since.
        """
        if (result := self.results.get(self.resolved(key))) is None:
            raise saliency.Cancelled("The parameters of the method were changed in the meantime.")
        return result

    def in_order(self) -> list[Result]:
        """Return the results, the shown one first."""
        with self._lock:
            results = dict(self.results)
        shown = self._listener.shown()
        return sorted(results.values(), key=lambda each: shown is None or each is not results.get(shown))

    def prediction_message(self) -> Message:
        """Return a `prediction` with the top classes, and the shown class if it is not among them."""
        rows = self.predictions[:TOP_CLASSES]
        target = self._listener.target()
        rows += [row for row in self.predictions[TOP_CLASSES:] if row.index == target]
        return message("prediction", classes=[class_row(row) for row in rows])

    def post_timing(self, answering: bool = False) -> None:
        """Send a `pace` with the estimated seconds of each method, if there is an estimate."""
        shape = self._current_subject().picture.fed.shape
        seconds = {
            each.id: self.timing.seconds(each.method, self.timing.images(each.method, shape))
            for each in self.methods.values()
            if not each.unsupported
        }
        if known := {method: round(estimate, 2) for method, estimate in seconds.items() if estimate}:
            self._listener.post(message("pace", seconds=known), answering=answering)

    # on the model's thread

    def _explain(self, task: Task) -> None:
        try:
            result = self._compute(task)
        except BaseException as error:  # noqa: BLE001  # the thread must survive whatever a model raises
            self._end(task, as_exception(error))
        else:
            self._end(task, result)
        finally:
            task.ended.set()

    def _compute(self, task: Task) -> Result:
        subject = self._current_subject()
        prepared = subject.prepared()
        version = prepared.adapted.version
        self._predict(prepared)
        self._resolve(task)
        method_id, target = task.key
        offered = self.methods[method_id]
        cached = self._cache.get(offered.method, task.key)
        if cached is not None and cached.version == version:
            return cached
        reports = Reports(self._listener, task, offered, subject.placement)

        (explanation,) = self._same(prepared).explain(
            offered.method,
            target,
            batch_size=subject.options.batch_size,
            progress=reports.progress,
            partial=lambda found: reports.partial(found[0]),
            cancelled=lambda: self._queue.interrupted(task.job) or self._superfluous(task),
            # in small batches, so that a request need not wait long
            shared=lambda: not task.requested or self._queue.in_demand,
        )
        self.timing.add_run(offered.method, explanation.images, explanation.seconds)
        result = result_message(explanation, method_id, offered.method, subject.placement)
        return Result(explanation, result, version, offered.method.key())

    def _same(self, prepared: saliency.Prepared) -> saliency.Prepared:
        """Return the last prepared model if it is the same, or keep this one."""
        last = None if self._last is None else self._last.adapted
        if last is None or (last.version, last.structure) != (prepared.adapted.version, prepared.adapted.structure):
            self._last = prepared
        assert self._last is not None
        return self._last

    def _end(self, task: Task, outcome: Result | Exception) -> None:
        """Store and send the outcome of a task, which can no longer be taken over by a newer request."""
        with self._lock:
            if self._tasks.get(task.key) is task:
                del self._tasks[task.key]
            rid = task.rid
            if isinstance(outcome, Result):
                self._cache.add(task.key, outcome)
                task.explanation = outcome.explanation
                if outcome.method != self.methods[task.key[0]].method.key():
                    outcome = saliency.Cancelled("The parameters of the method were changed in the meantime.")
                else:
                    self.results[task.key] = outcome
            else:
                task.error = outcome
        if isinstance(outcome, Result):
            self.post_timing()
            self._listener.post(outcome.message.but(rid=rid))
            if not task.requested:
                self._listener.post(message("ready", method=task.key[0], target=task.key[1]))
            self._listener.on_result()
            if rid and task.key == self._listener.shown():
                self._prefetch(task.key[1])
        elif not task.requested:
            # why it failed is reported when it is requested
            self._prefetched = not self._superfluous(task)
        elif isinstance(outcome, saliency.Cancelled):
            self._listener.post(message("cancelled", rid))
        else:
            failure = error_message(rid, outcome)
            self._listener.post(failure)
            if isinstance(outcome, REFUSALS):
                self._listener.on_unsupported(task.key[0])
            if not rid:
                # log the text, not the error: a stored log record would keep the model alive
                logger.warning("%s failed: %s", task.key[0], failure.fields["message"])
        task.ended.set()

    def _prefetch(self, target: int) -> None:
        """Compute the next method for a class when the model is idle, once."""
        # without a subject the widget was closed as its last result arrived
        offered, subject = self.methods.get(NEXT), self._subject
        if (
            offered is None
            or offered.unsupported
            or subject is None
            or not subject.options.prefetch
            or self._prefetched
        ):
            return
        with self._lock:
            key = (NEXT, target)
            if key not in self.results and key not in self._tasks:
                self._prefetched = True
                self._submitted(Task(key, "", requested=False))

    def _superfluous(self, task: Task) -> bool:
        """Return whether nobody requested the task, and another class or picture is shown now."""
        shown = self._listener.shown()
        return not task.requested and (shown is None or shown[1] != task.key[1])

    def _predict(self, prepared: saliency.Prepared) -> bool:
        """Compute the prediction, unless there is one of the same weights. Return whether it was computed."""
        version = prepared.adapted.version
        if self.predictions and version == self._predicted_version:
            return False
        began = time.perf_counter()
        predictions = saliency.predict(prepared.adapted, prepared.picture, top=sys.maxsize)
        self.timing.add_forward(time.perf_counter() - began)
        with self._lock:
            self.predictions, self._predicted_version, self.layers = predictions, version, None
            for task in list(self._tasks.values()):
                self._resolve(task)
        self._listener.on_prediction(predictions)
        self.post_timing()
        self._listener.post(self.prediction_message())
        self.run_when_idle(self._compare_presets)
        return True

    def _post_errors(self, rid: str, run: Callable[[], None]) -> None:
        """Run a function and send what it raises as an `error`."""
        try:
            run()
        except BaseException as error:  # noqa: BLE001  # the thread must survive whatever a model raises
            self._listener.post(error_message(rid, as_exception(error)))

    # on any thread

    def _current_subject(self) -> Subject:
        if (subject := self._subject) is None:
            raise saliency.Cancelled("The widget was closed.")
        return subject

    def _urgency(self, task: Task) -> int:
        if not task.requested:
            return IDLE
        shown = self._listener.shown()
        return SHOWN if shown is not None and task.key == self.resolved(shown) else LATER

    def _resolve(self, task: Task) -> None:
        """Replace the top class in the key of a task by its index, if that is known."""
        with self._lock:
            key = self.resolved(task.key)
            if key != task.key:
                if self._tasks.get(task.key) is task:
                    del self._tasks[task.key]
                    self._tasks.setdefault(key, task)
                task.key = key
