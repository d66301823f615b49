"""Many trials: a run is prepared, driven and finished, and its students are used.

Read in this order: `preparation` (what a run shares; `setup` reads it back), `core` (what is trained next), `loop`
(where it is trained), `answer` (from the record to the front), `entry` (all of it, as one call), `after` (retrain,
export).
"""

from autokd.driver.after import export_trial, load_front, retrain
from autokd.driver.core import Driver
from autokd.driver.device import measure_device
from autokd.driver.entry import search, search_study, unused
from autokd.driver.setup import read_setup

__all__ = [
    "Driver",
    "export_trial",
    "load_front",
    "measure_device",
    "read_setup",
    "retrain",
    "search",
    "search_study",
    "unused",
]
