"""Each study that can be run has a page in the gallery with its file, its front and its pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import ROOT

from autokd import load_study

GALLERY = ROOT / "docs" / "gallery"
STUDIES = sorted((ROOT / "studies").rglob("*.yaml"))


def test_each_study_has_a_page_and_each_page_a_study() -> None:
    assert sorted(page.stem for page in GALLERY.glob("*.md")) == sorted(study.stem for study in STUDIES)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.stem)
def test_each_study_can_be_read_and_bears_the_name_of_its_file(study: Path) -> None:
    assert load_study(study).name == study.stem


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.stem)
def test_a_page_has_the_study_the_front_and_the_picture_for_light_and_dark(study: Path) -> None:
    page = (GALLERY / f"{study.stem}.md").read_text(encoding="utf-8")
    shown = re.findall(r'^--8<-- "(.+)"$', page, re.MULTILINE)
    assert {study.relative_to(ROOT).as_posix(), f"docs/gallery/{study.stem}.txt"} <= set(shown)
    assert all((ROOT / file).is_file() for file in shown)
    assert f"({study.stem}.svg#only-light)" in page
    assert f"({study.stem}-dark.svg#only-dark)" in page


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.stem)
def test_a_picture_is_small_and_loads_nothing(study: Path) -> None:
    for name in (f"{study.stem}.svg", f"{study.stem}-dark.svg"):
        picture = (GALLERY / name).read_text(encoding="utf-8")
        assert len(picture) < 200_000
        assert re.findall(r"""(?:href|src)=["'](?!#)|url\((?!#)|<script|@import""", picture) == []


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.stem)
def test_the_trials_that_a_page_names_are_on_its_front(study: Path) -> None:
    page = (GALLERY / f"{study.stem}.md").read_text(encoding="utf-8")
    rows = re.findall(r"^ *(\d+) ", (GALLERY / f"{study.stem}.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?<!-)\b[Tt]rial (\d+)", page)) <= set(rows)
