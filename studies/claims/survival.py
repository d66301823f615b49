"""Counts what kills and damage have left of searches, from their records, their logs of trainings and their files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from autokd.errors import InputError
from autokd.executors import one_thread
from autokd.record import TrialRecord, read_study, read_trials
from autokd.study import read_setup
from autokd.trial import Stretch, run_stretch_in, training_seed
from autokd.types import Recipe

FAULTS = ("worker", "damage", "worker", "damage", "tree")
"""The faults that searches suffer, in this order, again and again."""


def ended_trials(run: Path) -> dict[str, list[Any]]:
    """State, values and time of end of each trial that has ended, by number; {} before there is a record."""
    try:
        trials = read_study(run).get_trials(deepcopy=False)
    except InputError:
        return {}
    return {
        str(trial.number): [trial.state.name, trial.values, str(trial.datetime_complete)]
        for trial in trials
        if trial.state.is_finished()
    }


def begun_stretches(home: Path) -> list[tuple[str, int]]:
    """The stretches of training begun so far, in order and with repetitions, as pairs of digest and process."""
    log = home / "stretches.log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return [(digest, int(pid)) for digest, pid in (line.split() for line in lines)]


def count(home: Path, before: Mapping[str, Sequence[Any]]) -> tuple[dict[str, int], dict[str, list[Any]]]:
    """Counts from the record and the log, compared with the trials `before`; and the trials that have ended now."""
    now, begun = ended_trials(home / "run"), begun_stretches(home)
    counts = {
        "ended": len(now),
        "lost": sum(number not in now or now[number][:2] != list(then[:2]) for number, then in before.items()),
        "told_twice": sum(number in now and now[number][2] != then[2] for number, then in before.items()),
        "begun": len(begun),
        "repeated": len(begun) - len({digest for digest, _ in begun}),
    }
    return counts, now


def final_counts(run: Path) -> dict[str, Any]:
    """The counts of a search that is done: what was left running, what failed, and what got other numbers."""
    trials = read_trials(run)
    answered = json.loads((run / "front.json").read_text(encoding="utf-8"))
    front = {member["trial"]: member["values"] for member in answered["front"]}
    failed = [trial.reason for trial in trials if trial.state == "failed"]
    fresh = [json.loads(path.read_text(encoding="utf-8")) for path in run.glob("trials/*/seed-*/result.json")]
    failed += [result["error"] for result in fresh if "error" in result]
    failed += [answered["note"]] if "left out" in answered["note"] else []
    return {
        "left_running": sum(trial.state == "running" for trial in trials),
        "front_is_the_records": front == front_of_record(run),
        "failed": failed,
        "other_numbers": other_numbers(run, trials),
    }


def other_numbers(run: Path, trials: Sequence[TrialRecord]) -> list[int]:
    """The trials with several attempts that get other numbers when they are trained once more in one piece."""
    seed, different = read_setup(run).study["seed"], []
    for trial in (trial for trial in trials if trial.rungs and trial.arch):
        folder = run / "trials" / f"{trial.number:05d}"
        if len([*folder.glob("attempt-*")]) > 1:
            recipe, last = Recipe(**trial.recipe), max(trial.rungs)
            again = Stretch(
                trial=trial.number,
                arch=trial.arch or {},
                recipe=recipe,
                seed=training_seed(trial.arch or {}, recipe, seed),
                start=0,
                stop=last,
                source="",
                folder=str(run.parent / "again" / folder.name),
            )
            with one_thread():
                result = run_stretch_in(str(run), again)
            different += [trial.number] if result.get("values") != trial.rungs[last] else []
    return different


def front_of_record(run: Path) -> dict[int, dict[str, float]]:
    """The front, computed again from the record and the results of trainings with fresh seeds alone."""
    means: dict[int, dict[str, float]] = {}
    for trial in read_trials(run):
        results = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in run.glob(f"trials/{trial.number:05d}/seed-*/result.json")
        ]
        if trial.state == "complete" and results:
            means[trial.number] = trial.costs | {"accuracy": fmean(r["values"]["accuracy"] for r in results)}
    points = {number: (-values["accuracy"], values["parameters"]) for number, values in means.items()}
    return {
        number: means[number] for number, point in points.items() if not any(_beats(p, point) for p in points.values())
    }


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


def faults(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """The faults that searches have suffered so far."""
    return [line["fault"] for line in lines if line["fault"]]


def report(lines: Sequence[Mapping[str, Any]], *, kills: int) -> None:
    """Prints a table with a row for each fault, the sums over the searches that are done, and the missing cells."""
    print("| fault | number | lost | told twice | undone | refused | stretches repeated |\n|" + 7 * "---|")
    for fault in [*dict.fromkeys(FAULTS), "all"]:
        own = [line for line in lines if line["fault"] == fault or fault == "all"]
        cells = [len(faults(own)), sum(line["lost"] for line in own), sum(line["told_twice"] for line in own)]
        cells += [sum(len(line["undone"]) for line in own), sum(bool(line.get("refused")) for line in own)]
        print(f"| {fault} | {' | '.join(map(str, [*cells, sum(line['again'] for line in own)]))} |")
    kinds = Counter((line["damage"][0], bool(line["refused"])) for line in lines if "damage" in line)
    print("\ndamaged: " + ", ".join(f"{kind} {n}{' (refused)' if no else ''}" for (kind, no), n in kinds.items()))
    done = [line for line in lines if line["finished"]]
    failed = [reason for line in done for reason in line["failed"]]
    print(
        f"{len(done)} searches are done, {sum(line['ended'] for line in done)} trials: "
        f"{sum(line['left_running'] for line in done)} left running, {len(failed)} failed, "
        f"{sum(len(line['other_numbers']) for line in done)} with other numbers, "
        f"{sum(line['front_is_the_records'] for line in done)} fronts as recorded; "
        f"{sum(line['begun'] for line in done)} stretches were begun"
    )
    for reason in failed:
        print(f"failed: {reason}")
    missing = Counter(FAULTS[number % len(FAULTS)] for number in range(len(faults(lines)), kills))
    print(f"missing: {', '.join(f'{number} {fault}' for fault, number in missing.items()) or 'none'}")
