"""What CONTRIBUTING says is true: the floors, the targets of make and the files that it names are there."""

from __future__ import annotations

import re

from conftest import ROOT
from test_architecture import FLOORS, floor

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_its_links_lead_to_files() -> None:
    links = re.findall(r"\]\(([^)#]+)", CONTRIBUTING)
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert len(links) >= 3


def test_it_names_the_floors_from_the_ground_up() -> None:
    (steps,) = re.findall(r"^1\. `errors`.*?\n\n", CONTRIBUTING, re.DOTALL | re.MULTILINE)
    heights = [floor(name) for name in re.findall(r"`(\w+)`", steps)]
    assert heights == sorted(heights)
    assert {heights[0], heights[-1]} == {0, len(FLOORS) - 1}


def test_it_names_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = re.findall(r"^make (\w+)", CONTRIBUTING, re.MULTILINE)
    assert [target for target in named if f"\n{target}:" not in makefile] == []
    assert len(named) >= 3
