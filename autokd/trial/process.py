"""The state of this process, which code that a study names may change: what one student changes, no other one meets."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_HANDLED = (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def restored() -> Iterator[None]:
    """Restores afterwards what was changed inside of torch's defaults, the recursion limit, timers and signal handlers.

    Files that were closed, threads that were left running and modules that were changed cannot be restored. A study
    with such students needs the executor `processes`.
    """
    recursion, timers = sys.getrecursionlimit(), [signal.getitimer(timer)[0] for timer in _TIMERS]
    handlers = {each: signal.getsignal(each) for each in _HANDLED}
    torch = sys.modules.get("torch")
    if torch is not None:
        dtype, device, threads = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
        strict = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        sys.setrecursionlimit(recursion)
        for timer, left in zip(_TIMERS, timers, strict=True):
            if not left and signal.getitimer(timer)[0]:
                signal.setitimer(timer, 0)
        if threading.current_thread() is threading.main_thread():  # no other thread can set a handler
            for each, handler in handlers.items():
                if signal.getsignal(each) != handler and handler is not None:
                    signal.signal(each, handler)
        if torch is not None:
            torch.set_default_dtype(dtype)
            if torch.get_default_device() != device:
                torch.set_default_device(device if device.type != "cpu" else None)  # None is torch's own default
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
            if torch.are_deterministic_algorithms_enabled() != strict:
                torch.use_deterministic_algorithms(strict)
