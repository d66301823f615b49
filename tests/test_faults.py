"""A fault of a machine costs no student its place. A fault of a student costs that student alone."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import autokd, refused, refused_search, write_study
from small import small_driver, small_run, small_study

from autokd.checkpoints import deaths_of_trial
from autokd.driver import search_study
from autokd.driver.costs import draw_students
from autokd.driver.events import progress_only
from autokd.errors import InputError, LateError, NoFrontError
from autokd.front import Front
from autokd.record import TrialRecord, read_trials
from autokd.trial import in_time, run_stretch

FIXED = {"alpha": 0.5, "temperature": 4.0, "method": "kd", "lr": 0.01}
ONE = {"recipe": FIXED, "scheduler": "none", "sampler": "random", "budget.trials": 1, "budget.reseeds": 1}

SPACE = '''
"""A network; the process that trains it is ended so many times, in some way, and each time leaves a line in a file."""

import os
import signal
from pathlib import Path

from torch import nn

LOG = Path(__file__).with_name("ended.log")


def suggest(trial):
    return {{"width": trial.suggest_categorical("width", {widths})}}


def build(arch, task):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, arch["width"]), nn.ReLU(), nn.Linear(arch["width"], 10), Deadly())


class Deadly(nn.Module):
    def forward(self, x):
        ended = LOG.read_text().splitlines() if LOG.exists() else []
        if self.training and len(ended) < {times}:
            LOG.write_text("\\n".join([*ended, "ended"]))
            {end}
        return x
'''


def deadly_space(folder: Path, end: str, *, times: int, widths: tuple[int, ...] = (8,)) -> str:
    """A space whose students end the process that trains them, so many times in all."""
    folder.mkdir(exist_ok=True)
    (folder / "space.py").write_text(SPACE.format(end=end, times=times, widths=list(widths)))
    return str(folder / "space.py")


def search(folder: Path, **overrides: Any) -> Front:
    return search_study(small_study(**ONE | overrides), run=folder / "run")


def first(folder: Path) -> TrialRecord:
    return read_trials(folder / "run")[0]


KILLED = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_trial_whose_worker_is_killed_goes_on_and_gets_the_same_numbers(tmp_path: Path) -> None:
    options = {"executor": "processes", "workers": 1}
    space = deadly_space(tmp_path, KILLED, times=2)
    front = search(tmp_path, space=space, **options)
    undisturbed = search(tmp_path / "undisturbed", space=space, **options)
    assert [student.values for student in front] == [student.values for student in undisturbed]
    assert first(tmp_path).rungs == first(tmp_path / "undisturbed").rungs
    assert front.trials["failed"] == 0


def damaged(pattern: str, damage: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Damages all files of a run that match."""

    def on(run: Path) -> None:
        paths = [*run.glob(pattern)]
        assert paths
        for path in paths:
            path.write_bytes(damage(path.read_bytes()))

    return on


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def changed(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


ATTEMPTS = "trials/00000/attempt-*/epoch-*"


@pytest.mark.parametrize("damage", [cut, changed])
@pytest.mark.parametrize("name", ["weights.safetensors", "optimizer.safetensors", "result.json"])
def test_a_trial_whose_checkpoint_is_damaged_begins_anew_and_gets_the_same_numbers(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    run = small_run(tmp_path, scheduler="none")
    driver = small_driver(run)
    proposed = driver.propose()
    assert proposed is not None
    (second,) = driver.advance(0, run_stretch(run.context, proposed))
    undamaged = run_stretch(run.context, second)["values"]
    damaged(f"{ATTEMPTS[:-2]}-0001/{name}", damage)(run.folder)
    result = run_stretch(run.context, second)
    driver.record.close()
    assert result["values"] == undamaged
    assert result["damaged"] == second.source


FINISHED = [
    ("trials/00000/seed-1/result.json", cut),
    ("trials/00000/seed-1/weights.safetensors", cut),
    ("trials/00000/seed-1/weights.safetensors", changed),
    (f"{ATTEMPTS}/weights.safetensors", cut),
    (f"{ATTEMPTS}/answers.safetensors", cut),
    (f"{ATTEMPTS}/result.json", cut),
]


@pytest.mark.parametrize(("pattern", "damage"), FINISHED)
def test_a_front_is_settled_anew_whatever_file_of_a_student_is_damaged(
    tmp_path: Path, pattern: str, damage: Callable[[bytes], bytes]
) -> None:
    front = search(tmp_path)
    damaged(pattern, damage)(tmp_path / "run")
    (tmp_path / "run" / "front.json").unlink()
    again = search(tmp_path)
    assert [student.values for student in again] == [student.values for student in front]
    assert [student.test for student in again] == [student.test for student in front]


def test_five_students_that_failed_once_do_not_doom_a_run_for_good(tmp_path: Path) -> None:
    run = small_run(tmp_path, scheduler="none", **{"budget.trials": 50})
    driver = small_driver(run)
    with pytest.raises(NoFrontError, match="all failed, the last one with this reason: out of memory"):
        fail_all(driver)
    driver.record.close()

    driver = small_driver(run)
    proposed = driver.propose()
    assert proposed is not None
    driver.advance(proposed.trial, run_stretch(run.context, proposed))
    fail(driver, times=6)
    driver.record.close()


def fail(driver: Any, *, times: int) -> None:
    for _ in range(times):
        stretch = driver.propose()
        assert driver.advance(stretch.trial, {"error": "out of memory"}) == []


def fail_all(driver: Any) -> None:
    fail(driver, times=50)


LEAVING = """
import os
import sys

from torch import nn

{before}


def suggest(trial):
    width = trial.suggest_categorical("width", [4, 8, 12])
    {suggest}
    return {{"width": width}}


def build(arch, task):
    width = arch["width"]
    {build}
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
"""


def leaving_space(folder: Path, *, suggest: str = "pass", build: str = "pass", before: str = "") -> str:
    """A space with statements put into its file, its `suggest` and its `build`; both may look at `width`."""
    (folder / "space.py").write_text(LEAVING.format(before=before, suggest=suggest, build=build))
    return str(folder / "space.py")


@pytest.mark.parametrize("executor", ["inline", "processes"])
@pytest.mark.parametrize("place", ["suggest", "build"])
def test_a_space_that_calls_sys_exit_costs_that_student_alone(tmp_path: Path, place: str, executor: str) -> None:
    space = leaving_space(tmp_path, **{place: "width != 8 or sys.exit(0)"})
    front = search(tmp_path, space=space, executor=executor, sampler="tpe", **{"budget.trials": 3})
    reasons = {trial.reason for trial in read_trials(tmp_path / "run") if trial.state == "failed"}
    assert reasons == {"raised SystemExit: 0"}
    assert front.trials["complete"] > 0


def test_a_command_is_not_ended_in_silence_by_code_that_a_study_names(tmp_path: Path) -> None:
    assert "SystemExit: 0" in refused("check", leaving_space(tmp_path, before="sys.exit(0)"), "--task", "digits")
    (tmp_path / "leave.py").write_text("import sys\n\n\ndef rule(objectives, rungs):\n    sys.exit(0)\n")
    said = refused_search(tmp_path, {"scheduler": f"{tmp_path / 'leave.py'}:rule"})
    assert (
        "code that the study or the command names called sys.exit(0), which would end the command; remove that call"
        in said
    )
    said = refused_search(tmp_path, {"space": leaving_space(tmp_path, suggest="sys.exit(0)")})
    assert "draws; it raised SystemExit: 0" in said


@pytest.mark.parametrize("place", ["before", "suggest", "build"])
def test_a_space_that_changes_the_current_folder_changes_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    leaving_space(Path(), **{place: f"os.chdir({str(tmp_path / 'elsewhere')!r})"})
    answer = autokd("search", write_study(Path(), {"space": "space.py", "baselines": ["hard"]}), "--run", "run")
    assert answer.code == 0, answer
    assert "run folder: run\n" in answer.out
    assert (tmp_path / "here" / "run" / "report.html").is_file()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "how", [lambda run: run.rename(run.with_name("renamed")), shutil.rmtree], ids=["renamed", "gone"]
)
@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_run_folder_that_goes_away_ends_the_search_in_one_line(
    tmp_path: Path, how: Callable[[Path], None], executor: str
) -> None:
    def look(progress: Mapping[str, Any]) -> None:
        if progress["epochs_spent"] >= 2 and (tmp_path / "run").exists():
            how(tmp_path / "run")

    study = small_study(**ONE | {"executor": executor, "workers": 1, "budget.trials": 4})
    with pytest.raises(InputError, match="/run was renamed or deleted while it was used; put it back, and the same"):
        search_study(study, run=tmp_path / "run", tell=progress_only(look))


SCRIPT = """
import sys
from pathlib import Path

sys.path.insert(0, {tests!r})
from test_faults import search

front = search(Path({folder!r}), space={space!r}, **{overrides!r})
print(front.trials["failed"], front.trials["complete"])
"""


def searched_inline(folder: Path, space: str, **overrides: Any) -> subprocess.CompletedProcess[str]:
    given = {"budget.trials": 2} | overrides
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), space=space, overrides=given)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("end", ["os._exit(7)", KILLED])
def test_a_student_that_ends_an_inline_search_three_times_fails_and_the_search_goes_on(
    tmp_path: Path, end: str
) -> None:
    space = deadly_space(tmp_path, end, times=3, widths=(8, 9))
    codes = [searched_inline(tmp_path, space).returncode for _ in range(3)]
    assert codes == [7 if "exit" in end else -9] * 3
    answered = searched_inline(tmp_path, space)
    assert answered.stdout == "1 1\n", answered.stderr
    said = "its process died 3 times, the last time with the search, which trained it in its own process"
    assert first(tmp_path).reason == said


