"""Where a student began is shown wherever students are: in tables, the report, cards, and what `retrain` prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import autokd, write_study
from safetensors.torch import save_file

from autokd.driver import load_front
from autokd.driver.stored_front import read_front
from autokd.errors import InputError
from autokd.front import Front
from autokd.front.starts import SHARED, starts_lines, taken_words
from autokd.report.table import front_csv, front_text

SPACE = """
from torch import nn


def suggest(trial):
    return {"width": trial.suggest_categorical("width", [4, 8])}


def build(arch, task):
    width = arch["width"]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, width), nn.Linear(width, 10))
"""

START = {
    "digest": "0",
    "tensors": {"whole": 2, "cut": 1, "new": 1},
    "parameters": {"whole": 1200, "cut": 60, "new": 40},
    "layers": {"whole": ["1"], "cut": ["3"], "new": ["3", "4"]},
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A study file and its run, whose students begin from a file of weights of one layer."""
    folder = tmp_path_factory.mktemp("starts")
    (folder / "space.py").write_text(SPACE)
    torch.manual_seed(0)
    weights = torch.nn.Linear(64, 8)
    save_file({"1.weight": weights.weight.detach(), "1.bias": weights.bias.detach()}, folder / "body.safetensors")
    start = {"file": str(folder / "body.safetensors")}
    study = write_study(folder, {"space": str(folder / "space.py"), "recipe": {"start": start}, "budget.trials": 2})
    answer = autokd("search", study, "--run", folder / "run")
    assert answer.code == 0, answer
    (folder / "said.txt").write_text(answer.out)
    return study, folder / "run"


def test_a_search_says_how_much_students_took_over_and_what_their_spread_leaves_out(searched: Any) -> None:
    said = (searched[1].parent / "said.txt").read_text()
    assert "start body.safetensors: " in said
    assert "students began with weights from elsewhere, which are 8" in said
    assert SHARED in said


def test_the_front_and_its_json_say_what_was_taken(searched: Any) -> None:
    _, run = searched
    data = json.loads(autokd("front", run, "--json").out)
    assert {member["recipe"]["start"] for member in data["front"]} == {"body.safetensors"}
    assert data["front"][0]["start"]["layers"]["whole"] == ["1"]
    assert data["front"][0]["start"]["parameters"]["whole"] == 64 * 8 + 8
    assert Front.from_dict(data).to_dict() == data
    assert load_front(run).to_dict() == data


def test_the_report_has_a_row_for_each_student_that_did_not_begin_from_scratch(searched: Any) -> None:
    page = (searched[1] / "report.html").read_text()
    assert "<h3>First weights</h3>" in page
    assert "520 in whole tensors" in page


def test_retrained_students_say_that_they_share_their_start_and_so_does_the_card(searched: Any, tmp_path: Path) -> None:
    study, run = searched
    trial = load_front(run)[0].trial
    said = autokd("retrain", study, "--run", run, "--trial", str(trial), "--seeds", "2").out
    assert "Each training began with the same weights from elsewhere: 520 of" in said
    assert SHARED in said
    assert (
        autokd("export", study, tmp_path / "a" / "student.safetensors", "--run", run, "--trial", str(trial)).code == 0
    )
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    setup = json.loads((run / "study.json").read_text())
    assert config["start"]["from"] == "body.safetensors"
    assert config["start"]["origin"] == setup["digests"]["origins"]["body.safetensors"]
    card = (tmp_path / "a" / "README.md").read_text()
    assert "Before its training the student took over 520 of its" in card
    assert "trainings with other seeds begin with the same ones" in card


def test_a_student_from_scratch_is_named_so_beside_others(searched: Any) -> None:
    data = load_front(searched[1]).to_dict()
    other = json.loads(json.dumps(data["front"][0]))
    del other["recipe"]["start"], other["start"]
    both = {**data, "front": [data["front"][0], {**other, "trial": 99}]}
    assert "scratch" in front_text(both, width=300)
    assert "recipe.start" in front_csv(both).splitlines()[0]
    assert "scratch" in front_csv(both).splitlines()[2]
    assert "start" not in front_text({**data, "front": [other]}, width=300)


def test_what_was_taken_is_said_in_words() -> None:
    parts = "1,200 in whole tensors, 60 as the leading part of larger ones"
    assert taken_words(START) == f"1,260 of 1,300 parameters ({parts}); 40 are new, in 3, 4"
    assert starts_lines({"front": []}) == []


@pytest.mark.parametrize(
    "start", [3, {"digest": "0"}, {**START, "tensors": {"whole": "2"}}, {**START, "layers": {"whole": 1}}]
)
def test_a_front_whose_start_is_damaged_is_refused(searched: Any, start: Any, tmp_path: Path) -> None:
    data = json.loads((searched[1] / "front.json").read_text())
    data["front"][0]["start"] = start
    (tmp_path / "front.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="is damaged"):
        read_front(tmp_path / "front.json")
