from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from report_samples import sample_progress
from rich.console import Console

from autokd.report.live import LiveView, duration, status


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _console(**settings: Any) -> tuple[Console, Callable[[], str]]:
    file = io.StringIO()
    return Console(file=file, width=140, **settings), file.getvalue


def test_the_status_is_one_line_with_everything() -> None:
    assert status(sample_progress()) == (
        "50 of 60 trials: 20 complete, 2 running, 30 stopped early, 1 infeasible, 0 failed; 1,234 epochs; "
        "15 students on the front; hypervolume 0.790; 1 min 15 s so far, about 31 s left; Training students."
    )


def test_what_is_not_known_is_left_out_of_the_status() -> None:
    line = status(
        sample_progress(budget={"trials": None, "epochs": 2000}, eta_seconds=None, hypervolume=None, message="")
    )
    assert line.startswith("50 trials: ")
    assert "1,234 of 2,000 epochs" in line
    assert line.endswith("hypervolume –; 1 min 15 s so far")


def test_durations_have_two_units() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 200, 7500)] == ["0 s", "59 s", "3 min 20 s", "2 h 5 min"]


def test_piped_output_is_a_plain_line_every_few_seconds() -> None:
    console, shown = _console()
    clock = Clock()
    with LiveView(console, environment={}, clock=clock, every=5.0) as view:
        for second in range(13):
            clock.now = float(second)
            view.update(sample_progress(complete=second))
    lines = shown().splitlines()
    assert [line.split(":")[1].split()[0] for line in lines] == ["0", "5", "10", "12"]
    assert "\x1b" not in shown()


def test_piped_output_holds_the_front_once_a_minute_where_it_has_changed() -> None:
    console, shown = _console()
    clock = Clock()
    with LiveView(console, environment={}, clock=clock) as view:
        for second in range(0, 300, 20):
            clock.now = float(second)
            view.update(sample_progress())
    assert shown().count("latency_ms") == 1
    assert len(re.findall(r"^ +\d+ ", shown(), flags=re.MULTILINE)) == 12


def test_a_terminal_shows_counts_and_the_top_of_the_front() -> None:
    console, shown = _console(force_terminal=True)
    with LiveView(console, environment={}) as view:
        view.update(sample_progress())
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown())
    assert "20 complete   2 running   30 stopped early   1 infeasible   0 failed" in plain
    assert "1,234 epochs   15 students on the front   hypervolume 0.790   1 min 15 s so far, about 31 s left" in plain
    assert "There are 3 more students on the front." in plain
    assert "0.900" in plain


def test_continuous_integration_gets_plain_lines_on_any_terminal() -> None:
    console, shown = _console(force_terminal=True)
    with LiveView(console, environment={"CI": "true"}) as view:
        view.update(sample_progress())
    assert shown() == status(sample_progress()) + "\n"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console, shown = _console(force_terminal=True)
    with LiveView(console, environment={}) as view:
        view.update(sample_progress())
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown())


def test_log_records_are_printed_as_they_are() -> None:
    console, shown = _console()
    handler = LiveView(console, environment={}).log_handler()
    handler.handle(logging.LogRecord("autokd", logging.INFO, "", 0, "cache %s [cold]", ("teacher",), None))
    assert shown() == "cache teacher [cold]\n"
