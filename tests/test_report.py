from __future__ import annotations

import csv
import io
import json
import logging
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from conftest import needs
from rich.console import Console

from autokd.errors import InputError
from autokd.report.comparison import gains
from autokd.report.figures import charts, main_objective
from autokd.report.html import write_report
from autokd.report.live import LiveView, duration, status
from autokd.report.table import compact, front_csv, front_text, heading, number, print_front, summary

ACCURACY = {"name": "accuracy", "direction": "maximize", "unit": ""}
LATENCY = {"name": "latency_ms", "direction": "minimize", "unit": "ms"}
PARAMETERS = {"name": "parameters", "direction": "minimize", "unit": ""}


def _member(trial: int, accuracy: float, latency: float, parameters: float) -> dict[str, Any]:
    return {
        "trial": trial,
        "arch": {"width": trial + 4, "stages": [{"blocks": 1, "kernel": 3}]},
        "recipe": {"alpha": 0.5 + trial / 100, "temperature": 3.14159, "method": "kd", "lr": 5e-3},
        "values": {"accuracy": accuracy, "latency_ms": latency, "parameters": parameters},
        "spread": {"accuracy": 0.0042},
        "seeds": 3,
        "test": {"accuracy": accuracy - 0.01},
    }


def _front() -> dict[str, Any]:
    """As `Front.to_dict` gives it."""
    return {
        "study": "digits",
        "objectives": [ACCURACY, LATENCY, PARAMETERS],
        "front": [
            _member(12, 0.964, 0.31, 12_345.0),
            _member(40, 0.941, 0.12, 1_210.0),
            _member(7, 0.729, 0.05, 310.0),
        ],
        "trials": {"complete": 20, "running": 0, "pruned": 31, "infeasible": 2, "failed": 1, "duplicate": 0},
        "epochs_spent": 871,
        "teacher": {
            "name": "resnet",
            "values": {"accuracy": 0.983, "latency_ms": 1.92, "parameters": 272_474.0},
            "test": {"accuracy": 0.977},
        },
        "baselines": {
            "hard": {
                "overrides": [{"recipe": {"alpha": 0}}],
                "epochs_spent": 290,
                "hypervolume": 0.701,
                "front": [
                    _member(3, 0.960, 0.33, 13_000.0),
                    _member(5, 0.876, 0.12, 1_210.0),
                    _member(9, 0.500, 0.01, 20.0),
                ],
            }
        },
        "hypervolume": 0.812,
        "reference": {"accuracy": 0.1, "latency_ms": 2.0, "parameters": 50_000.0},
        "validation_labels": 359,
        "standard_error": 0.0098,
        "test_reads": 1,
        "final": True,
        "note": "all 54 trials done",
    }


def _trials() -> list[dict[str, Any]]:
    states = ["complete", "pruned", "infeasible", "failed"]
    return [
        {
            "trial": i,
            "state": states[i % 4],
            "reason": "" if i % 4 < 2 else "latency_ms 3.1 breaks its bound 2.0",
            "arch": {"width": i} if i % 4 < 2 else None,
            "recipe": {"alpha": 0.5},
            "values": {"parameters": 100.0 * (i + 1)} | ({"accuracy": 0.9, "latency_ms": 0.2} if i % 4 < 2 else {}),
            "epochs": 27 if i % 4 == 0 else 3,
        }
        for i in range(24)
    ]


def _data() -> dict[str, Any]:
    return {
        "front": _front(),
        "trials": _trials(),
        "importance": {"accuracy": {"width": 0.6, "recipe.alpha": 0.4}, "parameters": {"width": 1.0}},
        "study": {"name": "digits", "space": "mobilenet", "budget": {"trials": 60, "rungs": [3, 9, 27]}},
        "environment": {"torch": "2.13.0", "threads": 1},
    }


