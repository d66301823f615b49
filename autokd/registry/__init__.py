"""Finds the object that a reference (plug-in name, module, `module:attr`, file) names, and a reference to an object."""

from autokd.registry.beside import modules_beside
from autokd.registry.identity import reference_of, source_digest
from autokd.registry.lookup import GROUPS, installed
from autokd.registry.resolution import is_installed, resolve
from autokd.registry.sources import sources_of

__all__ = [
    "GROUPS",
    "installed",
    "is_installed",
    "modules_beside",
    "reference_of",
    "resolve",
    "source_digest",
    "sources_of",
]
