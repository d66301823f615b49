"""Searching from Python: `search` and `search_study`, with their progress view, log lines and events."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

from autokd import driver
from autokd.driver.events import Event, Tell
from autokd.driver.run import unimportable
from autokd.errors import FOREIGN, InputError, named
from autokd.files import given_path
from autokd.front import Front
from autokd.record import dashboard_command
from autokd.study import Budget, RecipeSpace, Study, override

OnEvent = Callable[[dict[str, Any]], object]
"""A function that is called with each event of a search; `docs/howto/callbacks.md` lists the events."""

_LOG = logging.getLogger("autokd")
_ANY_RECIPE = RecipeSpace()


def search(
    *,
    teacher: object,
    task: object,
    space: object,
    trials: int = 60,
    rungs: Sequence[int] = (3, 9, 27),
    objectives: Sequence[str] | Mapping[str, Mapping[str, Any]] = ("accuracy", "parameters"),
    recipe: RecipeSpace | Mapping[str, Any] = _ANY_RECIPE,
    baselines: Sequence[str] | Mapping[str, Any] = (),
    workers: int = 2,
    executor: str | Mapping[str, Any] = "processes",
    name: str = "search",
    seed: int = 0,
    run: str | Path | None = None,
    fresh: bool = False,
    progress: bool = False,
    on_event: OnEvent | None = None,
) -> Front:
    """Searches for students of `teacher`, and returns their front: `search_study` without writing a `Study`.

    All defaults are those of `Study`. In one thing `search` is more lenient: where worker processes cannot import what
    was given, such as a search space that a notebook or a script defines, students train in this process instead, one
    at a time, and the log says so.

    Args:
        teacher: a torch module that takes the task's inputs, or whatever a study's `teacher` may be.
        task: as `autokd.tasks.from_arrays` makes it, or whatever a study's `task` may be.
        space: a search space, a reference to one, or a list of several, of which each student is of one.
        trials: how many students are trained.
        rungs: epochs after which it is decided which students train on; the last is the full training.
        objectives: the names of the objectives, or a mapping from names to bounds and settings.
        recipe: how students are trained and which of these settings are searched, like a study's `recipe`.
        baselines: rival searches that follow, like a study's `baselines`.
        workers: how many students train at once, with one thread each.
        executor: where students train, like a study's `executor`.
        name: the name of the study and its run folder.
        seed: the number that decides all random draws.
        run: the run folder; `runs/<name>` if None.
        fresh: whether to start over in a new run folder, see `search_study`.
        progress: whether to show how the search stands, see `search_study`.
        on_event: called with each event of the search, see `search_study`.

    Raises:
        InputError: something given cannot be used.
        NoFrontError: no student was trained to the end.
        KeyboardInterrupt: Ctrl-C was pressed; the same call goes on where the search stopped.
    """
    if isinstance(objectives, str) or not isinstance(objectives, Iterable):
        raise InputError(
            f"objectives: {objectives!r} given; give two or more names, such as ('accuracy', 'parameters')"
        )
    epochs = list(rungs) if isinstance(rungs, Iterable) and not isinstance(rungs, str) else rungs
    study = Study.model_validate(
        {
            "name": name,
            "task": task,
            "teacher": teacher,
            "space": space,
            "objectives": objectives if isinstance(objectives, Mapping) else {each: {} for each in objectives},
            "recipe": recipe,
            "budget": Budget.model_validate({"trials": trials, "rungs": epochs}),
            "baselines": baselines,
            "workers": workers,
            "executor": executor,
            "seed": seed,
        }
    )
    missing = unimportable(study) if study.executor == "processes" else []
    here = override(study, {"executor": "inline"}) if missing else study
    note = (
        f"Students train in this process, one at a time, because worker processes cannot import the {missing[0]} that "
        f"was given. To train {workers} at once, put it into a module or a file and name that."
        if missing
        else ""
    )
    return _shown(here, run=run, fresh=fresh, progress=progress, on_event=on_event, note=note)


def search_study(
    study: Study,
    *,
    run: str | Path | None = None,
    fresh: bool = False,
    prior: str | Path | None = None,
    widened: bool = False,
    seconds: float | None = None,
    progress: bool = False,
    on_event: OnEvent | None = None,
) -> Front:
    """Runs a study, or continues it if its run folder holds an unfinished run, and returns its front.

    The search logs what it does to the logger `autokd`. If neither that logger nor the root logger was configured, the
    lines appear on stderr while the search runs.

    Args:
        study: the study to run.
        run: the run folder; `runs/<study name>` if None.
        fresh: whether to start over: in `<run folder>-2`, or the next number that is free, if the run folder exists.
            Nothing is deleted.
        prior: the folder of an earlier run of the same space, maybe with another teacher or other data. Its trials
            inform the sampler only. A run that is continued keeps the earlier run with which it began.
        widened: whether the space or the recipe may have got more choices since the run began.
        seconds: no training of the search begins after this many seconds. Fresh seeds and baselines take extra time.
        progress: whether to show how the search stands: on a terminal the view of the command line, in a notebook a
            table below the cell, both updated in place. Otherwise each trial is logged as a line when it ends.
        on_event: called with a dict of plain data for each event, like `{"event": "trial_ended", "trial": 3,
            "state": "complete", "values": {"accuracy": 0.91, ...}, ...}`: `search_began`, `trial_began`,
            `stretch_ended`, `trial_ended`, `front`, `progress`, `search_ended`. It is called in the thread and the
            process of this call, wherever students train. An error that it raises changes nothing in the search: the
            first one is logged. A `KeyboardInterrupt` that it raises ends the search as Ctrl-C would.

    Raises:
        InputError: something that the study names cannot be used.
        NoFrontError: no student was trained to the end.
        KeyboardInterrupt: Ctrl-C was pressed; the same call goes on where the search stopped.
    """
    return _shown(
        study,
        run=run,
        fresh=fresh,
        prior=prior,
        widened=widened,
        seconds=seconds,
        progress=progress,
        on_event=on_event,
    )


def _shown(
    study: Study,
    *,
    run: str | Path | None,
    fresh: bool,
    prior: str | Path | None = None,
    widened: bool = False,
    seconds: float | None = None,
    progress: bool,
    on_event: OnEvent | None,
    note: str = "",
) -> Front:
    """Runs `driver.search_study`, and shows or logs its progress."""
    if not isinstance(study, Study):
        raise InputError(
            f"study: {type(study).__name__} given; give an autokd.Study, as autokd.load_study(file) reads it"
        )
    if on_event is not None and not callable(on_event):
        raise InputError(f"on_event: {on_event!r} given; give a function that takes an event")
    folder = Path("runs") / study.name if run is None else given_path("run", run)
    folder = (driver.unused(folder) if fresh else folder).absolute()  # the code of a study may change the current one
    with _view(progress) as view, _logged(view.log_handler()):
        if note:
            _LOG.info("%s", note)
        listeners: list[Tell] = [view.tell, *([_unfailing(on_event)] if on_event else [])]
        front = driver.search_study(
            study,
            run=folder,
            prior=None if prior is None else given_path("prior", prior),
            widened=widened,
            seconds=seconds,
            tell=lambda event: _tell_all(listeners, event),
        )
        _LOG.info("To look at all trials, run: %s", dashboard_command(folder, study.record))
    return front


def _tell_all(listeners: Sequence[Tell], event: Event) -> None:
    for tell in listeners:
        tell(event)


class _View(Protocol):
    """Shows a search while it runs."""

    def __enter__(self) -> _View: ...
    def __exit__(self, *_: Any) -> None: ...
    def tell(self, event: Event) -> None: ...
    def log_handler(self) -> logging.Handler: ...


def _view(progress: bool) -> _View:
    from autokd.report.lines import LogLines

    if not progress:
        return LogLines()
    from rich.console import Console

    console = Console()
    if console.is_jupyter:
        from autokd.report.notebook import NotebookView

        return NotebookView()
    from autokd.report.live import LiveView

    return LiveView(console)


@contextmanager
def _logged(handler: logging.Handler) -> Iterator[None]:
    """Sends log lines to this handler while the block runs, unless the caller has configured logging."""
    if _LOG.level != logging.NOTSET or _LOG.hasHandlers():
        yield
        return
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(logging.NOTSET)


def _unfailing(on_event: OnEvent) -> Tell:
    """Calls a caller's function with a copy of each event. Only its first error is logged."""
    failed = False

    def tell(event: Event) -> None:
        nonlocal failed
        try:
            on_event(deepcopy(event))
        except FOREIGN as error:
            if not failed:
                _LOG.warning(
                    "on_event failed at the event '%s' (%s). The search goes on and keeps calling on_event. "
                    "Further errors of on_event are not logged.",
                    event["event"],
                    named(error),
                )
            failed = True

    return tell
