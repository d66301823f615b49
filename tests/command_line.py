"""The command line for tests: how they call it, and a study file small enough for them."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from typer import testing

from autokd.cli import app

# Typer would build the tree of commands anew at each call, which takes longer than most commands do.
testing._get_command = functools.cache(testing._get_command)

STUDY: dict[str, Any] = {
    "name": "small",
    "task": {"data": "digits", "labels": 60, "rows": 240, "validation": 120},
    "teacher": {"sklearn": "sklearn.linear_model:LogisticRegression", "args": {"max_iter": 500}},
    "space": "mlp",
    "objectives": {"accuracy": {}, "parameters": {}},
    "budget": {"trials": 4, "rungs": [1, 2], "reseeds": 1},
    "executor": "inline",
    "workers": 1,
}
"""A search of about a second: 60 labelled and 180 unlabelled digits, students of at most 2 epochs."""

LEFT_OUT = object()
"""As a change: the key is not in the study at all."""


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str


def autokd(*words: str | Path) -> Answer:
    """The answer of `autokd` to these words, run in this process; what it does not expect is raised here."""
    result = testing.CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(result.exit_code, result.stdout, result.stderr)


def refused(*words: str | Path, code: int = 2) -> str:
    """The one line on stderr with which `autokd` refuses these words."""
    answer = autokd(*words)
    assert answer.code == code, answer
    lines = answer.err.splitlines()
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("autokd: ")
    assert "Traceback" not in answer.out
    return lines[0]


def write_study(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """`study.yaml` in `folder`: `STUDY` with values changed under dotted keys."""
    study = copy.deepcopy(STUDY)
    for key, value in (changes or {}).items():
        *above, last = key.split(".")
        section = study
        for step in above:
            section = section[step]
        if value is LEFT_OUT:
            del section[last]
        else:
            section[last] = value
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def refused_search(folder: Path, changes: Mapping[str, Any] | None = None, *words: str) -> str:
    """The one line with which a search of `write_study(folder, changes)` is refused; it leaves nothing behind."""
    study = write_study(folder, changes)
    before = sorted(folder.rglob("*"))
    line = refused("search", study, "--run", folder / "run", *words)
    assert sorted(folder.rglob("*")) == before
    return line
