"""Many trials: a run is prepared, driven and finished, and its students are used.

Read the files in this order: `preparation` makes what the trials of a run share, and `run` compares it with
what the run was begun with; `core` decides what is trained next; `loop` trains it, at one of the `workplaces`;
`settling` makes the final front, and `stored_front` reads it back; `whole_search` does all of this in one call;
`students` retrains and exports. Names are imported when they are first used, because reading a stored front needs no
torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autokd.driver.core import Driver
    from autokd.driver.latency_table import measure_device
    from autokd.driver.stored_front import load_front
    from autokd.driver.students import export_trial, retrain
    from autokd.driver.whole_search import search_study, unused

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
    "export_trial": "students",
    "load_front": "stored_front",
    "measure_device": "latency_table",
    "retrain": "students",
    "search_study": "whole_search",
    "unused": "whole_search",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autokd.driver' has no attribute '{name}'")
    return getattr(import_module(f"autokd.driver.{_HOMES[name]}"), name)
