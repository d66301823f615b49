"""Reads ahead: a thread prepares the next batches while the caller uses the present one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Read = TypeVar("Read")

AHEAD = 2
"""The number of batches that wait for the caller, or are being read."""


def read_ahead(read: Callable[[Part], Read], parts: Iterable[Part]) -> Iterator[Read]:
    """What `read` gives for each part, in order; one thread reads the next parts meanwhile.

    An error is raised where its part would be given, as `read` raised it. When the caller closes the iterator, or drops
    it, nothing more is read, and the thread ends.
    """
    with ThreadPoolExecutor(1, "autokd-read-ahead") as thread:
        coming: deque[Future[Read]] = deque()
        try:
            for part in parts:
                coming.append(thread.submit(read, part))
                if len(coming) > AHEAD:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for each in coming:
                each.cancel()
