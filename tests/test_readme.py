"""What README says is true: it is short, its code and its commands run, and its links and figures are there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command_line import autokd
from conftest import ROOT, needs
from safetensors.torch import save_file

from autokd import Study, load_front
from autokd.testing import TinyTask, check_space

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = README.splitlines()
COMPARISON = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
INLINE = re.findall(r"`((?:autokd|make|pip) [^`]+)`", README)
SMALL = ("budget.trials=3", "budget.rungs=[1]", "budget.reseeds=0", "executor=inline", "workers=1")
"""What makes the search of a study short enough for a test."""

BIG = """
import torch
import yaml

class Big(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(3 * 12 * 12, 2))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    """Every command of README, in order, as words and without the comment behind it."""
    lines = [line for block in COMMANDS for line in block.splitlines()] + INLINE
    return [shlex.split(line, comments=True) for line in lines]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables in a text, each link replaced by its words."""
    table = [line[1:-1].split("|") for line in text.splitlines() if line.startswith("|")]
    return [[re.sub(r"\[([^]]*)\]\[[^]]*\]", r"\1", cell).strip() for cell in row] for row in table]


def test_it_is_read_in_five_minutes() -> None:
    assert len(LINES) <= 180
    assert len(README.split()) <= 1300


def test_installation_and_the_first_code_come_before_line_30() -> None:
    assert LINES.index("```bash") < LINES.index("```python") < 30


def test_links_and_pictures_are_there() -> None:
    named = re.findall(r"\]\(([^)#]+)", README) + re.findall(r"(?:src|srcset)=\"([^\"]+)\"", README)
    assert [name for name in named if "://" not in name and not (ROOT / name).exists()] == []
    assert len(re.findall(r"<picture>.*?prefers-color-scheme: dark.*?</picture>", README, re.DOTALL)) == 1


def test_the_table_beside_other_libraries_is_that_of_the_page_with_the_sources() -> None:
    page, here = rows(COMPARISON), rows(README.partition("\n## Beside other libraries\n")[2])
    assert here[0][1:] == page[0][1:]
    assert here[2:] == page[2:]
    assert len(page[2:]) >= 12


def test_every_source_of_the_comparison_is_given_and_used() -> None:
    given = set(re.findall(r"^\[([^]]+)\]: ", COMPARISON, re.MULTILINE))
    assert given == set(re.findall(r"\]\[([^]]+)\]", COMPARISON))


def test_its_front_is_rows_of_the_front_that_the_gallery_shows() -> None:
    (block,) = re.findall(r"\n\n```\n( +test\n.*?)\n```", README, re.DOTALL)
    printed = (ROOT / "docs" / "gallery" / "digits.txt").read_text(encoding="utf-8").splitlines()
    shown = [line for line in block.splitlines() if line.strip()]
    assert [line for line in shown if line not in [each.rstrip() for each in printed]] == []
    assert len([line for line in shown if "±" in line]) == 6


def test_its_figures_are_those_of_the_results() -> None:
    (part,) = re.findall(r"## What was measured\n(.*?)\n## ", README, re.DOTALL)
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    figures = set(re.findall(r"\d+[.,]\d+|\d{3,}", part))
    assert [figure for figure in figures if figure not in results] == []
    assert len(figures) >= 10


def test_the_extras_it_installs_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (installed,) = [words[2] for words in commands() if words[0] == "pip"]
    assert set(re.findall(r"[\w-]+", installed)) <= set(extras)


def test_make_demo_searches_the_study_that_it_shows() -> None:
    assert ["make", "demo"] in commands()
    said = subprocess.run(["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "autokd search studies/digits.yaml" in said.stdout


@pytest.mark.slow
def test_the_python_example_runs_as_it_stands_and_again_with_the_same_answer(tmp_path: Path) -> None:
    (code,) = [each for each in blocks("python") if "autokd.search" in each]
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1]
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_the_search_space_meets_its_contract(tmp_path: Path) -> None:
    (code,) = [each for each in blocks("python") if "def suggest" in each]
    (tmp_path / "my_space.py").write_text(code, encoding="utf-8")
    assert check_space(str(tmp_path / "my_space.py"), TinyTask(input_shape=(3, 12, 12))) == []


def test_its_study_of_texts_is_one() -> None:
    study = Study.model_validate({"name": "texts", **yaml.safe_load(blocks("yaml")[1])})
    assert study.recipe.starts == ("scratch", "teacher")


@needs("PIL")
def test_its_space_is_searched_on_a_folder_of_photos_as_its_study_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import PIL.Image

    rng = np.random.default_rng(0)
    for name, shade in (("bright", 160), ("dark", 60)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(30):
            pixels = rng.normal(shade, 20, (12, 12, 3)).clip(0, 255).astype(np.uint8)
            PIL.Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{i}.png")
    (tmp_path / "big.py").write_text(BIG)
    brightness = torch.full((1, 3 * 12 * 12), 0.01)
    weights = {"1.weight": torch.cat([brightness, -brightness]), "1.bias": torch.zeros(2)}
    save_file(weights, tmp_path / "big.safetensors")
    study = blocks("yaml")[0]
    (tmp_path / "photos.yaml").write_text(study, encoding="utf-8")
    (code,) = [each for each in blocks("python") if "def suggest" in each]
    (tmp_path / "my_space.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert autokd("search", "photos.yaml", *SMALL).code == 0
    assert len(list(load_front("runs/photos"))) >= 1
    assert autokd("check", "my_space.py", "--task", "photos").code == 0


@pytest.mark.slow
def test_its_commands_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "studies", tmp_path / "studies", ignore=shutil.ignore_patterns("*.gz"))
    (space,) = [each for each in blocks("python") if "def suggest" in each]
    (tmp_path / "my_space.py").write_text(space, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    number = ""
    for words in [words for words in commands() if words[0] == "autokd"]:
        if words[1] == "search":
            words = [*words, "teacher.epochs=1", "space=mlp", *SMALL]
        if "--trial" in words:
            words[words.index("--trial") + 1] = number
        answer = autokd(*words[1:])
        assert answer.code == 0, (words, answer)
        if words[1] == "search":
            number = str(next(iter(load_front("runs/digits"))).trial)
    assert {"student.onnx", "front.svg"} <= {file.name for file in tmp_path.iterdir()}
    assert (tmp_path / "runs" / "digits" / "report.html").is_file()
