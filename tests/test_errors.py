from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from small import small_study

import autokd
from autokd.errors import LONGEST_MESSAGE, OTHER_FOLDER, START_OVER, InputError, named, printable, said
from autokd.study import dump

OPTION = re.compile(r"--[a-z]+")
IN_A_COMMAND = re.compile(r"(`autokd|`ray|pip) [^`]*--[a-z]+")
BELOW = sorted(path for path in (ROOT / "autokd").rglob("*.py") if path.parts[-2] != "cli")

FILES = sorted((ROOT / "autokd").rglob("*.py"))


def texts(file: Path) -> list[str]:
    """The strings of a file, those with values in them as one; without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    nodes = [each for each in ast.walk(tree) if id(each) not in said | parts]
    whole = [ast.unparse(each) for each in nodes if isinstance(each, ast.JoinedStr)]
    return whole + [each.value for each in nodes if isinstance(each, ast.Constant) and isinstance(each.value, str)]


@pytest.mark.parametrize("file", BELOW, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_message_that_names_an_option_says_what_to_do_from_python_too(file: Path) -> None:
    named = [text for text in texts(file) if OPTION.search(IN_A_COMMAND.sub("", text))]
    assert [text for text in named if "from Python" not in text] == []


def test_the_advice_that_many_messages_share_holds_in_both() -> None:
    for advice in (START_OVER, OTHER_FOLDER):
        assert OPTION.search(advice)
        assert "run=" in advice


class _MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class _LeavingError(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


def test_an_error_without_words_is_said_by_its_type() -> None:
    assert [said(error) for error in (OSError(), _MuteError(), _LeavingError(), ValueError(" \n"))] == [
        "OSError",
        "_MuteError",
        "_LeavingError",
        "ValueError",
    ]
    assert named(_MuteError()) == "_MuteError"
    assert named(ValueError("no")) == "ValueError: no"


def test_what_an_error_says_is_one_short_line_that_any_file_and_terminal_takes() -> None:
    text = said(ValueError("first\n\x1b[31mred\r \ud800 " + "x" * 5_000_000 + " end"))
    assert text.startswith("first \\x1b[31mred \\ud800 xxx")
    assert text.endswith("xxx end")
    assert len(text) <= 330  # escapes are longer than what they stand for
    assert text.encode()


def test_a_message_keeps_its_beginning_and_its_end() -> None:
    message = str(InputError("study.yaml:3: name: " + "x" * 10_000 + " given; write letters"))
    assert len(message) == LONGEST_MESSAGE
    assert message.startswith("study.yaml:3: name: xxx")
    assert message.endswith("xxx given; write letters")


def test_control_characters_are_written_as_escapes() -> None:
    assert printable("a\x1b[2J\x9b\x7f\u202eb\tc\nd\r") == "a\\x1b[2J\\x9b\\x7f\\u202eb\tc\nd\\r"
    assert printable("Grün ± 東京 \N{CROSSED SWORDS}") == "Grün ± 東京 \N{CROSSED SWORDS}"
    assert str(InputError("no class 'a\x1b]0;b\x07'")) == "no class 'a\\x1b]0;b\\x07'"


def test_every_error_that_a_user_may_catch_is_exported_and_those_about_input_are_value_errors() -> None:
    errors = [each for each in vars(autokd.errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert all(getattr(autokd, each.__name__) is each and each.__name__ in autokd.__all__ for each in errors)
    assert [each.__name__ for each in errors if issubclass(each, ValueError)] == ["InputError"]


def caught(handler: ast.ExceptHandler) -> set[str]:
    """The names of the classes that a handler catches."""
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(name) for name in names if name is not None}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_refusal_is_caught_where_it_is_raised_as_the_value_error_that_it_is(file: Path) -> None:
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    for node in (node for node in nodes if isinstance(node, ast.Try)):
        raised = [each for part in node.body for each in ast.walk(part) if isinstance(each, ast.Raise)]
        if any(each.exc is not None and ast.unparse(each.exc).startswith("InputError(") for each in raised):
            handlers = [found for found in map(caught, node.handlers) if found & {"InputError", "ValueError"}]
            assert not handlers or "InputError" in handlers[0], f"line {node.lineno}"


@pytest.mark.parametrize("make", [lambda: autokd.Study(name="a b"), lambda: autokd.Study.model_validate({"name": 3})])
def test_a_study_that_will_not_do_is_refused_in_one_line_though_pydantic_reports_value_errors(make: Any) -> None:
    with pytest.raises(ValueError, match=r"^name: ") as refusal:
        make()
    assert type(refusal.value) is InputError


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: autokd.Budget(trials=-1), r"^trials: -1 given; it should be "),
        (lambda: autokd.Budget(trails=3), r"^trails: there is no such key; did you mean 'trials'\?$"),
        (lambda: autokd.Budget(rungs=(9, 3)), r"^\[9, 3\] given; write rising epochs|^rungs: \[9, 3\] given"),
        (lambda: autokd.Budget.model_validate({"epochs": 3}), "^epochs: 3 is too few to train one student"),
        (lambda: autokd.RecipeSpace(temperature=-1), "^temperature: -1 given; it should be above 0$"),
    ],
)
def test_a_part_of_a_study_is_refused_in_one_line_as_a_study_is(make: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()


def test_the_parts_of_a_study_take_the_numbers_of_numpy() -> None:
    assert autokd.Budget(trials=np.int64(4), rungs=[np.int32(1), np.int64(3)]) == autokd.Budget(trials=4, rungs=[1, 3])
    recipe = autokd.RecipeSpace(temperature=[np.float32(2), 4], lr=np.float64(0.5))
    assert recipe == autokd.RecipeSpace(temperature=[2, 4], lr=0.5)
    study = small_study(**{"seed": np.int64(3), "objectives.parameters": {"bound": np.int64(500)}})
    assert json.dumps(dump(study)) == json.dumps(dump(small_study(**{"seed": 3, "objectives.parameters.bound": 500})))
