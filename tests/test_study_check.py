"""`autokd check` on a study file: its space on its own data, and what students take over of its teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import autokd, refused, write_study

TEACHER = {"space": "mlp", "arch": {"widths": [16, 16], "activation": "relu", "batch_norm": True}, "epochs": 50}
STARTS: dict[str, Any] = {
    "space": "mlp(width=(4, 16), depth=(1, 2), batch_norm=True, activation='relu')",
    "teacher": TEACHER,
    "recipe": {"start": ["scratch", "teacher"]},
}
WRONG = """
from search_spaces import mlp
from search_spaces.mlp import build, suggest


def inherit(arch, teacher_arch, teacher_weights, task):
    given = mlp.inherit(arch, teacher_arch, teacher_weights, task)
    return {name: tensor.flip(0) if name == "head.bias" else tensor for name, tensor in given.items()}
"""


def test_a_student_of_the_teachers_own_architecture_is_compared_with_the_teacher_bit_for_bit(tmp_path: Path) -> None:
    study = write_study(tmp_path, STARTS)
    before = sorted(tmp_path.rglob("*"))
    answer = autokd("check", study)
    assert (answer.code, sorted(tmp_path.rglob("*"))) == (0, before)
    assert (
        "20 of 20 random students take over layers of the teacher; one of the teacher's own architecture" in answer.out
    )
    assert "answers as the teacher does, bit for bit." in answer.out
    assert f"{study}: sound on digits" in answer.out


def test_an_inherit_that_mixes_tensors_up_is_found(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(WRONG)
    found = json.loads(autokd("check", write_study(tmp_path, {**STARTS, "space": "space.py"}), "--json").out)
    assert not found["sound"]
    assert "does not answer as the teacher does" in found["findings"][0]


def test_a_study_whose_data_name_a_column_is_checked(tmp_path: Path) -> None:
    rows = "\n".join(f"{i % 7},{i % 5},{'yes' if i % 7 > 3 else 'no'}" for i in range(80))
    (tmp_path / "rows.csv").write_text(f"a,b,outcome\n{rows}\n")
    task = {"data": str(tmp_path / "rows.csv"), "target": "outcome"}
    study = write_study(tmp_path, {"task": task, "space": "table"})
    answer = autokd("check", study)
    assert answer.code == 0, answer
    assert f"{study}: sound on" in answer.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mlp"], "give the data to try the space on, as in --task digits, or a study file in place of the space"),
        (["study.yaml", "--task", "digits"], "the study file study.yaml names its data; leave the option out"),
        (["gone.yaml"], "gone.yaml: there is no such file"),
    ],
)
def test_a_check_without_data_or_with_two_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    write_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert said in refused("check", *words)


def test_a_start_that_the_teacher_cannot_give_is_refused_by_check_as_by_search(tmp_path: Path) -> None:
    study = write_study(tmp_path, {"recipe": {"start": "teacher"}})
    assert "the teacher is a model of scikit-learn, which has no layers" in refused("check", study)
