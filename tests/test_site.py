"""The documentation site: every page can be found, every link leads somewhere, nothing is loaded from elsewhere."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from conftest import ROOT

from autokd.cli import app
from autokd.study import Study

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for kind in ("*.md", "*.ipynb") for path in DOCS.rglob(kind))
LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)(?:#[^)\s]*)?\)")
ELSEWHERE = re.compile(r"""(?:<(?:script|img|iframe|source)[^>]*\ssrc|<link[^>]*\shref)=["']?(?:https?:)?//[^"'> ]+""")
IN_STYLES = re.compile(r"""(?:url\(|@import\s+)["']?(?:https?:)?//[^"') ]+""")
IN_SCRIPTS = re.compile(r"""import\(["'](?:https?:)?//[^"']+""")
SCHEMA = Study.model_json_schema()


def listed(nav: Any) -> Iterator[str]:
    """The pages that a navigation lists."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav if isinstance(nav, list) else nav.values():
            yield from listed(part)


def script(path: str) -> Any:
    """A script of the documentation, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, DOCS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def generated(part: str) -> str:
    """What the reference says of one of its parts."""
    text: str = script("reference/generate.py").PARTS[part]()
    return text


def test_every_page_is_in_the_navigation_and_no_other() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert sorted(listed(nav)) == PAGES


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".md")])
def test_every_inner_link_of_a_page_leads_to_a_file_of_the_site(page: str) -> None:
    text = re.sub(r"```.*?```", "", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [(DOCS / page).parent / link for link in LINK.findall(text)]
    assert [link for link in targets if not (link.is_file() and link.resolve().is_relative_to(DOCS))] == []


def test_every_key_of_a_study_file_says_what_it_is_for() -> None:
    owners = {"Study": SCHEMA, **SCHEMA["$defs"]}
    keys = [(name, key, said) for name, owner in owners.items() for key, said in owner["properties"].items()]
    assert [(name, key) for name, key, said in keys if len(said.get("description", "")) < 10] == []


def test_the_page_of_the_study_file_has_every_key() -> None:
    page = generated("study_keys")
    assert [key for key in SCHEMA["properties"] if f"\n## `{key}`\n" not in f"\n{page}"] == []
    inner = {key for owner in SCHEMA["$defs"].values() for key in owner["properties"]}
    assert [key for key in sorted(inner) if f"\n| `{key}` |" not in page] == []


def test_the_page_of_the_command_line_has_every_command_and_option() -> None:
    page = generated("commands")
    group: Any = typer.main.get_command(app)
    assert len(group.commands) > 10
    for name, command in group.commands.items():
        section = page.split(f"## `autokd {name}`\n", 1)[1].split("\n## ", 1)[0]
        words = [each.opts[0] for each in command.params if each.param_type_name == "option"]
        assert [word for word in words if word not in section] == []


def test_the_page_of_python_has_every_public_name() -> None:
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    for home in ("autokd", "autokd.tasks", "autokd.testing"):
        public = importlib.import_module(home).__all__
        assert [name for name in public if f"::: {home}.{name}\n" not in page] == []


def test_the_diagrams_are_as_the_script_draws_them() -> None:
    diagrams = script("how_it_works/draw.py").DIAGRAMS
    assert sorted(diagrams) == sorted(path.stem for path in (DOCS / "how_it_works").glob("*.md"))
    for name, draw in diagrams.items():
        assert (DOCS / "how_it_works" / f"{name}.svg").read_text(encoding="utf-8") == draw()


def test_llms_txt_has_a_line_for_every_page_and_for_no_other() -> None:
    lines = re.findall(
        r"^- \[[^]]+\]\(([^)]+)/\): .+\.$", (DOCS / "llms.txt").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(lines) == sorted(re.sub(r"\.(md|ipynb)$", "", page) for page in PAGES if page != "index.md")


def test_agents_are_told_of_files_and_targets_that_there_are() -> None:
    text = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
    paths = [path for path in re.findall(r"`([\w./]+)`", text) if "/" in path and "X" not in path]
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists() and path != "site/"] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", text, re.MULTILINE)
    assert targets
    assert [target for target in targets if f"\n{target}:" not in makefile] == []


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    silent = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=silent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loads = {".html": (ELSEWHERE, IN_STYLES, IN_SCRIPTS), ".css": (IN_STYLES,)}
    texts = [path for path in tmp_path.rglob("*") if path.suffix in loads]
    assert len(texts) > len(PAGES)
    found = [
        (path.name, hit)
        for path in texts
        for pattern in loads[path.suffix]
        for hit in pattern.findall(path.read_text(encoding="utf-8"))
    ]
    assert found == []
    pages = {path: path.read_text(encoding="utf-8") for path in tmp_path.rglob("*.html")}
    assert [path for path, text in pages.items() if re.search(r'href="(?!https?:)[^"]*\.(?:md|ipynb)["#]', text)] == []
