"""Imports that take seconds, and what is done meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

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
