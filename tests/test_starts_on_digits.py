from __future__ import annotations

from pathlib import Path

import pytest
from claims import load_claim


@pytest.mark.slow
def test_the_script_compares_students_of_both_starts(tmp_path: Path) -> None:
    script = load_claim("starts_on_digits")
    study = script.digits("mlp", **{"teacher.epochs": 4})
    lines = script.compare(study, tmp_path / "run", archs=2, seeds=1, rungs=(0, 1))
    assert lines[0].startswith("all, 2 pairs, epoch 0: ")
    assert "from the teacher" in lines[1]
