"""Many trials: a run is prepared, driven and finished, and its students are used.

Read in this order: `preparation` (what a run shares; `setup` compares it), `core` (what is trained next), `loop`
(where it is trained), `answer` (from the record to the front; `settled` reads it back), `entry` (all of it, as one
call), `after` (retrain, export). Names are imported when first used: to read a front that is settled needs no torch.
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
