"""A study that cannot be searched is refused in one line that says why."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from autokd.errors import InputError
from autokd.study import Study, load_study, make_sampler, resolve_objectives
from autokd.types import Objective

GOOD = """\
name: digits
task: {data: digits, labels: 100}
teacher: {space: mlp, arch: {}, epochs: 3}
space: mlp
recipe:
  alpha: {low: 0, high: 1}
objectives:
  accuracy: {}
  parameters: {bound: 2.0e+4}
budget:
  trials: 60
  rungs: [3, 9, 27]
"""


def _share(evaluation: object, *, least: float = 0.0) -> float:
    return least


def _size(student: object, inputs: object, unit: float = 1.0) -> float:
    return unit


share = Objective("share", "maximize", "", trained=True, measure=_share)
size = Objective("size", "minimize", "", trained=False, measure=_size, settings={"unit": 2.0})


twin = dataclasses.replace(share)
other = dataclasses.replace(size, name="other")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str, overrides: list[str] | None = None) -> Study:
    Path("x.yaml").write_text(text)
    return load_study("x.yaml", overrides or [])


def refusal(act: Any, *args: Any, **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        act(*args, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def make(**changes: Any) -> Study:
    return Study(**{"name": "small", "task": "digits", "teacher": "teacher:made", "space": "mlp", **changes})


def bomb(first: str, level: str) -> str:
    """A small file in which each level stands nine times for the one before."""
    above = (",".join(9 * [f"*a{i}"]) for i in range(20))
    lines = (f"a{i + 1}: &a{i + 1} {level.replace('ALIASES', names)}" for i, names in enumerate(above))
    return "\n".join([f"a0: &a0 {first}", *lines])


BAD_FILES = [
    ("", " the file is empty; 'autokd init DIR' writes a study to start from"),
    ("# only a comment\n", " the file is empty; 'autokd init DIR' writes a study to start from"),
    (
        "- a\n- b\n",
        " this is no study, because the file holds ['a', 'b']; write 'name: ...' and the",
    ),
    ("name: [a\nb: c", "2: not YAML: expected ',' or ']', but got ':'"),
    ("a: b: c", "1: not YAML: mapping values are not allowed here"),
    ("name: a\n\tb: c", "2: not YAML: found character '\\t' that cannot start any token"),
    ("a: *b", "1: not YAML: found undefined alias 'b'"),
    (
        "a: !!python/object/apply:os.system [ls]",
        "1: not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object/apply:os.system'",
    ),
    ("a: 1\n---\nb: 2", "2: not YAML: but found another document"),
    ("a: \x00", " not YAML: unacceptable character #x0000: special characters are not allowed in"),
    ("[" * 2000, " nested too deeply"),
    ("name: a\nname: b\n", "2: name: this key is given twice, first in line 1"),
    (GOOD + "  trials: 3\n", "13: budget.trials: this key is given twice, first in line 11"),
    ("a: {1: b}", "1: a.1: keys are text; put this one in quotes"),
    ("a: &a\n  b: *a", "1: a part of the file contains itself"),
    ("a: !!timestamp x", "1: not YAML: 'x' is no timestamp"),
    ("a: 1\nb: !!int ''", "2: not YAML: '' is no int"),
    ("a: " + "9" * 400, "1: not YAML: a whole number of more than 1000 bits"),
    ("a: " + "[" * 60 + "]" * 60, "1: nested too deeply; write 50 levels at most"),
    (bomb("{x: 1}", "{<<: [ALIASES]}"), "6: more than 100,000 values once its aliases are written out"),
    (bomb("[x]", "[ALIASES]"), "6: more than 100,000 values once its aliases are written out"),
    (GOOD + "baselines: [{hard: {}}]\n", "13: baselines: [{'hard': {}}] given; write [hard], or"),
    (GOOD.replace("arch: {}", "arch: {depth: .nan}"), "3: teacher.arch.depth: nan given; write a number"),
    (GOOD.replace("2.0e+4", ".inf"), "9: objectives.parameters: bound inf given; it should be a number"),
    (
        "name: a\n",
        " task: this key is missing; write {data: digits, labels: 100}, a plug-in's name, a reference, {task: a",
    ),
]

BAD_LINES = [
    ("trials: 60", "trails: 60", "11: budget.trails: there is no such key; did you mean 'trials'?"),
    ("budget:", "budgte:", "10: budgte: there is no such key; did you mean 'budget'?"),
    ("space: mlp\n", "spaces: mlp\n", "4: spaces: there is no such key; did you mean 'space'? (and 1 more)"),
    (
        "{low: 0, high: 1}",
        "{lo: 0, high: 1}",
        "6: recipe.alpha.lo: there is no such key; did you mean 'low'? (and 1 more)",
    ),
    ("  alpha:", "  zzz: 1\n  alpha:", "6: recipe.zzz: there is no such key; known: temperature, alpha, method, lr, "),
    ("trials: 60", "trials: many", "11: budget.trials: 'many' given; it should be a whole number"),
    ("trials: 60", "trials: 1.5", "11: budget.trials: 1.5 given; it should be a whole number"),
    ("trials: 60", "trials: true", "11: budget.trials: true given; it should be a whole number"),
    ("trials: 60", "trials: 0", "11: budget.trials: 0 given; it should be greater than or equal to 1"),
    (
        "trials: 60",
        "epochs: 9",
        "10: budget: epochs: 9 is too few to train one student, which takes 27; raise epochs, or shorten rungs",
    ),
    ("[3, 9, 27]", "[3, 3]", "12: budget.rungs: [3, 3] given; write rising epochs of 1 or more, such as [3, 9, 27]"),
    ("[3, 9, 27]", "[3, x]", "12: budget.rungs.1: 'x' given; it should be a whole number"),
    ("[3, 9, 27]", "27", "12: budget.rungs: 27 given; it should be a list [a, b]"),
    (
        "name: digits",
        "name: a/b",
        "1: name: 'a/b' given; write letters, digits, '.', '_' and '-', as a folder gets this name",
    ),
    (
        "name: digits",
        "name: ..",
        "1: name: '..' given; write letters, digits, '.', '_' and '-', as a folder gets this name",
    ),
    ("name: digits", "name: no", "1: name: false given; it should be text"),
    ("space: mlp\n", "space: 3\n", "4: space: 3 given; write a plug-in's name, 'package.module', "),
    ("space: mlp\n", "space:\n", "4: space: null given; write a plug-in's name, 'package.module', "),
    (
        "space: mlp\n",
        "space: {space: mlp}\n",
        "4: space: {'space': 'mlp'} given; write a plug-in's name, 'package.module', ",
    ),
    (
        "{low: 0, high: 1}",
        "{low: 1, high: 0}",
        "6: recipe.alpha: low 1 is not below high 0; to fix the setting, write its value alone",
    ),
    (
        "{low: 0, high: 1}",
        "{low: 0, high: 2}",
        "6: recipe.alpha: 2 given; it should be between 0 (labels only) and 1 (teacher only)",
    ),
    (
        "{low: 0, high: 1}",
        "{low: 0, high: 1, step: 0.3}",
        "6: recipe.alpha: step 0.3 does not lead from 0 to 1; choose a step that divides the range",
    ),
    ("{low: 0, high: 1}", "{low: 0}", "6: recipe.alpha.high: this key is missing; write the largest value"),
    ("{low: 0, high: 1}", "high", "6: recipe.alpha: 'high' given; it should be a number"),
    ("{low: 0, high: 1}", "[0, 0]", "6: recipe.alpha: [0.0, 0.0] given; write one or more different choices"),
    ("alpha:", "lr:", "6: recipe.lr: 0 given; it should be above 0"),
    ("alpha: {low: 0, high: 1}", "temperature: -1", "6: recipe.temperature: -1 given; it should be above 0"),
    ("alpha: {low: 0, high: 1}", "weight_decay: [0, -1]", "6: recipe.weight_decay: -1 given; it should be 0 or more"),
    (
        "alpha: {low: 0, high: 1}",
        "batch_size: 1",
        "6: recipe.batch_size: 1 given; it should be 2 or more, because BatchNorm cannot train on one row",
    ),
    ("alpha: {low: 0, high: 1}", "batch_size: 64.5", "6: recipe.batch_size: 64.5 given; it should be a whole number"),
    ("alpha: {low: 0, high: 1}", "lr: .inf", "6: recipe.lr: inf given; it should be a finite number"),
    (
        "alpha: {low: 0, high: 1}",
        "lr: {low: 1, high: 2, log: true, step: 1}",
        "6: recipe.lr: 'log' and 'step' cannot be combined; leave one out",
    ),
    ("alpha: {low: 0, high: 1}", "method: 3", "6: recipe.method: 3 given; it should be text"),
    (
        "recipe:\n  alpha: {low: 0, high: 1}",
        "recipe: fast",
        "5: recipe: 'fast' given; it should be a mapping {key: value}",
    ),
    ("bound: 2.0e+4", "bound: small", "9: objectives.parameters: bound 'small' given; it should be a number"),
    ("accuracy: {}", "accuracy: 3", "8: objectives.accuracy: 3 given; write {} or {bound: 2.0}"),
    ("  accuracy: {}\n", "", "7: objectives: parameters given; name two or more, such as accuracy and parameters"),
    ("budget:", "executor: rai\nbudget:", "10: executor: 'rai' given; it should be 'inline', 'processes' or 'ray'"),
    ("budget:", "sampler: 3\nbudget:", "10: sampler: 3 given; write a sampler's name, or {name: tpe, setting: ...}"),
    (
        "budget:",
        "baselines: [hrd]\nbudget:",
        "10: baselines: no baseline is named 'hrd' (known: hard, default, sequential); write the keys that "
        "yours overrides; did you mean 'hard'?",
    ),
    (
        "budget:",
        "baselines: {hard: {budget.trails: 3}}\nbudget:",
        "10: baselines.hard: override budget.trails=3: budget.trails: there is no such key; did you mean 'trials'?",
    ),
    (
        "budget:",
        "baselines: 3\nbudget:",
        "10: baselines: 3 given; write [hard], or {hard: {budget.trials: 20}}",
    ),
    ("budget:", "seed: -1\nbudget:", "10: seed: -1 given; it should be greater than or equal to 0"),
]

BAD_TASKS_AND_TEACHERS = [
    (
        "{data: digits, labels: 100}",
        "{data: digits, labls: 100}",
        "2: task.labls: there is no such key; did you mean 'labels'?",
    ),
    ("{data: digits, labels: 100}", "{}", "2: task.data: this key is missing; write digits, a .npz file, "),
    ("{data: digits, labels: 100}", "7", "2: task: 7 given; write {data: digits, labels: 100}, "),
    ("labels: 100", "labels: 0", "2: task.labels: 0 given; write a count, a fraction in (0, 1], or null for all"),
    ("labels: 100", "rows: 1.5", "2: task.rows: 1.5 given; it should be a whole number"),
    (
        "labels: 100",
        "augment: {flop: true}",
        "2: task.augment.flop: there is no such key; did you mean 'flip'?",
    ),
    (
        "labels: 100",
        "normalise: {mean: [0], std: [-1]}",
        "2: task.normalise.std.0: -1 given; it should be greater than 0",
    ),
    ("labels: 100", "class_weights: even", "2: task.class_weights: 'even' given; it should be 'balanced'"),
    ("epochs: 3", "epochz: 3", "3: teacher.epochz: there is no such key; did you mean 'epochs'? (and 1 more)"),
    (
        "epochs: 3",
        "epochs: 3, q: 1",
        "3: teacher.q: there is no such key; known: weight, saw_training_rows, reading, space, arch, ",
    ),
    ("epochs: 3", "epochs: '3'", "3: teacher.epochs: '3' given; it should be a whole number"),
    (
        "{space: mlp, arch: {}, epochs: 3}",
        "{spaec: mlp}",
        "3: teacher: {'spaec': 'mlp'} given; it should be a mapping ",
    ),
    ("{space: mlp, arch: {}, epochs: 3}", "[]", "3: teacher: [] given; it should be a list of one or more"),
    (
        "{space: mlp, arch: {}, epochs: 3}",
        "[a:b, {onnx: a.onnx, weight: 0}]",
        "3: teacher.1.weight: 0 given; it should be greater than 0",
    ),
]

BAD_OVERRIDES = [
    ("budget.trials", "override 'budget.trials': write key=value, such as budget.trials=20"),
    ("budget..trials=3", "override 'budget..trials=3': write key=value, such as budget.trials=20"),
    ("=3", "override '=3': write key=value, such as budget.trials=20"),
    ("task=[a", "override 'task=[a': not YAML: expected ',' or ']', but got '<stream end>'"),
    ("budget.trails=3", "override budget.trails=3: budget.trails: there is no such key; did you mean 'trials'?"),
    ("budget.trials.x=3", "override budget.trials.x=3: 'trials' is 60, which has no 'x'; override 'trials' itself"),
    (
        "recipe.lr.low=3",
        "override recipe.lr.low=3: recipe.lr: low 3 is not below high 0.03; to fix the setting, write its value alone",
    ),
    ("seed=", "override seed=null: seed: null given; it should be a whole number"),
]


@pytest.mark.parametrize(("text", "message"), BAD_FILES)
def test_a_file_that_is_no_study_says_where(text: str, message: str) -> None:
    assert refusal(read, text).startswith(f"x.yaml:{message}")


@pytest.mark.parametrize(("old", "new", "message"), BAD_LINES + BAD_TASKS_AND_TEACHERS)
def test_a_bad_line_says_file_line_key_and_what_would_do(old: str, new: str, message: str) -> None:
    assert old in GOOD
    said = refusal(read, GOOD.replace(old, new, 1))
    assert said.startswith(f"x.yaml:{message}") if message.endswith(" ") else said == f"x.yaml:{message}"


@pytest.mark.parametrize(("text", "message"), BAD_OVERRIDES)
def test_a_bad_override_says_which(text: str, message: str) -> None:
    assert refusal(read, GOOD, [text]) == message


def test_unreadable_files_are_said_so(tmp_path: Path) -> None:
    assert (
        refusal(load_study, "no.yaml")
        == "no.yaml: there is no such file; 'autokd init DIR' writes a study to start from"
    )
    assert refusal(load_study, tmp_path) == f"{tmp_path} is a folder; name the study file in it"
    Path("latin.yaml").write_bytes("name: caf\xe9\n".encode("latin-1"))
    assert refusal(load_study, "latin.yaml") == (
        "latin.yaml is not text in UTF-8 (byte 9: invalid continuation byte); save it as UTF-8"
    )


def test_python_and_files_are_answered_alike() -> None:
    assert refusal(make, spce=3) == "spce: there is no such key; did you mean 'space'?"
    assert refusal(make, recipe={"alpha": 2}).startswith("recipe.alpha: 2 given; it should be between 0")
    assert refusal(Study).startswith("name: this key is missing; write letters, digits")
    assert refusal(Study.model_validate, [3]) == "[3] given; it should be a mapping {key: value}"


def test_task_and_teacher_are_told_with_their_line_as_every_other_section() -> None:
    assert refusal(read, GOOD, ["task.labls=7"]) == (
        "override task.labls=7: task.labls: there is no such key; did you mean 'labels'?"
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "tpee",
            "sampler: no sampler is named 'tpee' (known: autokd, tpe, random, nsga2, nsga3, gp, qmc, and the classes "
            "of optuna.samplers); did you mean 'tpe'?",
        ),
        (
            "CmaEsSampler",
            "sampler: CmaEsSampler cannot drive a search, because it knows one objective only; write tpe or random",
        ),
        ("BaseSampler", "sampler: no sampler is named 'BaseSampler' (known: "),
        (
            {"name": "tpe", "n_startup": 3},
            "sampler.n_startup: TPESampler has no such setting; did you mean 'n_startup_trials'?",
        ),
        ({"name": "tpe", "seed": 3}, "sampler.seed: the sampler uses the study's own 'seed'; set that"),
        (
            {"name": "nsga2", "population_size": 1},
            "sampler: NSGAIISampler: `population_size` must be greater than or equal to 2.",
        ),
    ],
)
def test_a_sampler_that_will_not_do_is_refused(spec: Any, message: str) -> None:
    assert refusal(make_sampler, spec, 0).startswith(message)


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (
            {"share": {"lest": 1}, "size": {}},
            "objectives.{m}:share.lest: there is no such setting; did you mean 'least'?",
        ),
        ({"share": {}, "size": {"zzz": 1}}, "objectives.{m}:size.zzz: there is no such setting; known: bound, unit"),
        (
            {"share": {}, "_share": {}},
            "objectives.{m}:_share: this is of type function; it should be an autokd.types.Objective",
        ),
        (
            {"size": {}, "other": {}},
            "objectives: size, other are known without training, so nothing would be trained; add one",
        ),
        ({"share": {}, "twin": {}}, "objectives: two of them are called 'share'; leave one out"),
    ],
)
def test_objectives_that_will_not_do_are_refused(objectives: dict[str, Any], message: str) -> None:
    study = make(objectives={f"{__name__}:{name}": given for name, given in objectives.items()})
    assert refusal(resolve_objectives, study).startswith(message.replace("{m}", __name__))


def test_every_description_is_full_sentences_and_says_in_one_of_them_what_to_write() -> None:
    schema = Study.model_json_schema()
    owners = [schema, *schema["$defs"].values()]
    said = {
        key: " ".join(of_key["description"].split()) for owner in owners for key, of_key in owner["properties"].items()
    }
    assert [
        key for key, text in said.items() if not re.fullmatch(r"[A-Z].*\.", text) or text.count(" Write ") > 1
    ] == []
