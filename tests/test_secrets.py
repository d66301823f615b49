"""Passwords in URLs are refused, and no message, log, report or file repeats one."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import autokd, refused, refused_search, write_study
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from small import small_run, write_space

from autokd.errors import InputError, without_secrets
from autokd.record import read_trials
from autokd.registry import resolve
from autokd.report.live import LiveView
from autokd.study.database import refuse_no_database
from autokd.study.explanation import shown
from autokd.trial import Stretch, run_stretch
from autokd.types import Recipe

SECRET = "s3cr3t"
URLS = [
    "postgresql://me:s3cr3t@h/db",
    "postgresql://me@server:s3cr3t@h/db",
    "postgresql://me:pa/s3cr3t@h/db",
    "postgresql://me:pa s3cr3t@h/db",
    "postgresql://me:x@y:s3cr3t@h/db",
    "postgresql://me%3As3cr3t@h/db",
    "postgresql://me@h:s3cr3t/db",
    "postgresql://h/db?password=s3cr3t",
    "postgresql://h/db?%70assword=s3cr3t",
    "postgresql://h/db?sslmode=require&sslpassword=s3cr3t",
    "postgresql://h/password=s3cr3t",
    "postgresql://h/db?options=-c&service=x&dbname=host%3Dh%20password%3Ds3cr3t",
    "mysql://me@h/db?passwd=s3cr3t",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DSQL%3BUID%3Dme%3BPWD%3Ds3cr3t",
    "databricks://h?access_token=s3cr3t",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_with_a_secret_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"AutoKD takes no password in a URL|neither sqlite nor a URL") as refusal:
        refuse_no_database(url)
    assert SECRET not in str(refusal.value)
    said = [
        refused_search(tmp_path, {"record": url}),
        refused("search", write_study(tmp_path), f"record={url}", "--run", tmp_path / "run"),
        refused("search", write_study(tmp_path), f"record: {url}", "--run", tmp_path / "run"),
        refused("search", write_study(tmp_path), f"record=[{json.dumps(url)}]", "--run", tmp_path / "run"),
        refused("search", write_study(tmp_path), f"record.x={url}", "--run", tmp_path / "run"),
    ]
    assert [line for line in said if SECRET in line] == []


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me@host/database",
        "postgresql://me@server@host:5432/db?sslmode=require&passfile=/home/me/.pgpass",
        "mysql+pymysql://me@h/db?read_default_file=/home/me/.my.cnf",
        "sqlite:////home/me/record.db",
    ],
)
def test_a_url_without_a_secret_is_taken_and_shown_as_it_is(url: str) -> None:
    refuse_no_database(url)
    assert without_secrets(f"record: {url} cannot be opened; write me@host") == (
        f"record: {url} cannot be opened; write me@host"
    )


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S"), exclude_characters="@"), min_size=8))
def test_whatever_the_password_it_is_not_shown(password: str) -> None:
    assert password not in str(InputError(f"override record=postgresql://me:{password}@h/db: no"))
    assert f":{password}@" not in shown([f"postgresql://me:{password}@h/{'db' * 20}"])


def test_a_storage_with_a_secret_is_refused_and_not_repeated(tmp_path: Path) -> None:
    said = refused_search(tmp_path, {"executor": {"name": "ray", "storage": "ftp://me:s3cr3t@host/students"}})
    assert "executor.storage: AutoKD takes no password in a URL" in said
    assert SECRET not in said


def test_an_export_does_not_repeat_the_secret_of_its_url(tmp_path: Path) -> None:
    study, run = write_study(tmp_path, {"budget.trials": 1}), tmp_path / "run"
    assert autokd("search", study, "--run", run).code == 0
    for out in ("nosuch://me:s3cr3t@host/student.onnx", "memory://me:s3cr3t@host/student/student.safetensors"):
        answer = autokd("export", run, out, "--trial", "0")
        assert SECRET not in answer.out + answer.err
        assert "://me:***@host" in answer.out + answer.err


def test_a_folder_that_holds_a_secret_does_not_give_it_to_its_report(tmp_path: Path) -> None:
    study, run = write_study(tmp_path, {"budget.trials": 1}), tmp_path / "run"
    assert autokd("search", study, "--run", run).code == 0
    setup = json.loads((run / "study.json").read_text())
    setup["study"]["executor"] = {"name": "ray", "storage": "s3://key:s3cr3t@bucket"}
    (run / "study.json").write_text(json.dumps(setup))
    assert autokd("report", run).code == 0
    assert SECRET not in (run / "report.html").read_text()
    for record in (*URLS, "no URL", 5):
        other = shutil.copytree(run, tmp_path / "other")
        setup["study"]["record"] = record
        (other / "study.json").write_text(json.dumps(setup))
        assert SECRET not in refused("front", other)
        shutil.rmtree(other)


def test_a_log_line_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    handler = LiveView(Console()).log_handler()
    handler.handle(logging.LogRecord("autokd", logging.INFO, "", 0, "kept in %s", ("s3://me:s3cr3t@bucket",), None))
    assert capsys.readouterr().out == "kept in s3://me:***@bucket\n"


def test_a_student_s_own_error_that_prints_a_secret_is_kept_without_it(tmp_path: Path) -> None:
    space = write_space(tmp_path, widths=[4, 8], build=f"width != 8 or int('{URLS[0]}')")
    study = write_study(tmp_path, {"space": space, "budget.trials": 4, "sampler": "tpe", "recipe": {}})
    answer = autokd("search", study, "--run", tmp_path / "run")
    assert any("***" in trial.reason for trial in read_trials(tmp_path / "run")), answer
    assert SECRET not in answer.out + answer.err
    for name in ("front.json", "record.db", "report.html"):
        assert SECRET.encode() not in (tmp_path / "run" / name).read_bytes(), name


def test_a_traceback_that_prints_a_secret_is_kept_without_it(tmp_path: Path) -> None:
    space = write_space(tmp_path, widths=[4], build=f"raise ValueError('{URLS[0]}')")
    run = small_run(tmp_path, space="mlp")
    context = replace(run.context, space=resolve("search_spaces", space))
    result = run_stretch(context, Stretch(0, {"width": 4}, Recipe(epochs=1), 0, 0, 1, "", str(tmp_path / "stretch")))
    assert "***" in result["error"]
    assert SECRET not in result["error"]
    written = (tmp_path / "stretch" / "error.txt").read_text()
    assert "ValueError: postgresql://me:***@h/db" in written
    assert SECRET not in written
