"""A time limit on code that a study names, because such code may hang."""

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
from autokd.trial.process import restored

T = TypeVar("T")

_TICK_SECONDS = 1.0
_ENDS_SECONDS = 1.0
"""The time that an exception gets to end a thread."""
_GRACE_SECONDS = 5.0
"""The time that this process gets to notice by itself that a call is late."""


def in_time(minutes: float, work: Callable[[], T], *, what: str) -> T:
    """The result of a call, if the call ends in time.

    The call runs in a thread of its own. If it takes too long, an exception ends the Python code in that thread. A call
    of the system, such as a long sleep, cannot be ended: it is left alone, and does not keep this process from ending.
    If the work itself calls `in_time`, only the limit of that inner call counts meanwhile. Code that lets no other
    thread run, as a regular expression may, cannot be ended alone: another process then ends this one, with one line.

    Args:
        minutes: how long the call may take.
        work: the call.
        what: the name of the work, for the message.

    Raises:
        LateError: the call took longer than the limit.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            with restored():
                result = work()
            future.set_result(result)
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
    """Ends a thread; an `except Exception` in the code that runs there does not catch it."""


class _Thread(threading.Thread):
    """Runs one call; `waits` is true while this call waits for another one that has a limit of its own."""

    def __init__(self, run: Callable[[], None], seconds: float) -> None:
        super().__init__(target=run, daemon=True)
        self.seconds, self.waits = seconds, False

    def end(self) -> None:
        """Ends the thread if it runs Python code, such as a loop; Python offers this only to C."""
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(_Late))
        self.join(_ENDS_SECONDS)


def _set_limit(seconds: float | None) -> None:
    """Sets the limit after which another process ends this one; None lifts it.

    This process lives on if it lifts the limit, or sets a new one, in time.
    """
    said = b"0\n" if seconds is None else b"%f\n" % (seconds + _GRACE_SECONDS)
    with contextlib.suppress(OSError):  # somebody ended the watcher, so nobody watches
        stdin = _watcher(os.getpid()).stdin
        assert stdin is not None
        stdin.write(said)


@functools.cache
def _watcher(owner: int) -> subprocess.Popen[bytes]:
    """The process that watches the process of this number."""
    program = [sys.executable, "-I", "-S", watch.__file__]
    # In a session of its own, because Ctrl-C in a terminal reaches all processes of a session that are in front.
    watcher = subprocess.Popen(program, stdin=subprocess.PIPE, bufsize=0, start_new_session=True)
    atexit.register(watcher.communicate)
    return watcher
