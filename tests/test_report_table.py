from __future__ import annotations

import copy
import csv
import io
import json
import math
import re
from typing import Any

import pytest
from report_samples import LATENCY, sample_front

from autokd.front.words import compact, heading, number
from autokd.report.table import front_csv, front_text, print_front, summary


def test_numbers_have_three_digits_and_whole_ones_separators() -> None:
    shown = [number(value) for value in (0.93, 0.9344, 1.0, 12.345, 272_474.0, 1234.5, 0.0061, 0.0, None, math.nan)]
    assert shown == ["0.930", "0.934", "1", "12.3", "272,474", "1,234", "0.00610", "0", "–", "–"]


def test_a_unit_is_shown_unless_the_name_ends_in_it() -> None:
    assert heading(LATENCY) == "latency_ms"
    assert heading({"name": "flops", "unit": "operations"}) == "flops (operations)"


def test_the_table_holds_every_member_the_teacher_and_what_recipes_share() -> None:
    text = front_text(sample_front(), width=160)
    assert re.search(r"trial +accuracy +latency_ms +parameters +accuracy +alpha +width", text)
    assert re.search(r"12 +0\.964 ±0\.0042 +0\.310 +12,345 +0\.954 +0\.62 +16", text)
    assert re.search(r"teacher +0\.983 +1\.92 +272,474 +0\.977", text)
    assert 'All students have temperature=3.14 method=kd lr=0.005 stages=[{"blocks":1,"kernel":3}]' in text
    assert "\x1b" not in text


def test_numbers_are_whole_where_it_is_narrow() -> None:
    for line, parameters in zip(
        front_text(sample_front(), width=80).splitlines()[3:], ("12,345", "1,210", "310"), strict=False
    ):
        assert parameters in line
        assert len(line) <= 80


def test_brackets_of_a_name_are_not_read_as_markup() -> None:
    front = sample_front()
    front["front"][0]["recipe"]["method"] = "[red]kd[/nonsense]"
    assert "[red]kd[/nonsense]" in front_text(front, width=200)


def test_a_front_of_nobody_has_headings_only() -> None:
    front = sample_front() | {"front": [], "teacher": None}
    assert "accuracy" in front_text(front)
    assert front_csv(front).strip() == "trial,accuracy,latency_ms,parameters"


def test_the_summary_says_what_the_front_rests_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert summary(sample_front()) == [
        "digits: 20 complete, 31 pruned, 2 infeasible, 1 failed; 871 epochs were trained.",
        "Students were compared on 359 validation labels (standard error 0.0098). The test split was read once.",
        "The hypervolume of the front is 0.812.",
        "baseline hard: hypervolume 0.701 after 290 epochs (33% of the search's).",
        "all 54 trials done",
    ]
    failed = "37 students failed: 30 × raised RuntimeError: too small; 7 × diverged"
    assert summary(sample_front() | {"reasons": [failed]})[-2:] == [failed, "all 54 trials done"]
    print_front(sample_front())
    printed = capsys.readouterr().out
    assert "12,345" in printed
    assert "baseline hard: hypervolume 0.701 after 290 epochs (33% of the search's)." in printed


def test_csv_gives_back_every_number() -> None:
    rows = list(csv.DictReader(io.StringIO(front_csv(sample_front()))))
    assert [float(row["accuracy"]) for row in rows] == [0.964, 0.941, 0.729]
    assert rows[0]["spread.accuracy"] == "0.0042"
    assert rows[0]["spread.parameters"] == ""
    assert rows[0]["test.accuracy"] == str(0.964 - 0.01)
    assert rows[0]["recipe.method"] == "kd"
    assert json.loads(rows[0]["arch"]) == sample_front()["front"][0]["arch"]


def test_a_student_within_noise_is_marked_and_counted() -> None:
    front = sample_front()
    front["front"][1]["within_noise"] = True
    rows = [line.split()[:2] for line in front_text(front, width=160).splitlines()]
    assert ["40", "~"] in rows
    words = (
        "~ marks a student whose only advantages over another student are smaller than the spread (1 of 3). "
        "`autokd pick` leaves such students out."
    )
    assert words in summary(front)
    assert [row["within_noise"] for row in csv.DictReader(io.StringIO(front_csv(front)))] == ["False", "True", "False"]


def test_settings_fit_on_a_line() -> None:
    assert compact({"lr": 0.0051234, "method": "kd", "widths": [8, 4], "norm": False}) == (
        "lr=0.00512 method=kd widths=[8,4] norm=false"
    )


def crowded_front() -> dict[str, Any]:
    """Eight students that differ in everything, and names that are long."""
    front = sample_front()
    for i, member in enumerate([*front["front"], *copy.deepcopy(front["front"])]):
        member["trial"] = 7 * i
        member["recipe"] = {"alpha": i / 20, "temperature": 1.2 + i, "method": ("kd", "path/to/my_loss.py:mine")[i % 2]}
        member["recipe"] |= {"lr": 0.0011 * (i + 1), "weight_decay": 1e-4}
        member["arch"] = {"widths": [2**i] * (i + 1), "activation": ("relu", "gelu")[i % 2], "norm": True}
        if i > 2:
            front["front"].append(member)
    return front


def test_csv_holds_no_formula_for_a_spreadsheet() -> None:
    front = sample_front()
    front["objectives"][0] = {"name": "=cmd()", "direction": "maximize", "unit": ""}
    for member, text in zip(front["front"], ["=1+2", "@sum(a1)", "-3"], strict=True):
        member["values"]["=cmd()"] = -0.5
        member["recipe"] |= {"method": text, "+note": "-x", "lr": "\t=1"}
    rows = list(csv.reader(io.StringIO(front_csv(front))))
    assert "'=cmd()" in rows[0]
    assert "recipe.+note" in rows[0]
    assert [row[rows[0].index("recipe.method")] for row in rows[1:]] == ["'=1+2", "'@sum(a1)", "-3"]
    assert {row[rows[0].index("recipe.+note")] for row in rows[1:]} == {"'-x"}
    assert {row[rows[0].index("recipe.lr")] for row in rows[1:]} == {"'\t=1"}
    assert {row[rows[0].index("'=cmd()")] for row in rows[1:]} == {"-0.5"}


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_nothing_of_a_front_is_cut_and_temperatures_have_a_column(width: int) -> None:
    front = crowded_front()
    text = front_text(front, width=width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    heading = text.splitlines()[1].split()
    assert heading[heading.index("alpha") + 1] == "T"
    assert "All students have weight_decay=0.0001 norm=true" in text
    words = " ".join(text.split())
    for member in front["front"]:
        for value in (member["recipe"]["temperature"], member["recipe"]["method"], member["arch"]["widths"]):
            assert compact({"": value}).removeprefix("=") in words


def test_what_has_no_column_is_said_once_for_all_trials_that_share_it() -> None:
    front = crowded_front()
    for member in front["front"]:
        del member["arch"]["widths"], member["recipe"]["lr"]
    assert front_text(front, width=80).endswith(
        "\ntrials 0, 14, 28: method=kd\ntrials 7, 21, 35: method=path/to/my_loss.py:mine\n"
    )


def test_columns_that_do_not_fit_are_left_out_even_where_they_are_objectives() -> None:
    text = front_text(sample_front(), width=40)
    assert max(map(len, text.splitlines())) <= 40
    assert "trial 12:" in text
    assert "parameters=12,345" in " ".join(text.split())
