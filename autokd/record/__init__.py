"""The one record of a search: Optuna's study in `record.db`, written by one driver, and what is read back from it."""

from autokd.record.record import Record
from autokd.record.storage import hold, open_storage, read_study, read_trials, without_log
from autokd.record.trials import STATES, TrialRecord, as_record, canonical, counts, finite

__all__ = [
    "STATES",
    "Record",
    "TrialRecord",
    "as_record",
    "canonical",
    "counts",
    "finite",
    "hold",
    "open_storage",
    "read_study",
    "read_trials",
    "without_log",
]
