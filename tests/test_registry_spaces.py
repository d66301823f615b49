"""Search spaces that are made with settings or from a class; functions and adapters have files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import refused_search

from autokd.errors import InputError
from autokd.registry import reference_of, resolve, source_digest
from autokd.study.paths import absolute

SPACES = '''
class Wide:
    """A space of one width."""

    def __init__(self, width=3):
        self.width = int(width)

    def suggest(self, trial):
        return {"width": self.width}

    def build(self, arch, task):
        return arch["width"]


def of_width(width):
    return Wide(width)


def one(width):
    def student(trial, task):
        return trial.suggest_int("width", 1, width)

    return student


class Half:
    def suggest(self, trial):
        return {}


number = 3
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "spaces.py"
    path.write_text(SPACES)
    return path


def message(reference: object) -> str:
    with pytest.raises(InputError) as caught:
        resolve("search_spaces", reference)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_class_is_called_with_its_settings_or_none(file: Path) -> None:
    assert resolve("search_spaces", f"{file}:Wide").suggest(None) == {"width": 3}
    assert resolve("search_spaces", f"{file}:Wide(width=5)").suggest(None) == {"width": 5}


def test_a_function_with_settings_makes_a_space_or_the_function_that_is_one(file: Path) -> None:
    assert resolve("search_spaces", f"{file}:of_width(width=5)").build({"width": 5}, None) == 5

    class Task:
        input_shape, num_outputs = (1,), 2

    assert resolve("search_spaces", f"{file}:one(width=2)").build({"width": 2}, Task()) == 2


def test_a_made_space_is_known_by_its_reference_and_its_settings(file: Path) -> None:
    plain, three, five = (resolve("search_spaces", f"{file}:Wide{each}") for each in ("", "(width=3)", "(width=5)"))
    assert reference_of(plain) == f"{file}:Wide"
    assert reference_of(five) == f"{file}:Wide(width=5)"
    assert len({source_digest(each) for each in (plain, three, five)}) == 3


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        (
            "Wide(5)",
            "(5) are not settings; write (key=value, ...) with numbers, quoted texts, True, False, None, ",
        ),
        ("Wide(width=five)", "(width=five) are not settings"),
        ("Wide(width=open('x'))", "are not settings"),
        ("Wide(width='x')", "cannot be made: ValueError: invalid literal for int() with base 10: 'x'"),
        ("Wide(wdith=3)", "cannot be made: TypeError: "),
        ("number(width=3)", "is of type int and takes no settings"),
        ("of_width", "is called with (width); write a function student(trial, task), or, if it makes a space, its"),
        ("Half", "has no function 'build'; give it 'suggest' and 'build'"),
    ],
)
def test_what_makes_no_space_is_said_in_one_line(file: Path, reference: str, says: str, tmp_path: Path) -> None:
    assert says in message(f"{file}:{reference}")
    assert says in refused_search(tmp_path, {"space": f"{file}:{reference}"})


def test_settings_are_not_written_as_a_mapping(tmp_path: Path) -> None:
    line = refused_search(tmp_path, {"space": {"timm": "resnet*"}})
    assert "with settings in parentheses where it takes any, such as 'timm(models=\"resnet*\")'" in line


def test_files_are_made_absolute_with_whatever_stands_around_them(file: Path) -> None:
    for written in ("spaces.py", "spaces.py:Wide", "spaces.py:Wide(width=[1, 2])", "spaces.py:Wide(a='b.py:c')"):
        assert absolute(written, file.parent) == f"{file.parent}/{written}"
    assert absolute("nni:spaces.py:Wide(a=1)", file.parent) == f"nni:{file.parent}/spaces.py:Wide(a=1)"
    assert absolute("nni:other.py:Wide", file.parent) == "nni:other.py:Wide"
