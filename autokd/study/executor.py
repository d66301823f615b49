"""The executors of a study: students train in this process, in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, WithJsonSchema

from autokd.study.database import refuse_secret
from autokd.study.explanation import shown
from autokd.study.section import Section

_LOCAL = ("inline", "processes")
_RAY = "ray"


class RayExecutor(Section):
    """Students train on a Ray cluster; Ray Tune places them."""

    name: Literal["ray"] = "ray"
    """Always ray, because the other executors have no settings."""
    address: str = Field("local", min_length=1)
    """Which cluster to use. Write 'local' to start Ray on this machine for the search, 'auto' for the cluster that this
    machine belongs to, or host:port of the cluster's head."""
    cpus_per_trial: float = Field(1, gt=0)
    """How many CPUs are set aside for each student that trains. A student uses one thread."""
    gpus_per_trial: float = Field(0, ge=0)
    """How many GPUs are set aside for each student that trains. With 0.25, four students share a GPU."""
    max_failures: int = Field(3, ge=0)
    """If a worker or node dies, its trial continues elsewhere from its last checkpoint, at most this many times."""
    storage: Annotated[str, AfterValidator(refuse_secret)] = ""
    """Where checkpoints go if some nodes do not see the run folder. Write a folder that all nodes see, or an fsspec URL
    such as s3://bucket/prefix. The driver keeps a copy in the run folder."""


def hoist_workers(study: Mapping[str, Any]) -> Mapping[str, Any]:
    """The data of a study with `executor.workers`, if given, moved to `workers`."""
    executor = study.get("executor")
    if not isinstance(executor, Mapping) or "workers" not in executor:
        return study
    rest = {key: value for key, value in executor.items() if key != "workers"}
    return {**study, "executor": rest, "workers": executor["workers"]}


def _read(executor: Any) -> Any:
    """The value of `executor`, with `{name: processes}` as `processes` and `ray` as `{name: ray}`."""
    if isinstance(executor, RayExecutor):
        return executor
    settings = dict(executor) if isinstance(executor, Mapping) else {"name": executor}
    name = settings.get("name")
    if name == _RAY:
        return settings
    if name not in _LOCAL:
        raise ValueError(f"{shown(executor)} given; it should be 'inline', 'processes' or 'ray'")
    if len(settings) > 1:
        setting = next(key for key in settings if key != "name")
        raise ValueError(f"'{setting}' given, but {name} has no settings; write executor: {name}")
    return name


def _kind(executor: Any) -> str:
    return "local" if isinstance(executor, str) else _RAY


_Local = Annotated[Literal["inline", "processes"], Tag("local"), WithJsonSchema({"enum": [*_LOCAL, _RAY]})]
Executor = Annotated[_Local | Annotated[RayExecutor, Tag(_RAY)], Discriminator(_kind), BeforeValidator(_read)]
"""The value of `executor` in a study: a name, or Ray with its settings."""
