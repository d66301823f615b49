"""Searches whose record is in a PostgreSQL database; the server is a real one, started here."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import autokd, refused, write_study
from conftest import needs
from servers import PASSWORD, Postgres, postgres
from small import small_study

from autokd.driver import search_study
from autokd.driver.events import progress_only
from autokd.record import read_trials

pytestmark = [needs("postgres"), needs("psycopg")]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    home = Path(tempfile.mkdtemp(prefix="autokd-postgres-"))
    home.chmod(0o755)  # the server's user must reach what is in it
    with postgres(home / "server") as running:
        yield running
    shutil.rmtree(home)


@pytest.fixture(autouse=True)
def _password(server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", str(server.passfile))


@pytest.mark.slow
def test_every_command_finds_the_record_on_the_server(server: Postgres, tmp_path: Path) -> None:
    study, run = write_study(tmp_path, {"record": server.url, "baselines": ["hard"]}), tmp_path / "run"
    answer = autokd("search", study, "--run", run)
    assert answer.code == 0, answer
    before = read_trials(run, server.url)
    assert autokd("search", study, "budget.trials=6", "--run", run).code == 0
    assert read_trials(run, server.url)[: len(before)] == before
    assert "opened only for the study file that names it" in refused("front", run)
    found = json.loads(autokd("front", study, "--run", run, "--json").out)
    assert sum(found["trials"][state] for state in ("complete", "pruned", "failed")) == 6
    assert set(found["baselines"]) == {"hard"}
    number = json.loads(autokd("pick", study, "--run", run, "--json").out)["trial"]
    assert autokd("export", study, "--run", run, "--trial", str(number), tmp_path / "student.safetensors").code == 0
    assert autokd("report", study, "--run", run).code == 0
    assert list(tmp_path.rglob("record.db")) == []


def test_the_trials_are_those_of_a_record_in_the_folder(server: Postgres, tmp_path: Path) -> None:
    for name, record in (("here", "sqlite"), ("there", server.url)):
        search_study(small_study(record=record), run=tmp_path / name)
    assert read_trials(tmp_path / "here") == read_trials(tmp_path / "there", server.url)


@pytest.mark.slow
def test_runs_share_a_database_and_not_their_trials(server: Postgres, tmp_path: Path) -> None:
    for name in ("one", "two"):
        search_study(small_study(record=server.url, **{"budget.trials": 2}), run=tmp_path / name)
        assert len(read_trials(tmp_path / name, server.url)) == 2
    prior = tmp_path / "one"
    search_study(small_study(record=server.url, **{"budget.trials": 1}), run=tmp_path / "three", prior=prior)
    assert read_trials(tmp_path / "three" / "prior") == read_trials(prior, server.url)
    assert (tmp_path / "three" / "prior" / "record.db").is_file()


def test_a_driver_on_another_machine_is_refused_while_the_first_one_runs(server: Postgres, tmp_path: Path) -> None:
    run, copy, said = tmp_path / "run", tmp_path / "copy", []

    def second(_: Mapping[str, Any]) -> None:
        if not said:
            shutil.copytree(run, copy)  # what another machine has of it, without the lock
            (copy / "record.lock").unlink()
            said.append(refused("search", write_study(tmp_path, {"record": server.url}), "--run", copy))

    search_study(small_study(record=server.url), run=run, tell=progress_only(second))
    assert f"{copy} is held by another search that is running" in said[0]


@pytest.mark.slow
def test_a_server_that_goes_down_stops_the_search_and_the_same_command_goes_on(
    server: Postgres, tmp_path: Path
) -> None:
    run, study = tmp_path / "run", write_study(tmp_path, {"record": server.url})
    down: list[int] = []

    def stop(progress: Mapping[str, Any]) -> None:
        if not down and progress["epochs_spent"] >= 3:
            down.append(progress["epochs_spent"])
            server.stop()

    with pytest.raises(Exception, match=r"record in postgresql.psycopg://me@127.* was lost .*search again"):
        search_study(small_study(record=server.url), run=run, tell=progress_only(stop))
    try:
        said = refused("front", study, "--run", run)
        assert "cannot be opened" in said
        assert "check that the server runs" in said
        assert "cannot be opened" in refused("search", study, "--run", tmp_path / "new")
        assert not (tmp_path / "new").exists()
    finally:
        server.start()
    trials = read_trials(run, server.url)
    assert sum(trial.epoch for trial in trials) == down[0]
    front = search_study(small_study(record=server.url), run=run)
    assert front.trials["running"] == 0
    for old, new in zip(trials, read_trials(run, server.url), strict=False):
        assert old.rungs.items() <= new.rungs.items()


def test_no_password_is_taken_kept_or_printed(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, run = write_study(tmp_path), tmp_path / "run"
    with_password = server.url.replace("me@", f"me:{PASSWORD}@")
    said = refused("search", study, f"record={with_password}", "--run", run)
    assert "AutoKD takes no password in a URL" in said
    assert PASSWORD not in said
    assert PASSWORD not in refused("search", study, f"record={server.url}?password={PASSWORD}", "--run", run)
    assert not run.exists()

    monkeypatch.delenv("PGPASSFILE")
    assert "no password supplied" in refused("search", study, f"record={server.url}", "--run", run)
    monkeypatch.setenv("PGPASSWORD", "wrong")
    assert "password authentication failed" in refused("search", study, f"record={server.url}", "--run", run)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    answer = autokd("search", study, f"record={server.url}", "--run", run)
    assert answer.code == 0
    assert PASSWORD not in answer.out + answer.err
    files = [path for path in run.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []
