"""How the command line answers what it cannot do: one line on stderr, and an exit code."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from autokd.errors import LONGEST_MESSAGE, AutoKDError, InputError, NoFrontError, printable, shortened
from autokd.report.encoding import PLAINLY

_EXITS = {InputError: 2, NoFrontError: 1}
_UsageError: Any = typer.BadParameter.__base__
"""What a malformed command line raises; typer exports it under no name."""


class Commands(TyperGroup):
    """The commands, with one-line answers to errors in their words and in what they do."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the words."""
        with _answering(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Does what they say."""
        with _answering(ctx):
            try:
                return super().invoke(ctx)
            except SystemExit as error:  # of code that the study names, where no student is to blame
                if isinstance(error.__context__, BrokenPipeError):  # rich answers so where a help page meets one
                    raise error.__context__ from None
                raise InputError(
                    f"code that the study or the command names called sys.exit({error.code!r}), which would end the "
                    "command; remove that call"
                ) from None


def take_interrupts() -> None:
    """From now on the first Ctrl-C ends this process in order, and the second at once, as a kill would.

    Where a shell has Ctrl-C ignored, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def write_plainly() -> None:
    """From now on what stdout and stderr cannot encode is written as other characters that say the same."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAINLY)


def announce(line: str) -> None:
    """Prints the first line of a command that takes long, before it begins.

    Raises:
        InputError: nothing can be printed, so that what the command finds would be lost.
    """
    try:
        if sys.stdout is None:
            raise OSError("it is closed")
        print(printable(line), flush=True)
    except (OSError, ValueError) as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # or Python would try once more as it ends
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"stdout cannot be written ({reason}), and the front is printed there; connect a terminal, a pipe or a file"
        ) from None


def _interrupt(*_: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise KeyboardInterrupt


@contextmanager
def _answering(ctx: Any) -> Iterator[None]:
    """Answers errors in one line: 2 for bad input, 1 where there is no front."""
    try:
        yield
    except AutoKDError as error:
        _complain(str(error))
        raise typer.Exit(_EXITS.get(type(error), 2)) from None
    except _UsageError as error:
        command = (error.ctx or ctx).command_path
        _complain(f"{error.format_message().rstrip('.')}; see {command} --help")
        raise typer.Exit(2) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise typer.Exit(0) from None


def say(text: str, *, end: str = "\n", file: TextIO | None = None) -> None:
    """Prints, with control characters as escapes: names in a run folder or a file of data may be anybody's."""
    print(printable(text), end=end, file=file)


def say_json(data: Any, *, indent: int | None = 1) -> None:
    """Prints plain data as JSON, which knows no NaN and no infinity: null stands for them."""
    text = json.dumps(_finite(data), indent=indent, allow_nan=False)
    say(text.replace("\x7f", "\\u007f"))  # the one control character that JSON may hold as it is


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _complain(message: str) -> None:
    say(f"autokd: {' '.join(shortened(message, LONGEST_MESSAGE).split())}", file=sys.stderr)
