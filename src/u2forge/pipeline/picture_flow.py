"""The overlapped pipeline: pictures are loaded, inferred and finished side by side, a bounded number at a
time.

One thread, the one that iterates over the reports, decides what is done next; a pool of threads loads and
finishes pictures, the engine infers. All of them answer with an event in one queue, so that no state is
shared.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from queue import SimpleQueue

from u2forge.errors import OutputError, U2ForgeError
from u2forge.pipeline.fatal_errors import concerns_all_pictures, engine_error
from u2forge.pipeline.picture_answer import Submission
from u2forge.pipeline.picture_report import PictureReport
from u2forge.pipeline.picture_stages import PictureInFlight, finish, load
from u2forge.pipeline.pixel_budget import PixelBudget, pixels_of
from u2forge.pipeline.render_options import RenderOptions
from u2forge.pipeline.segmenter import Segmenter

Event = Callable[[], PictureReport | None]

_logger = logging.getLogger(__name__)


class PictureFlow:
    """One run of pictures through a segmenter. Use it once."""

    def __init__(
        self,
        segmenter: Segmenter,
        render: RenderOptions,
        *,
        workers: int,
        batch_size: int,
        max_pixels: int,
        pixels_in_flight: int,
    ) -> None:
        self._segmenter = segmenter
        self._render = render
        self._workers = workers
        self._batch_size = batch_size
        self._max_pixels = max_pixels
        self._batches_in_engine = segmenter.engine.info.streams + 1
        # One batch more than the engine holds is loaded or being loaded: it never waits for a decoder.
        self._most_ahead = batch_size * (self._batches_in_engine + 1) + workers - 1
        self.most_in_flight = self._most_ahead + 2 * workers
        self._budget = PixelBudget(pixels_in_flight)
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._over_budget: deque[PictureInFlight] = deque()
        self._ready: deque[PictureInFlight] = deque()
        self._inferred: deque[PictureInFlight] = deque()
        self._submitted: set[Submission] = set()
        self._answer_times: deque[float] = deque([0.0], maxlen=segmenter.engine.info.streams)
        self._loading = self._finishing = self._in_engine = self._in_flight = 0
        self._exhausted = False
        self._fatal: BaseException | None = None

    def reports(self, pictures: Iterable[PictureInFlight]) -> Generator[PictureReport, None, None]:
        """Each picture's report, in the order of completion; a bad picture is one report, not an end.

        Raises OutputError where the output disk fails, EngineError where the engine does, once the pictures
        under way are at their end. Leaving early (close, an exception) waits for what the threads have in
        hand.
        """
        source = iter(pictures)
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="u2forge-picture")
        try:
            while self._feed(pool, source):
                report = self._events.get()()
                if report is not None:
                    yield report
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            wait([submission.done for submission in self._submitted])
        if self._fatal is not None:
            raise self._fatal

    def _feed(self, pool: ThreadPoolExecutor, source: Iterator[PictureInFlight]) -> bool:
        """Gives the engine and the pool all that they can take; whether anything is still under way."""
        if self._fatal is not None:
            self._drop_waiting(self._fatal)
        self._infer_full_batches()
        while self._loading + self._finishing < self._workers:
            engine_waits = len(self._ready) + self._loading < self._batch_size
            if self._inferred and not engine_waits:
                self._start_finish(pool)
            elif self._may_load() and (flight := self._next_to_load(source)) is not None:
                self._start_load(pool, flight)
            elif self._inferred:
                self._start_finish(pool)
            else:
                break
        if self._ready and not self._loading and self._batch_stays_partial():
            self._infer(len(self._ready))
        return self._in_flight > 0

    def _batch_stays_partial(self) -> bool:
        """Whether nothing is left to fill it up with, or only its own end would make room for more."""
        if len(self._ready) >= self._batch_size or len(self._submitted) >= self._batches_in_engine:
            return False
        last = self._exhausted and not self._over_budget
        return last or not (self._finishing or self._in_engine)

    def _may_load(self) -> bool:
        ahead = self._loading + len(self._ready) + self._in_engine
        return self._fatal is None and ahead < self._most_ahead and self._in_flight < self.most_in_flight

    def _next_to_load(self, source: Iterator[PictureInFlight]) -> PictureInFlight | None:
        """The next picture to decode: first those that waited for the budget, None while they have to."""
        if self._over_budget:
            if not self._budget.take(self._over_budget[0].pixels):
                return None
            return self._over_budget.popleft()
        flight = next(source, None)
        if flight is None:
            self._exhausted = True
        else:
            self._in_flight += 1
        return flight

    def _start_load(self, pool: ThreadPoolExecutor, flight: PictureInFlight) -> None:
        self._loading += 1
        pool.submit(self._load, flight)

    def _load(self, flight: PictureInFlight) -> None:
        """Runs in the pool."""
        try:
            if not flight.pixels:
                flight.pixels = pixels_of(flight.input, max_pixels=self._max_pixels)
                if not self._budget.take(flight.pixels):
                    self._events.put(partial(self._postponed, flight))
                    return
            keep = self._render.needs_picture
            load(flight, self._segmenter, keep_picture=keep, max_pixels=self._max_pixels)
            self._events.put(partial(self._loaded, flight))
        except BaseException as error:
            self._events.put(partial(self._load_failed, flight, error))

    def _start_finish(self, pool: ThreadPoolExecutor) -> None:
        self._finishing += 1
        pool.submit(self._finish, self._inferred.popleft())

    def _finish(self, flight: PictureInFlight) -> None:
        """Runs in the pool."""
        try:
            report = finish(flight, self._segmenter, self._render)
            self._events.put(partial(self._finished, flight, report))
        except BaseException as error:
            self._events.put(partial(self._finish_failed, flight, error))

    def _postponed(self, flight: PictureInFlight) -> None:
        self._loading -= 1
        self._over_budget.append(flight)

    def _loaded(self, flight: PictureInFlight) -> None:
        self._loading -= 1
        self._ready.append(flight)

    def _load_failed(self, flight: PictureInFlight, error: BaseException) -> PictureReport | None:
        self._loading -= 1
        return self._failed(flight, error)

    def _finish_failed(self, flight: PictureInFlight, error: BaseException) -> PictureReport | None:
        self._finishing -= 1
        return self._failed(flight, error)

    def _finished(self, flight: PictureInFlight, report: PictureReport) -> PictureReport:
        self._finishing -= 1
        self._leave(flight)
        return report

    def _failed(self, flight: PictureInFlight, error: BaseException) -> PictureReport | None:
        self._leave(flight)
        if concerns_all_pictures(error):
            self._stop(error)
            return None
        if isinstance(error, U2ForgeError):
            return flight.failed(str(error))
        _logger.debug("%s", flight.input, exc_info=error)
        return flight.failed(f"{type(error).__name__}: {error}")

    def _infer_full_batches(self) -> None:
        while len(self._submitted) < self._batches_in_engine and len(self._ready) >= self._batch_size:
            self._infer(self._batch_size)

    def _infer(self, count: int) -> None:
        batch = [self._ready.popleft() for _ in range(count)]
        try:
            submission = self._segmenter.infer([flight.taken for flight in batch if flight.taken is not None])
        except Exception as error:
            self._leave(*batch)
            self._stop(error)
            return
        for flight in batch:
            flight.taken = None
        self._in_engine += count
        self._submitted.add(submission)
        begun = time.perf_counter()
        # The event is told the time: it may be read from the queue much later.
        submission.done.add_done_callback(
            lambda _: self._events.put(partial(self._answered, batch, submission, begun, time.perf_counter()))
        )

    def _answered(
        self, batch: list[PictureInFlight], submission: Submission, begun: float, end: float
    ) -> None:
        self._submitted.discard(submission)
        self._in_engine -= len(batch)
        # An engine of n streams begins with a batch when the one n before it has left.
        start = max(begun, self._answer_times[0])
        self._answer_times.append(end)
        try:
            answers = submission.answers()
        except BaseException as error:
            self._leave(*batch)
            self._stop(error)
            return
        for flight, answer in zip(batch, answers, strict=True):
            flight.answer = answer
            flight.stage_ms["inference"] = (end - start) * 1000 / len(batch)
            self._inferred.append(flight)

    def _leave(self, *flights: PictureInFlight) -> None:
        for flight in flights:
            self._budget.give_back(flight.pixels)
            flight.pixels = 0
        self._in_flight -= len(flights)

    def _stop(self, error: BaseException) -> None:
        """Takes no more pictures from now on."""
        if self._fatal is None:
            self._fatal = engine_error(error, self._segmenter.engine.info)

    def _drop_waiting(self, error: BaseException) -> None:
        """Lets go of the pictures that can no longer become results."""
        for flight in self._over_budget:
            flight.pixels = 0  # not taken yet
        unwritable = [self._inferred] if isinstance(error, OutputError) else []
        for flights in (self._over_budget, self._ready, *unwritable):
            self._leave(*flights)
            flights.clear()
