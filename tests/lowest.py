"""Prints constraints for pip: the lowest versions that pyproject.toml allows of everything that users install.

torch, and the tools that only developers need, stay at what constraints.txt says. `make lowest` runs the tests so.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
KEPT = ("dev", "docs", "trackers", "nni")
"""Extras whose versions stay: tools, and an archived project whose own requirements leave no choice."""


def lowest(pyproject: str, constraints: str) -> list[str]:
    """Lines `name==version` from the texts of these two files; a package with a lower bound has that version."""
    project = tomllib.loads(pyproject)["project"]
    extras = [wanted for name, wanted in project["optional-dependencies"].items() if name not in KEPT]
    found = dict(line.split("==") for line in constraints.splitlines() if not line.startswith("#"))
    for requirement in map(Requirement, sum(extras, project["dependencies"])):
        floors = [each.version for each in requirement.specifier if each.operator == ">="]
        if floors and requirement.name != "torch":
            found[requirement.name] = floors[0]
            for part in requirement.extras:  # as psycopg-binary, whose version is that of psycopg
                found.pop(f"{requirement.name}-{part}", None)
    return [f"{name}=={version}" for name, version in found.items()]


if __name__ == "__main__":
    print(*lowest((ROOT / "pyproject.toml").read_text(), (ROOT / "constraints.txt").read_text()), sep="\n")
