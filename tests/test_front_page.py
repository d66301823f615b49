"""A notebook shows a front as a picture and a table."""

from __future__ import annotations

import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from test_front import POINTS, front_of, noisy_front

from autokd.front import Front

EVIL = "<script>alert(1)</script>&\"'"


def evil_front() -> Front:
    first, *others = noisy_front().front
    evil = replace(first, arch={EVIL: EVIL}, recipe={"method": EVIL}, within_noise=True)
    return replace(noisy_front(), study=EVIL, teacher={"name": EVIL, "values": {}, "test": {}}, front=[evil, *others])


def test_a_notebook_shows_the_picture_and_a_row_for_each_student_and_the_teacher() -> None:
    page = ElementTree.fromstring(front_of(*POINTS)._repr_html_())
    assert page.find(".//{http://www.w3.org/2000/svg}svg") is not None
    rows = page.findall(".//tbody/tr")
    assert [row[0].text for row in rows] == ["0", "1", "2", "3", "teacher"]
    assert rows[1][1].text == "0.940 ±0.01"


def test_without_matplotlib_a_notebook_shows_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = front_of(*POINTS)._repr_html_()
    assert "<svg" not in page
    assert page.count("<tr>") == 6


def test_an_empty_front_is_shown_without_a_picture() -> None:
    page = front_of()._repr_html_()
    assert "<svg" not in page
    assert "a front of 0 students" in page


def test_names_of_a_study_are_text_in_a_notebook_and_nothing_is_loaded() -> None:
    page = evil_front()._repr_html_()
    assert "<script" not in page
    found = ElementTree.fromstring(page)
    assert f"{EVIL}={EVIL}" in [cell.text for cell in found.iter("td")]
    tags = {each.tag.rpartition("}")[2] for each in found.iter()}
    assert not tags & {"script", "image", "img", "link", "iframe", "object"}


def test_a_front_prints_as_a_table() -> None:
    assert repr(front_of(*POINTS[:2])).splitlines() == [
        "small: a front of 2 students",
        "trial       accuracy  parameters",
        "0        0.950 ±0.01       2,000",
        "1        0.940 ±0.01         500",
        "teacher        0.970           –",
    ]


def test_a_front_without_students_and_one_of_many_print_as_few_lines() -> None:
    assert repr(front_of()) == "small: a front of 0 students"
    lines = repr(front_of(*[(0.5, 100 + i) for i in range(30)])).splitlines()
    assert (len(lines), lines[-1]) == (24, "and 10 more students")


def test_names_of_a_study_print_without_control_characters() -> None:
    assert "\x1b" not in repr(replace(front_of(*POINTS), study="\x1b[2J", teacher={"name": "t", "values": None}))
