"""Every test gets one thread and one seed. This file also holds the only ways to skip a test, and golden files."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and scikit-learn read it

import pytest
import torch
from hypothesis import HealthCheck, settings
from servers import has_postgres

ROOT = Path(__file__).parents[1]

# The same examples every time, and no complaint of a slow machine: a red test is a fault of the code.
settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=False
)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the golden files from this run")


def needs(what: str) -> pytest.MarkDecorator:
    """Skips with the reason where `what` is absent: `shared`, `chromium`, or a Python package."""
    if what == "shared":
        return pytest.mark.skipif(not _shared().is_dir(), reason="needs shared/ beside the checkout")
    if what == "chromium":
        return pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium on the PATH")
    if what == "postgres":
        return pytest.mark.skipif(
            not has_postgres(), reason="needs a PostgreSQL server's programs, and setpriv for root"
        )
    return pytest.mark.skipif(importlib.util.find_spec(what) is None, reason=f"needs the package {what}")


def _shared() -> Path:
    return ROOT.parent / "shared" / "data"


@pytest.fixture(autouse=True)
def _one_thread_one_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture
def shared() -> Path:
    """The folder of real data beside the checkout; the test skips where there is none."""
    if not _shared().is_dir():
        pytest.skip("needs shared/ beside the checkout")
    return _shared()


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """Ray on this machine, started once for a module; searches use it as they find it."""
    import ray

    small: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 100_000_000, "include_dashboard": False}
    ray.init("local", log_to_driver=False, logging_level=logging.ERROR, **small)
    yield
    ray.shutdown()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Path:
    """tests/golden/<test name>.json; the test compares with it, or rewrites it under --update-golden."""
    return ROOT / "tests" / "golden" / f"{request.node.name}.json"


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
