from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from small import forget_new_keys, small_driver, small_run, small_study, write_space

from autokd.driver import search_study
from autokd.driver.events import progress_only
from autokd.errors import InputError
from autokd.files import write_json
from autokd.front import Front
from autokd.record import read_study, read_trials
from autokd.tasks import from_arrays
from autokd.trial import Stretch, run_stretch


def search(folder: Path, **overrides: Any) -> Front:
    return search_study(small_study(**overrides), run=folder / "run")


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2", "qmc"])
def test_a_sampler_that_is_resumed_does_not_repeat_its_suggestions(sampler: str, tmp_path: Path) -> None:
    search(tmp_path, sampler=sampler, **{"budget.trials": 3})
    search(tmp_path, sampler=sampler, **{"budget.trials": 6})
    trials = read_study(tmp_path / "run").get_trials(deepcopy=False)
    assert len({json.dumps(trial.params, sort_keys=True) for trial in trials}) == len(trials) == 6


def test_the_largest_seed_can_be_resumed_too(tmp_path: Path) -> None:
    search(tmp_path, seed=2**32 - 1, sampler="random", **{"budget.trials": 1})
    assert search(tmp_path, seed=2**32 - 1, sampler="random", **{"budget.trials": 2}).note == "2 trials are done"


def test_what_may_change_may_change(tmp_path: Path) -> None:
    search(tmp_path, **{"budget.trials": 2})
    changes = {"trials": 3, "epochs": 100, "trial_minutes": 5, "disk_gb": 1}
    search(tmp_path, workers=2, **{f"budget.{key}": value for key, value in changes.items()})
    assert json.loads((tmp_path / "run" / "study.json").read_text())["study"]["workers"] == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("budget.rungs", [1, 4]),
        ("budget.reseeds", 2),
        ("recipe.alpha", 0.5),
        ("objectives.parameters.bound", 20_000),
        ("sampler", "random"),
        ("scheduler", "none"),
        ("seed", 1),
        ("space", "resnet"),
        ("task.labels", 70),
        ("teacher.args", {"n_neighbors": 3}),
    ],
)
def test_any_other_change_is_refused_in_one_line_that_names_it(
    key: str, value: Any, tmp_path_factory: pytest.TempPathFactory, begun: Path
) -> None:
    before = (begun / "run" / "study.json").read_bytes()
    with pytest.raises(InputError, match=f"begun with another study: .*{key}.* changed; .*--fresh") as refusal:
        search(begun, **{"budget.trials": 1, key: value})
    assert "\n" not in str(refusal.value)
    assert (begun / "run" / "study.json").read_bytes() == before


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search of one trial."""
    folder = tmp_path_factory.mktemp("begun")
    search(folder, **{"budget.trials": 1})
    return folder


def test_a_run_of_before_there_was_a_key_goes_on(tmp_path: Path) -> None:
    search(tmp_path, **{"budget.trials": 1})
    forget_new_keys(tmp_path / "run")
    with pytest.raises(InputError, match="begun with another study: precision changed"):
        search(tmp_path, precision="bf16")
    assert search(tmp_path, **{"budget.trials": 2}).note == "2 trials are done"


def points(*, changed: bool = False) -> Any:
    """A task of 200 points around ten centres."""
    generator = np.random.default_rng(0)
    y = np.arange(200) % 10
    x = generator.normal(size=(10, 16))[y] + 0.5 * generator.normal(size=(200, 16))
    x[0, 0] += changed
    return from_arrays(x.astype(np.float32), y, labels=60)


def test_other_data_another_teacher_or_another_space_are_refused(tmp_path: Path) -> None:
    space, file = write_space(tmp_path, widths=[4, 8]), tmp_path / "answers.npy"
    answers = 5 * np.eye(10, dtype=np.float32)[np.arange(200) % 10]
    np.save(file, answers)
    study = {"task": points(), "teacher": {"outputs": str(file)}, "budget.trials": 1, "space": space}
    search(tmp_path, **study)

    with pytest.raises(InputError, match="the data changed"):
        search(tmp_path, **study | {"task": points(changed=True)})
    np.save(file, answers + 1)
    with pytest.raises(InputError, match="the teacher changed"):
        search(tmp_path, **study)
    np.save(file, answers)
    search(tmp_path, **study)
    with open(space, "a") as source:
        source.write("# changed\n")
    with pytest.raises(InputError, match=r"the source of the space \(space.py\) changed"):
        search(tmp_path, **study)


def test_a_second_driver_is_refused_while_the_first_one_runs(tmp_path: Path) -> None:
    refusals: list[Any] = []

    def second(_: Mapping[str, Any]) -> None:
        if not refusals:
            with pytest.raises(InputError, match="held by another search") as refusal:
                search(tmp_path)
            refusals.append(refusal)

    front = search_study(small_study(), run=tmp_path / "run", tell=progress_only(second))
    assert refusals
    assert front.trials["complete"] + front.trials["pruned"] == 6


def interrupted(folder: Path, after: int, **overrides: Any) -> None:
    """A search that Ctrl-C ends once so many stretches have been recorded."""

    def interrupt(progress: Mapping[str, Any]) -> None:
        if sum(len(trial.rungs) for trial in read_trials(folder / "run")) >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_study(small_study(**overrides), run=folder / "run", tell=progress_only(interrupt))


@pytest.mark.parametrize("after", [0, 1, 2, 3, 7])
def test_an_interrupted_search_goes_on_and_loses_nothing(after: int, tmp_path: Path) -> None:
    interrupted(tmp_path, after, scheduler="none", **{"budget.trials": 4})
    before = read_trials(tmp_path / "run")

    front = search(tmp_path, scheduler="none", **{"budget.trials": 4})

    trials = read_trials(tmp_path / "run")
    assert front.trials["complete"] == 4
    for old, new in zip(before, trials, strict=False):
        assert old.arch in (None, new.arch)
        assert old.rungs.items() <= new.rungs.items()
    assert TrialState.RUNNING not in [t.state for t in read_study(tmp_path / "run").get_trials(deepcopy=False)]


def test_an_interrupted_training_gives_the_numbers_of_an_uninterrupted_one(tmp_path: Path) -> None:
    """The first trial is stopped after each rung; the others differ, as a resumed sampler is seeded anew."""
    for folder in (whole := tmp_path / "whole", parts := tmp_path / "parts"):
        folder.mkdir()
    options = {"scheduler": "none", "budget.trials": 1, "budget.reseeds": 0}
    front = search(whole, **options)
    interrupted(parts, 1, **options)
    interrupted(parts, 2, **options)
    resumed = search(parts, **options)
    assert list(resumed) == list(front)
    assert read_trials(parts / "run") == read_trials(whole / "run")


def test_a_stretch_that_no_driver_recorded_is_adopted_and_not_repeated(tmp_path: Path) -> None:
    run = small_run(tmp_path, scheduler="none")
    driver = small_driver(run)
    first = driver.propose()
    assert first is not None
    result = run_stretch(run.context, first)
    driver.record.close()  # as if killed before it could record that

    driver = small_driver(run)
    (second,) = driver.resume()

    assert driver.record.trials[0].rungs == {1: result["values"]}
    assert (second.start, second.stop, second.source) == (1, 2, first.folder)
    driver.record.close()


def test_an_error_that_no_driver_recorded_is_adopted(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    driver = small_driver(run)
    first = driver.propose()
    assert first is not None
    Path(first.folder).mkdir(parents=True)
    write_json(Path(first.folder) / "result.json", {"error": "out of memory"})
    driver.record.close()

    driver = small_driver(run)
    assert list(driver.resume()) == []
    assert driver.record.trials[0].reason == "out of memory"
    driver.record.close()


def test_results_of_a_trial_that_the_record_lost_are_not_ascribed_to_the_next_of_its_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = small_run(tmp_path)
    small_driver(run).record.close()
    earlier = (run.folder / "record.db").read_bytes()
    driver = small_driver(run)
    proposed = driver.propose()
    assert proposed is not None
    run_stretch(run.context, proposed)
    driver.record.close()
    (run.folder / "record.db").write_bytes(earlier)

    driver = small_driver(run)
    assert driver.resume() == []
    assert "not in it any more, and other students are proposed in their place: 0." in caplog.text
    assert driver.propose() is not None
    driver.record.close()
    driver = small_driver(run)
    (again,) = driver.resume()
    assert (again.trial, again.start, driver.record.trials[0].rungs) == (0, 0, {})
    driver.record.close()


def test_a_front_of_trials_that_the_record_lost_is_no_answer(tmp_path: Path) -> None:
    changes = {"budget.trials": 1, "budget.reseeds": 0, "scheduler": "none"}
    run = small_run(tmp_path, **changes)
    small_driver(run).record.close()
    earlier = (run.folder / "record.db").read_bytes()
    search_study(small_study(**changes), run=run.folder)
    written = json.loads((run.folder / "front.json").read_text())
    write_json(run.folder / "front.json", written | {"hypervolume": 0.123})
    assert search_study(small_study(**changes), run=run.folder).hypervolume == 0.123  # nothing was added to the record

    (run.folder / "record.db").write_bytes(earlier)
    again = search_study(small_study(**changes), run=run.folder)
    assert again.trials == written["trials"]
    assert again.hypervolume != 0.123


def test_a_worker_that_outlived_its_driver_writes_into_its_own_attempt_alone(tmp_path: Path) -> None:
    run = small_run(tmp_path, scheduler="none")
    driver = small_driver(run)
    stale = driver.propose()
    assert stale is not None
    driver.record.close()

    driver = small_driver(run)
    (current,) = driver.resume()
    assert current.trial == stale.trial
    (following,) = driver.advance(current.trial, run_stretch(run.context, current))
    before = contents(current)
    write_json_of_a_stale_worker = run_stretch(run.context, stale)

    assert "error" not in write_json_of_a_stale_worker
    assert contents(current) == before
    assert Path(following.source) == Path(current.folder)
    driver.record.close()


def contents(stretch: Stretch) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(stretch.folder).iterdir()}
