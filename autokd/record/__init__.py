"""The one record of a search: Optuna's study in a database, written by one driver, and what is read back from it."""

from autokd.record.record import Record
from autokd.record.storage import (
    close_storage,
    has_own_database,
    open_storage,
    read_study,
    read_trials,
    refuse_held,
    refuse_record,
    shown_url,
    take,
    whereabouts,
    without_log,
    write_study,
)
from autokd.record.trials import STATES, TrialRecord, as_record, canonical, counts, finite

__all__ = [
    "STATES",
    "Record",
    "TrialRecord",
    "as_record",
    "canonical",
    "close_storage",
    "counts",
    "finite",
    "has_own_database",
    "open_storage",
    "read_study",
    "read_trials",
    "refuse_held",
    "refuse_record",
    "shown_url",
    "take",
    "whereabouts",
    "without_log",
    "write_study",
]