@pytest.mark.slow
def test_a_fresh_training_that_is_killed_is_tried_again_three_times_in_all(tmp_path: Path) -> None:
    space = deadly_space(tmp_path, KILLED, times=2)
    options = {"executor": "processes", "workers": 1, "space": space}
    search(tmp_path / "undisturbed", **options, **{"budget.reseeds": 2})
    undisturbed = search(tmp_path / "undisturbed", **options, **{"budget.reseeds": 2})
    (tmp_path / "ended.log").unlink()
    (tmp_path / "undisturbed" / "run" / "front.json").unlink()
    for path in (tmp_path / "undisturbed" / "run").glob("trials/*/seed-*/*"):
        path.unlink()
    again = search(tmp_path / "undisturbed", **options, **{"budget.reseeds": 2})
    assert [student.values for student in again] == [student.values for student in undisturbed]


UNUSABLE: list[tuple[dict[str, Any], str]] = [
    ({"my rival": [{"recipe.alpha": 0}]}, "baselines.my rival: .*name: 'small-my rival' given; write letters"),
    ({"r" * 250: [{"recipe.alpha": 0}]}, "baselines: a name of 250 characters given; write a shorter name"),
    ({"mine": [{"space": "no_such_space"}]}, "baselines.mine: no search space is named 'no_such_space'"),
    ({"mine": [{}, {"sampler": "no_such_sampler"}]}, "baselines.mine: .*no_such_sampler"),
    ({"mine": [{"device": "cuda:99"}]}, "baselines.mine: .*cuda"),
    ({"mine": [{"recipe.method": "no_such_loss"}]}, "baselines.mine: .*no_such_loss"),
    ({"mine": [{"objectives": {"error": {}, "flops": {}}}]}, "baselines.mine leaves out accuracy, parameters"),
    ({"mine": [{"objectives.parameters.bound": 1}]}, "baselines.mine: objectives: none of .* within the bounds"),
]


