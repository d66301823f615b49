"""Classification tasks on arrays: read from many sources, checked, split and materialised once.

`spec` holds the settings, `files` and `datasets` read sources, `splits` draws the rows, `views` augments, `task` is the
task itself, `store` puts it on disk and opens it again. Names below are imported when first used, so that
`autokd.tasks.spec` can be read without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autokd.tasks.assembly import from_arrays, from_dataset
    from autokd.tasks.spec import AugmentSpec, NormaliseSpec, TaskSpec
    from autokd.tasks.store import load_task, open_task, save_task
    from autokd.tasks.task import ArrayTask, Augmentation

__all__ = [
    "ArrayTask",
    "AugmentSpec",
    "Augmentation",
    "NormaliseSpec",
    "TaskSpec",
    "from_arrays",
    "from_dataset",
    "load_task",
    "open_task",
    "save_task",
]

_HOMES = {
    "ArrayTask": "task",
    "AugmentSpec": "spec",
    "Augmentation": "task",
    "NormaliseSpec": "spec",
    "TaskSpec": "spec",
    "from_arrays": "assembly",
    "from_dataset": "assembly",
    "load_task": "store",
    "open_task": "store",
    "save_task": "store",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autokd.tasks' has no attribute '{name}'")
    return getattr(import_module(f"autokd.tasks.{_HOMES[name]}"), name)
