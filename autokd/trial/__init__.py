"""One trial: what it is given, and what it gives back.

`searched` says what a search asks of that which it searches. `training` trains students, and `tabulated` looks them up
in a `table`. `loading` opens either from a run.
"""

from autokd.trial.evaluation import as_evaluations, evaluate, evaluate_outputs
from autokd.trial.loading import (
    context_of,
    files_of,
    load_context,
    refuse_changed,
    refuse_gone,
    run_stretch_in,
)
from autokd.trial.patience import in_time
from autokd.trial.rebuilding import build_student, why_lost
from autokd.trial.searched import Searched, Stretch
from autokd.trial.starting import begin
from autokd.trial.suggested import checked
from autokd.trial.table import Table, read_table
from autokd.trial.tabulated import Tabulated, searched_table
from autokd.trial.training import (
    Context,
    breaks,
    exact_costs,
    reason_of,
    resolve_loss,
    run_stretch,
    start_training,
    training_seed,
)

__all__ = [
    "Context",
    "Searched",
    "Stretch",
    "Table",
    "Tabulated",
    "as_evaluations",
    "begin",
    "breaks",
    "build_student",
    "checked",
    "context_of",
    "evaluate",
    "evaluate_outputs",
    "exact_costs",
    "files_of",
    "in_time",
    "load_context",
    "read_table",
    "reason_of",
    "refuse_changed",
    "refuse_gone",
    "resolve_loss",
    "run_stretch",
    "run_stretch_in",
    "searched_table",
    "start_training",
    "training_seed",
    "why_lost",
]