@pytest.mark.parametrize(("baselines", "words"), UNUSABLE, ids=[words for _, words in UNUSABLE])
def test_a_baseline_that_cannot_be_searched_is_refused_before_anything_is_trained(
    tmp_path: Path, baselines: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        search(tmp_path, baselines=baselines)
    assert not (tmp_path / "run").exists()


def test_a_mistake_in_baselines_is_mended_on_the_same_run(tmp_path: Path) -> None:
    before = search(tmp_path, baselines={"mine": {"recipe.alpha": 0.1}})
    mended = search(tmp_path, baselines={"mine": {"recipe.alpha": 0}, "hard": {}})
    assert list(mended) == list(before)
    assert {student["recipe"]["alpha"] for student in mended.baselines["mine"]["front"]} == {0}
    assert list(mended.baselines) == ["mine", "hard"]
    assert search(tmp_path, baselines={"mine": {"recipe.alpha": 0}, "hard": {}}) == mended


def test_a_search_whose_report_could_not_be_written_is_refused_before(tmp_path: Path) -> None:
    (tmp_path / "run" / "report.html").mkdir(parents=True)
    said = refused("search", write_study(tmp_path), "--run", tmp_path / "run")
    assert "report.html is a folder, and the report is written to a file of that name; rename the folder" in said
    assert not (tmp_path / "run" / "study.json").exists()


@pytest.mark.parametrize("output", [">&-", ">/dev/full"])
def test_a_search_whose_front_could_not_be_printed_is_refused_before(tmp_path: Path, output: str) -> None:
    words = [sys.executable, "-c", "from autokd.cli import main; main()", "search", str(write_study(tmp_path))]
    command = f"{shlex.join([*words, '--run', str(tmp_path / 'run')])} {output}"
    answered = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert answered.returncode == 2, answered
    assert answered.stderr.startswith("autokd: stdout cannot be written (")
    assert answered.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


SLEEPS, LOOPS = "time.sleep(600)", "[None for _ in iter(int, 1)]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "hang", "executor", "minutes"),
    [
        ("suggest", SLEEPS, "inline", 0.01),
        ("suggest", LOOPS, "inline", 0.01),
        ("build", SLEEPS, "inline", 0.01),
        ("build", LOOPS, "inline", 0.01),
        ("build", LOOPS, "processes", 0.1),  # in which a worker also begins and trains
    ],
)
def test_a_space_that_hangs_in_the_driver_costs_that_student_alone(
    tmp_path: Path, place: str, hang: str, executor: str, minutes: float
) -> None:
    space = leaving_space(tmp_path, before="import time", **{place: f"width != 8 or {hang}"})
    options = {"executor": executor, "sampler": "tpe", "budget.trials": 3, "budget.trial_minutes": minutes}
    front = search(tmp_path, space=space, **options)
    reasons = {trial.reason for trial in read_trials(tmp_path / "run") if trial.state == "failed"}
    assert reasons == {f"timed out: {place} took more than {minutes:g} minutes"}
    assert front.trials["complete"] > 0
    assert not any(LOOPS in line for line in what_threads_do())


