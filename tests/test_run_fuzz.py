"""A run folder may hold anything: it is read as it was written, or it is refused in one line."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import Answer, autokd, write_study
from conftest import ROOT
from test_study_fuzz import odd, places

from autokd.errors import LONGEST_MESSAGE, printable

RUN = ROOT / "tests" / "data" / "run_v0"
COMMANDS = [["front"], ["front", "--json"], ["front", "--csv"], ["pick"], ["pick", "--by", "accuracy"]]
FILES = ("front.json", "study.json", "record.db", "task/task.json", "trials/*/*/*/result.json")


def damaged(content: bytes, name: str, random: random.Random) -> bytes:
    """What is in a file, with some of it changed: values or keys of JSON, bits, pages, its end."""
    if name.endswith(".json") and random.random() < 0.7:
        data = {"": json.loads(content)}
        for _ in range(random.choice([1, 1, 2])):
            holder, key = random.choice(places(data))
            if isinstance(holder, dict) and random.random() < 0.3:
                value = holder.pop(key)
                if random.random() < 0.5:
                    holder[random.choice([key + "x", "", "name"])] = value
            else:
                holder[key] = odd(random)
            data.setdefault("", None)
        return json.dumps(data[""]).encode()
    changed = bytearray(content)
    how = random.randrange(5)
    if how == 0:
        return content[: random.randrange(len(content))]
    if how == 1:
        page = 4096 * random.randrange(1 + len(content) // 4096)
        changed[page : page + 4096] = bytes(len(changed[page : page + 4096]))
    elif how == 2:
        at, length = random.randrange(len(content)), random.choice([1, 10, 100])
        changed[at : at + length] = random.randbytes(len(changed[at : at + length]))
    else:
        for _ in range(random.choice([1, 1, 5])):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def asked(run: Path, command: list[str]) -> Answer:
    """What a command that only reads says of a run."""
    return autokd(command[0], run, *command[1:])


def check(answer: Answer, *, changed: str, command: list[str], true: Answer) -> None:
    """Fails where an answer is neither a refusal in one line, nor the true one, nor a glance at the record."""
    if answer.code:
        assert answer.code in (1, 2)
        assert len(answer.err.splitlines()) == 1, answer.err
        assert len(answer.err) <= LONGEST_MESSAGE + 20
        assert answer.err == printable(answer.err)
        return
    assert answer.out == printable(answer.out)
    if "result" in changed:
        assert answer == true  # it is not read here
    if command[-1] == "--json":
        json.loads(answer.out)


def hold(seeds: range, folder: Path, of: Path = RUN) -> None:
    """Asks of one copy of a run, in which each case damages a file that is put back after it."""
    true: dict[tuple[Any, ...], Answer] = {}
    run = shutil.copytree(of, folder / "run")
    paths, front = sorted(run.rglob("*")), (run / "front.json").read_bytes()
    for seed in seeds:
        draws = random.Random(seed)
        name = draws.choice(FILES)
        path = draws.choice(sorted(run.glob(name)))
        settled = draws.random() < 0.7
        if not settled:
            (run / "front.json").unlink()
        command = draws.choice(COMMANDS)
        if (settled, *command) not in true:
            true[settled, *command] = asked(run, command)
        content = path.read_bytes() if path.exists() else b""
        if path.exists():
            path.write_bytes(damaged(content, name, draws))
        left = path.read_bytes() if path.exists() else b""
        try:
            check(asked(run, command), changed=name, command=command, true=true[settled, *command])
            assert (path.read_bytes() if path.exists() else b"") == left
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {name}, {command}") from error
        path.write_bytes(content)
        (run / "front.json").write_bytes(front)
        assert sorted(run.rglob("*")) == paths  # reading leaves nothing behind


@pytest.mark.parametrize("first", range(0, 30, 2))
def test_a_run_of_any_content_is_read_or_refused_in_one_line(first: int, tmp_path: Path) -> None:
    hold(range(first, first + 2), tmp_path)


@pytest.fixture(scope="module")
def run_of_today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("today")
    assert autokd("search", write_study(folder), "--run", folder / "run").code == 0
    return folder / "run"


def test_a_run_of_today_is_read_or_refused_in_one_line_too(run_of_today: Path, tmp_path: Path) -> None:
    hold(range(30, 60), tmp_path, run_of_today)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 20_000, 1_000))
def test_ten_thousand_runs_are_read_or_refused_in_one_line(first: int, run_of_today: Path, tmp_path: Path) -> None:
    hold(range(first, first + 500), tmp_path / "before")
    hold(range(first + 500, first + 1_000), tmp_path / "today", run_of_today)


@pytest.mark.parametrize("seed", range(3))
def test_a_report_of_a_run_of_any_content_is_written_or_refused(seed: int, tmp_path: Path) -> None:
    draws = random.Random(seed)
    run = shutil.copytree(RUN, tmp_path / "run")
    for name in ("front.json", "study.json"):
        (run / name).write_bytes(damaged((run / name).read_bytes(), "", draws))
        answer = autokd("report", run)
        assert answer.code == 0 or len(answer.err.splitlines()) == 1
