"""What one model is asked about one picture, and what it has answered. Knows nothing of traits or notebooks."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import saliency
from saliency_widget.protocol.cells import Key
from saliency_widget.protocol.messages import Message, message, readable, result_message
from saliency_widget.protocol.requests import TOP
from saliency_widget.traits.parameters import Layers
from saliency_widget.traits.timing import Pace
from saliency_widget.work.queue import HEARTBEAT, LAST, LATER, NOW, SHOWN, Agenda
from saliency_widget.work.result_cache import Earlier, Found
from saliency_widget.work.subject import Subject
from saliency_widget.work.tasks import Listener, Reports, Task, class_row, error_message, tamed
from saliency_widget.work.what_if_requests import Enquiries

logger = logging.getLogger(__name__.partition(".")[0])

FOUND_AT_MOST = 50
TOP_CLASSES = 5


class Explainer:
    """Asks one model about one picture, on the model's own thread.

    Args:
        subject: what is explained.
        listener: is told.
    """

    def __init__(self, subject: Subject, listener: Listener) -> None:
        self.found: dict[Key, Found] = {}
        self.predictions: list[saliency.Prediction] = []
        self.choices = dict(subject.choices)
        self.layers: Layers | None = None
        self.pace = Pace()
        self._earlier = Earlier()
        self._subject: Subject | None = subject
        self._listener = listener
        self._agenda = Agenda(subject.model)
        self.enquiries = Enquiries(self._agenda, listener, self._asked)
        self._predicted: Hashable = None
        self._surer: saliency.Surer | None = None
        self._warned = ""
        self._seen: Hashable = None
        self._lock = threading.RLock()
        self._tasks: dict[Key, Task] = {}

    def greet(self, rid: str, picture: Callable[[], Message] | None = None) -> None:
        """Send the prediction, and every result there is: the shown one first.

        Args:
            rid: of the browser's greeting.
            picture: makes what is sent before, when its time comes.
        """

        def show() -> None:
            if picture is not None:
                self._listener.post(picture())

        def run() -> None:
            model = self._asked().adapted()
            self._warn()
            if not (news := self._predict(model)):
                self._listener.post(self.prediction_message())
            for found in self.in_order():
                if found.version == model.version:
                    self._listener.post(found.message)
            if not news:
                self.tell_pace()

        if picture is not None:
            self._agenda.bring(lambda: self._answering(rid, show), NOW)
        self._agenda.bring(lambda: self._answering(rid, run), lambda: LATER if self._listener.shown() is None else NOW)

    def look(self) -> None:
        """Tell if the weights are no longer those of the results there are."""

        def run() -> None:
            version = self._asked().adapted().version
            if version != self._seen and any(found.version != version for found in list(self.found.values())):
                self._listener.post(message("stale"))
            self._seen = version

        if self.found:
            self._agenda.bring(lambda: self._answering("", run), LATER)

    def _warn(self) -> None:
        """Send what may be wrong with how the model is fed the picture."""
        found = [*self._asked().picture.warnings, *([str(self._surer)] if self._surer else [])]
        text = ". ".join(f"{each[:1].upper()}{each[1:]}" for each in found)
        if text != self._warned or text:
            self._warned = text
            self._listener.post(message("warning", text=readable(text)))

    def _compare_presets(self) -> None:
        """Find out whether the model would be much surer with another preprocessing."""
        # whatever is wrong with the model is reported when it is called for an explanation
        with contextlib.suppress(Exception):
            subject = self._asked()
            self._surer = saliency.surer_preset(subject.adapted(), subject.picture)
            self._warn()

    def search(self, rid: str, query: str) -> None:
        """Send the classes whose label or index contains `query`."""

        def run(answering: bool = False) -> None:
            wanted = query.strip().casefold()
            rows = [row for row in self.predictions if wanted in row.label.casefold() or wanted in str(row.index)]
            rows_told = [class_row(row) for row in rows[:FOUND_AT_MOST]]
            self._listener.post(message("classes", rid, classes=rows_told), answering=answering)

        def predict_and_run() -> None:
            self._predict(self._asked().adapted())
            run()

        if self.predictions:
            run(answering=True)
        else:
            self._agenda.bring(lambda: self._answering(rid, predict_and_run), NOW)

    def compute(self, key: Key, rid: str = "") -> Task:
        """Have an explanation made, unless it is on its way: then the newer request of the browser is answered."""
        self._asked()
        with self._lock:
            key = self.resolved(key)
            running = self._tasks.get(key)
            if running is not None and not running.job.cancelled.is_set():
                task = running
                # Python knows its task by itself
                older, task.rid = (task.rid, rid) if rid else ("", task.rid)
            else:
                older, task = "", Task(key, rid)
                task.job = self._agenda.job(lambda: self._explain(task), lambda: self._urgency(task))
                self._tasks[key] = task
                self._agenda.submit(task.job)
        # a message that a host brings twice is one request
        if older and older != rid:
            self._listener.post(message("cancelled", older), answering=True)
        return task

    def cancel(self, rid: str | None = None) -> bool:
        """Cancel the request `rid`, or all; False where there is none."""
        with self._lock:
            tasks = [task for task in self._tasks.values() if rid is None or task.rid == rid]
        for task in tasks:
            self._cancel(task)
        return self.enquiries.cancel(rid) or bool(tasks)

    def _cancel(self, task: Task) -> None:
        if self._agenda.withdraw(task.job):
            self._end(task, saliency.Cancelled("The explanation was cancelled before it began."))

    def configure(self, method_id: str, method: saliency.Method) -> None:
        """Offer a method with other fields; what these have given before is there again at once."""
        with self._lock:
            self.choices[method_id] = self.choices[method_id]._replace(method=method)
            for key in [key for key in self.found if key[0] == method_id]:
                del self.found[key]
            self.found |= self._earlier.of(method, method_id)
            outdated = [task for task in self._tasks.values() if task.key[0] == method_id]
        for task in outdated:
            self._cancel(task)
        self.tell_pace(answering=True)

    def learn_layers(self) -> None:
        """Have the model asked for its layers; one that cannot list them has none that are known."""

        def run() -> None:
            subject = self._asked()
            model = subject.adapted()
            names = [each.name for each in saliency.layers(model, subject.picture)]
            with model.lock:
                automatic = model.automatic_layer(model.ops.asarray(subject.picture.fed))
            self.layers = Layers(tuple(dict.fromkeys(names)), automatic)

        def run_or_not() -> None:
            # whatever is wrong with the model is told when it is asked for an explanation
            with contextlib.suppress(BaseException):
                run()

        self._agenda.bring(run_or_not, NOW)

    def later(self, run: Callable[[], None]) -> None:
        """Have something done on the model's thread when there is nothing else to do."""
        self._agenda.bring(run, LAST)

    def result(self, task: Task) -> saliency.Explanation:
        """Wait for a task, and give what came of it; an interrupt cancels it."""
        self._agenda.refuse_own_thread()
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
        """Whether nothing is waiting or running."""
        return self._agenda.idle

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is waiting or running; False if that took longer than `timeout` seconds."""
        return self._agenda.wait(timeout)

    def close(self) -> None:
        """Cancel everything, and let go of the model."""
        self.cancel()
        self._agenda.close()
        self._subject = None

    def resolved(self, key: Key) -> Key:
        """The same with the top class by its index, where it is known."""
        method, target = key
        return (method, self.predictions[0].index) if target == TOP and self.predictions else key

    def explained(self, key: Key) -> saliency.Explanation:
        """The result there is.

        Raises:
            ValueError: there is none.
        """
        if (found := self.found.get(self.resolved(key))) is None:
            raise ValueError(f"{key[0]!r} is not computed for this class.")
        return found.explanation

    def in_order(self) -> list[Found]:
        """The results there are, the shown one first."""
        with self._lock:
            found = dict(self.found)
        shown = self._listener.shown()
        return sorted(found.values(), key=lambda each: shown is None or each is not found.get(shown))

    def prediction_message(self) -> Message:
        """The best classes, and the shown one if it is not among them."""
        rows = self.predictions[:TOP_CLASSES]
        target = self._listener.target()
        rows += [row for row in self.predictions[TOP_CLASSES:] if row.index == target]
        return message("prediction", classes=[class_row(row) for row in rows])

    def tell_pace(self, answering: bool = False) -> None:
        """Send how long each method would take, from what this model has taken so far; if anything is known."""
        shape = self._asked().picture.fed.shape
        told = {
            each.id: self.pace.seconds(each.method, self.pace.images(each.method, shape))
            for each in self.choices.values()
            if not each.lacks
        }
        if known := {method: round(seconds, 2) for method, seconds in told.items() if seconds}:
            self._listener.post(message("pace", seconds=known), answering=answering)

    # on the model's thread

    def _explain(self, task: Task) -> None:
        try:
            found = self._answer(task)
        except BaseException as error:  # noqa: BLE001  # whatever a model raises is told, and the thread goes on
            self._end(task, tamed(error))
        else:
            self._end(task, found)
        finally:
            task.ended.set()

    def _answer(self, task: Task) -> Found:
        subject = self._asked()
        model = subject.adapted()
        version = model.version
        self._predict(model)
        self._rename(task)
        method_id, target = task.key
        choice = self.choices[method_id]
        known = self._earlier.get(choice.method, task.key)
        if known is not None and known.version == version:
            return known
        reports = Reports(self._listener, task, choice, subject.place)

        explanation = saliency.explain(
            model,
            subject.picture,
            choice.method,
            target,
            batch_size=subject.batch_size,
            progress=reports.progress,
            partial=reports.partial,
            cancelled=lambda: self._agenda.interrupted(task.job),
            shared=lambda: self._agenda.in_demand,
        )
        self.pace.learn(choice.method, explanation.images, explanation.seconds)
        told = result_message(explanation, method_id, choice.method, subject.place)
        return Found(explanation, told, version, choice.method.key())

    def _end(self, task: Task, outcome: Found | Exception) -> None:
        """Tell how a task ended. From here on it takes no newer request."""
        with self._lock:
            if self._tasks.get(task.key) is task:
                del self._tasks[task.key]
            rid = task.rid
            if isinstance(outcome, Found):
                self._earlier.keep(task.key, outcome)
                task.explanation = outcome.explanation
                if outcome.method != self.choices[task.key[0]].method.key():
                    outcome = saliency.Cancelled("The method's fields were changed meanwhile.")
                else:
                    self.found[task.key] = outcome
            else:
                task.error = outcome
        if isinstance(outcome, Found):
            self.tell_pace()
            self._listener.post(outcome.message.but(rid=rid))
            self._listener.found()
        elif isinstance(outcome, saliency.Cancelled):
            self._listener.post(message("cancelled", rid))
        else:
            told = error_message(rid, outcome)
            self._listener.post(told)
            if not rid:
                # not the error itself: whoever keeps what is logged would keep the model
                logger.warning("%s failed: %s", task.key[0], told.fields["message"])
        task.ended.set()

    def _predict(self, model: saliency.Adapted[Any]) -> bool:
        """Ask what the model sees, unless these very weights were asked; whether that was news."""
        version = model.version
        if self.predictions and version == self._predicted:
            return False
        subject = self._asked()
        began = time.perf_counter()
        predictions = saliency.predict(model, subject.picture, top=sys.maxsize)
        self.pace.predicted(time.perf_counter() - began)
        with self._lock:
            self.predictions, self._predicted, self.layers = predictions, version, None
            for task in list(self._tasks.values()):
                self._rename(task)
        self._listener.predicted(predictions)
        self.tell_pace()
        self._listener.post(self.prediction_message())
        self.later(self._compare_presets)
        return True

    def _answering(self, rid: str, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001  # whatever a model raises is told, and the thread goes on
            self._listener.post(error_message(rid, tamed(error)))

    # on any thread

    def _asked(self) -> Subject:
        if (subject := self._subject) is None:
            raise saliency.Cancelled("The widget was closed.")
        return subject

    def _urgency(self, task: Task) -> int:
        shown = self._listener.shown()
        return SHOWN if shown is not None and task.key == self.resolved(shown) else LATER

    def _rename(self, task: Task) -> None:
        """Put a task where its class is found by its index."""
        with self._lock:
            key = self.resolved(task.key)
            if key != task.key:
                if self._tasks.get(task.key) is task:
                    del self._tasks[task.key]
                    self._tasks.setdefault(key, task)
                task.key = key