@pytest.fixture
def page(tmp_path: Path) -> str:
    write_report(_data(), tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


class Outline(HTMLParser):
    """Tags with their attributes, text outside scripts, and the contents of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts, self._inside = "", [], ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " "
        self._inside = tag
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text += data


def _policy(outline: Outline) -> str:
    return next(a["content"] or "" for _, a in outline.tags if a.get("http-equiv") == "Content-Security-Policy")


def _charts_of(page: str) -> list[dict[str, Any]]:
    return json.loads(Outline(page).scripts[0])


# the table


def test_numbers_have_three_digits_and_whole_ones_separators() -> None:
    shown = [number(value) for value in (0.93, 0.9344, 1.0, 12.345, 272_474.0, 1234.5, 0.0061, 0.0, None, math.nan)]
    assert shown == ["0.930", "0.934", "1", "12.3", "272,474", "1,234", "0.00610", "0", "–", "–"]


def test_a_unit_is_shown_unless_the_name_ends_in_it() -> None:
    assert heading(LATENCY) == "latency_ms"
    assert heading({"name": "flops", "unit": "operations"}) == "flops (operations)"


def test_the_table_holds_every_member_the_teacher_and_what_recipes_share() -> None:
    text = front_text(_front(), width=160)
    assert re.search(r"12 +0\.964 ±0\.0042 +0\.310 +12,345 +0\.954 +alpha=0\.62 +width=16 stages=", text)
    assert re.search(r"teacher +0\.983 +1\.92 +272,474 +0\.977", text)
    assert "all with temperature=3.14 method=kd lr=0.005" in text
    assert "\x1b" not in text


def test_numbers_are_whole_where_it_is_narrow() -> None:
    for line, parameters in zip(
        front_text(_front(), width=80).splitlines()[3:], ("12,345", "1,210", "310"), strict=False
    ):
        assert parameters in line
        assert len(line) <= 80


def test_brackets_of_a_name_are_not_read_as_markup() -> None:
    front = _front()
    front["front"][0]["recipe"]["method"] = "[red]kd[/nonsense]"
    assert "[red]kd[/nonsense]" in front_text(front, width=200)


def test_a_front_of_nobody_has_headings_only() -> None:
    front = _front() | {"front": [], "teacher": None}
    assert "accuracy" in front_text(front)
    assert front_csv(front).strip() == "trial,accuracy,latency_ms,parameters"


def test_the_summary_says_what_the_front_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert summary(_front()) == [
        "digits: 20 complete, 31 pruned, 2 infeasible, 1 failed; 871 epochs",
        "chosen on 359 validation labels (standard error 0.0098); test split read once",
        "hypervolume 0.812",
        "baseline hard: hypervolume 0.701 after 290 epochs",
        "all 54 trials done",
    ]
    print_front(_front())
    printed = capsys.readouterr().out
    assert "12,345" in printed
    assert "baseline hard: hypervolume 0.701 after 290 epochs" in printed


def test_csv_gives_back_every_number() -> None:
    rows = list(csv.DictReader(io.StringIO(front_csv(_front()))))
    assert [float(row["accuracy"]) for row in rows] == [0.964, 0.941, 0.729]
    assert rows[0]["spread.accuracy"] == "0.0042"
    assert rows[0]["spread.parameters"] == ""
    assert rows[0]["test.accuracy"] == str(0.964 - 0.01)
    assert rows[0]["recipe.method"] == "kd"
    assert json.loads(rows[0]["arch"]) == _front()["front"][0]["arch"]


def test_settings_fit_on_a_line() -> None:
    assert compact({"lr": 0.0051234, "method": "kd", "widths": [8, 4], "norm": False}) == (
        "lr=0.00512 method=kd widths=[8,4] norm=false"
    )


# the live view


def _progress(complete: int = 20, **changes: Any) -> dict[str, Any]:
    return {
        "trials": {"complete": complete, "running": 2, "pruned": 30, "infeasible": 1, "failed": 0, "duplicate": 3},
        "budget": {"trials": 60, "epochs": None},
        "epochs_spent": 1234,
        "seconds": 75.2,
        "eta_seconds": 31.0,
        "hypervolume": 0.79,
        "objectives": _front()["objectives"],
        "front": [_member(i, 0.9 - i / 100, 1.0 / (i + 1), 1000.0 - i) for i in range(15)],
        "message": "searching",
        **changes,
    }


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _console(**settings: Any) -> tuple[Console, Callable[[], str]]:
    file = io.StringIO()
    return Console(file=file, width=140, **settings), file.getvalue


def test_the_status_is_one_line_with_everything() -> None:
    assert status(_progress()) == (
        "50 of 60 trials: 20 complete, 2 running, 30 stopped early, 1 infeasible, 0 failed; 1,234 epochs; "
        "front of 15; hypervolume 0.790; 1 min 15 s so far, about 31 s to go; searching"
    )


def test_what_is_not_known_is_left_out_of_the_status() -> None:
    line = status(_progress(budget={"trials": None, "epochs": 2000}, eta_seconds=None, hypervolume=None, message=""))
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
            view.update(_progress(complete=second))
    lines = shown().splitlines()
    assert [line.split(":")[1].split()[0] for line in lines] == ["0", "5", "10", "12"]
    assert "\x1b" not in shown()


def test_piped_output_holds_the_front_once_a_minute_where_it_has_changed() -> None:
    console, shown = _console()
    clock = Clock()
    with LiveView(console, environment={}, clock=clock) as view:
        for second in range(0, 300, 20):
            clock.now = float(second)
            view.update(_progress())
    assert shown().count("latency_ms") == 1
    assert shown().count("\n   ") > 12


def test_a_terminal_shows_counts_and_the_top_of_the_front() -> None:
    console, shown = _console(force_terminal=True)
    with LiveView(console, environment={}) as view:
        view.update(_progress())
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown())
    assert "20 complete   2 running   30 stopped early   1 infeasible   0 failed" in plain
    assert "1,234 epochs   1 min 15 s so far, about 31 s to go   hypervolume 0.790" in plain
    assert "and 3 more on the front" in plain
    assert "0.900" in plain


def test_continuous_integration_gets_plain_lines_on_any_terminal() -> None:
    console, shown = _console(force_terminal=True)
    with LiveView(console, environment={"CI": "true"}) as view:
        view.update(_progress())
    assert shown() == status(_progress()) + "\n"


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console, shown = _console(force_terminal=True)
    with LiveView(console, environment={}) as view:
        view.update(_progress())
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown())


def test_log_records_are_printed_as_they_are() -> None:
    console, shown = _console()
    handler = LiveView(console, environment={}).log_handler()
    handler.handle(logging.LogRecord("autokd", logging.INFO, "", 0, "cache %s [cold]", ("teacher",), None))
    assert shown() == "cache teacher [cold]\n"


# comparison with baselines


def test_a_gain_is_the_best_at_no_greater_cost() -> None:
    found = gains(_front(), _front()["baselines"]["hard"]["front"], noise=0.0098)
    assert [gain.verdict for gain in found] == ["within noise", "better", "nothing as cheap"]
    assert found[1].gain == pytest.approx(0.065)
    assert found[1].own is not None
    assert found[1].own["trial"] == 40
    assert found[2].gain is None


def test_a_smaller_error_is_a_gain_and_a_larger_one_a_loss() -> None:
    error = {"name": "error", "direction": "minimize", "unit": ""}
    front = {"objectives": [error, PARAMETERS], "front": [{"trial": 0, "values": {"error": 0.2, "parameters": 10.0}}]}
    rivals = [{"trial": i, "values": {"error": value, "parameters": 10.0}} for i, value in enumerate((0.3, 0.1))]
    assert main_objective(front["objectives"])["name"] == "error"
    assert [gain.verdict for gain in gains(front, rivals, noise=0.0)] == ["better", "worse"]


# the charts


def test_there_is_a_chart_of_the_main_objective_against_each_other_one() -> None:
    found = charts(_front(), _trials())
    assert [chart["title"] for chart in found] == ["accuracy against latency_ms", "accuracy against parameters"]
    names = [trace["name"] for trace in found[0]["data"]]
    assert names == ["other trials", "baseline hard", "baseline hard", "teacher", "front", "front"]
    assert found[1]["layout"]["xaxis"]["type"] == "log"
    assert found[0]["data"][-1]["error_y"]["array"] == [0.0042] * 3


@needs("plotly")
def test_plotly_knows_every_property_of_the_charts() -> None:
    import plotly.graph_objects

    for chart in charts(_front(), _trials()):
        plotly.graph_objects.Figure(data=chart["data"], layout=chart["layout"])


def test_stairs_hold_the_best_at_each_cost() -> None:
    front = _front()
    front["front"].append(_member(99, 0.8, 0.2, 5_000.0))  # worse than trial 40 here, on the front by some third
    stairs = charts(front, [])[1]["data"][-2]
    assert list(zip(stairs["x"], stairs["y"], strict=True)) == [(310.0, 0.729), (1_210.0, 0.941), (12_345.0, 0.964)]


def test_what_has_no_value_is_not_drawn() -> None:
    front = _front() | {"teacher": {"name": "outputs", "values": {"accuracy": 0.98}, "test": {}}, "baselines": {}}
    assert [trace["name"] for trace in charts(front, [])[0]["data"]] == ["front", "front"]


# the page


@needs("plotly")
def test_the_page_is_well_formed_and_loads_nothing(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    for tag, attributes in outline.tags:
        assert tag not in ("link", "iframe", "img", "object", "embed")
        assert not {"src", "srcset", "data", "action"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    policy = _policy(outline)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "url(" not in page[: page.index("</style>")]


@needs("plotly")
def test_the_policy_allows_the_scripts_as_they_stand(page: str) -> None:
    import base64
    import hashlib

    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(digests) == 2
    assert f"script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}';" in _policy(Outline(page))


@needs("plotly")
def test_the_page_says_what_the_front_rests_on(page: str) -> None:
    text = " ".join(Outline(page).text.split())
    for words in (
        "3 students on the front; all 54 trials done",
        "validation labels 359",
        "noise floor of accuracy 0.00980",
        "test split read 1×",
        "teacher resnet accuracy 0.983 test 0.977",
        "best accuracy trial 12 accuracy 0.964 test 0.954",
        "knee trial 40 accuracy 0.941",
        "20 complete, 0 running, 31 pruned",
        "accuracy 0.100, latency_ms 2, parameters 50,000 that the front dominates",
        "is better for 1, within noise for 1, worse for 0, lacking for 1.",
        "0.964 ±0.0042",
        "latency_ms 3.1 breaks its bound 2.0",
        "+0.065",
        "recipe.alpha",
        "2.13.0",
    ):
        assert words in text, words


@needs("plotly")
def test_hostile_names_and_settings_are_shown_and_not_run(tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>'\"{{ 7 * 7 }}<b>"
    data = _data()
    data["front"] |= {"study": hostile, "note": hostile, "trials": {hostile: 1}}
    data["front"]["baselines"] = {hostile: data["front"]["baselines"]["hard"]}
    data["front"]["teacher"]["name"] = hostile
    data["front"]["objectives"][1] = {"name": hostile, "direction": "minimize", "unit": hostile}
    for member in [*data["front"]["front"], *data["front"]["baselines"][hostile]["front"], data["front"]["teacher"]]:
        member["values"][hostile] = 1.0
        member["arch"] = member["recipe"] = {hostile: hostile}
    data["trials"][0] |= {"reason": hostile, "state": hostile, "arch": {hostile: [hostile]}}
    data["importance"] = {hostile: {hostile: 0.5}}
    data["study"] = data["environment"] = {hostile: {hostile: hostile}}
    write_report(data, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    outline = Outline(page)
    assert "img" not in {tag for tag, _ in outline.tags}
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    assert len(outline.scripts) == 3
    assert hostile in outline.text
    for chart in _charts_of(page):
        for trace in chart["data"]:
            assert "<b>'" not in trace["name"]
            for words in [trace["name"], *trace.get("text", [])]:
                assert set(re.findall(r"<[^>]*>", words)) <= {"<b>", "</b>", "<br>"}
                assert "<img" not in words


@needs("plotly")
def test_numbers_that_are_not_known_leave_the_page_whole(tmp_path: Path) -> None:
    data = _data()
    data["trials"][0]["values"] = {"accuracy": math.inf, "latency_ms": math.nan}
    data["front"]["teacher"] = {"name": "outputs", "values": {"accuracy": 0.98}, "test": {}}
    write_report(data, tmp_path / "report.html")
    assert len(_charts_of((tmp_path / "report.html").read_text())) == 2


@needs("plotly")
def test_the_front_alone_makes_a_page(tmp_path: Path) -> None:
    write_report({"front": _front() | {"baselines": {}, "front": [], "final": False}}, tmp_path / "report.html")
    text = Outline((tmp_path / "report.html").read_text()).text
    assert "No student is on the front." in text
    assert "the search has not ended" in text
    assert "Baselines" not in text


def test_without_plotly_the_report_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(InputError, match=r"needs plotly: pip install 'autokd\[report\]'"):
        write_report(_data(), tmp_path / "report.html")


@needs("plotly")
def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match=r"cannot write the report .*: is a directory"):
        write_report(_data(), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match=r"cannot write the report .*: no such file"):
        write_report(_data(), tmp_path / "nowhere" / "report.html")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node on the PATH")
def test_tables_sort_numbers_by_size_and_what_is_not_known_last() -> None:
    script = files("autokd.report").joinpath("report.js").read_text()
    script += 'console.log(JSON.stringify(["10", "", "9.5", "1e-3", "-2"].sort(compareCells)));'
    script += 'console.log(JSON.stringify(["b", "a", "trial 10", "trial 9"].sort(compareCells)));'
    run = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ['["-2","1e-3","9.5","10",""]', '["a","b","trial 9","trial 10"]']