def what_threads_do() -> list[str]:
    """The line of code at which each thread of this process is."""
    return [traceback.extract_stack(frame)[-1].line or "" for frame in sys._current_frames().values()]


@pytest.mark.slow
def test_a_draw_that_hangs_while_the_sampler_looks_ahead_costs_one_student(tmp_path: Path) -> None:
    # Of the sampler's draws alone, which look ahead: not of a trial of the record.
    space = leaving_space(
        tmp_path, suggest="width != 8 or not hasattr(trial, 'imagined') or [None for _ in iter(int, 1)]"
    )
    front = search(tmp_path, space=space, sampler="autokd", **{"budget.trials": 4, "budget.trial_minutes": 0.02})
    assert front.trials["failed"] == 1
    assert front.trials["complete"] > 0


def test_what_takes_too_long_is_late_and_its_loop_ends() -> None:
    with pytest.raises(LateError, match=r"suggest took more than 0\.001 minutes"):
        in_time(0.001, lambda: [None for _ in iter(int, 1)], what="suggest")
    assert not any("iter(int, 1)" in line for line in what_threads_do())


def test_only_the_inner_limit_counts_while_work_waits_for_work_of_its_own() -> None:
    def inner() -> int:
        return sum(range(10**7))

    assert in_time(1e-4, lambda: in_time(1, inner, what="build"), what="suggest") == sum(range(10**7))


