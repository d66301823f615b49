"""The loop over futures: keeps an executor busy with what the driver proposes, and hands back the results."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autokd.checkpoints import WEIGHTS, deaths, is_whole, note_death, read_result, too_many
from autokd.driver.core import Driver
from autokd.driver.events import SEARCHING, Notify, fresh_seeds
from autokd.errors import InputError
from autokd.executors import InlineExecutor, ProcessExecutor
from autokd.trial import Stretch, reason_of

Work = Callable[[Stretch], dict[str, Any]]
"""Trains a stretch: `trial.run_stretch` with a context, or `run_stretch_in` with a run folder."""

Executors = InlineExecutor | ProcessExecutor
_LOG = logging.getLogger("autokd")
_TICK_SECONDS = 0.5
_RECENT = 16
_MOST_AHEAD = 4


def run_trials(
    driver: Driver,
    executor: Executors,
    work: Work,
    *,
    seconds: float | None,
    trial_minutes: float,
    notify: Notify,
) -> str:
    """Trains trials until the driver proposes no more, and returns why it ended.

    Args:
        driver: proposes and records.
        executor: runs the stretches.
        work: the function that is submitted for each stretch.
        seconds: no stretch begins after so many seconds, and trials under way are then pruned; None sets no limit.
        trial_minutes: a stretch that takes longer is ended and recorded as failed; the inline executor cannot end one.
        notify: is told what is being done whenever something changed, and about twice a second.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C. Results that had come in are recorded; the next search takes up the
            other trials from their last rungs.
        NoFrontError: the first students all failed, as `Driver.propose` and `Driver.advance` say.
    """
    started = time.monotonic()
    ready = deque(driver.resume())
    jobs = Jobs(executor, work, trial_minutes)
    elsewhere = isinstance(executor, ProcessExecutor)
    proposal: Future[Stretch | None] | None = None
    begun, lasted = 0.0, deque[float](maxlen=_RECENT)
    proposing = True
    with ThreadPoolExecutor(1) if elsewhere else InlineExecutor() as proposer:
        try:
            while True:
                in_time = seconds is None or time.monotonic() - started < seconds
                if in_time and elsewhere:
                    jobs.take(ready)  # workers come first, because telling what has happened takes longer
                if proposal is None:
                    notify(SEARCHING)
                    if in_time and not elsewhere:
                        jobs.take(ready)  # this trains now, so what has happened is told before
                    if in_time and proposing and len(ready) < jobs.taken_in(lasted) and (elsewhere or jobs.free):
                        begun = time.monotonic()
                        proposal = proposer.submit(driver.propose)  # ahead, so that workers need not wait for it
                jobs.wait(*([proposal] if proposal else []))
                if in_time and elsewhere:
                    jobs.take(ready)  # before telling what has ended, which takes longer
                if proposal is not None:
                    if not proposal.done():
                        continue  # the driver is busy, so results wait, and workers take what is ready
                    stretch, proposal = proposal.result(), None
                    lasted.append(time.monotonic() - begun)
                    proposing = stretch is not None
                    ready.extend([stretch] if stretch else [])
                for stretch, result in jobs.done():
                    ready.extendleft(driver.advance(stretch.trial, result))
                if not in_time and not jobs.futures:
                    for stretch in [*ready, *driver.release()]:
                        driver.give_up(stretch, "the time limit was reached")
                    return "the time limit was reached"
                if not (jobs.futures or ready or proposing):
                    ready.extend(driver.release())
                    if not ready:
                        return driver.ended
        except KeyboardInterrupt:
            proposer.shutdown()
            for stretch, result in jobs.done():
                driver.advance(stretch.trial, result)
            raise


def train_all(
    executor: Executors,
    work: Work,
    stretches: Sequence[Stretch],
    *,
    minutes: float,
    notify: Notify,
) -> dict[str, dict[str, Any]]:
    """Trains every stretch whose result and weights are not there yet, and returns all results by folder.

    A stretch whose process dies is tried again, three times in all.
    """
    results = finished(stretches)
    waiting = deque(stretch for stretch in stretches if stretch.folder not in results)
    jobs = Jobs(executor, work, minutes)
    while waiting or jobs.futures:
        while waiting and jobs.free:
            stretch = waiting.popleft()
            reason = too_many(deaths([Path(stretch.folder)]))
            if reason:
                results[stretch.folder] = {"error": reason}
            else:
                jobs.submit(stretch)
        notify(fresh_seeds(len(results), len(stretches)))
        jobs.wait()
        for stretch, result in jobs.done():
            if "lost" in result:
                waiting.append(stretch)
            else:
                results[stretch.folder] = result
    return results


def finished(stretches: Sequence[Stretch]) -> dict[str, dict[str, Any]]:
    """The results, by folder, of those stretches whose result and weights exist and are what was written."""
    results: dict[str, dict[str, Any]] = {}
    for stretch in stretches:
        folder = Path(stretch.folder)
        result = read_result(folder)
        if result is not None and result.get("epoch", stretch.stop) == stretch.stop and is_whole(folder, WEIGHTS):
            results[stretch.folder] = result
    return results


class Jobs:
    """The stretches under way on an executor, each with the time when it began, and those that have ended."""

    def __init__(self, executor: Executors, work: Work, minutes: float) -> None:
        self.executor, self.work, self.seconds = executor, work, 60 * minutes
        self.futures: dict[Future[dict[str, Any]], tuple[Stretch, float]] = {}
        self._ended: list[tuple[Stretch, Future[dict[str, Any]]]] = []
        self._late: set[Future[Any]] = set()
        self._lasted = deque[float](maxlen=_RECENT)

    def taken_in(self, pauses: Collection[float]) -> int:
        """The number of students that workers may begin in the longest of these pauses, in seconds.

        It follows from how long the latest first stretches took. It is at least the number of workers, and at most four
        times that number.
        """
        stretch = sum(self._lasted) / len(self._lasted) if self._lasted else math.inf
        rounds = math.ceil(max(pauses, default=0.0) / stretch)
        return self.executor.workers * min(max(rounds, 1), _MOST_AHEAD)

    @property
    def free(self) -> int:
        """The number of workers without a stretch."""
        return self.executor.workers - len(self.futures)

    def take(self, ready: deque[Stretch]) -> None:
        """Sets the first of the ready stretches under way, as many as there are free workers."""
        while ready and self.free:
            self.submit(ready.popleft())

    def submit(self, stretch: Stretch) -> None:
        """Sets a stretch under way."""
        begun = time.monotonic()
        self.futures[self.executor.submit(self.work, stretch)] = (stretch, begun)

    def wait(self, *others: Future[Any]) -> None:
        """Waits until a stretch under way or another future has ended, for half a second at most."""
        wait([*self.futures, *others], timeout=_TICK_SECONDS, return_when=FIRST_COMPLETED)
        for future, (_, begun) in self.futures.items():
            if not future.done() and time.monotonic() > begun + self.seconds:
                self._late.add(future)
                self.executor.stop(future)
        self._collect()

    def done(self) -> Iterator[tuple[Stretch, dict[str, Any]]]:
        """The stretches that have ended by now, with their results; each is given once."""
        self._collect()
        while self._ended:
            stretch, future = self._ended.pop(0)
            yield stretch, self._result(stretch, future)

    def _collect(self) -> None:
        for future in [future for future in self.futures if future.done()]:
            stretch, begun = self.futures.pop(future)
            if stretch.start == 0:
                self._lasted.append(time.monotonic() - begun)
            self._ended.append((stretch, future))

    def _result(self, stretch: Stretch, future: Future[dict[str, Any]]) -> dict[str, Any]:
        if future in self._late:
            return {"error": f"timed out: a stretch took more than {self.seconds / 60:g} minutes"}
        try:
            return future.result()
        except BrokenProcessPool:
            return _death(stretch, self.executor.exit_code(future))
        except (OSError, InputError):  # the disk or the run is to blame, and not the student
            raise
        except Exception as error:
            return {"error": reason_of(error)}


def _death(stretch: Stretch, code: int) -> dict[str, Any]:
    """The result of a stretch whose worker ended: an exit code is the student's fault, a signal the machine's."""
    folder = Path(stretch.folder)
    if code >= 0 and folder.is_dir():
        return {"error": f"ended its worker process with exit code {code}"}
    how = f"by {_signal(-code)}" if code < 0 else f"before it began, with exit code {code}"
    note_death(folder, how)
    _LOG.warning("The worker process of trial %d died %s. The trial is tried again.", stretch.trial, how)
    return {"lost": how}


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


@contextmanager
def open_executor(name: str, workers: int) -> Iterator[Executors]:
    """The executor of that name, closed at the end whatever happens."""
    executor = ProcessExecutor(workers) if name == "processes" else InlineExecutor()
    try:
        yield executor
    finally:
        executor.shutdown()
