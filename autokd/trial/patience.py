"""Code that a study names may hang: whoever waits for it waits no longer than a limit."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from autokd.errors import LateError
from autokd.trial import watch

T = TypeVar("T")

_TICK_SECONDS = 1.0
_ENDS_SECONDS = 1.0
"""For an exception to end a thread."""
_GRACE_SECONDS = 5.0
"""For this process to notice by itself that a call is late."""


def in_time(minutes: float, work: Callable[[], T], *, what: str) -> T:
    """What a call gives, if it ends in time.

    It runs in a thread of its own. Where it takes longer, an exception ends the Python code in that thread. A call of
    the system, as a long sleep, cannot be ended: it is left alone, and does not keep this process from ending. Where
    the work itself calls `in_time`, only the limit of that inner call counts meanwhile. Code that lets no other thread
    run, as a regular expression may, cannot be ended alone: another process then ends this one, with one line.

    Args:
        minutes: how long it may take.
        work: the call.
        what: its name, for the message.

    Raises:
        LateError: it took longer.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    caller, thread = threading.current_thread(), _Thread(run, 60 * minutes)
    outer = caller if isinstance(caller, _Thread) else None
    _set_limit(thread.seconds)
    if outer is not None:
        outer.waits = True
    try:
        thread.start()
        left = thread.seconds
        while left > 0 and not future.done():
            began = time.monotonic()
            wait([future], timeout=min(left, _TICK_SECONDS))
            left -= 0 if thread.waits else time.monotonic() - began
        if not future.done():
            thread.end()
            raise LateError(f"{what} took more than {minutes:g} minutes")
    finally:
        if outer is not None:
            outer.waits = False
        _set_limit(outer.seconds if outer is not None else None)
    return future.result()


class _Late(BaseException):
    """Ends a thread; no `except Exception` of what runs there catches it."""


class _Thread(threading.Thread):
    """Runs one call; `waits` says that the call waits for one of its own, with a limit of its own."""

    def __init__(self, run: Callable[[], None], seconds: float) -> None:
        super().__init__(target=run, daemon=True)
        self.seconds, self.waits = seconds, False

    def end(self) -> None:
        """Ends it if it runs Python code, as a loop; Python offers this to C alone."""
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(_Late))
        self.join(_ENDS_SECONDS)


def _set_limit(seconds: float | None) -> None:
    """Has this process ended if it cannot lift, or set anew, this limit in time; None lifts it."""
    said = b"0\n" if seconds is None else b"%f\n" % (seconds + _GRACE_SECONDS)
    with contextlib.suppress(OSError):  # somebody ended the watcher: then nobody watches
        stdin = _watcher(os.getpid()).stdin
        assert stdin is not None
        stdin.write(said)


@functools.cache
def _watcher(owner: int) -> subprocess.Popen[bytes]:
    """The process that watches the one of this number."""
    watcher = subprocess.Popen([sys.executable, "-I", "-S", watch.__file__], stdin=subprocess.PIPE, bufsize=0)
    atexit.register(watcher.communicate)
    return watcher
