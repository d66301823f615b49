"""Imports that take seconds, or much memory."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

import typer

P = ParamSpec("P")
T = TypeVar("T")

OWN_PROCESS = object()
"""What `main` gives to commands: the process is the command's alone."""


@contextmanager
def importing(context: typer.Context, *, workers: bool) -> Iterator[None]:
    """To import inside: where workers will be wanted, they begin to import, too."""
    from autokd.executors import serve_forks, without_collection

    if workers and context.obj is OWN_PROCESS:
        serve_forks()
    with without_collection():
        yield


def apart(context: typer.Context, function: Callable[P, T], *words: P.args, **settings: P.kwargs) -> T:
    """What a function gives, in a process of its own where this one is the command's alone.

    What it imports takes no memory beside what a command has used before. Ctrl-C is for this process.

    Raises:
        BrokenProcessPool: that process was killed.
    """
    if context.obj is not OWN_PROCESS:
        return function(*words, **settings)
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    spawned, ignored = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(1, mp_context=spawned, initializer=signal.signal, initargs=ignored) as aside:
        return aside.submit(function, *words, **settings).result()
