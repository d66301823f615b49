"""The pages of the documentation are followed, and whoever does what a page says gets what the page promises."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from conftest import ROOT
from following import blocks, commands, follow_in

from autokd.cli import app
from autokd.study import Study

DOCS = ROOT / "docs"
SHOWN = [*ROOT.glob("*.md"), DOCS / "llms.txt", *DOCS.rglob("*.md")]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in sorted(SHOWN) if path.name != "CHANGELOG.md"}


RUNS = {
    "docs/howto/own_images.md": {"photos", "any_size", "several_sizes", "photos_with_teacher", "search"},
    "docs/howto/own_texts.md": {"films"},
    "docs/howto/choosing.md": {"digits"},
    "docs/howto/own_reading.md": {"sounds", "searched"},
    "docs/howto/tables.md": {"severe", "progression", "both"},
    "docs/howto/heads.md": {"diabetes"},
    "docs/howto/latency.md": {"quick", "for_device"},
    "docs/howto/resuming.md": {"mine", "mine-2", "other"},
}
"""The runs that there are in the end, where the page says so."""
SEARCHING = {*RUNS, "docs/howto/callbacks.md", "docs/index.md", "docs/llms.txt"}
"""Pages that take more than a second."""
ELSEWHERE = {"README.md", "CONTRIBUTING.md", "AGENTS.md", "docs/cluster.md", "docs/gpu.md"}
"""Pages that are tested by their own tests, or need a cluster or a GPU. Their commands are read, but not run."""


def followed() -> list[Any]:
    """The pages on which there is something to be done."""
    done = [name for name, page in PAGES.items() if any(b.language == "python" or commands(b) for b in blocks(page))]
    marks = {name: [pytest.mark.slow] if name in SEARCHING else [] for name in done}
    return [pytest.param(name, marks=marks[name], id=name) for name in done if name not in ELSEWHERE]


@pytest.mark.parametrize("name", followed())
def test_who_does_what_a_page_says_gets_what_it_promises(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_in(PAGES[name], tmp_path, monkeypatch)
    if name in RUNS:
        assert {run.name for run in (tmp_path / "runs").iterdir()} == RUNS[name]


def studies(page: Path) -> list[str]:
    """What a page shows of study files, but for what it takes from a file as it is."""
    return [block.text for block in blocks(page) if block.language == "yaml" and "--8<--" not in block.text]


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if studies(page)])
def test_what_a_page_shows_of_a_study_file_has_keys_that_there_are(name: str) -> None:
    for text in studies(PAGES[name]):
        study = yaml.safe_load(text)
        assert set(study) <= set(Study.model_fields), text
        if "name" in study:
            Study.model_validate(study)


def texts() -> dict[str, str]:
    """The pages, and the long help of every command, by name."""
    group: Any = typer.main.get_command(app)
    helps = {f"autokd {name} --help": inspect.cleandoc(command.help) for name, command in group.commands.items()}
    return {name: page.read_text(encoding="utf-8") for name, page in PAGES.items()} | helps


def lines(text: str) -> list[str]:
    """The lines of a text that call `autokd`, in any block of code."""
    whole = re.sub(r"\\\n\s*", "", text)
    found = re.findall(r"^(?:    |\$ )?(autokd (?! ).*)", whole, re.MULTILINE)
    return [line for line in found if "|" not in line]


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, text in texts().items() if lines(text)])
def test_a_command_that_a_page_or_a_help_shows_has_words_that_it_takes(name: str, text: str) -> None:
    group: Any = typer.main.get_command(app)
    for line in lines(text):
        words = shlex.split(re.split(" && | > ", line)[0], comments=True)[1:]
        if words[0].startswith("-"):
            continue
        context = group.commands[words[0]].make_context(words[0], words[1:])
        for override in context.params.get("overrides") or ():
            key, _, value = override.partition("=")
            assert key.split(".")[0] in Study.model_fields, line
            assert value, line
