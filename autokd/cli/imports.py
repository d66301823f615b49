"""Imports that take seconds, and what is done meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import typer

OWN_PROCESS = object()
"""What `main` gives to commands: the process is the command's alone."""


@contextmanager
def importing(context: typer.Context, *, workers: bool) -> Iterator[None]:
    """To import inside: where workers will be wanted, they begin to import, too.

    Garbage is not looked for: an import makes none, and looking for it takes a sixth of the time.
    """
    if workers and context.obj is OWN_PROCESS:
        from autokd.executors import serve_forks

        serve_forks()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
