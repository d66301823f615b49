"""Measured latencies in a file, so that a student is timed once on a device and not once in every run.

Each line is JSON: the architecture (`arch`), the device and the conditions (`key`), and the results. If a search varies
how rows are read, the conditions include the `reading`. Lines are only added, each by one write, so several runs may
share a file. A line that a killed run left unfinished is skipped.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from autokd.errors import InputError, said
from autokd.files import read_bytes
from autokd.latency.timers import timing_device
from autokd.types import Arch

_CALIBRATION = "reference_ms"
"""The name of the field `calibration_ms` in the file, which keeps the name of earlier versions."""


@dataclass(frozen=True)
class Measurement:
    """The latency of one student, timed once.

    Args:
        arch: architecture.
        median_ms: milliseconds per batch.
        cv: spread between rounds as a fraction of the median.
        calibration_ms: the time of the calibration network on the idle machine in that run. Figures of two runs are
            compared as multiples of it.
        seconds: how long measuring took in all, export or compilation included.
    """

    arch: Arch
    median_ms: float
    cv: float
    calibration_ms: float
    seconds: float


class LatencyTable:
    """The measurements in a file that were made under one key; `known` has them by architecture, as JSON.

    If an architecture was measured more than once, the last measurement counts.

    Args:
        path: the file. It is created with the first measurement.
        key: plain data: everything but the architecture that a latency depends on. Lines under other keys are left
            alone.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """

    def __init__(self, path: Path, key: Mapping[str, Any]) -> None:
        self.path, self.key = path, json.loads(json.dumps(key))
        self.known: dict[str, Measurement] = {}
        try:
            lines = read_bytes(path).splitlines() if path.exists() else []
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {(error.strerror or said(error)).lower()}") from error
        read = [found for found in map(_read, lines) if found is not None]
        if len(lines) > 1 and not read:
            raise InputError(
                f"{path} is no table of latencies; name one that `autokd latency-table` wrote, or a new file"
            )
        for found_key, measurement in read:
            if found_key == self.key:
                self.known[_as_json(measurement.arch)] = measurement

    def find(self, arch: Arch) -> Measurement | None:
        """The measurement of an architecture, or None."""
        return self.known.get(_as_json(arch))

    def add(self, measurement: Measurement) -> None:
        """Adds a measurement, to the file as well.

        Raises:
            InputError: the file cannot be written.
        """
        self.known[_as_json(measurement.arch)] = measurement
        line = json.dumps({"key": self.key, **_written(measurement)}).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b", buffering=0) as file:
                if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                    line = b"\n" + line  # after a line that a killed run left unfinished
                file.write(line)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {(error.strerror or said(error)).lower()}") from error


def conditions(*, runtime: str, threads: int, batch: int, device: str = "cpu") -> dict[str, Any]:
    """The part of a key that describes this machine and how it runs students.

    Raises:
        InputError: students cannot be timed on that device.
    """
    packages = ["torch", "onnxruntime"] if runtime == "onnx" else ["torch"]
    return {
        "device": device_name(timing_device(device, runtime=runtime)),
        "runtime": runtime,
        "versions": {package: _version(package) for package in packages},
        "threads": threads,
        "batch": batch,
    }


def device_name(device: torch.device) -> str:
    """The model of the GPU as CUDA names it, or of the processor as the system names it, or at least its kind."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        if platform.system() == "Darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
        said = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", said, re.MULTILINE)
    except (OSError, subprocess.CalledProcessError):
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # a build may have another name; if the package is missing, measuring says so
        return ""


def _written(measurement: Measurement) -> dict[str, Any]:
    return {_CALIBRATION if name == "calibration_ms" else name: value for name, value in asdict(measurement).items()}


def _read(line: bytes) -> tuple[Any, Measurement] | None:
    try:
        data = json.loads(line)
        key = data.pop("key")
        found = Measurement(calibration_ms=data.pop(_CALIBRATION), **data)
        numbers = (found.median_ms, found.calibration_ms, found.seconds)
        return (key, found) if all(math.isfinite(number) and number > 0 for number in numbers) else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _as_json(arch: Arch) -> str:
    return json.dumps(arch, sort_keys=True)