IN = {"suggest": "which called suggest in its own process", "build": "which built it in its own process"}
IN_SAMPLE = "not os.path.exists(os.path.join(os.path.dirname(__file__), 'run', 'study.json'))"
"""Whether the search has not begun yet, and draws the sample by which it knows the space."""
ONE_OF = {"suggest": f"trial.number != 1 or {IN_SAMPLE}", "build": f"width != 8 or {IN_SAMPLE}"}
"""Whether it is not the one student that does harm."""
HELD = r"__import__('re').match(r'(\w+)*$', 'a' * 64 + '!')"
"""It holds Python's lock for longer than anybody can wait."""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["suggest", "build"])
def test_a_space_that_holds_the_interpreter_up_ends_the_search_in_one_line_and_is_counted(
    tmp_path: Path, place: str
) -> None:
    space = leaving_space(tmp_path, **{place: f"{ONE_OF[place]} or {HELD}"})
    ended = searched_inline(tmp_path, space, **{"budget.trial_minutes": 0.02, "budget.trials": 6, "sampler": "tpe"})
    assert ended.returncode == -9
    assert ended.stderr.strip().startswith("autokd: suggest or build took too long and let nothing else run")
    assert ended.stderr.strip().count("\n") == 0
    trials = [trial for trial in read_trials(tmp_path / "run") if trial.state != "running"]
    assert deaths_of_trial(tmp_path / "run", len(trials)) == [f"with the search, {IN[place]}"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["suggest", "build"])
def test_a_space_that_ends_the_search_as_it_proposes_fails_at_the_third_resume(tmp_path: Path, place: str) -> None:
    space = leaving_space(tmp_path, **{place: f"{ONE_OF[place]} or os._exit(7)"})
    options = {"sampler": "tpe", "budget.trials": 2 if place == "suggest" else 3}
    answers = [searched_inline(tmp_path, space, **options) for _ in range(4)]
    assert [each.returncode for each in answers] == [7, 7, 7, 0], answers
    (failed,) = [trial for trial in read_trials(tmp_path / "run") if trial.state == "failed"]
    assert failed.reason == f"its process died 3 times, the last time with the search, {IN[place]}"
    assert (failed.arch is None) == (place == "suggest")
    assert not any(trial.state == "running" for trial in read_trials(tmp_path / "run"))
    assert list((tmp_path / "run" / "trials").glob("*/deaths.txt")) == [
        tmp_path / "run" / "trials" / f"{failed.number:05d}" / "deaths.txt"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["suggest", "build"])
def test_a_space_that_ends_the_search_before_it_begins_is_drawn_from_less_at_the_third_time(
    tmp_path: Path, place: str
) -> None:
    space = leaving_space(tmp_path, **{place: f"width != 12 or not ({IN_SAMPLE}) or os._exit(7)"})
    answers = [searched_inline(tmp_path, space, **{"sampler": "tpe"}) for _ in range(4)]
    assert [each.returncode for each in answers] == [7, 7, 7, 0], answers


def test_a_space_of_which_every_draw_ends_the_search_is_refused_at_the_third_resume(tmp_path: Path) -> None:
    context = small_run(tmp_path).context
    for draw in range(3):
        archs = draw_students(context, 9, folder=tmp_path)
        next(archs)
        shutil.copytree(tmp_path / "sample", tmp_path / f"died-{draw}")  # what is there if the process ends now
        archs.close()
        shutil.copytree(tmp_path / f"died-{draw}", tmp_path / "sample", dirs_exist_ok=True)
    with pytest.raises(InputError, match="it or build ended the process of the search at draw 2"):
        list(draw_students(context, 9, folder=tmp_path))
