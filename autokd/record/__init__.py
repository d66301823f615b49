"""The record of a search: an Optuna study in a database, which one driver writes, and the functions that read it.

Names are imported when they are first used, because a worker needs only `trials`, without Optuna and SQLAlchemy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autokd.record.listing import trials_dataframe
    from autokd.record.lock import is_held
    from autokd.record.reading import has_own_database, read_counts, read_parameters, read_seconds, read_trials
    from autokd.record.record import Record
    from autokd.record.storage import (
        close_storage,
        dashboard_command,
        database_file,
        open_storage,
        read_study,
        refuse_held,
        refuse_record,
        shown_url,
        take,
        whereabouts,
        without_log,
        write_study,
    )
    from autokd.record.trials import (
        STATES,
        STOPPED_EARLY,
        TrialRecord,
        as_record,
        canonical,
        counts,
        finite,
        reasons,
        student_key,
    )

__all__ = [
    "STATES",
    "STOPPED_EARLY",
    "Record",
    "TrialRecord",
    "as_record",
    "canonical",
    "close_storage",
    "counts",
    "dashboard_command",
    "database_file",
    "finite",
    "has_own_database",
    "is_held",
    "open_storage",
    "read_counts",
    "read_parameters",
    "read_seconds",
    "read_study",
    "read_trials",
    "reasons",
    "refuse_held",
    "refuse_record",
    "shown_url",
    "student_key",
    "take",
    "trials_dataframe",
    "whereabouts",
    "without_log",
    "write_study",
]

_HOMES = (
    {"Record": "record", "is_held": "lock", "trials_dataframe": "listing"}
    | dict.fromkeys(("has_own_database", "read_counts", "read_parameters", "read_seconds", "read_trials"), "reading")
    | dict.fromkeys(("STATES", "STOPPED_EARLY", "TrialRecord", "as_record", "canonical", "counts"), "trials")
    | dict.fromkeys(("finite", "reasons", "student_key"), "trials")
)
"""The module in which a name lives, if this is not `storage`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'autokd.record' has no attribute '{name}'")
    return getattr(import_module(f"autokd.record.{_HOMES.get(name, 'storage')}"), name)
