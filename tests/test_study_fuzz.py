"""A study file may hold anything: it is read and survives being written, or it is refused in one line."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from autokd.errors import LONGEST_MESSAGE, InputError, printable
from autokd.study import Study, changed_keys, dump, load_study, make_sampler, resolve_objectives

STUDY: dict[str, Any] = {
    "name": "digits",
    "task": {
        "data": "digits",
        "labels": 100,
        "augment": {"views": 4, "crop": 2},
        "normalise": {"mean": [0.5], "std": [1]},
    },
    "teacher": {"space": "mlp", "arch": {"depth": 1}, "epochs": 3},
    "space": {"space": "mlp", "archs": [{"width": 8}]},
    "recipe": {"alpha": {"low": 0, "high": 1}, "temperature": [1, 4], "method": ["kd", "dist"], "lr": 0.01},
    "objectives": {"accuracy": {}, "parameters": {"bound": 2.0e4}, "latency_ms": {"batch": 1}},
    "budget": {"trials": 60, "rungs": [3, 9, 27], "disk_gb": 2.5},
    "sampler": {"name": "tpe", "n_startup_trials": 3},
    "executor": {"name": "ray", "address": "auto"},
    "baselines": {"hard": {"budget.trials": 20}, "mine": [{"recipe.alpha": 0}, {}]},
    "seed": 3,
}
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 10**400, -(2**63), 2**64, 0.5, float("inf"), float("-inf"), float("nan"), 1e-320),
    *("", " ", "x" * 10_000, "\x1b[31m", "\u202e", "é", "..", "/", "a/b", "/dev/zero", "1e3", "null", "=1", "%s{}"),
    *("mlp", "digits", "kd", "a b(c", "a.py:f(", "hf(", "postgresql://me@host/x", "\N{CROSSED SWORDS}" * 50),
    *([], [[]], {}, {"": {}}, [None], [1, "a"], {"low": 1, "high": 0}, {"low": "a"}, {"name": {}}, [{"hard": {}}]),
    *([float("nan")] * 3, {"a": {"b": [{"c": {}}]}}, {"name": "tpe"}, {"space": "mlp", "arch": []}, ["hard", ["hard"]]),
]
TEXTS = [
    *("!!int ''", "!!timestamp x", "!!float []", "!!bool q", "!!null x", "!!binary é", "!!set {a: b}", "!!omap [1]"),
    *("!!python/name:os.system", "&a [*a]", "*nobody", "<<: [1]", "? [a]", "- -", "{", "]", "'", "\t", "\x00", "\n---"),
    *("%TAG", "!<x>", "|", ">", "1_0:7", "0o8", "0x" + "f" * 600, "~", "2020-13-45", "[" * 200, "{a: " * 200, "\ufeff"),
]
OVERRIDES = ["seed=!!int ''", "recipe.lr.low=x", "space=[", "a.b.c=1", "name.x=3", "budget.rungs=[1,[2]]", "=", "task="]


def odd(random: random.Random) -> Any:
    """One of `ODD`, as a copy: what is done to it afterwards is not done to the next case."""
    return copy.deepcopy(random.choice(ODD))


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every container of some data with each of its keys or indices."""
    keys = list(data) if isinstance(data, dict) else list(range(len(data))) if isinstance(data, list) else []
    return [(data, key) for key in keys] + [place for key in keys for place in places(data[key])]


def mutated(random: random.Random) -> bytes:
    """The study as text, with one to three changes to its data or to its characters."""
    data = json.loads(json.dumps(STUDY))
    for _ in range(random.randint(0, 2)):
        holder, key = random.choice(places(data))
        if isinstance(holder, dict) and random.random() < 0.3:
            other = random.choice([str(odd(random))[:40], random.choice(list(STUDY)), key + "x"])
            holder[other] = holder[key] if random.random() < 0.5 else holder.pop(key)
        else:
            holder[key] = odd(random)
    text = yaml.safe_dump(data, allow_unicode=True, sort_keys=False, default_flow_style=random.choice([None, True]))
    for _ in range(random.choice([0, 0, 0, 1])):
        at = random.randrange(len(text))
        text = text[:at] + random.choice(TEXTS) + text[at + random.choice([0, 0, 1, 5, 40]) :]
    content = text.encode("utf-8", "surrogatepass")
    if random.random() < 0.1:
        content = content[: random.randrange(len(content))]
    return content


def holds(content: bytes, overrides: list[str], path: Path) -> None:
    """Loads a study and asks what a search first asks of it; fails where that ends in anything but one line."""
    path.write_bytes(content)
    study, refusal = asked(path, overrides)
    assert len(refusal) <= LONGEST_MESSAGE
    assert refusal == printable(refusal)
    if study is not None:
        written = json.dumps(dump(study))
        assert changed_keys(dump(Study.model_validate(json.loads(written))), dump(study)) == []


def asked(path: Path, overrides: list[str]) -> tuple[Study | None, str]:
    """The study, or why it is refused."""
    try:
        study = load_study(path, overrides)
        make_sampler(study.sampler, seed=study.seed)
        resolve_objectives(study)
    except InputError as error:
        return None, str(error)
    return study, ""


def hold(seeds: range, folder: Path) -> None:
    for seed in seeds:
        draws = random.Random(seed)
        content = mutated(draws)
        overrides = [draws.choice(OVERRIDES)] if draws.random() < 0.1 else []
        try:
            holds(content, overrides, folder / "study.yaml")
        except Exception as error:
            raise AssertionError(f"seed {seed}: {content!r} {overrides}") from error


def test_the_study_that_is_changed_is_one(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    assert asked(tmp_path / "study.yaml", [])[1] == ""


@pytest.mark.parametrize("first", range(0, 400, 40))
def test_a_study_of_any_content_is_read_or_refused_in_one_line(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hold(range(first, first + 40), tmp_path)


def test_a_case_is_the_same_whichever_cases_came_before() -> None:
    alone = mutated(random.Random(99))
    for seed in range(99):
        mutated(random.Random(seed))
    assert mutated(random.Random(99)) == alone


@pytest.mark.slow
@pytest.mark.parametrize("first", range(10_000, 20_000, 1_000))
def test_ten_thousand_studies_are_read_or_refused_in_one_line(
    first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hold(range(first, first + 1_000), tmp_path)
