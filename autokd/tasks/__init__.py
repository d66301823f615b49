"""Classification tasks on arrays: read from many sources, checked, split and materialised once.

The `task:` section of a study is in `autokd.study.task`. `arrays`, `files`, `images` and `datasets` read sources.
`layout` and `labels` decide what dimensions and labels mean, and `rounding` and `normalisation` how values become
inputs. `assembly` puts this together, `splits` draws the rows, `views` augments them, `task` is the task itself, and
`store` writes it to disk and opens it again. `made` has the tasks that somebody else wrote.
"""

from autokd.tasks.assembly import from_arrays, from_dataset
from autokd.tasks.store import load_task, open_task, save_task
from autokd.tasks.task import ArrayTask, Augmentation

__all__ = ["ArrayTask", "Augmentation", "from_arrays", "from_dataset", "load_task", "open_task", "save_task"]
