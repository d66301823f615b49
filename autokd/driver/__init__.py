"""Many trials: a run is prepared, driven and finished, and its students are used.

Read in this order: `prepare` (what a run shares), `core` (what is trained next), `loop` (where it is trained), `finish`
(from the record to the front), `entry` (all of it, as one call), `after` (retrain and export).
"""

from autokd.driver.after import export_trial, load_front, read_setup, retrain
from autokd.driver.core import Driver
from autokd.driver.entry import search, search_study, unused
from autokd.driver.prepare import prepare

__all__ = [
    "Driver",
    "export_trial",
    "load_front",
    "prepare",
    "read_setup",
    "retrain",
    "search",
    "search_study",
    "unused",
]
