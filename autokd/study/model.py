"""The model of a study: its space, data, teacher, objectives and budget."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from autokd.errors import InputError
from autokd.study.baselines import WITHOUT_TEACHER, in_stages
from autokd.study.budget import Budget
from autokd.study.database import refuse_no_database
from autokd.study.executor import Executor, hoist_workers
from autokd.study.explanation import OVERRIDE, KeyPath, Places, explain, located, overridden, shown, wanted
from autokd.study.paths import absolute
from autokd.study.recipe import RecipeSpace
from autokd.study.section import Section, as_data
from autokd.study.task import TableSection, TaskSetting, is_tabulated
from autokd.study.teacher import TeacherSetting
from autokd.types import FROM_TEACHER, SCRATCH, Arch

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SPACE = (
    "a plug-in's name, 'package.module', 'package.module:attr' or 'path/to/space.py', with settings in parentheses "
    "where it takes any, such as 'timm(models=\"resnet*\")'"
)


def override(study: Study, changes: Mapping[str, Any]) -> Study:
    """The same study with other values under dotted keys, such as `budget.trials` or `recipe.alpha`.

    A missing key of a mapping is created.

    Raises:
        InputError: a key leads into something that is not a mapping, or the result is not a valid study.
    """
    return override_in(study, changes, {})


def override_in(study: Study, changes: Mapping[str, Any], context: Mapping[str, Any]) -> Study:
    """The same as `override`, in the context (`places`, `folder`) in which the study was read."""
    data: dict[str, Any] = as_data(study)
    places: Places = context.get("places", {})
    for key, value in changes.items():
        path = tuple(key.split("."))
        if not all(path):
            raise InputError(f"override {key}: write names with dots between them, such as budget.trials")
        said = value if isinstance(value, str) else shown(value)
        label = f"{OVERRIDE}{key}" if "://" in said else f"{OVERRIDE}{key}={said}"  # a URL may contain a secret
        data = _with(data, path, value, label)
        places = overridden(places, path, label)
    return Study.model_validate(data, context={**context, "places": places})


def baseline_study(
    study: Study,
    name: str,
    *,
    stage: int,
    epochs: int,
    archs: Sequence[Arch] = (),
    readings: Sequence[Mapping[str, Any]] = (),
) -> Study:
    """The study to run for one stage of a baseline.

    Args:
        study: the study that the baseline is compared with.
        name: one of `study.baselines`.
        stage: 0 .. len(study.baselines[name]) - 1; stages run in this order.
        epochs: the epochs that the search itself spent. The stages share them equally, unless the baseline overrides
            this.
        archs: the architectures on the front of the previous stage; unused at stage 0.
        readings: the reading of each of them, if this is searched.
    """
    stages = study.baselines[name]
    starts = study.recipe.starts
    share = max(epochs // len(stages), study.budget.rungs[-1])
    # Epochs end a baseline, not trials: repeated or infeasible proposals cost no epochs, and it may have more of them.
    changes: dict[str, Any] = {"budget.epochs": share, "budget.trials": 2 * study.budget.trials}
    if stage > 0:
        space = study.space["space"] if isinstance(study.space, Mapping) else study.space
        changes["space"] = {"space": space, "archs": list(archs), **({"readings": list(readings)} if readings else {})}
    if name in WITHOUT_TEACHER and FROM_TEACHER in starts:
        left = [as_data(start) for start in starts if start != FROM_TEACHER] or [SCRATCH]
        changes["recipe.start"] = left if len(left) > 1 else left[0]
    own = {"name": f"{study.name}-{name}", "baselines": {}}
    return override(study, {**changes, **stages[stage], **own})


def _objective(settings: Any) -> Any:
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise ValueError(f"{shown(settings)} given; write {{}} or {{bound: 2.0}}")
    bound = settings.get("bound")
    if bound is not None and (
        isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(bound)
    ):
        raise ValueError(f"bound {shown(bound)} given; it should be a number")
    table = settings.get("table", "")
    if not isinstance(table, str):
        raise ValueError(f"table {shown(table)} given; write the name of a file, such as latencies.jsonl")
    return {**settings, "table": os.path.abspath(table)} if table else dict(settings)


_ObjectiveSettings = Annotated[
    dict[str, Any], BeforeValidator(_objective), WithJsonSchema({"type": ["object", "null"]})
]


def _less_beside_a_table(schema: dict[str, Any]) -> None:
    """Makes the JSON Schema allow a table to leave out the keys that only training needs."""
    trained = ["teacher", "space"]
    schema["required"] = [name for name in schema["required"] if name not in trained]
    schema["if"] = {"properties": {"task": {"type": "object", "required": ["table"]}}}
    schema["else"] = {"required": trained}


_Baselines = Annotated[
    dict[str, list[dict[str, Any]]],
    WithJsonSchema({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "object"}]}),
]


class Study(Section):
    """A search as it is written down. The parts that it names are found and checked when they are used.

    A path of a file is looked up from the current folder, then from the folder of the study file, and kept absolute.
    """

    model_config = ConfigDict(json_schema_extra=_less_beside_a_table)

    name: str
    """The name of the study and of its run folder. Write letters, digits, '.', '_' and '-'."""
    task: TaskSetting
    """The data and the score. Write {data: digits, labels: 100}, a plug-in's name, a reference, {task: a reference,
    args: {...}}, or {table: file.csv.gz}. A table holds the results of trainings that are already done; nothing is
    trained then, and the keys teacher, space and recipe are left out."""
    teacher: TeacherSetting
    """The teacher that students learn from. Write {space: resnet, arch: {...}, epochs: 30}, a reference, or a list of
    them. The probabilities of several teachers are averaged."""
    space: Annotated[Any, WithJsonSchema({"type": ["string", "object", "array"]})]
    """The students that are searched. Write a plug-in's name, 'package.module', 'package.module:attr' or
    'path/to/space.py', with settings in parentheses where it takes any, a list of these, of which each student is of
    one, or {space: one of these, archs: [{...}, ...]} to search only these architectures."""
    recipe: RecipeSpace = RecipeSpace()
    """How students are trained: each setting may be one value, a list of choices, or a range."""
    objectives: dict[str, _ObjectiveSettings] = Field(
        default_factory=lambda: dict[str, dict[str, Any]](accuracy={}, parameters={})
    )
    """What is traded off. Write two or more plug-in names or references, each with its settings, such as
    {accuracy: {}, parameters: {bound: 20000}}. Where a task has several heads, write the head before the name, as
    {size.rmse: {}, kind.accuracy: {}}. Without this key, accuracy gives way to rmse for values, auc for labels and miou
    for positions. The objectives of a table have the names of its columns; {} stands for all of them."""
    budget: Budget = Budget()
    """How much the search may spend."""
    sampler: str | dict[str, Any] = "autokd"
    """What proposes students. Write autokd, or one of Optuna's samplers: tpe, random, nsga2, nsga3, gp, qmc, a class
    name, or {name: tpe, setting: ...}."""
    scheduler: Annotated[Any, WithJsonSchema({"type": ["string", "object"]})] = "halving"
    """What decides which students train on. Write a plug-in's name or a reference."""
    executor: Executor = "processes"
    """Where students train: in this process, in `workers` processes, or on a Ray cluster. Write inline, processes, ray,
    or {name: ray, address: auto, ...}."""
    record: str = "sqlite"
    """Where trials are recorded. Write sqlite for a file in the run folder, or the URL of a database that the driver
    can reach, without a password in it: postgresql+psycopg://me@host/database."""
    workers: int = Field(2, ge=1)
    """How many students train at once, with one thread each."""
    device: str = Field("cpu", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    """Where students train, and the teacher if AutoKD trains it. Write cpu, cuda, cuda:1, mps, or auto for the best
    device of the machine."""
    precision: Literal["float32", "bf16"] = "float32"
    """The type of the numbers in the forward pass of training. With bf16, weights, loss and optimizer stay float32."""
    compile: bool = False
    """Whether training uses torch's compiler. Compiling takes many seconds for each student, so it pays for long
    trainings only."""
    baselines: _Baselines = Field(default_factory=dict)
    """Rival searches to compare with. Write [hard, default, sequential], or keys to override for each rival, such as
    {hard: {budget.trials: 20}, mine: {recipe.lr: 0.01}}. A list of such mappings is searched in stages; each later
    stage searches only the architectures on the front of the stage before."""
    seed: int = Field(0, ge=0, lt=2**32)
    """The number that decides all random draws."""

    @property
    def table(self) -> str:
        """The file of the table that is searched; "" where students are trained."""
        return self.task.table if isinstance(self.task, TableSection) else ""

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} given; write letters, digits, '.', '_' and '-', as a folder gets this name")
        return name

    @field_validator("record")
    @classmethod
    def _names_a_database(cls, record: str) -> str:
        refuse_no_database(record)
        return record

    @field_validator("task", "teacher", "space", "scheduler", mode="before")
    @classmethod
    def _is_a_reference(cls, value: Any, info: ValidationInfo) -> Any:
        if value is None and info.field_name in _BESIDE_A_TABLE and is_tabulated(info.data.get("task")):
            return None
        several = isinstance(value, list | tuple) and info.field_name in ("teacher", "space")
        if not all(map(_may_be_a_reference, value)) if several else not _may_be_a_reference(value):
            raise ValueError(f"{shown(value)} given; write {wanted(cls.model_fields[str(info.field_name)])}")
        return value

    @field_validator("space")
    @classmethod
    def _lists_spaces_or_architectures(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            if not value or any(isinstance(each, Mapping) for each in value):
                raise ValueError(f"{shown(value)} given; write {_SPACE}, or a list of one or more of these")
            return list(value)
        if not isinstance(value, Mapping):
            return value
        archs = value.get("archs")
        listed = isinstance(archs, list | tuple) and archs and all(isinstance(arch, Mapping) for arch in archs)
        readings = value.get("readings", archs)  # a baseline has them if the reading is searched
        paired = listed and isinstance(readings, list | tuple) and len(readings) == len(value["archs"])
        if set(value) - {"readings"} != {"space", "archs"} or not paired:
            raise ValueError(f"{shown(value)} given; write {_SPACE}, or {{space: ..., archs: [{{...}}, ...]}}")
        return dict(value)

    @field_validator("objectives")
    @classmethod
    def _trades_off(cls, objectives: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        if len(objectives) < 2 and (objectives or not is_tabulated(info.data.get("task"))):
            raise ValueError(
                f"{', '.join(objectives) or 'none'} given; name two or more, such as accuracy and parameters"
            )
        return objectives

    @field_validator("sampler", mode="before")
    @classmethod
    def _names_a_sampler(cls, sampler: Any) -> Any:
        if isinstance(sampler, Mapping) and isinstance(sampler.get("name"), str):
            return sampler["name"] if len(sampler) == 1 else dict(sampler)
        if not isinstance(sampler, str):
            raise ValueError(f"{shown(sampler)} given; write a sampler's name, or {{name: tpe, setting: ...}}")
        return sampler

    @field_validator("baselines", mode="before")
    @classmethod
    def _in_stages(cls, baselines: Any) -> Any:
        if isinstance(baselines, list | tuple) and all(isinstance(name, str) for name in baselines):
            baselines = {name: {} for name in baselines}
        if not isinstance(baselines, Mapping) or not all(isinstance(name, str) for name in baselines):
            raise ValueError(f"{shown(baselines)} given; write [hard], or {{hard: {{budget.trials: 20}}}}")
        return {name: in_stages(name, given) for name, given in baselines.items()}

    @field_validator("teacher", "space", "recipe", "baselines")
    @classmethod
    def _not_beside_a_table(cls, value: Any, info: ValidationInfo) -> Any:
        if is_tabulated(info.data.get("task")) and value not in (None, RecipeSpace(), {}):
            raise ValueError("a table holds the results of trainings, and nothing is trained; leave this key out")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _or_one_line(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        context = info.context or {}
        places: Places = context.get("places", {})
        if isinstance(data, Mapping):
            folder = context.get("folder", Path())
            try:
                data = {key: value if key == "name" else absolute(value, folder) for key, value in data.items()}
            except RecursionError:
                raise InputError("a study is nested too deeply, or a part of it contains itself") from None
            data = hoist_workers({**_BESIDE_A_TABLE, **data} if is_tabulated(data.get("task")) else data)
        try:
            study = handler(data)
        except ValidationError as error:
            raise explain(error, cls, data, places) from None
        for path in _nans(data, ()):  # NaN does not even equal itself, so the study would differ from itself on resume
            raise located(path, "nan given; write a number", places)
        for name, stages in study.baselines.items():
            for stage in stages:
                try:
                    override(study, {"baselines": {}, **stage})
                except InputError as error:
                    raise located(("baselines", name), str(error), places) from None
        return study


def _nans(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """The paths of all NaNs in the data of a study."""
    if isinstance(value, Mapping | list | tuple):
        for key, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from _nans(part, (*path, key))
    elif isinstance(value, float) and math.isnan(value):
        yield path


def _may_be_a_reference(value: Any) -> bool:
    return bool(value) if isinstance(value, str) else not isinstance(value, bool | int | float | list | tuple | None)


_NAMED = ("executor", "sampler")
"""Keys where a name alone is short for {name: ...}, so that an override can add a setting to it."""
_BESIDE_A_TABLE: Mapping[str, Any] = {"teacher": None, "space": None, "objectives": {}}


def _with(data: Mapping[str, Any], path: tuple[str, ...], value: Any, label: str) -> dict[str, Any]:
    parts = next((i for i in range(len(path), 1, -1) if ".".join(path[:i]) in data), 1)  # as in objectives.size.rmse
    head, rest = ".".join(path[:parts]), path[parts:]
    if rest:
        inner = data.get(head)
        if head in _NAMED and isinstance(inner, str):
            inner = {"name": inner}
        if inner is not None and not isinstance(inner, Mapping):
            raise InputError(f"{label}: '{head}' is {shown(inner)}, which has no '{rest[0]}'; override '{head}' itself")
        value = _with(inner or {}, rest, value, label)
    return {**data, head: value}
