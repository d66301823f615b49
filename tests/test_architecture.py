from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from conftest import ROOT

FLOORS = (
    ("errors", "types"),
    ("ahead", "files", "losses"),
    ("heads",),
    ("choices", "devices", "frames", "networks", "npy", "urls", "weights"),
    ("first_weights", "latency"),
    ("objectives", "one_function", "pareto", "readings"),
    ("registry",),
    ("study",),
    ("distill", "export", "schedulers", "tasks", "teachers"),
    ("front", "record"),
    ("checkpoints",),
    ("trial",),
    ("executors", "samplers", "testing"),
    ("driver",),
    ("ray_tune", "report"),
    ("cli", "searching"),
)
"""Modules and packages of `autokd`, the lowest floor first. A file imports from floors below its own, or from its own
package; `autokd/__init__.py` and `autokd/__main__.py` stand above them all."""

TOP = {"__init__", "__main__"}

PACKAGES = ("autokd", "search_spaces", "studies")
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
AUTOKD = [path for path in FILES if path.parts[0] == "autokd"]


def tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imports(file: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, at any place in it, for types as well."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(name: str) -> str:
    """What a dotted name is a part of within `autokd`: `study` for `autokd.study.model.Study`."""
    return name.split(".")[1]


def home(file: Path) -> str:
    """The module or package right below `autokd` in which a file lies."""
    return Path(file.parts[1]).stem


def floor(module: str) -> int:
    return next(number for number, modules in enumerate(FLOORS) if module in modules)


def test_every_module_has_one_floor() -> None:
    listed = [module for modules in FLOORS for module in modules]
    assert sorted(listed) == sorted({home(file) for file in AUTOKD} - TOP)


@pytest.mark.parametrize("file", AUTOKD, ids=str)
def test_a_file_imports_only_from_floors_below_its_own(file: Path) -> None:
    own = home(file)
    imported = {part(name) for name in imports(file) if name.startswith("autokd.")} - {own}
    height = len(FLOORS) if own in TOP else floor(own)
    assert [name for name in sorted(imported) if floor(name) >= height] == []


def test_a_search_does_not_ask_whether_it_searches_a_table() -> None:
    known = {f"autokd.trial.{name}" for name in ("Table", "Tabulated", "read_table", "searched_table")}
    asking = {str(file) for file in AUTOKD if home(file) != "trial" and known & set(imports(file))}
    of_old_runs = "autokd/driver/front_from_record.py"
    assert asking == {"autokd/driver/tables.py", of_old_runs}


def test_search_spaces_and_studies_come_in_by_reference() -> None:
    names = {str(file): list(imports(file)) for file in AUTOKD}
    assert [file for file in names for name in names[file] if name.split(".")[0] in ("search_spaces", "studies")] == []


def test_a_search_space_needs_nothing_of_autokd() -> None:
    spaces = [file for file in FILES if file.parts[0] == "search_spaces"]
    assert len(spaces) > 4
    assert [file for file in spaces for name in imports(file) if name.split(".")[0] == "autokd"] == []


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_of_one_idea_stays_below_400_lines(file: Path) -> None:
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) < 400


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_text_file_is_read_and_written_in_utf_8(file: Path) -> None:
    calls = [node for node in ast.walk(tree(file)) if isinstance(node, ast.Call)]
    assert [
        call.lineno for call in calls if is_text(call) and "encoding" not in {key.arg for key in call.keywords}
    ] == []


def is_text(call: ast.Call) -> bool:
    """Whether a call reads or writes text, in the encoding of the machine if it names none."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    words = [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    if name in ("open", "fdopen"):
        return not call.args or any(set(word) <= set("rwaxt+") for word in words)
    return name in ("read_text", "write_text") or any(
        key.arg in ("text", "universal_newlines") for key in call.keywords
    )


def test_no_module_is_hidden_behind_a_name_its_package_gives() -> None:
    for package in (file.parent for file in FILES if file.name == "__init__.py"):
        own = ".".join(package.parts)
        modules = {path.stem for path in (ROOT / package).iterdir() if path.suffix == ".py" or path.is_dir()}
        given = {name for name in imports(package / "__init__.py") if name.rpartition(".")[0] != own}
        assert [name for name in given if name.rpartition(".")[2] in modules] == []


def test_what_files_import_from_studies_is_there() -> None:
    """Checks what mypy cannot see, because `autokd.study` imports its names when they are first used."""
    known = {*import_module("autokd.study").__all__, *(path.stem for path in (ROOT / "autokd" / "study").iterdir())}
    files = [*FILES, *(path.relative_to(ROOT) for path in (ROOT / "tests").glob("*.py"))]
    named = {
        (str(file), *name.split(".")[2:3])
        for file in files
        for name in imports(file)
        if name.startswith("autokd.study.")
    }
    assert sorted(pair for pair in named if pair[1] not in known) == []


@pytest.mark.parametrize("program", ["import autokd", "from autokd.cli import main; sys.argv[1:] = ['--help']; main()"])
def test_what_must_be_instant_imports_neither_torch_nor_optuna(program: str) -> None:
    watched = f"""
