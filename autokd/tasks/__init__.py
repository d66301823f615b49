"""Tasks on arrays and tables: read from many sources, checked, split and materialised once.

The `task:` section of a study is in `autokd.study.task`. `arrays`, `files`, `images`, `photos` and `datasets` read
sources. `layout` and `labels` decide what dimensions and labels mean, and `rounding` and `normalisation` how values
become inputs. `targets` makes heads of what is to be learned. `assembly` puts this together, `splits` draws the rows,
`views` augments them, `stored` and `task` are the task itself, `opening` does all of this for a study, and `store`
writes a task to disk and opens it again, in the form that `folder` has. `made` has the tasks that somebody else wrote.

For photos whose files are known, `photo_task` is the task, which can be seen at several sizes. `written` writes
folders whole or not at all.

For tables, `table_files` reads files, `kinds` and `table_columns` decide what columns are for, `held_together` draws
rows by group or by time, `table_answers` finds targets and splits, `table_assembly` puts this together, and `table` is
the task.
"""

from autokd.tasks.assembly import from_arrays, from_dataset
from autokd.tasks.opening import open_task
from autokd.tasks.photo_task import PhotoTask
from autokd.tasks.store import load_task, save_task
from autokd.tasks.table import TableTask
from autokd.tasks.table_assembly import from_frame
from autokd.tasks.task import ArrayTask, Augmentation
from autokd.tasks.text_assembly import from_texts
from autokd.tasks.texts import TextTask

__all__ = [
    "ArrayTask",
    "Augmentation",
    "PhotoTask",
    "TableTask",
    "TextTask",
    "from_arrays",
    "from_dataset",
    "from_frame",
    "from_texts",
    "load_task",
    "open_task",
    "save_task",
]
