"""Code that a study names may hang: whoever waits for it waits no longer than a limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from autokd.errors import LateError

T = TypeVar("T")


def in_time(minutes: float, work: Callable[[], T]) -> T:
    """What a call gives, if it ends in time.

    It runs in a thread, which is left alone where it takes longer, as Python cannot end one. Such a thread takes
    memory, and maybe time of a processor, until this process ends; it does not keep the process from ending. A call
    that hangs without letting other threads run, as a regular expression may, is not noticed.

    Raises:
        LateError: it took longer.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    wait([future], timeout=60 * minutes)
    if not future.done():
        raise LateError(f"it took more than {minutes:g} minutes to build")
    return future.result()
