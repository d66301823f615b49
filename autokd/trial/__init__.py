"""One trial: the context in which it runs, what it is given, and what it gives back.

`training` trains students, and `tabulated` looks them up in a `table`. `loading` opens either context from a run.
"""

from autokd.trial.evaluation import as_evaluation, evaluate, evaluate_outputs
from autokd.trial.loading import context_of, load_context, refuse_changed, refuse_gone, run_stretch_in
from autokd.trial.patience import in_time
from autokd.trial.rebuilding import build_student, why_lost
from autokd.trial.table import Table, read_table
from autokd.trial.tabulated import TableContext, table_context
from autokd.trial.training import (
    Context,
    Stretch,
    breaks,
    checked,
    exact_costs,
    reason_of,
    resolve_loss,
    run_stretch,
    start_training,
    training_seed,
)

__all__ = [
    "Context",
    "Stretch",
    "Table",
    "TableContext",
    "as_evaluation",
    "breaks",
    "build_student",
    "checked",
    "context_of",
    "evaluate",
    "evaluate_outputs",
    "exact_costs",
    "in_time",
    "load_context",
    "read_table",
    "reason_of",
    "refuse_changed",
    "refuse_gone",
    "resolve_loss",
    "run_stretch",
    "run_stretch_in",
    "start_training",
    "table_context",
    "training_seed",
    "why_lost",
]
