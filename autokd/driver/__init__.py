"""Many trials: a run is prepared, driven and finished, and its students are used.

Read in this order: `preparation` (what a run shares; `setup` compares it), `core` (what is trained next), `loop`
(where it is trained), `answer` (from the record to the front), `entry` (all of it, as one call), `after` (retrain,
export).
"""

from autokd.driver.after import export_trial, load_front, retrain
from autokd.driver.core import Driver
from autokd.driver.device import measure_device
from autokd.driver.entry import search, search_study, unused

__all__ = [
    "Driver",
    "export_trial",
    "load_front",
    "measure_device",
    "retrain",
    "search",
    "search_study",
    "unused",
]
