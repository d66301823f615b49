"""Many trials: a run is prepared, driven and finished, and its students are used.

Read the files in this order: `preparation` makes what the trials of a run share, and `setup` compares it with the run;
`core` decides what is trained next; `loop` trains it; `answer` makes the front from the record, and `settled` reads the
front back; `entry` does all of this in one call; `after` retrains and exports. Names are imported when they are first
used, because reading a settled front needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autokd.driver.after import export_trial, retrain
    from autokd.driver.core import Driver
    from autokd.driver.device import measure_device
    from autokd.driver.entry import search_study, unused
    from autokd.driver.settled import load_front

__all__ = [
    "Driver",
    "export_trial",
    "load_front",
    "measure_device",
    "retrain",
    "search_study",
    "unused",
]

_HOMES = {
    "Driver": "core",
    "export_trial": "after",
    "load_front": "settled",
    "measure_device": "device",
    "retrain": "after",
    "search_study": "entry",
    "unused": "entry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autokd.driver' has no attribute '{name}'")
    return getattr(import_module(f"autokd.driver.{_HOMES[name]}"), name)