import sys
try:
    {program}
except SystemExit:
    pass
"""
    assert imported(watched, "torch", "optuna", "sklearn", "numpy", "ray") == "[]"


def test_a_search_begins_without_what_is_slow_to_import_and_wanted_later() -> None:
    slow = ("sklearn", "pandas", "scipy", "fsspec", "torch._dynamo")
    assert imported("from autokd.driver import search_study", *slow) == "[]"


def test_a_worker_trains_without_what_is_slow_to_import_and_only_the_driver_needs() -> None:
    trained = """
import tempfile, numpy, torch
from pathlib import Path
from autokd.distill import Training
from autokd.losses import kd
from autokd.tasks import from_arrays
from autokd.trial import run_stretch_in
from autokd.types import Recipe

task = from_arrays(numpy.random.default_rng(0).normal(size=(64, 6)), numpy.arange(64) % 4)

def started():
    return Training(torch.nn.Linear(6, 4), task, torch.zeros(1, 64, 4), Recipe(epochs=2), loss=kd, seed=0)

with tempfile.TemporaryDirectory() as folder:
    training = started()
    training.run(0, 1)
    training.save(Path(folder))
    started().restore(Path(folder))
"""
    assert imported(trained, "torch._dynamo", "optuna", "sqlalchemy", "sklearn", "scipy", "pandas") == "[]"


def test_a_settled_front_is_printed_and_picked_from_without_torch_and_optuna(tmp_path: Path) -> None:
    run = shutil.copytree(ROOT / "tests" / "data" / "run_v0", tmp_path / "run")
    slow = ("torch", "optuna", "sqlalchemy", "sklearn", "pandas", "autokd.study.model")
    for command in ("front", "pick"):
        program = f"""
from autokd.cli import main
sys.argv[1:] = [{command!r}, {str(run)!r}]
try:
    main()
except SystemExit:
    pass
"""
        assert imported(f"import sys\n{program}", *slow) == "[]"


def test_a_report_is_written_without_torch(tmp_path: Path) -> None:
    run = shutil.copytree(ROOT / "tests" / "data" / "run_v0", tmp_path / "run")
    program = f"from autokd.report.run import write_run_report; write_run_report({str(run)!r})"
    assert imported(program, "torch", "sqlalchemy", "pandas") == "[]"


@pytest.mark.slow
def test_a_search_leaves_its_report_and_what_that_needs_to_another_process(tmp_path: Path) -> None:
    table = ROOT / "studies" / "tables" / "digits_labels.csv.gz"
    study = tmp_path / "study.yaml"
    study.write_text(
        f"name: small\ntask: {{table: {table}}}\nexecutor: inline\nbudget: {{trials: 12}}\n", encoding="utf-8"
    )
    program = f"""
import sys
from autokd.cli import main
sys.argv[1:] = ["search", {str(study)!r}, "--run", {str(tmp_path / "run")!r}]
try:
    main()
except SystemExit:
    pass
"""
    assert imported(program, "sklearn", "pandas", "plotly") == "[]"
    assert (tmp_path / "run" / "report.html").is_file()


def test_digits_are_read_without_importing_scikit_learn() -> None:
    program = "from autokd.tasks.opening import find_source; next(find_source('digits').parts['train'].chunks())"
    assert imported(program, "sklearn", "scipy") == "[]"


def imported(program: str, *names: str) -> str:
    """Which of these a program has imported at its end."""
    watched = f"{program}\nimport sys\nprint([name for name in {names} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", watched], capture_output=True, text=True, check=True)
    return answer.stdout.splitlines()[-1]
