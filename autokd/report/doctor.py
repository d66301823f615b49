"""What `autokd doctor` finds out about this machine, and the lines that it prints."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version

from autokd.errors import AutoKDError, said

EXTRAS = {
    "report": "the HTML report of a run",
    "plot": "figures of a front, as SVG or PNG",
    "pandas": "fronts and trials as data frames",
    "onnx": "export to ONNX, and latency in ONNX Runtime",
    "images": "tasks on folders of photos",
    "torchvision": "data sets and networks of torchvision",
    "timm": "search spaces and teachers from timm",
    "postgres": "a record on a PostgreSQL server",
    "ray": "searches on a Ray cluster",
    "nni": "search spaces written for NNI 3.0",
    "hf": "search spaces and teachers from transformers",
    "tabular": "tables from CSV, Parquet and JSON lines, and data frames",
    "text": "tasks of texts, with tokenizers that are trained or given",
    "trackers": "logging to TensorBoard, MLflow or Weights & Biases",
}
"""What each extra adds for users. Extras that only developers of the project need are left out."""

_LITTLE_GB = 2.0
"""Below this much free disk a warning is given: a search keeps the teacher's answers and students' weights."""

_WORKER_SECONDS = 60
_NEXT = "pip install --upgrade autokd"
_NO_WORKERS = (
    'Worker processes do not start ({reason}). Search with --executor inline, or executor="inline" from Python.'
)


def diagnose(folder: Path) -> dict[str, Any]:
    """What a search on this machine could use, as plain data. No file is left behind.

    Args:
        folder: the folder for runs; it need not exist.

    Returns:
        `autokd`, `python` and `platform`: versions; `packages` and `extras`: see `_packages` and `_extras`; `devices`,
        `cores` and `threads`; `runs`: `folder` and `free_gb`; `warnings`: sentences on what would be limited;
        `problems`: sentences on why a search is impossible.
    """
    warnings: list[str] = []
    problems: list[str] = []
    packages = _packages()
    for name, found in packages.items():
        if found["version"] is None:
            problems.append(f"The package {name} is not installed. Run: {_NEXT}")
        elif not found["suffices"]:
            needed = found["needs"]
            problems.append(f"{name} {found['version']} is installed, and AutoKD needs {name}{needed}. Run: {_NEXT}")
    place = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    if folder.exists() and not folder.is_dir():
        problems.append(f"{folder} is not a folder, so no run can be kept there. Give another folder")
    free_gb = shutil.disk_usage(place).free / 1e9
    if free_gb < _LITTLE_GB:
        warnings.append(f"Only {free_gb:.1f} GB are free where runs would go ({place}); a search may fill them.")
    found = {
        "autokd": metadata.version("autokd"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": packages,
        "extras": _extras(),
        **_compute(problems),
        "runs": {"folder": str(folder.absolute()), "free_gb": round(free_gb, 3)},
    }
    if not problems:
        _try(_record_works, place, problems, "A search cannot keep its record in {place}: {reason}")
        _try(_worker_starts, place, warnings, _NO_WORKERS)
    if sys.platform == "win32":
        warnings.append("AutoKD is not tested on Windows.")
    return {**found, "warnings": warnings, "problems": problems}


def doctor_lines(found: Mapping[str, Any]) -> list[str]:
    """The findings of `diagnose` as lines to read."""
    packages = ", ".join(f"{name} {each['version'] or 'missing'}" for name, each in found["packages"].items())
    lines = [
        f"AutoKD {found['autokd']} on Python {found['python']}, {found['platform']}",
        f"Packages: {packages}",
        f"Devices: {', '.join(found['devices']) or 'unknown'}",
        f"Processor: this process may use {found['cores']} cores. Each worker of a search trains on one thread.",
        f"Runs: {found['runs']['folder']}, where {found['runs']['free_gb']:,.1f} GB are free",
        "",
        "Extras:",
    ]
    for name, extra in found["extras"].items():
        state = "installed" if extra["installed"] else f"not installed; to add it: {extra['install']}"
        lines.append(f"  {name:12s} {extra['adds']}: {state}")
    lines += ["", *(f"Warning: {line}" for line in found["warnings"]), *(f"Problem: {p}" for p in found["problems"])]
    if found["problems"]:
        return [*lines, "Searches cannot run here before these problems are solved."]
    return [*lines, "Searches can run here."]


def _packages() -> dict[str, dict[str, Any]]:
    """For each package that AutoKD always needs: its `version` (None if missing), `needs`, and if it `suffices`."""
    found = {}
    for requirement in _requirements(""):
        found[requirement.name] = {
            "version": _version(requirement),
            "needs": str(requirement.specifier),
            "suffices": _suffices(requirement),
        }
    return found


def _extras() -> dict[str, dict[str, Any]]:
    """For each extra: what it `adds`, if it is `installed`, which packages are `missing`, and how to `install` it."""
    found = {}
    for name, adds in EXTRAS.items():
        missing = [str(each) for each in _requirements(name) if not _suffices(each)]
        install = f"pip install 'autokd[{name}]'"
        found[name] = {"adds": adds, "installed": not missing, "missing": missing, "install": install}
    return found


def _requirements(extra: str) -> list[Requirement]:
    """The packages that an extra needs in addition to those that AutoKD always needs; for "" the latter."""
    found = []
    for requirement in map(Requirement, metadata.requires("autokd") or []):
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        if always if extra == "" else not always and marker is not None and marker.evaluate({"extra": extra}):
            requirement.marker = None
            found.append(requirement)
    return found


def _suffices(requirement: Requirement) -> bool:
    version = _version(requirement)
    return version is not None and requirement.specifier.contains(version, prereleases=True)


def _version(requirement: Requirement) -> str | None:
    try:
        return str(Version(metadata.version(requirement.name)))
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _compute(problems: list[str]) -> dict[str, Any]:
    """The devices that torch sees, in words; the processor cores; the threads of torch (None if it is unusable)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        import torch
    except Exception as error:
        problems.append(f"torch cannot be imported ({said(error)}). Install it as https://pytorch.org says.")
        return {"devices": [], "cores": cores, "threads": None}
    devices = ["cpu"]
    if torch.backends.mps.is_available():
        devices.append("mps")
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(i)
        devices.append(f"cuda:{i} ({about.name}, {about.total_memory / 1e9:.0f} GB)")
    return {"devices": devices, "cores": cores, "threads": torch.get_num_threads()}


def _try(check: Callable[[Path], None], place: Path, complaints: list[str], sentence: str) -> None:
    try:
        check(place)
    except (AutoKDError, OSError, RuntimeError) as error:
        complaints.append(sentence.format(place=place, reason=said(error)))


def _record_works(place: Path) -> None:
    from autokd.record import close_storage, database_file, open_storage

    with tempfile.TemporaryDirectory(prefix=".autokd-doctor-", dir=place) as folder:
        close_storage(open_storage(database_file(Path(folder) / "record.db")))


def _worker_starts(_: Path) -> None:
    from autokd.executors import ProcessExecutor

    with ProcessExecutor(1) as executor:
        future = executor.submit(os.getpid)
        if wait([future], timeout=_WORKER_SECONDS).not_done:
            executor.stop(future)
            raise RuntimeError(f"none answered within {_WORKER_SECONDS} seconds")
        future.result()
