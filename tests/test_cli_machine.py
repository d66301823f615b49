"""The commands that describe AutoKD and the machine: version, completion and `doctor`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from command_line import autokd
from conftest import ROOT

from autokd.report import doctor

COMMAND = str(Path(sys.executable).with_name("autokd"))


def printed(*command: str, **environment: str) -> str:
    """What a command prints in a process of its own."""
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_the_version_is_printed_by_the_command_and_by_the_module() -> None:
    assert autokd("--version").out == f"autokd {version('autokd')}\n"
    assert printed(sys.executable, "-m", "autokd", "--version") == f"autokd {version('autokd')}\n"


def completions(*words: str) -> list[str]:
    """What bash is told for the last of these words."""
    line = " ".join(["autokd", *words])
    said = printed(COMMAND, _AUTOKD_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    return said.splitlines()


@pytest.mark.parametrize("option", ["--show-completion", "--install-completion"])
def test_completion_is_shown_and_installed(option: str, tmp_path: Path) -> None:
    said = printed(COMMAND, option, "bash", HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    script = said if option == "--show-completion" else (tmp_path / ".bash_completions" / "autokd.sh").read_text()
    assert "complete -o default -F _autokd_completion autokd" in script


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["retr"], ["retrain"]),
        (["search", "study.yaml", "budget.tr"], ["budget.trials=", "budget.trial_minutes="]),
        (["search", "study.yaml", "--executor", "p"], ["processes"]),
        (["check", "mo"], ["mobilenet", "model.py"]),
        (["front", "runs/dig"], ["runs/digits"]),
    ],
)
def test_a_shell_completes_commands_keys_spaces_and_runs(
    words: list[str], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "digits").mkdir(parents=True)
    (tmp_path / "runs" / "digits" / "study.json").touch()
    (tmp_path / "model.py").touch()
    assert completions(*words) == expected


@pytest.mark.slow
def test_doctor_says_what_there_is_and_leaves_nothing_behind(tmp_path: Path) -> None:
    answer = autokd("doctor", "--runs", tmp_path / "runs", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert (found["autokd"], found["warnings"], found["problems"]) == (version("autokd"), [], [])
    assert found["packages"]["torch"] == {"version": version("torch"), "needs": ">=2.10", "suffices": True}
    assert found["devices"][0] == "cpu"
    assert found["cores"] >= 1
    assert found["runs"]["free_gb"] > 0
    assert found["extras"]["report"]["installed"]
    assert not list(tmp_path.iterdir())


def test_doctor_tells_in_lines_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_worker_starts", fail_to_start)
    found = doctor.diagnose(tmp_path)
    missing = {"adds": "searches on a Ray cluster", "installed": False, "install": "pip install 'autokd[ray]'"}
    lines = doctor.doctor_lines({**found, "extras": {"ray": missing}})
    assert "  ray          searches on a Ray cluster: not installed; to add it: pip install 'autokd[ray]'" in lines
    assert lines[-2:] == [
        "Warning: Worker processes do not start (no memory). Search with --executor inline, "
        'or executor="inline" from Python.',
        "Searches can run here.",
    ]


def fail_to_start(_: Path) -> None:
    raise OSError("no memory")


def test_doctor_ends_with_2_where_no_record_can_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autokd.record.storage.mounts", lambda: [("/", "nfs4")])
    monkeypatch.setattr(doctor, "_worker_starts", lambda _: None)
    answer = autokd("doctor", "--runs", tmp_path)
    assert (answer.code, answer.err) == (2, "")
    assert f"Problem: A search cannot keep its record in {tmp_path}: " in answer.out
    assert answer.out.endswith("Searches cannot run here before these problems are solved.\n")


def test_doctor_says_that_a_file_can_hold_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_worker_starts", lambda _: None)
    (tmp_path / "file").touch()
    answer = autokd("doctor", "--runs", tmp_path / "file")
    assert (answer.code, answer.err) == (2, "")
    assert f"Problem: {tmp_path / 'file'} is not a folder, so no run can be kept there." in answer.out


def test_doctor_warns_of_little_disk_and_searches_can_still_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_LITTLE_GB", 1e9)
    monkeypatch.setattr(doctor, "_worker_starts", lambda _: None)
    found = doctor.diagnose(tmp_path)
    assert found["problems"] == []
    assert found["warnings"] == [
        f"Only {found['runs']['free_gb']:.1f} GB are free where runs would go ({tmp_path}); a search may fill them."
    ]


def test_a_package_that_is_missing_or_too_old_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor.metadata, "requires", lambda _: ["nothere>=1", "numpy>=99", "torch>=2", "other; extra == 'report'"]
    )
    found = doctor.diagnose(tmp_path)  # which tries nothing more
    assert found["problems"] == [
        "The package nothere is not installed. Run: pip install --upgrade autokd",
        f"numpy {version('numpy')} is installed, and AutoKD needs numpy>=99. Run: pip install --upgrade autokd",
    ]
    assert found["extras"]["report"]["missing"] == ["other"]


def test_every_extra_for_users_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert doctor.EXTRAS.keys() == project["optional-dependencies"].keys() - {"dev", "docs"}
