from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from conftest import ROOT

from autokd.errors import OTHER_FOLDER, START_OVER

OPTION = re.compile(r"--[a-z]+")
IN_A_COMMAND = re.compile(r"(`autokd|`ray|pip) [^`]*--[a-z]+")
BELOW = sorted(path for path in (ROOT / "autokd").rglob("*.py") if path.parts[-2] != "cli")


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
