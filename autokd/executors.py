"""The executors that run stretches, in this process or in worker processes; both are `concurrent.futures.Executor`s.

torch is imported in the functions that use it, so that workers can begin to import it before their driver does.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

P = ParamSpec("P")
T = TypeVar("T")

_TRIALS = "autokd.trial"
"""The module that workers import first."""
_FORKSERVER = "forkserver"
_START_SECONDS = 60
_UNKNOWN = 255
"""The exit code that is read for a forked worker if the server that forked it died."""


class InlineExecutor(Executor):
    """Runs each call at once, in the caller's process, on one torch thread, and then restores the thread count.

    The functions that are called need not be importable. A call that hangs cannot be stopped.
    """

    workers = 1

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs `fn` now. An interrupt passes through; any other exception is kept in the future."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            with one_thread():
                future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def start(self) -> None:
        """Does nothing, because this process has started."""

    def wait_until_ready(self) -> None:
        """Returns at once."""

    def stop(self, future: Future[Any]) -> None:
        """Does nothing, because a call that was submitted here has ended."""

    def exit_code(self, future: Future[Any]) -> int:
        """0, because this process lives."""
        return 0


class ProcessExecutor(Executor):
    """`workers` processes, one for each slot, so that a process that dies or hangs costs only the call that it ran.

    The processes are spawned, and each imports for itself; if `serve_forks` was called in this process, they are
    forked. A worker runs on one torch thread, ignores Ctrl-C (this process ends it), and ends itself within moments of
    this process's death. Workers do not run the caller's main module again, so a script needs no `__main__` guard.

    Args:
        workers: the number of slots, >= 1; no more calls than this may be under way at once.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._forks = multiprocessing.get_start_method(allow_none=True) == _FORKSERVER
        self._free: list[ProcessPoolExecutor | None] = [None] * workers
        self._busy: dict[Future[Any], ProcessPoolExecutor] = {}
        self._processes = WeakKeyDictionary[Future[Any], tuple[ProcessPoolExecutor, BaseProcess]]()
        self._lock = threading.Lock()  # once workers are ready, a thread beside the loop measures latencies
        self._wanted, self._starting = False, list[Future[None]]()

    def start(self) -> None:
        """Starts all workers while the caller goes on; `submit` would start them one by one."""
        self._wanted = True
        if not self._forks:  # forking waits until the server has imported, and then takes no time
            self._start_all()

    def wait_until_ready(self) -> None:
        """Returns when all workers have started, or after a minute; at once if `start` was not called."""
        if self._wanted:
            self._start_all()
            wait(self._starting, timeout=_START_SECONDS)

    def _start_all(self) -> None:
        with self._lock, _main_hidden(), _interrupts_held():
            if not self._starting:
                self._collect()
                self._free = [pool or self._pool() for pool in self._free]
                self._starting = [pool.submit(_nothing) for pool in self._free if pool is not None]

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hands `fn` to a free slot; `fn` and its arguments are pickled, so `fn` must be importable.

        Raises:
            RuntimeError: every slot is busy.
        """
        with self._lock, _main_hidden(), _interrupts_held():
            self._collect()
            if not self._free:
                raise RuntimeError(f"all {self.workers} workers are busy")
            pool = self._free.pop() or self._pool()
            try:
                try:
                    future = pool.submit(fn, *args, **kwargs)
                except BrokenProcessPool:  # its process was killed while it was idle
                    pool = self._pool()
                    future = pool.submit(fn, *args, **kwargs)
            except BaseException:
                self._free.append(None)
                _kill(pool)
                raise
            self._busy[future] = pool
            (process,) = (pool._processes or {}).values()
            self._processes[future] = pool, process
        return future

    def stop(self, future: Future[Any]) -> None:
        """Ends the worker that computes `future`, which then holds a `BrokenProcessPool`."""
        pool = self._busy.get(future)
        if pool is not None:
            _kill(pool)

    def exit_code(self, future: Future[Any]) -> int:
        """The exit code of the worker whose death a future holds: its own code, or minus the number of a signal."""
        pool, process = self._processes[future]
        pool.shutdown(wait=True)  # first the pool waits for its process, because two waits at once disturb each other
        code = process.exitcode
        if code is None or (self._forks and code == _UNKNOWN):  # its server died, and the worker may live
            process.kill()
            return -signal.SIGKILL
        return code

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends all workers at once. A call that is under way is lost, so wait for its future first."""
        for pool in [*self._busy.values(), *self._free]:
            if pool is not None:
                _kill(pool)
                pool.shutdown(wait=wait, cancel_futures=True)
        self._busy.clear()
        self._free = [None] * self.workers

    def _collect(self) -> None:
        for future in [future for future in self._busy if future.done()]:
            pool = self._busy.pop(future)
            broken = not future.cancelled() and _broken(future)
            if broken:
                _kill(pool)
                pool.shutdown(wait=True)  # `exit_code` reads what the pool has found out
            self._free.append(None if broken else pool)

    def _pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context(_FORKSERVER if self._forks else "spawn")
        return ProcessPoolExecutor(1, context, initializer=_start_worker)


def serve_forks() -> None:
    """Makes the workers of this process fork from one server, which begins at once to import what they need.

    Call this only in a process that belongs to AutoKD, such as the command line. A process has one server, which keeps
    the environment of its start, and everything else that the process forks from it has imported the same. On systems
    other than Linux this does nothing, because forking is not safe there once much is imported.
    """
    if sys.platform == "linux":
        from multiprocessing import forkserver

        multiprocessing.set_start_method(_FORKSERVER, force=True)
        multiprocessing.set_forkserver_preload([_TRIALS])
        with _interrupts_held():
            forkserver.ensure_running()


@contextmanager
def without_collection() -> Iterator[None]:
    """Turns garbage collection off inside: imports make no garbage, and looking for it takes a sixth of their time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@contextmanager
def one_thread() -> Iterator[None]:
    """Sets one torch thread inside, and the caller's number of threads again after that."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def modes_of_a_new_process() -> Iterator[None]:
    """Sets gradients, no inference mode and float32 inside, and the caller's own modes again after that."""
    import torch

    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


def _broken(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _kill(pool: ProcessPoolExecutor) -> None:
    # The pool's processes have no public name, but without them a worker that hangs cannot be ended.
    for process in list((pool._processes or {}).values()):
        process.kill()


def _start_worker() -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with without_collection():
        import_module(_TRIALS)
        import_module("torch").set_num_threads(1)


def _nothing() -> None:
    """The first call of a worker that is started before there is a call for it."""


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C back until the end; a process that is spawned inside never gets it, not even while it imports."""
    resource_tracker.ensure_running()  # starting multiprocessing's tracker later would let Ctrl-C through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keeps a process that is spawned inside from running the caller's main module, which it does not need."""
    main = sys.modules["__main__"]
    hidden = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    main.__dict__["__spec__"] = None
    try:
        yield
    finally:
        main.__dict__.update({"__spec__": None} | hidden)
