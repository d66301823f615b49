from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autokd.registry import resolve, sources_of

SPACE = """import layers
from parts import blocks


def suggest(trial):
    return {}


def build(arch, task):
    import late
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a space that imports modules beside it; its path is on `sys.path`."""
    files = {
        "space.py": SPACE,
        "layers.py": "import deep\nimport json\n",
        "deep.py": "DEPTH = 3\n",
        "late.py": "",
        "unused.py": "",
        "json.py": "",
        "parts/blocks.py": "from . import inner\n",
        "parts/inner.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def of_space(folder: Path) -> dict[str, str]:
    return sources_of(resolve("search_spaces", str(folder / "space.py")))


def test_a_space_is_made_of_its_file_and_of_what_that_imports_from_its_folder(folder: Path) -> None:
    assert sorted(of_space(folder)) == [
        "deep.py",
        "late.py",
        "layers.py",
        "parts/blocks.py",
        "parts/inner.py",
        "space.py",
    ]


@pytest.mark.parametrize("name", ["space.py", "layers.py", "deep.py", "late.py", "parts/inner.py"])
def test_an_edit_of_any_of_them_shows_in_its_own_digest(folder: Path, name: str) -> None:
    before = of_space(folder)
    (folder / name).write_text((folder / name).read_text() + "# edited\n")
    after = of_space(folder)
    assert [key for key in before if before[key] != after[key]] == [name]


def test_an_edit_of_what_it_does_not_import_shows_nowhere(folder: Path) -> None:
    before = of_space(folder)
    (folder / "unused.py").write_text("# edited\n")
    (folder / "json.py").write_text("# hidden by the standard library\n")
    assert of_space(folder) == before


def test_a_module_of_a_package_brings_the_package_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "made_up_pkg"
    (package / "spaces").mkdir(parents=True)
    for name, text in {
        "__init__.py": "",
        "blocks.py": "",
        "other.py": "",
        "spaces/__init__.py": "",
        "spaces/wide.py": "from made_up_pkg.blocks import *\nfrom .. import blocks\n\n\nclass Wide:\n    pass\n",
    }.items():
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = sources_of(resolve("objectives", "made_up_pkg.spaces.wide:Wide"))
    assert sorted(found) == [
        f"made_up_pkg/{name}" for name in ("__init__.py", "blocks.py", "spaces/__init__.py", "spaces/wide.py")
    ]


def test_an_objective_is_made_of_the_file_that_holds_it(tmp_path: Path) -> None:
    (tmp_path / "goal.py").write_text(
        "from autokd.types import Objective\nSCALE = 1\ndef measure(e):\n    return SCALE\n"
        "goal = Objective('goal', 'maximize', '', trained=True, measure=measure)\n"
    )
    assert list(sources_of(resolve("objectives", f"{tmp_path}/goal.py:goal"))) == ["goal.py"]


def test_the_settings_of_a_space_count(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        "class Made:\n    def __init__(self, width):\n        pass\n    def suggest(self, trial):\n        return {}\n"
        "    def build(self, arch, task):\n        pass\n"
    )
    two, three = (sources_of(resolve("search_spaces", f"{tmp_path}/made.py:Made(width={width})")) for width in (2, 3))
    assert [name for name in two if two[name] != three[name]] == ["settings"]


def test_parts_of_autokd_are_told_by_its_version() -> None:
    assert sources_of(resolve("objectives", "accuracy")) == sources_of(resolve("losses", "kd")) == {}


CELL = """
import math
WIDTHS = [8, 16]

class Block:
    factor = 2
    def size(self, width):
        return self.factor * width

def rows(width):
    return [w for w in WIDTHS if w in {8, 16, 32}]

def build(arch, task, depth=2):
    return Block().size(rows(arch["width"])[0]) * depth
"""


def in_cell(text: str, name: str = "build") -> Any:
    """What a notebook's cell defines: code in no file, in `__main__`."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "<cell>", "exec"), namespace)
    return namespace[name]


def test_code_in_no_file_has_one_digest_whenever_it_is_run() -> None:
    with_comments = CELL.replace("factor = 2", "factor = 2  # a comment\n")
    assert sources_of(in_cell(CELL)) == sources_of(in_cell(CELL)) == sources_of(in_cell(with_comments))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("* depth", "+ depth"),
        ("depth=2", "depth=3"),
        ("[8, 16]\n", "[8, 17]\n"),
        ("factor = 2", "factor = 3"),
        ("{8, 16, 32}", "{8, 16, 33}"),
        ("self.factor * width", "self.factor + width"),
    ],
)
def test_an_edit_of_code_in_no_file_shows(old: str, new: str) -> None:
    assert old in CELL
    assert sources_of(in_cell(CELL)) != sources_of(in_cell(CELL.replace(old, new)))


def test_code_in_no_file_brings_the_modules_that_it_uses(folder: Path) -> None:
    text = "import layers\ndef build(arch, task):\n    return layers.deep.DEPTH\n"
    before = sources_of(in_cell(text))
    assert sorted(before) == ["build", "deep.py", "its values", "layers.py"]
    (folder / "deep.py").write_text("DEPTH = 4\n")
    assert sources_of(in_cell(text)) != before


OBJECTS: list[tuple[str, Callable[[int], Any]]] = [
    ("an object", lambda value: SimpleNamespace(width=value)),
    ("a partial", lambda value: partial(int, value)),
    ("a closure", lambda value: lambda: value),
    ("a closure in no file", in_cell("def make(value):\n    return lambda: value\n", "make")),
    ("an array", lambda value: SimpleNamespace(table=np.full((50, 50), value))),
    ("nested data", lambda value: SimpleNamespace(widths={"a": [(1, value)]})),
]


@pytest.mark.parametrize("make", [make for _, make in OBJECTS], ids=[name for name, _ in OBJECTS])
def test_the_values_of_an_object_that_has_no_reference_count(make: Callable[[int], Any]) -> None:
    assert sources_of(make(1)) == sources_of(make(1))
    assert sources_of(make(1)) != sources_of(make(2))


def test_an_object_that_holds_itself_ends() -> None:
    ring = SimpleNamespace(value=1)
    ring.ring = ring
    assert sources_of(ring)


def test_a_module_made_at_run_time_counts_by_its_functions() -> None:
    def made(text: str) -> ModuleType:
        module = ModuleType("made_at_run_time")
        exec(compile(text, "<made>", "exec"), module.__dict__)
        return module

    text = "def suggest(trial):\n    return {'width': 1}\n"
    assert sources_of(made(text)) == sources_of(made(text))
    assert sources_of(made(text)) != sources_of(made(text.replace("1", "2")))
