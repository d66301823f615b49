"""The scripts of `studies/claims/`, loaded as modules. They are run by path, and no package holds them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any


def load_claim(name: str) -> Any:
    """The script of that name."""
    path = Path(__file__).parents[1] / "studies" / "claims" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for what their annotations name
    spec.loader.exec_module(module)
    return module
